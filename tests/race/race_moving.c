/* SPDX-License-Identifier: MIT */
/* Late binding: what waits behind a slow request goes to a worker that is idle, runs once, and copies no payload. */
#include "race.h"

#define QUICK 40u

static struct pool *pool;

static int tear_down(void **state)
{
    (void)state;
    if (pool != NULL) pool_stop(pool);
    pool = NULL;
    return 0;
}

static struct rask *start(uint32_t workers, uint32_t mode)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = mode;
    clear_ledger();
    pool = pool_start(&race_plugin, workers, mode, &options);
    return pool_session(pool);
}

/* Opens the lanes of both workers: the second is asked for when the first has enough to do. */
static void use_both(struct rask *s)
{
    uint64_t deadline_ns = rask_now_ns() + 5000u * (uint64_t)MS;
    while (info_of(s).lanes_open < 2) {
        struct rask_completion out[16];
        assert_true(rask_now_ns() < deadline_ns);
        for (uint32_t i = 0; i < 16; i++)
            assert_true(send_order(s, (struct order){.index = 60000, .pause_ns = 50 * US}, 0, 0) > 0);
        for (uint32_t left = 16; left > 0;) {
            int count = rask_wait_any(s, out, 16, deadline_ns);
            assert_true(count > 0);
            for (int i = 0; i < count; i++) rask_release(s, &out[i]);
            left -= (uint32_t)count;
        }
    }
}

/* Two slow requests at most keep the two workers; the quick ones behind one of them must not wait for it. */
static void quick_ones_overtake(uint32_t mode)
{
    struct rask_completion out;
    uint32_t stamps[QUICK];
    struct rask *s = start(2, mode);
    use_both(s);
    uint64_t start_ns = rask_now_ns();
    int64_t slow = send_order(s, (struct order){.index = QUICK, .pause_ns = 300 * MS}, 0, 0);
    for (uint32_t i = 0; i < QUICK; i++) {
        stamps[i] = i * 31;
        struct order order = {.index = i, .stamp = stamps[i], .reply_bytes = i % 2 ? 10 : 500};
        assert_true(send_order(s, order, i % 3 ? 20 : 2000, 0) > 0);
    }
    for (uint32_t i = 0; i < QUICK; i++) {
        assert_int_equal(rask_wait_any(s, &out, 1, start_ns + 5000u * (uint64_t)MS), 1);
        assert_int_not_equal(out.user_data, QUICK); /* all of them before the slow one */
        assert_int_equal(out.status, RASK_OK);
        assert_true(stamp_holds(out.data, out.length, ~stamps[out.user_data]));
        rask_release(s, &out);
    }
    assert_int_equal(rask_wait(s, (uint64_t)slow, 0, &out), 0);
    rask_release(s, &out);
    print_message("%llu moved\n", (unsigned long long)info_of(s).moved);
    tear_down(NULL);
    for (uint32_t i = 0; i <= QUICK; i++) assert_int_equal(ledger[i], 1);
    assert_int_equal(damaged, 0);
}

static void test_requests_behind_a_slow_one_go_elsewhere(void **state)
{
    (void)state;
    quick_ones_overtake(RASK_WAIT_PARK);
    quick_ones_overtake(RASK_WAIT_HYBRID);
}

static void test_moving_again_and_again_runs_each_once(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    struct rask *s = start(3, RASK_WAIT_PARK);
    uint32_t total = 1200 / SLOWER, in_flight = 0, ended = 0;
    for (uint32_t i = 0; ended < total;) {
        struct rask_completion out[8];
        while (i < total && in_flight < 20) {
            struct order order = {.index = i, .stamp = i, .reply_bytes = 40};
            order.pause_ns = random_below(&random, 12) == 0 ? 2 * MS : random_below(&random, 10 * US);
            assert_true(send_order(s, order, random_below(&random, 600), 0) > 0);
            in_flight++;
            i++;
        }
        int count = rask_wait_any(s, out, 8, rask_now_ns() + 5000u * (uint64_t)MS);
        assert_true(count > 0);
        for (int j = 0; j < count; j++) {
            assert_int_equal(out[j].status, RASK_OK);
            assert_true(stamp_holds(out[j].data, out[j].length, ~(uint32_t)out[j].user_data));
            rask_release(s, &out[j]);
        }
        in_flight -= (uint32_t)count;
        ended += (uint32_t)count;
    }
    print_message("%llu moved\n", (unsigned long long)info_of(s).moved);
    assert_true(info_of(s).moved > 0);
    tear_down(NULL);
    for (uint32_t i = 0; i < total; i++) assert_int_equal(ledger[i], 1);
    assert_int_equal(damaged, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_requests_behind_a_slow_one_go_elsewhere, tear_down),
        cmocka_unit_test_teardown(test_moving_again_and_again_runs_each_once, tear_down),
    };
    alarm(50);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
