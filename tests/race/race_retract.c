/* SPDX-License-Identifier: MIT */
/* Cancelling, deadlines and moving, racing with the workers that take the requests. The handler keeps a ledger: what is
 * said about execution must agree with it, and every request must end once. */
#include "race.h"

#define DEPTH 24u
#define REQUESTS_MAX 20000u

/* What the client knows about each request. */
static struct record {
    uint32_t stamp;
    uint32_t reply_bytes;
    uint32_t ends;
    uint32_t status;
    uint32_t executed;
} records[REQUESTS_MAX];

static struct pool *pool;
static uint32_t in_flight;

static void start(uint32_t workers, uint32_t mode)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = mode;
    options.ring_slots = 16;
    clear_ledger();
    memset(records, 0, sizeof records);
    in_flight = 0;
    pool = pool_start(&race_plugin, workers, mode, &options);
}

static int tear_down(void **state)
{
    (void)state;
    if (pool != NULL) pool_stop(pool);
    pool = NULL;
    return 0;
}

/* Notes one end; an answer must be what the handler made for this request. */
static void note(struct rask *s, struct rask_completion *out)
{
    struct record *record = &records[out->user_data];
    assert_true(out->user_data < REQUESTS_MAX);
    record->ends++;
    record->status = out->status;
    record->executed = out->executed;
    if (out->status == RASK_OK) {
        assert_int_equal(out->length, record->reply_bytes);
        assert_true(stamp_holds(out->data, out->length, ~record->stamp));
    } else {
        assert_int_equal(out->length, 0);
    }
    rask_release(s, out);
    in_flight--;
}

static void collect(struct rask *s, uint32_t down_to)
{
    while (in_flight > down_to) {
        struct rask_completion out[8];
        int count = rask_wait_any(s, out, 8, rask_now_ns() + 10000u * (uint64_t)MS);
        if (count < 0) fail_msg("%u requests have no end: %s", in_flight, rask_strerror(count));
        for (int i = 0; i < count; i++) note(s, &out[i]);
    }
}

/* One request of any size, with a deadline sometimes. */
static uint64_t send_any(struct rask *s, uint32_t index, uint64_t *random, bool deadlines)
{
    static const uint32_t sizes[] = {sizeof(struct order), 32, 33, 256, 1000, 5000};
    struct order order = {
        .index = index,
        .stamp = (uint32_t)random_next(random),
        .reply_bytes = sizes[random_below(random, 6)],
        .pause_ns = random_below(random, 4) == 0 ? random_below(random, 40 * US) : 0,
    };
    records[index].stamp = order.stamp;
    records[index].reply_bytes = order.reply_bytes;
    uint64_t deadline_ns = 0;
    if (deadlines && random_below(random, 3) == 0) deadline_ns = rask_now_ns() + random_below(random, 200 * US);
    int64_t ticket = send_order(s, order, sizes[random_below(random, 6)], deadline_ns);
    if (ticket < 0) fail_msg("request %u: %s: %s", index, rask_strerror((int)ticket), rask_last_error());
    in_flight++;
    return (uint64_t)ticket;
}

/* After the workers have stopped, so that nothing can still be running. */
static void agree_with_the_ledger(uint32_t count)
{
    uint32_t by_status[RASK_STATUS_COUNT] = {0}, never_ran = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct record *record = &records[i];
        uint32_t ran = rk_load_relaxed(&ledger[i]);
        if (record->ends != 1) fail_msg("request %u ended %u times", i, record->ends);
        assert_true(record->status < RASK_STATUS_COUNT);
        by_status[record->status]++;
        if (ran > 1) fail_msg("request %u ran %u times", i, ran);
        if (record->executed == RASK_EXECUTED_NO && ran != 0)
            fail_msg("request %u ended as %s, not executed, and ran", i, rask_status_name(record->status));
        if (record->executed == RASK_EXECUTED_YES && ran != 1)
            fail_msg("request %u ended as %s, executed, and did not run", i, rask_status_name(record->status));
        never_ran += ran == 0;
    }
    assert_int_equal(damaged, 0);
    for (uint32_t i = 0; i < RASK_STATUS_COUNT; i++)
        if (by_status[i] > 0) print_message("%u %s  ", by_status[i], rask_status_name(i));
    print_message("(%u never ran)\n", never_ran);
}

/* Cancels hit requests that wait, that are just being taken, and that run. */
static void cancel_storm(uint32_t workers, uint32_t mode, uint64_t *random, uint32_t count)
{
    start(workers, mode);
    struct rask *s = pool_session(pool);
    uint64_t recent[4] = {0};
    for (uint32_t i = 0; i < count; i++) {
        recent[i % 4] = send_any(s, i, random, false);
        if (random_below(random, 2) == 0) busy_ns(random_below(random, 3 * US));
        uint64_t victim = recent[random_below(random, 4)];
        if (random_below(random, 2) == 0 && victim != 0) {
            int result = rask_cancel(s, victim);
            assert_true(result == 0 || result == -EINVAL); /* it may have ended */
        }
        collect(s, random_below(random, DEPTH));
    }
    collect(s, 0);
    assert_int_equal(rask_pending(s), 0);
    tear_down(NULL);
    agree_with_the_ledger(count);
}

static void test_retracted_requests_never_run(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    cancel_storm(1, RASK_WAIT_SPIN, &random, 10000 / SLOWER);
    cancel_storm(1, RASK_WAIT_PARK, &random, 4000 / SLOWER);
    cancel_storm(2, RASK_WAIT_HYBRID, &random, 6000 / SLOWER);
}

static void everything_at_once(uint32_t workers, uint32_t mode, uint64_t *random, uint32_t count)
{
    start(workers, mode);
    struct rask *s = pool_session(pool);
    uint64_t recent[DEPTH] = {0};
    for (uint32_t i = 0; i < count; i++) {
        recent[i % DEPTH] = send_any(s, i, random, true);
        uint64_t victim = recent[random_below(random, DEPTH)];
        if (random_below(random, 8) == 0 && victim != 0) rask_cancel(s, victim);
        collect(s, random_below(random, DEPTH + 8));
    }
    collect(s, 0);
    struct rask_info info = info_of(s);
    print_message("%u lanes, %llu moved: ", info.lanes_open, (unsigned long long)info.moved);
    assert_int_equal(info.requests, count);
    assert_int_equal(pool_figures(pool).bad_peer, 0);
    tear_down(NULL);
    agree_with_the_ledger(count);
}

static void test_every_request_ends_exactly_once(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    everything_at_once(2, RASK_WAIT_HYBRID, &random, 6000 / SLOWER);
    everything_at_once(4, RASK_WAIT_PARK, &random, 6000 / SLOWER);
    everything_at_once(3, RASK_WAIT_SPIN, &random, 400 / SLOWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_retracted_requests_never_run, tear_down),
        cmocka_unit_test_teardown(test_every_request_ends_exactly_once, tear_down),
    };
    alarm(55);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
