/* SPDX-License-Identifier: MIT */
/* `rask bench wake`: each part, as short as can be, leaves its figures and its verdicts; bad command lines are refused before
 * anything is measured; nothing stays behind. How good the figures are is not looked at. */
#include "kit_bench.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *result; /* of the test at hand */

static int clean_up(void **state)
{
    json_decref(result);
    result = NULL;
    return kit_tear_down(state);
}

#define WAKE_TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, clean_up)

static const json_t *run(const char *part)
{
    return kit_bench_part(&result, "wake", part, "60ms");
}

static void test_wake_parked_has_both_sides_on_each_placement(void **state)
{
    (void)state;
    const json_t *part = run("parked");
    size_t placements = kit_number(result, "conditions.cpus_usable") > 1 ? 2 : 1;
    static const char *const names[] = {"one core", "two cores"};
    for (size_t i = 0; i < placements; i++) {
        const json_t *one = json_object_get(part, names[i]);
        double rask = kit_number(one, "rask.p50_ns.p50"), futex = kit_number(one, "futex.p50_ns.p50");
        assert_true(rask > 0 && futex > 0);
        assert_true(kit_number(one, "ratio.p50") > 0 && kit_number(one, "ratio.count") >= 1);
        /* A parked round trip sleeps at least once (on one core the other side's sleep may be enough). */
        assert_true(kit_number(one, "rask.sleeps_per_call") > 0.5);
        assert_true(kit_number(one, "futex.sleeps_per_call") > 0.5);
        const json_t *calls = json_object_get(json_object_get(one, "futex"), "system_calls_per_call");
        assert_true(json_is_null(calls) || (json_number_value(calls) >= 2 && json_number_value(calls) < 6));
    }
    kit_assert_verdicts(part, placements);
}

static void test_wake_busy_compares_with_the_floor_and_with_fences(void **state)
{
    (void)state;
    const json_t *part = run("busy");
    assert_true(kit_number(part, "depth_1.p50_ns") > 0 && kit_number(part, "depth_1.floor_p50_ns") > 0);
    static const char *const pipelines[][2] = {
        {"light", "membarrier"}, {"fence_only", "fence-only"}, {"fence", "fence"}};
    for (unsigned i = 0; i < 3; i++) {
        const json_t *one = json_object_get(json_object_get(part, "pipeline"), pipelines[i][0]);
        assert_true(kit_number(one, "p50") > 0);
        assert_true(i == 0 || kit_number(one, "gain.count") >= 2);
        assert_string_equal(json_string_value(json_object_get(one, "barrier")), pipelines[i][1]);
    }
    kit_assert_verdicts(part, 2);
}

static void test_wake_gaps_has_a_cell_per_gap_and_mode(void **state)
{
    (void)state;
    size_t index;
    const json_t *cell, *part = run("gaps");
    const json_t *cells = json_object_get(part, "cells");
    assert_int_equal(json_array_size(cells), 6 * 3);
    json_array_foreach(cells, index, cell)
    {
        assert_true(kit_number(cell, "p50_ns") > 0);
        assert_true(kit_number(cell, "calls") >= 3);
        assert_true(kit_number(cell, "cpu_ns_per_call.count") >= 1);
        /* A percentile that too few samples back is not given. */
        if (kit_number(cell, "calls") < 100 * 100) assert_true(json_is_null(json_object_get(cell, "p99_ns")));
    }
    assert_true(kit_number(part, "spin_budget_ns") >= 0);
    /* One verdict for a gap under the budget, two for one above. */
    size_t verdicts = json_array_size(json_object_get(part, "verdicts"));
    assert_true(verdicts >= 6 && verdicts <= 12);
    kit_assert_verdicts(part, verdicts);
}

static void test_wake_idle_counts_every_process(void **state)
{
    (void)state;
    static const char *const modes[] = {"hybrid", "park"};
    const json_t *part = run("idle");
    for (size_t i = 0; i < 2; i++) {
        const json_t *pool = json_object_get(part, modes[i]);
        assert_true(kit_number(pool, "processes") == 1 + 64 + 1);
        assert_true(kit_number(pool, "lanes_open") >= 64);
        assert_true(kit_number(pool, "idle_s") > 0);
        assert_true(kit_number(pool, "cpu_ticks_s") >= 0 && kit_number(pool, "wakeups") >= 0);
    }
    kit_assert_verdicts(part, 2);
}

static void test_wake_workers_has_every_pool_under_both_loads(void **state)
{
    (void)state;
    size_t index;
    const json_t *pool, *part = run("workers");
    const json_t *pools = json_object_get(part, "pools");
    assert_int_equal(json_array_size(pools), 2 * 6);
    json_array_foreach(pools, index, pool)
    {
        assert_true(kit_number(pool, "workers") == 2u << index % 6);
        assert_true(kit_number(pool, "calls_per_s.p50") > 0 && kit_number(pool, "to_2_workers.p50") > 0);
    }
    kit_assert_verdicts(part, 2);
}

static void test_wake_batch_counts_both_ways(void **state)
{
    (void)state;
    static const char *const ways[] = {"together", "each"};
    const json_t *part = run("batch");
    for (size_t i = 0; i < 2; i++) {
        const json_t *way = json_object_get(part, ways[i]);
        assert_true(kit_number(way, "p50_ns.p50") > 0 && kit_number(way, "batches") >= 3);
        const json_t *calls = json_object_get(way, "system_calls_per_batch");
        if (!json_is_null(calls)) print_message("%s: %.2f system calls per batch\n", ways[i], json_number_value(calls));
    }
    kit_assert_verdicts(part, 1);
}

