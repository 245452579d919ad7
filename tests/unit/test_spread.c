/* SPDX-License-Identifier: MIT */
/* How many workers a session keeps busy: evidence makes it wider, calls without evidence narrower. */
#include "spread.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SHORT_NS 80u
#define LONG_NS 100000u

static struct rk_spread spread;

static void test_starts_with_what_runs_at_once(void **state)
{
    (void)state;
    rk_spread_init(&spread, 64, 3);
    assert_int_equal(spread.lanes, 3);
    rk_spread_init(&spread, 2, 63);
    assert_int_equal(spread.lanes, 2);
    rk_spread_init(&spread, 4, 0); /* a supervisor that does not know */
    assert_int_equal(spread.lanes, 1);
}

static void test_short_handlers_never_make_it_wider(void **state)
{
    (void)state;
    rk_spread_init(&spread, 64, 1);
    for (uint64_t answers = 0; answers < 100000; answers += 100) rk_spread_look(&spread, SHORT_NS, false, answers);
    assert_int_equal(spread.lanes, 1);
}

static void test_long_handlers_get_every_worker_at_once(void **state)
{
    (void)state;
    rk_spread_init(&spread, 64, 1);
    rk_spread_look(&spread, LONG_NS, false, 1);
    assert_int_equal(spread.lanes, 64);
}

static void test_first_handler_that_does_not_come_back_gets_every_worker_beside_it(void **state)
{
    (void)state;
    rk_spread_init(&spread, 64, 1);
    rk_spread_look(&spread, 0, false, 0);
    assert_int_equal(spread.lanes, 1);
    rk_spread_look(&spread, 0, true, 0);
    assert_int_equal(spread.lanes, 64);
}

static void test_worker_that_should_be_free_soon_comes_before_one_that_is_held_up(void **state)
{
    (void)state;
    uint64_t now_ns = 1000 * LONG_NS;
    assert_int_equal(rk_spread_rank(0, now_ns, LONG_NS), 0);
    assert_int_equal(rk_spread_rank(now_ns - LONG_NS, now_ns, LONG_NS), 1);
    assert_int_equal(rk_spread_rank(now_ns - 3 * LONG_NS, now_ns, LONG_NS), RK_RANK_HELD_UP);
    assert_int_equal(rk_spread_rank(now_ns + 1, now_ns, LONG_NS), RK_RANK_HELD_UP); /* nonsense */
    assert_int_equal(rk_spread_rank(1, now_ns, UINT32_MAX), 1);
}

static void test_one_slow_request_in_a_hundred_keeps_it_wide(void **state)
{
    (void)state;
    rk_spread_init(&spread, 4, 1);
    for (uint64_t answers = 1; answers <= 300; answers += 100) rk_spread_look(&spread, SHORT_NS, true, answers);
    assert_int_equal(spread.lanes, 4);
    for (uint64_t answers = 301; answers < 100000; answers += 10) {
        rk_spread_look(&spread, SHORT_NS, answers % 100 == 1, answers);
        assert_int_equal(spread.lanes, 4);
    }
}

static void test_becomes_narrow_again_by_halves(void **state)
{
    (void)state;
    rk_spread_init(&spread, 64, 2);
    rk_spread_look(&spread, LONG_NS, false, 0);
    uint64_t answers = 0;
    while (spread.lanes > 2 && answers < 1000000) rk_spread_look(&spread, SHORT_NS, false, answers += 50);
    assert_int_equal(spread.lanes, 2);
    assert_in_range(answers, 6 * 1000, 6 * 1100);
    for (unsigned i = 0; i < 100; i++) rk_spread_look(&spread, SHORT_NS, false, answers += 5000);
    assert_int_equal(spread.lanes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_with_what_runs_at_once),
        cmocka_unit_test(test_short_handlers_never_make_it_wider),
        cmocka_unit_test(test_long_handlers_get_every_worker_at_once),
        cmocka_unit_test(test_first_handler_that_does_not_come_back_gets_every_worker_beside_it),
        cmocka_unit_test(test_worker_that_should_be_free_soon_comes_before_one_that_is_held_up),
        cmocka_unit_test(test_one_slow_request_in_a_hundred_keeps_it_wide),
        cmocka_unit_test(test_becomes_narrow_again_by_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
