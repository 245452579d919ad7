/* SPDX-License-Identifier: MIT */
/* Payloads of every size through both slabs, which grow on the way; views held for long and given back in any order; and
 * what a caller is told when the queue or the slab is full. */
#include "race.h"
#include <stdlib.h>

#define VIEWS 40u

static struct pool *pool;

static struct rask *start(const struct rask_options *options, uint32_t workers)
{
    clear_ledger();
    pool = pool_start(&race_plugin, workers, RASK_WAIT_HYBRID, options);
    return pool_session(pool);
}

static int tear_down(void **state)
{
    (void)state;
    if (pool != NULL) pool_stop(pool);
    pool = NULL;
    return 0;
}

static void echo_once(struct rask *s, size_t bytes, uint32_t stamp)
{
    struct rask_request request;
    struct rask_completion out;
    assert_int_equal(rask_reserve(s, bytes, &request), 0);
    assert_true(request.capacity >= bytes);
    stamp_fill(request.data, bytes, stamp);
    assert_int_equal(rask_submit(s, &request, ECHO, bytes, NULL), 0);
    assert_int_equal(rask_wait(s, request.ticket, rask_now_ns() + 5000u * (uint64_t)MS, &out), 0);
    assert_int_equal(out.status, RASK_OK);
    assert_int_equal(out.length, bytes);
    assert_true(stamp_holds(out.data, bytes, stamp));
    rask_release(s, &out);
}

static const size_t sizes[] = {0,    1,    31,    32,    33,    255,   256,   257,    1023,   1024,     1025, 4095,
                               4096, 4097, 16384, 16385, 65535, 65536, 65537, 262144, 262145, 1u << 20, 1000};

static void test_payloads_of_every_size_come_back_unchanged(void **state)
{
    (void)state;
    struct rask *s = start(NULL, 2);
    for (unsigned round = 0; round < 3; round++)
        for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) echo_once(s, sizes[i], round * 100 + i);
    assert_int_equal(pool_figures(pool).bad_peer, 0);
}

static void test_largest_payload_and_no_more(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_request request;
    struct rask_completion out;
    (void)state;
    options.payload_bytes_max = 100000;
    struct rask *s = start(&options, 1);
    echo_once(s, 100000, 5);
    assert_int_equal(rask_reserve(s, 100001, &request), -EMSGSIZE);
    assert_non_null(strstr(rask_last_error(), "100000"));
    assert_non_null(strstr(rask_last_error(), "payload_bytes_max"));
    assert_int_equal(rask_reserve(s, SIZE_MAX, &request), -EMSGSIZE);
    assert_int_equal(rask_call(s, ECHO, &options, 100001, 0, &out), -EMSGSIZE);
    assert_int_equal(out.status, RASK_TOO_LARGE);
    assert_int_equal(out.executed, RASK_EXECUTED_NO);
    rask_release(s, &out);
    struct order order = {.index = 1, .reply_bytes = 100001};
    assert_int_equal(rask_call(s, ORDER, &order, sizeof order, 0, &out), -rask_status_errno(RASK_REPLY_TOO_LARGE));
    assert_int_equal(out.executed, RASK_EXECUTED_YES);
    rask_release(s, &out);
    assert_int_equal(rask_reserve(s, 50, &request), 0);
    assert_true(request.capacity >= 50);
    assert_int_equal(rask_submit(s, &request, ECHO, request.capacity + 1, NULL), -EMSGSIZE);
    assert_int_equal(rask_abandon(s, &request), 0);
    echo_once(s, 100000, 6);
}

/* A place for an answer: empty, awaited (ticket only), or held (data). */
struct place {
    struct rask_completion view;
    uint64_t ticket;
    uint32_t stamp;
    uint32_t bytes;
};

static void give_back(struct rask *s, struct place *place)
{
    assert_int_equal(place->view.status, RASK_OK);
    assert_int_equal(place->view.length, place->bytes);
    assert_true(stamp_holds(place->view.data, place->bytes, ~place->stamp));
    rask_release(s, &place->view);
    memset(place, 0, sizeof *place);
}

static void ask(struct rask *s, struct place *place, uint32_t index, uint64_t *random)
{
    place->stamp = (uint32_t)random_next(random);
    place->bytes = random_below(random, random_below(random, 20) == 0 ? 300000 : 6000);
    struct order order = {.index = index, .stamp = place->stamp, .reply_bytes = place->bytes};
    int64_t ticket = send_order(s, order, random_below(random, 6000), 0);
    assert_true(ticket > 0);
    place->ticket = (uint64_t)ticket;
}

static void receive(struct rask *s, struct place *place)
{
    assert_int_equal(rask_wait(s, place->ticket, rask_now_ns() + 5000u * (uint64_t)MS, &place->view), 0);
    place->ticket = 0;
}

/* Answers are held while others come and go; some are given back while the worker makes the next ones. */
static void test_views_stay_as_they_are_until_released_in_any_order(void **state)
{
    static struct place places[VIEWS];
    (void)state;
    uint64_t random = random_seed();
    struct rask *s = start(NULL, 2);
    memset(places, 0, sizeof places);
    for (uint32_t i = 0; i < 8000 / SLOWER; i++) {
        struct place *place = &places[random_below(&random, VIEWS)];
        if (place->ticket != 0)
            receive(s, place);
        else if (place->view.ticket != 0)
            give_back(s, place);
        else
            ask(s, place, i, &random);
    }
    for (uint32_t i = 0; i < VIEWS; i++) {
        if (places[i].ticket != 0) receive(s, &places[i]);
        if (places[i].view.ticket != 0) give_back(s, &places[i]);
    }
    assert_int_equal(damaged, 0);
    assert_int_equal(rask_pending(s), 0);
}