static void test_wake_prints_tables_and_writes_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/rask-wake-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const struct kit_result *done =
        kit_rask("bench", "wake", "--part", "batch", "--duration", "40ms", "--json", path, NULL);
    result = json_loadfd(fd, 0, NULL);
    close(fd);
    unlink(path);
    assert_int_equal(done->code, 0);
    assert_non_null(strstr(done->out, "batch: 16 requests to 16 sleeping workers"));
    assert_non_null(strstr(done->out, "target: at most"));
    assert_non_null(json_object_get(json_object_get(result, "parts"), "batch"));
}

static void test_wake_refuses_bad_command_lines(void **state)
{
    (void)state;
    kit_refused(kit_rask("bench", "wake", "--part", "parked,often", NULL), 64, "often");
    kit_refused(kit_rask("bench", "wake", "--part", "parked,", NULL), 64, "\"\"");
    kit_refused(kit_rask("bench", "wake", "--duration", "0", NULL), 64, "--duration");
    kit_refused(kit_rask("bench", "wake", "--pin", "0", NULL), 64, "two processors");
    kit_refused(kit_rask("bench", "wake", "--pin", "0,1023", NULL), 64, "1023");
    kit_refused(kit_rask("bench", "wake", "now", NULL), 64, "now");
    kit_refused(kit_rask("bench", "wake", "--part", "idle", "--plot", "x.svg", NULL), 64, "gaps");
    kit_refused(kit_rask("bench", "wake", "--part", "batch", "--json", "/nowhere/x.json", NULL), 74, "/nowhere/x.json");
    kit_refused(kit_rask("bench", "--barrier", "heavy", NULL), 64, "heavy");
}

static void test_wake_help_names_every_part(void **state)
{
    (void)state;
    static const char *const parts[] = {"parked", "busy", "gaps", "idle", "workers", "batch"};
    const struct kit_result *done = kit_rask("bench", "wake", "--help", NULL);
    assert_int_equal(done->code, 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) assert_non_null(strstr(done->out, parts[i]));
    assert_non_null(strstr(kit_rask("bench", "--help", NULL)->out, "rask bench wake"));
}

/** Both sides on one processor: there the floor, which is of no interest here, is over soon on a busy machine, too. */
static void test_bench_barrier_is_in_force_and_shown(void **state)
{
    (void)state;
    char pin[32];
    cpu_set_t set;
    uint32_t cpu = 0;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    while (!CPU_ISSET(cpu, &set)) cpu++;
    snprintf(pin, sizeof pin, "%u,%u", cpu, cpu);
    const struct kit_result *done =
        kit_rask("bench", "--barrier", "fence", "--count", "20", "--wait", "park", "--pin", pin, NULL);
    assert_int_equal(done->code, 0);
    assert_non_null(strstr(done->out, "barrier fence\n"));
    done = kit_rask("bench", "--barrier", "light", "--count", "20", "--wait", "park", "--pin", pin, NULL);
    assert_int_equal(done->code, 0);
    /* By now the sleeper may have asked for fences by itself. */
    assert_true(strstr(done->out, "barrier membarrier\n") != NULL ||
                strstr(done->out, "barrier fence (parks)\n") != NULL);
}

/** gnuplot away: said at once, with the package. There: a plot with both panels. */
static void test_wake_plots_or_names_the_package(void **state)
{
    (void)state;
    char path[] = "/tmp/rask-plot-XXXXXX", line[512];
    const char *const arguments[] = {getenv("RASK_BIN"), "bench",      "wake", "--part", "gaps",
                                     "--plot",           "/tmp/x.svg", NULL};
    const char *const no_path[] = {"PATH=/nowhere", NULL};
    kit_refused(kit_program(arguments, no_path), 69, "gnuplot-nox");
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        print_message("gnuplot is not installed: the plot itself is not tested\n");
        skip();
    }
    int fd = mkstemp(path), panels = 0;
    assert_true(fd >= 0);
    const struct kit_result *done =
        kit_rask("bench", "wake", "--part", "gaps", "--duration", "60ms", "--plot", path, NULL);
    FILE *plot = fdopen(fd, "r");
    while (fgets(line, sizeof line, plot) != NULL)
        panels += strstr(line, "p50 latency") != NULL || strstr(line, "processor time per call") != NULL;
    fclose(plot);
    unlink(path);
    if (done->code != 0) fail_msg("exit code %d: %s", done->code, done->err);
    assert_int_equal(panels, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKE_TEST(test_wake_refuses_bad_command_lines),
        WAKE_TEST(test_wake_help_names_every_part),
        WAKE_TEST(test_bench_barrier_is_in_force_and_shown),
        WAKE_TEST(test_wake_parked_has_both_sides_on_each_placement),
        WAKE_TEST(test_wake_busy_compares_with_the_floor_and_with_fences),
        WAKE_TEST(test_wake_gaps_has_a_cell_per_gap_and_mode),
        WAKE_TEST(test_wake_batch_counts_both_ways),
        WAKE_TEST(test_wake_prints_tables_and_writes_a_file),
        WAKE_TEST(test_wake_plots_or_names_the_package),
        WAKE_TEST(test_wake_idle_counts_every_process),
        WAKE_TEST(test_wake_workers_has_every_pool_under_both_loads),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
