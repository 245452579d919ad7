/* SPDX-License-Identifier: MIT */
/* The callback style: written in place, read in place, bounds kept by the library, and callbacks that use the session
 * themselves. */
#include "race.h"

static struct pool *pool;
static struct rask *s;
static unsigned reads;
static unsigned depth;

static int set_up(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    (void)state;
    options.queue_max = 32;
    clear_ledger();
    reads = depth = 0;
    pool = pool_start(&race_plugin, 2, RASK_WAIT_HYBRID, &options);
    s = pool_session(pool);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pool_stop(pool);
    return 0;
}

/* What one request's two callbacks share. */
struct talk {
    size_t bytes;
    int64_t returned; /* by the write callback */
    uint32_t stamp;
    unsigned reads;
};

static int64_t write_stamp(void *buffer, size_t capacity, void *user)
{
    struct talk *talk = user;
    assert_int_equal(capacity, talk->bytes);
    stamp_fill(buffer, capacity, talk->stamp);
    return talk->returned;
}

static void read_stamp(const struct rask_completion *completion, void *user)
{
    struct talk *talk = user;
    assert_int_equal(completion->status, RASK_OK);
    assert_int_equal(completion->length, talk->returned);
    assert_true(stamp_holds(completion->data, completion->length, talk->stamp));
    talk->reads++;
    reads++;
}

/* Until this many read callbacks ran. */
static void wait_for_reads(unsigned count)
{
    uint64_t deadline_ns = rask_now_ns() + 5000u * (uint64_t)MS;
    while (reads < count) assert_int_equal(rask_wait_any(s, NULL, 0, deadline_ns), 0);
    assert_int_equal(reads, count);
}

static void test_what_one_callback_writes_the_other_reads(void **state)
{
    static const size_t sizes[] = {0, 1, 32, 33, 256, 4096, 100000};
    (void)state;
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct talk talk = {.bytes = sizes[i], .returned = (int64_t)sizes[i], .stamp = i};
        assert_int_equal(rask_request(s, ECHO, talk.bytes, write_stamp, read_stamp, &talk, NULL), 0);
        wait_for_reads(2 * i + 1);
        assert_int_equal(talk.reads, 1);
        talk.returned /= 2; /* less than was asked for */
        assert_int_equal(rask_request(s, ECHO, talk.bytes, write_stamp, read_stamp, &talk, NULL), 0);
        wait_for_reads(2 * i + 2);
        assert_int_equal(talk.reads, 2);
    }
    assert_int_equal(rask_pending(s), 0);
}

static void read_nothing(const struct rask_completion *completion, void *user)
{
    assert_null(user);
    assert_int_equal(completion->status, RASK_OK);
    assert_int_equal(completion->length, 0);
    reads++;
}

static void test_no_write_callback_means_an_empty_request(void **state)
{
    (void)state;
    assert_int_equal(rask_request(s, ECHO, 1000, NULL, read_nothing, NULL, NULL), 0);
    wait_for_reads(1);
    assert_int_equal(rask_request(s, ECHO, 0, NULL, NULL, NULL, NULL), -EINVAL);
}

static void test_writing_more_than_the_room_is_refused(void **state)
{
    static const size_t sizes[] = {0, 5, 32, 100, 300};
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct talk talk = {.bytes = sizes[i], .returned = (int64_t)sizes[i] + 1};
        assert_int_equal(rask_request(s, ECHO, talk.bytes, write_stamp, read_stamp, &talk, NULL), -EOVERFLOW);
        talk.returned = INT64_MAX;
        assert_int_equal(rask_request(s, ECHO, talk.bytes, write_stamp, read_stamp, &talk, NULL), -EOVERFLOW);
        talk.returned = INT64_MIN; /* 0 as an int */
        assert_int_equal(rask_request(s, ECHO, talk.bytes, write_stamp, read_stamp, &talk, NULL), -EOVERFLOW);
    }
    assert_int_equal(rask_pending(s), 0);
    assert_int_equal(rask_poll(s, NULL, 0), 0);
    assert_int_equal(reads, 0);
}

