/* SPDX-License-Identifier: MIT */
/* Sleeping and waking, thousands of times with every timing that random pauses make: no wake-up is lost, and the counts
 * of sleeps that ended by time-out with something there stay zero on both sides. */
#include "race.h"

static struct pool *pool;

static struct pool *start(uint32_t workers, uint32_t mode)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = mode;
    return pool_start(&race_plugin, workers, mode, &options);
}

static int tear_down(void **state)
{
    (void)state;
    if (pool != NULL) pool_stop(pool);
    pool = NULL;
    return 0;
}

/* Sometimes nothing, sometimes about as long as it takes to fall asleep or to wake up, seldom long. */
static uint32_t some_pause(uint64_t *random)
{
    switch (random_below(random, 8)) {
    case 0:
    case 1:
    case 2:
        return 0;
    case 7:
        return random_below(random, 150 * US);
    default:
        return random_below(random, 20 * US);
    }
}

static void call_with_pauses(struct rask *s, uint64_t *random, unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        struct rask_completion out;
        struct order order = {.index = i, .pause_ns = some_pause(random), .reply_bytes = 4};
        assert_int_equal(rask_call(s, ORDER, &order, sizeof order, 0, &out), 0);
        assert_int_equal(out.length, 4);
        rask_release(s, &out);
        busy_ns(some_pause(random));
    }
}

/* Several in flight: the worker publishes while the client is about to sleep, and the other way round. */
static void pipeline_with_pauses(struct rask *s, uint64_t *random, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        struct rask_completion out[4];
        unsigned left = 1 + random_below(random, 4);
        for (unsigned i = 0; i < left; i++) {
            struct order order = {.index = i, .pause_ns = some_pause(random) / 4};
            assert_true(send_order(s, order, sizeof order, 0) > 0);
            busy_ns(some_pause(random) / 8);
        }
        while (left > 0) {
            int count = rask_wait_any(s, out, 4, 0);
            assert_true(count > 0);
            for (int i = 0; i < count; i++) rask_release(s, &out[i]);
            left -= (unsigned)count;
        }
    }
}

/* The worker answers just when the client, which has sent another one meanwhile, falls asleep. */
static void answer_who_falls_asleep(struct rask *s, uint64_t *random, uint64_t end_ns)
{
    while (rask_now_ns() < end_ns) {
        struct rask_completion out[2];
        assert_true(send_order(s, (struct order){.pause_ns = 500 + random_below(random, 1500)}, 0, 0) > 0);
        assert_true(send_order(s, (struct order){.pause_ns = random_below(random, 600)}, 0, 0) > 0);
        busy_ns(random_below(random, 1500));
        for (int left = 2; left > 0;) {
            int count = rask_wait_any(s, out, 2, 0);
            assert_true(count > 0);
            for (int i = 0; i < count; i++) rask_release(s, &out[i]);
            left -= count;
        }
    }
}

/* The client, which never sleeps here, sends just when the worker falls asleep. */
static void call_who_falls_asleep(struct rask *s, uint64_t *random, uint64_t end_ns)
{
    while (rask_now_ns() < end_ns) {
        struct rask_completion out;
        assert_true(send_order(s, (struct order){0}, 0, 0) > 0);
        while (rask_poll(s, &out, 1) == 0) rk_pause();
        rask_release(s, &out);
        busy_ns(random_below(random, 500));
    }
}

static void test_no_wake_up_is_lost_between_publish_and_park(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    pool = start(1, RASK_WAIT_PARK);
    struct rask *s = pool_session(pool);
    call_with_pauses(s, &random, 8000 / SLOWER);
    pipeline_with_pauses(s, &random, 3000 / SLOWER);
    answer_who_falls_asleep(s, &random, rask_now_ns() + 700 * (uint64_t)MS);
    call_who_falls_asleep(s, &random, rask_now_ns() + 700 * (uint64_t)MS);
    struct pool_figures figures = pool_figures(pool);
    print_message("%s, %llu sleeps of the worker\n", info_of(s).barrier, (unsigned long long)figures.parks);
    assert_true(figures.parks > 1000 / SLOWER);
    assert_int_equal(figures.rescues, 0);
    assert_int_equal(info_of(s).rescues, 0);
}

static void test_hybrid_and_spin_lose_nothing_either(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    for (uint32_t mode = RASK_WAIT_SPIN; mode <= RASK_WAIT_HYBRID; mode++) {
        pool = start(1, mode);
        call_with_pauses(pool_session(pool), &random, 1000 / SLOWER);
        pipeline_with_pauses(pool_session(pool), &random, 500 / SLOWER);
        assert_int_equal(pool_figures(pool).rescues, 0);
        assert_int_equal(info_of(pool_session(pool)).rescues, 0);
        tear_down(NULL);
    }
}

static void test_barrier_is_the_one_that_was_asked_for(void **state)
{
    (void)state;
    const char *wanted = getenv("RASK_BARRIER");
    pool = start(1, RASK_WAIT_PARK);
    struct rask_completion out;
    assert_int_equal(rask_call(pool_session(pool), ECHO, "x", 1, 0, &out), 0);
    rask_release(pool_session(pool), &out);
    if (wanted != NULL) assert_string_equal(info_of(pool_session(pool)).barrier, wanted);
}

static void test_no_worker_of_several_oversleeps(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    pool = start(4, RASK_WAIT_PARK);
    pipeline_with_pauses(pool_session(pool), &random, 1500 / SLOWER);
    assert_int_equal(pool_figures(pool).rescues, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_wake_up_is_lost_between_publish_and_park, tear_down),
        cmocka_unit_test_teardown(test_hybrid_and_spin_lose_nothing_either, tear_down),
        cmocka_unit_test_teardown(test_barrier_is_the_one_that_was_asked_for, tear_down),
        cmocka_unit_test_teardown(test_no_worker_of_several_oversleeps, tear_down),
    };
    alarm(50);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