static void test_both_slabs_grow_and_are_used_again(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    uint64_t tickets[16];
    (void)state;
    options.slab_bytes = RASK_SLAB_BYTES_MIN;
    struct rask *s = start(&options, 1);
    uint64_t mapped = 0;
    for (unsigned round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < 16; i++) {
            struct order order = {.index = i, .stamp = i * 7 + round, .reply_bytes = 70000};
            int64_t ticket = send_order(s, order, 70000, 0);
            assert_true(ticket > 0);
            tickets[i] = (uint64_t)ticket;
        }
        for (uint32_t i = 16; i-- > 0;) {
            struct rask_completion out;
            assert_int_equal(rask_wait(s, tickets[i], rask_now_ns() + 5000u * (uint64_t)MS, &out), 0);
            assert_int_equal(out.status, RASK_OK);
            assert_true(stamp_holds(out.data, out.length, ~(i * 7 + round)));
            rask_release(s, &out);
        }
        if (round == 1) mapped = info_of(s).bytes_mapped;
        if (round > 1) assert_int_equal(info_of(s).bytes_mapped, mapped); /* what was freed is enough */
    }
    assert_int_equal(damaged, 0);
}

static void test_full_queue_says_again(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_request request;
    struct rask_completion out[4];
    (void)state;
    options.queue_max = 4;
    struct rask *s = start(&options, 1);
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            struct order order = {.index = i + 4 * round, .pause_ns = 100 * US};
            assert_true(send_order(s, order, 100, 0) > 0);
        }
        assert_int_equal(rask_reserve(s, 1, &request), -EAGAIN);
        assert_non_null(strstr(rask_last_error(), "queue_max"));
        for (unsigned i = 0; i < 4; i++) assert_int_equal(rask_wait_any(s, &out[i], 1, 0), 1);
        assert_int_equal(rask_reserve(s, 1, &request), -EAGAIN); /* taken, not released */
        assert_int_equal(rask_call(s, ECHO, "x", 1, 0, &(struct rask_completion){0}), -EAGAIN);
        for (unsigned i = 0; i < 4; i++) rask_release(s, &out[i]);
        assert_int_equal(rask_reserve(s, 1, &request), 0);
        assert_int_equal(rask_abandon(s, &request), 0);
    }
    for (uint32_t i = 0; i < 12; i++) assert_int_equal(ledger[i], 1); /* nothing was lost, nothing doubled */
}

static void test_full_slab_says_again(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_request request[64];
    (void)state;
    options.slab_bytes = options.slab_bytes_max = RASK_SLAB_BYTES_MIN;
    struct rask *s = start(&options, 1);
    unsigned before = 0;
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = 0;
        while (rask_reserve(s, 3000, &request[count]) == 0) assert_true(++count < 64);
        assert_int_equal(rask_reserve(s, 3000, &request[count]), -EAGAIN);
        assert_non_null(strstr(rask_last_error(), "slab"));
        assert_true(count > 0);
        if (round > 0) assert_int_equal(count, before);
        before = count;
        assert_int_equal(rask_reserve(s, 32, &request[count]), 0); /* what needs no block goes on */
        assert_int_equal(rask_submit(s, &request[count], ECHO, 0, NULL), 0);
        for (unsigned i = 0; i < count; i++) {
            stamp_fill(request[i].data, 3000, i);
            assert_int_equal(rask_submit(s, &request[i], ECHO, 3000, NULL), 0);
        }
        for (unsigned i = 0; i <= count; i++) {
            struct rask_completion out;
            assert_int_equal(rask_wait_any(s, &out, 1, rask_now_ns() + 5000u * (uint64_t)MS), 1);
            assert_int_equal(out.status, RASK_OK);
            rask_release(s, &out);
        }
    }
}

static void test_response_without_room_says_so_and_room_comes_back(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_completion held[64], out;
    unsigned count = 0;
    int result = 0;
    (void)state;
    options.slab_bytes = options.slab_bytes_max = RASK_SLAB_BYTES_MIN;
    struct rask *s = start(&options, 1);
    struct order order = {.index = 1, .reply_bytes = 3000};
    while ((result = rask_call(s, ORDER, &order, sizeof order, 0, &held[count])) == 0) assert_true(++count < 64);
    assert_true(count > 0);
    assert_int_equal(held[count].status, RASK_REPLY_TOO_LARGE);
    rask_release(s, &held[count]);
    rask_release(s, &held[count / 2]);
    assert_int_equal(rask_call(s, ORDER, &order, sizeof order, 0, &out), 0);
    assert_int_equal(out.length, 3000);
    rask_release(s, &out);
    for (unsigned i = 0; i < count; i++) rask_release(s, &held[i]); /* one of them for the second time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_payloads_of_every_size_come_back_unchanged, tear_down),
        cmocka_unit_test_teardown(test_largest_payload_and_no_more, tear_down),
        cmocka_unit_test_teardown(test_views_stay_as_they_are_until_released_in_any_order, tear_down),
        cmocka_unit_test_teardown(test_both_slabs_grow_and_are_used_again, tear_down),
        cmocka_unit_test_teardown(test_full_queue_says_again, tear_down),
        cmocka_unit_test_teardown(test_full_slab_says_again, tear_down),
        cmocka_unit_test_teardown(test_response_without_room_says_so_and_room_comes_back, tear_down),
    };
    alarm(50);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