static void test_giving_up_in_the_write_callback_sends_nothing(void **state)
{
    struct rask_request request[32];
    (void)state;
    struct talk talk = {.bytes = 100, .returned = -EPERM};
    for (unsigned i = 0; i < 100; i++) /* more often than there is room: it is given back */
        assert_int_equal(rask_request(s, ECHO, talk.bytes, write_stamp, read_stamp, &talk, NULL), -EPERM);
    assert_int_equal(rask_request(s, 99, 100, write_stamp, read_stamp, &(struct talk){100, 100, 0, 0}, NULL), -EINVAL);
    for (unsigned i = 0; i < 32; i++) assert_int_equal(rask_reserve(s, 100, &request[i]), 0);
    assert_int_equal(rask_request(s, ECHO, 1, NULL, read_stamp, &talk, NULL), -EAGAIN);
    for (unsigned i = 0; i < 32; i++) assert_int_equal(rask_abandon(s, &request[i]), 0);
    assert_int_equal(reads, 0);
}

/* Sends the next one from inside, makes a call from inside, and sees the end of both. */
static void read_and_go_on(const struct rask_completion *completion, void *user)
{
    uint32_t *left = user;
    struct rask_completion out;
    uint8_t bytes[600];
    assert_int_equal(completion->status, RASK_OK);
    reads++;
    depth++;
    assert_true(depth < 40);
    if (*left > 0) {
        uint32_t stamp = --*left;
        assert_int_equal(rask_request(s, ECHO, 0, NULL, read_and_go_on, left, NULL), 0);
        stamp_fill(bytes, sizeof bytes, stamp);
        assert_int_equal(rask_call(s, ECHO, bytes, sizeof bytes, 0, &out), 0);
        assert_true(stamp_holds(out.data, out.length, stamp));
        rask_release(s, &out);
    }
    depth--;
}

static void test_callbacks_may_send_call_and_wait(void **state)
{
    uint32_t left = 12;
    (void)state;
    assert_int_equal(rask_request(s, ECHO, 0, NULL, read_and_go_on, &left, NULL), 0);
    wait_for_reads(13);
    assert_int_equal(left, 0);
    assert_int_equal(rask_pending(s), 0);
}

static void test_callbacks_run_inside_poll_wait_and_call(void **state)
{
    struct rask_completion out;
    (void)state;
    struct order slow = {.index = 1, .pause_ns = 3 * MS};
    for (unsigned round = 0; round < 10; round++) {
        reads = 0;
        for (unsigned i = 0; i < 3; i++) assert_int_equal(rask_request(s, ECHO, 0, NULL, read_nothing, NULL, NULL), 0);
        int64_t ticket = send_order(s, slow, sizeof slow, 0);
        assert_int_equal(rask_wait(s, (uint64_t)ticket, 0, &out), 0);
        rask_release(s, &out);
        assert_int_equal(rask_request(s, ECHO, 0, NULL, read_nothing, NULL, NULL), 0);
        assert_int_equal(rask_call(s, ORDER, &slow, sizeof slow, 0, &out), 0);
        rask_release(s, &out);
        wait_for_reads(4);
    }
}

static void test_ticket_of_a_callback_cannot_be_waited_for(void **state)
{
    struct rask_completion out;
    (void)state;
    assert_int_equal(rask_request(s, ECHO, 0, NULL, read_nothing, NULL, NULL), 0);
    for (uint64_t generation = 0; generation < 4; generation++)
        for (uint64_t index = 0; index < 32; index++)
            assert_int_equal(rask_wait(s, generation << 32 | index, rask_now_ns() + 1, &out), -EINVAL);
    wait_for_reads(1);
}

static void read_cancelled(const struct rask_completion *completion, void *user)
{
    (void)user;
    assert_true(completion->status == RASK_EXPIRED || completion->status == RASK_TIMEOUT);
    reads++;
}

static void test_deadline_of_a_callback_request_ends_it(void **state)
{
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    struct rask_completion out;
    uint64_t tickets[2];
    (void)state;
    struct order slow = {.index = 1, .pause_ns = 30 * MS};
    for (unsigned i = 0; i < 2; i++) tickets[i] = (uint64_t)send_order(s, slow, sizeof slow, 0); /* both workers */
    options.deadline_ns = rask_now_ns() + 2 * MS;
    assert_int_equal(rask_request(s, ECHO, 0, NULL, read_cancelled, NULL, &options), 0);
    wait_for_reads(1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rask_wait(s, tickets[i], 0, &out), 0);
        rask_release(s, &out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_one_callback_writes_the_other_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_write_callback_means_an_empty_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writing_more_than_the_room_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_giving_up_in_the_write_callback_sends_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_callbacks_may_send_call_and_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_callbacks_run_inside_poll_wait_and_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ticket_of_a_callback_cannot_be_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_of_a_callback_request_ends_it, set_up, tear_down),
    };
    alarm(50);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
