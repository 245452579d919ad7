/* SPDX-License-Identifier: MIT */
/* Wait modes: names, RASK_WAIT, what is refused, and what each mode may spend. */
#include "ladder.h"
#include <errno.h>
#include <rask/client.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_mode_names_go_both_ways(void **state)
{
    (void)state;
    for (uint32_t mode = RASK_WAIT_SPIN; mode <= RASK_WAIT_PARK; mode++)
        assert_int_equal(rk_wait_mode_parse(rk_wait_mode_name(mode)), mode);
    assert_string_equal(rk_wait_mode_name(RASK_WAIT_PARK + 1), "unknown");
    assert_string_equal(rk_wait_mode_name(UINT32_MAX), "unknown");
}

static void test_other_names_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "Spin", "spin ", "parked", "default", "2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rk_wait_mode_parse(bad[i]), -EINVAL);
        assert_non_null(strstr(rask_last_error(), bad[i]));
    }
}

static void test_environment_decides_for_default_only(void **state)
{
    (void)state;
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_DEFAULT), RASK_WAIT_HYBRID);
    setenv("RASK_WAIT", "", 1);
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_DEFAULT), RASK_WAIT_HYBRID);
    setenv("RASK_WAIT", "park", 1);
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_DEFAULT), RASK_WAIT_PARK);
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_SPIN), RASK_WAIT_SPIN);
    setenv("RASK_WAIT", "sleep", 1);
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_DEFAULT), -EINVAL);
    assert_non_null(strstr(rask_last_error(), "RASK_WAIT"));
    assert_non_null(strstr(rask_last_error(), "sleep"));
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_HYBRID), RASK_WAIT_HYBRID);
    unsetenv("RASK_WAIT");
    assert_int_equal(rk_wait_mode_resolve(RASK_WAIT_PARK + 1), -EINVAL);
    assert_int_equal(rk_wait_mode_resolve(UINT32_MAX), -EINVAL);
}

static void test_budget_follows_the_mode(void **state)
{
    struct rk_ladder ladder;
    (void)state;
    rk_ladder_init(&ladder, RASK_WAIT_PARK, 2);
    assert_int_equal(ladder.budget_ns, 0);
    assert_int_equal(ladder.spins, 0);
    assert_int_equal(ladder.yields, 0);
    rk_ladder_init(&ladder, RASK_WAIT_SPIN, 2);
    assert_int_equal(ladder.budget_ns, UINT32_MAX);
    assert_int_equal(ladder.spins, UINT32_MAX);
    rk_ladder_init(&ladder, RASK_WAIT_HYBRID, 1);
    assert_true(ladder.budget_ns <= RK_SPIN_BUDGET_NS);
    assert_true(ladder.spins <= ladder.budget_ns);
}

static void test_hybrid_spins_less_the_more_parties_spin(void **state)
{
    struct rk_ladder ladder;
    (void)state;
    uint32_t cpus = rk_cpus_usable();
    uint32_t before_ns = UINT32_MAX;
    for (uint32_t parties = 1; parties <= 4 * cpus; parties *= 2) {
        rk_ladder_init(&ladder, RASK_WAIT_HYBRID, parties);
        assert_true(ladder.budget_ns <= before_ns);
        if (cpus >= 2 && parties <= cpus) assert_int_equal(ladder.budget_ns, RK_SPIN_BUDGET_NS);
        if (parties > cpus) assert_true(ladder.budget_ns < RK_SPIN_BUDGET_NS);
        before_ns = ladder.budget_ns;
    }
}

static void test_nobody_spins_on_one_processor(void **state)
{
    struct rk_ladder ladder;
    cpu_set_t all, one;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_true(rk_cpus_usable() >= 1 && rk_cpus_usable() <= (uint32_t)CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    uint32_t cpus = rk_cpus_usable();
    rk_ladder_init(&ladder, RASK_WAIT_HYBRID, 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(cpus, 1);
    assert_int_equal(ladder.budget_ns, 0);
    assert_int_equal(ladder.spins, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mode_names_go_both_ways),
        cmocka_unit_test(test_other_names_are_refused_by_name),
        cmocka_unit_test(test_environment_decides_for_default_only),
        cmocka_unit_test(test_budget_follows_the_mode),
        cmocka_unit_test(test_hybrid_spins_less_the_more_parties_spin),
        cmocka_unit_test(test_nobody_spins_on_one_processor),
    };
    unsetenv("RASK_WAIT");
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
