/* SPDX-License-Identifier: MIT */
/* Wait modes: names, RASK_WAIT, what is refused, and what each mode may spend. */
#include "ladder.h"
#include <errno.h>
#include <rask/client.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "forged_files.h"

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

static struct rk_ladder hybrid(uint32_t spins)
{
    struct rk_ladder ladder;
    rk_ladder_init(&ladder, RASK_WAIT_HYBRID, 1);
    ladder.spins = spins; /* whatever this machine has */
    return ladder;
}

static void test_hybrid_stops_spinning_in_vain(void **state)
{
    (void)state;
    struct rk_ladder ladder = hybrid(1000);
    for (unsigned i = 0; i < 100; i++) { /* now and then in vain is fine */
        rk_ladder_slept(&ladder, 0);
        assert_true(rk_ladder_spins(&ladder));
        rk_ladder_found(&ladder, false);
    }
    rk_ladder_slept(&ladder, 0);
    rk_ladder_slept(&ladder, 0);
    assert_false(rk_ladder_spins(&ladder));
    assert_true(rk_ladder_times(&ladder));
    for (unsigned i = 0; i < 1000; i++) rk_ladder_slept(&ladder, RK_SHORT_SLEEP_NS);
    assert_false(rk_ladder_spins(&ladder)); /* long gaps: it never tries */
}

static void test_hybrid_tries_again_ever_more_rarely_after_short_sleeps(void **state)
{
    (void)state;
    struct rk_ladder ladder = hybrid(1000);
    uint32_t before = 0;
    rk_ladder_slept(&ladder, 0);
    for (unsigned try = 0; try < 12; try++) {
        rk_ladder_slept(&ladder, 0); /* spun in vain */
        assert_false(rk_ladder_spins(&ladder));
        uint32_t sleeps = 0;
        for (; !rk_ladder_spins(&ladder); sleeps++) rk_ladder_slept(&ladder, 5000);
        assert_true(sleeps >= before && sleeps <= 256);
        before = sleeps;
    }
    assert_int_equal(before, 256);
    rk_ladder_found(&ladder, false); /* it helped: from now on it spins, and once in vain is forgiven */
    rk_ladder_slept(&ladder, 0);
    assert_true(rk_ladder_spins(&ladder));
}

static void test_what_came_after_a_yield_was_spun_for_in_vain(void **state)
{
    (void)state;
    struct rk_ladder ladder = hybrid(1000);
    rk_ladder_found(&ladder, true);
    rk_ladder_found(&ladder, true);
    assert_false(rk_ladder_spins(&ladder));
    ladder = hybrid(0); /* nothing was spent: yielding alone is fine */
    for (unsigned i = 0; i < 10; i++) rk_ladder_found(&ladder, true);
    assert_true(rk_ladder_spins(&ladder));
}

/* ---- processors ------------------------------------------------------------------------------------------------ */

static char folder[] = "/tmp/rask-test-cgroup-XXXXXX";

/** Thousandths of a processor below `folder` for a process in `groups`. */
static struct rk_cpus look(const char *groups)
{
    struct rk_cpus cpus;
    char path[256];
    write_file(folder, "self", groups);
    snprintf(path, sizeof path, "%s/self", folder);
    rk_cpus_look_below(&cpus, folder, path);
    return cpus;
}

static void test_quota_of_the_own_group_and_all_above_counts(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(look("0::/\n").quota_milli, UINT32_MAX);
    write_file(folder, "a/cpu.max", "150000 100000\n");
    write_file(folder, "a/b/cpu.max", "max 100000\n");
    struct rk_cpus cpus = look("0::/a/b\n");
    assert_int_equal(cpus.quota_milli, 1500);
    assert_int_equal(cpus.usable, 1); /* the half one is not for spinning */
    assert_non_null(strstr(cpus.quota_from, "/a/cpu.max"));
    write_file(folder, "a/b/cpu.max", "20000 100000\n");
    cpus = look("0::/a/b\n");
    assert_int_equal(cpus.quota_milli, 200);
    assert_int_equal(cpus.usable, 1);
    assert_int_equal(look("0::/\n").quota_milli, UINT32_MAX);
    assert_int_equal(look("0::/gone/in/this/container\n").quota_milli, UINT32_MAX);
}

static void test_quota_of_version_1_counts(void **state)
{
    (void)state;
    write_file(folder, "cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    write_file(folder, "cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    write_file(folder, "cpu,cpuacct/x/y/cpu.cfs_quota_us", "50000\n");
    write_file(folder, "cpu,cpuacct/x/y/cpu.cfs_period_us", "50000\n");
    assert_int_equal(look("4:cpu,cpuacct:/x\n").quota_milli, UINT32_MAX);
    assert_int_equal(look("7:memory:/x/y\n4:cpu,cpuacct:/x/y\n").quota_milli, 1000);
    assert_int_equal(look("4:cpuset:/x/y\n").quota_milli, UINT32_MAX);
    assert_int_equal(look("garbage\n\n:::\n").quota_milli, UINT32_MAX);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
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
        cmocka_unit_test(test_hybrid_stops_spinning_in_vain),
        cmocka_unit_test(test_hybrid_tries_again_ever_more_rarely_after_short_sleeps),
        cmocka_unit_test(test_what_came_after_a_yield_was_spun_for_in_vain),
        cmocka_unit_test(test_quota_of_the_own_group_and_all_above_counts),
        cmocka_unit_test(test_quota_of_version_1_counts),
    };
    unsetenv("RASK_WAIT");
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
