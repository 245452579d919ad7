/* SPDX-License-Identifier: MIT */
/* Who killed with SIGKILL: counts in files as the kernel writes them, with a clock by hand. */
#include "oom.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "forged_files.h"

#define SECOND_NS 1000000000u

static char folder[64];

static struct rk_oom look(const char *groups)
{
    struct rk_oom oom;
    char path[256];
    write_file(folder, "self", groups);
    snprintf(path, sizeof path, "%s/self", folder);
    rk_oom_init_below(&oom, folder, path);
    return oom;
}

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/rask-test-oom-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int end(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void test_a_kill_counts_once_and_for_a_second(void **state)
{
    (void)state;
    write_file(folder, "a/memory.events", "low 0\noom 7\noom_kill 3\noom_group_kill 0\n");
    struct rk_oom oom = look("0::/a\n");
    assert_false(rk_oom_struck(&oom, SECOND_NS)); /* what was before it began is not of its workers */
    write_file(folder, "a/memory.events", "low 0\noom 9\noom_kill 4\noom_group_kill 0\n");
    assert_true(rk_oom_struck(&oom, 100 * (uint64_t)SECOND_NS));
    assert_true(rk_oom_struck(&oom, 100 * (uint64_t)SECOND_NS + SECOND_NS / 2)); /* another one in the same shortage */
    assert_false(rk_oom_struck(&oom, 102 * (uint64_t)SECOND_NS));
}

static void test_groups_below_are_not_ours(void **state)
{
    (void)state;
    write_file(folder, "a/memory.events", "oom_kill 5\n");
    write_file(folder, "a/memory.events.local", "oom_kill 3\n");
    struct rk_oom oom = look("0::/a\n");
    write_file(folder, "a/memory.events", "oom_kill 6\n");
    assert_false(rk_oom_struck(&oom, SECOND_NS));
    write_file(folder, "a/memory.events.local", "oom_kill 4\n");
    assert_true(rk_oom_struck(&oom, SECOND_NS));
}

static void test_both_versions_of_groups_are_read(void **state)
{
    (void)state;
    write_file(folder, "memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    struct rk_oom oom = look("9:cpu:/x\n4:memory:/x\n0::/\n");
    assert_non_null(strstr(oom.path, "/memory/x/memory.oom_control"));
    write_file(folder, "unified/y/memory.events", "oom_kill 1\n");
    oom = look("4:freezer:/x\n0::/y\n");
    assert_non_null(strstr(oom.path, "/unified/y/memory.events"));
}

static void test_without_a_count_nobody_is_blamed(void **state)
{
    (void)state;
    static const char *const groups[] = {"", "garbage\n:::\n", "0::/gone/in/this/container\n", "4:memory:/gone\n"};
    write_file(folder, "b/memory.events", "low 0\n"); /* an old kernel: no such line */
    for (unsigned i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        struct rk_oom oom = look(groups[i]);
        assert_string_equal(oom.path, "");
        assert_false(rk_oom_struck(&oom, SECOND_NS));
    }
    struct rk_oom oom = look("0::/b\n");
    assert_false(rk_oom_struck(&oom, SECOND_NS));
}

static void test_this_machine_counts(void **state)
{
    (void)state;
    struct rk_oom oom;
    rk_oom_init(&oom);
    assert_string_not_equal(oom.path, ""); /* every kernel since 4.13 has at least /proc/vmstat */
    assert_false(rk_oom_struck(&oom, SECOND_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_kill_counts_once_and_for_a_second, begin, end),
        cmocka_unit_test_setup_teardown(test_groups_below_are_not_ours, begin, end),
        cmocka_unit_test_setup_teardown(test_both_versions_of_groups_are_read, begin, end),
        cmocka_unit_test_setup_teardown(test_without_a_count_nobody_is_blamed, begin, end),
        cmocka_unit_test(test_this_machine_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
