/* SPDX-License-Identifier: MIT */
/* `rask bench sweep`: each part, as short as can be, leaves a row for every point and its verdicts; sums and stamps that handlers
 * answer are checked while they are measured. Pictures hold what they are to show. How good the figures are is not
 * looked at. */
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

#define SWEEP_TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, clean_up)

static bool one_processor(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < 2;
}

static const json_t *run(const char *part)
{
    return kit_bench_part(&result, "sweep", part, "60ms");
}

/** The rows: as many as that, and in each the key has the next of these values. */
static const json_t *rows_of(const json_t *part, const char *key, const double *values, size_t count)
{
    size_t index;
    const json_t *row, *rows = json_object_get(part, "rows");
    assert_int_equal(json_array_size(rows), count);
    json_array_foreach(rows, index, row)
    {
        assert_true(json_string_length(json_object_get(row, "name")) > 0);
        assert_true(kit_number(row, key) == values[index]);
    }
    return rows;
}

/** A percentile that too few samples back is not given; those that are given rise. */
static void assert_latency(const json_t *row, const char *key)
{
    static const char *const names[] = {"p50", "p90", "p99", "p99.9", "p99.99", "p99.999"};
    static const double beyond[] = {0.5, 0.1, 0.01, 0.001, 0.0001, 0.00001};
    const json_t *latency = json_object_get(row, key);
    double last = 0, samples = kit_number(latency, "samples");
    assert_true(samples > 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *one = json_object_get(latency, names[i]);
        if (samples * beyond[i] < 99) assert_true(json_is_null(one));
        if (samples * beyond[i] > 101) assert_true(json_is_integer(one));
        if (json_is_null(one)) continue;
        assert_true(json_number_value(one) >= last);
        last = json_number_value(one);
    }
    assert_true(kit_number(latency, "max") >= last);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_sweep_sizes_have_rask_and_the_floor(void **state)
{
    (void)state;
    static const double sizes[] = {0, 32, 64, 256, 1024, 16384, 1048576};
    size_t index;
    const json_t *row, *part = run("sizes");
    if (one_processor()) {
        print_message("one processor: nothing spins here\n");
        skip();
    }
    json_array_foreach(rows_of(part, "size", sizes, COUNT(sizes)), index, row)
    {
        assert_true(kit_number(row, "p50_ns.p50") > 0 && kit_number(row, "floor_p50_ns.p50") > 0);
        assert_true(kit_number(row, "ratio.p50") > 0 && kit_number(row, "ratio.count") >= 2);
        assert_latency(row, "latency_ns");
        assert_latency(row, "floor_latency_ns");
    }
    kit_assert_verdicts(part, 2);
}

static void test_sweep_inflight_has_every_depth(void **state)
{
    (void)state;
    static const double depths[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
    size_t index;
    const json_t *row, *part = run("inflight");
    if (one_processor()) {
        print_message("one processor: nothing spins here\n");
        skip();
    }
    json_array_foreach(rows_of(part, "in_flight", depths, COUNT(depths)), index, row)
    {
        assert_true(kit_number(row, "calls_per_s.p50") > 0 && kit_number(row, "floor_calls_per_s.p50") > 0);
        assert_true(kit_number(row, "ratio.p50") > 0);
    }
    kit_assert_verdicts(part, 1);
}

static const double doubled[] = {1, 2, 4, 8, 16, 32, 64};

static void test_sweep_workers_has_every_pool(void **state)
{
    (void)state;
    size_t index;
    const json_t *row, *part = run("workers");
    json_array_foreach(rows_of(part, "workers", doubled, COUNT(doubled)), index, row)
    {
        assert_true(kit_number(row, "calls_per_s.p50") > 0);
    }
    kit_assert_verdicts(part, 1);
}

static void test_sweep_clients_all_get_something(void **state)
{
    (void)state;
    size_t index;
    const json_t *row, *part = run("clients");
    json_array_foreach(rows_of(part, "clients", doubled, COUNT(doubled)), index, row)
    {
        double fairness = kit_number(row, "fairness.p50");
        assert_true(kit_number(row, "calls_per_s.p50") > 0);
        assert_true(fairness <= 1 + 1e-9 && fairness >= 1 / doubled[index] - 1e-9);
    }
    assert_true(kit_number(json_array_get(json_object_get(part, "rows"), 0), "fairness.p50") == 1);
    kit_assert_verdicts(part, 1);
}

/** A handler that burns 100 us takes at least most of that, and a call longer than its handler. */
static void test_sweep_handlers_cost_what_they_should(void **state)
{
    (void)state;
    static const double costs[] = {0, 1000, 10000, 100000};
    size_t index;
    const json_t *row, *part = kit_bench_part(&result, "sweep", "handlers", "1s");
    json_array_foreach(rows_of(part, "cost_ns", costs, COUNT(costs)), index, row)
    {
        assert_true(kit_number(row, "p50_ns.p50") > costs[index] * 0.5);
        assert_true(kit_number(row, "service_ns.max") > costs[index] * 0.5);
        assert_true(kit_number(row, "calls_per_s.p50") > 0);
        assert_latency(row, "service_ns");
        assert_latency(row, "overhead_ns");
    }
    kit_assert_verdicts(part, 0);
}

static void test_sweep_payload_has_every_way(void **state)
{
    (void)state;
    static const double sizes[] = {1024, 16384, 262144, 1048576};
    size_t index;
    const json_t *row, *part = run("payload");
    const json_t *rows = rows_of(part, "size", sizes, COUNT(sizes));
    json_array_foreach(rows, index, row)
    {
        assert_true(kit_number(row, "reference_ns.p50") > 0 && kit_number(row, "touched_ns.p50") > 0);
        assert_true(kit_number(row, "pipelined_ns.p50") > 0 && kit_number(row, "alone_ns.p50") > 0);
        assert_true(kit_number(row, "ratio.p50") > 0 && kit_number(row, "ratio_pipelined.p50") > 0);
    }
    /* Nobody looks at the bytes: a mebibyte by reference is nowhere near one that is copied and summed. */
    row = json_array_get(rows, 3);
    assert_true(kit_number(row, "reference_ns.p50") < kit_number(row, "touched_ns.p50"));
    kit_assert_verdicts(part, 2);
}

static void test_sweep_flow_has_every_way(void **state)
{
    (void)state;
    size_t index;
    const json_t *row, *part = run("flow");
    const json_t *rows = json_object_get(part, "rows");
    assert_int_equal(json_array_size(rows), 8);
    json_array_foreach(rows, index, row) assert_true(kit_number(row, "ns.p50") > 0);
    assert_true(kit_number(part, "items_ratio.p50") > 0 && kit_number(part, "bulk_ratio.p50") > 0);
    kit_assert_verdicts(part, 4);
}

static void test_sweep_load_has_every_step(void **state)
{
    (void)state;
    static const double percents[] = {5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110};
    size_t index;
    const json_t *row, *part = run("load");
    if (one_processor()) {
        print_message("one processor: nothing spins here\n");
        skip();
    }
    double capacity = kit_number(part, "capacity_per_s");
    assert_true(capacity > 0);
    json_array_foreach(rows_of(part, "percent", percents, COUNT(percents)), index, row)
    {
        assert_true(kit_number(row, "rate") >= 1 && kit_number(row, "rate") <= capacity * 1.2 + 1);
        assert_true(kit_number(row, "served_per_s") > 0);
        assert_true(kit_number(row, "unsent") >= 0 && kit_number(row, "unsent") < 1);
        assert_latency(row, "latency_ns");
    }
    kit_assert_verdicts(part, 0);
}

/** The ideal serves the same requests, and loses no time between them: no request is quicker than there. Each part of a fast
 * one's latency is there, and its handler burned something. */
static void test_sweep_mixture_is_beside_the_ideal_queue(void **state)
{
    (void)state;
    static const double clients[] = {1, 1, 1, 4};
    size_t index;
    const json_t *row, *part = kit_bench_part(&result, "sweep", "mixture", "3s");
    if (one_processor()) {
        print_message("one processor: the sender needs one of its own\n");
        skip();
    }
    json_array_foreach(rows_of(part, "clients", clients, COUNT(clients)), index, row)
    {
        double in_time = kit_number(row, "in_time"), ideal = kit_number(row, "in_time_ideal");
        assert_true(kit_number(row, "due") > 100);
        assert_true(in_time >= 0 && in_time <= 1 && ideal >= 0 && ideal <= 1);
        assert_true(kit_number(row, "goodput_per_s") <= kit_number(row, "rate") * 2);
        assert_true(kit_number(row, "fast_ns.samples") == kit_number(row, "fast_ideal_ns.samples"));
        assert_true(kit_number(row, "fast_ns.samples") + kit_number(row, "slow_ns.samples") == kit_number(row, "due"));
        assert_true(kit_number(row, "fast_ns.p50") > kit_number(row, "service_ns.p50"));
        assert_true(kit_number(row, "slow_ns.max") >= kit_number(part, "slow_ns"));
        assert_latency(row, "fast_ns");
        assert_latency(row, "before_ns");
        assert_latency(row, "after_ns");
        const json_t *fairness = json_object_get(row, "fairness");
        if (clients[index] == 1)
            assert_true(json_is_null(fairness));
        else
            assert_true(kit_number(fairness, "p50") > 0.25 && kit_number(fairness, "p50") <= 1 + 1e-9);
    }
    kit_assert_verdicts(part, 4);
}

static void test_sweep_prints_a_table_and_draws_a_panel_for_each_part(void **state)
{
    (void)state;
    char path[] = "/tmp/rask-plot-XXXXXX", line[512];
    const char *const arguments[] = {getenv("RASK_BIN"), "bench",  "sweep",      "--part",
                                     "workers",          "--plot", "/tmp/x.svg", NULL};
    const char *const no_path[] = {"PATH=/nowhere", NULL};
    kit_refused(kit_program(arguments, no_path), 69, "gnuplot-nox");
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        print_message("gnuplot is not installed: the plot itself is not tested\n");
        skip();
    }
    int fd = mkstemp(path), panels = 0;
    assert_true(fd >= 0);
    const struct kit_result *done =
        kit_rask("bench", "sweep", "--part", "workers,clients,handlers", "--duration", "60ms", "--plot", path, NULL);
    FILE *plot = fdopen(fd, "r");
    while (fgets(line, sizeof line, plot) != NULL)
        panels +=
            strstr(line, "throughput against workers") != NULL || strstr(line, "throughput against clients") != NULL;
    fclose(plot);
    unlink(path);
    if (done->code != 0) fail_msg("exit code %d: %s", done->code, done->err);
    assert_int_equal(panels, 2);
    assert_non_null(strstr(done->out, "clients: two workers"));
    assert_non_null(strstr(done->out, "target: at least 0.8"));
}

/** Of a busy round trip and of an open loop. */
static void test_bench_draws_the_distribution(void **state)
{
    (void)state;
    char path[] = "/tmp/rask-plot-XXXXXX", line[512];
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        print_message("gnuplot is not installed\n");
        skip();
    }
    int fd = mkstemp(path), found = 0;
    assert_true(fd >= 0);
    const struct kit_result *done =
        kit_rask("bench", "--rate", "5000", "--arrivals", "poisson", "--duration", "100ms", "--plot", path, NULL);
    if (done->code != 0) fail_msg("exit code %d: %s", done->code, done->err);
    assert_non_null(strstr(done->out, "by chance"));
    FILE *plot = fdopen(fd, "r");
    while (fgets(line, sizeof line, plot) != NULL)
        found += strstr(line, "percentile") != NULL || strstr(line, "from intended") != NULL;
    fclose(plot);
    unlink(path);
    assert_true(found >= 2);
}

static void test_sweep_refuses_bad_command_lines(void **state)
{
    (void)state;
    kit_refused(kit_rask("bench", "sweep", "--part", "sizes,colours", NULL), 64, "colours");
    kit_refused(kit_rask("bench", "sweep", "--part", "colours", NULL), 64, "mixture");
    kit_refused(kit_rask("bench", "sweep", "--pin", "0", NULL), 64, "two processors");
    kit_refused(kit_rask("bench", "sweep", "now", NULL), 64, "now");
    kit_refused(kit_rask("bench", "sweep", "--part", "handlers", "--plot", "x.svg", NULL), 64, "inflight");
    kit_refused(kit_rask("bench", "sweep", "--part", "load", "--json", "/nowhere/x.json", NULL), 74, "/nowhere/x.json");
    kit_refused(kit_rask("bench", "--rate", "10", "--arrivals", "late", NULL), 64, "late");
}

static void test_sweep_help_names_every_part(void **state)
{
    (void)state;
    static const char *const parts[] = {"sizes",   "inflight", "workers", "clients", "handlers",
                                        "payload", "load",     "mixture", "flow"};
    const struct kit_result *done = kit_rask("bench", "sweep", "--help", NULL);
    assert_int_equal(done->code, 0);
    for (size_t i = 0; i < COUNT(parts); i++) assert_non_null(strstr(done->out, parts[i]));
    assert_non_null(strstr(kit_rask("bench", "--help", NULL)->out, "rask bench sweep"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SWEEP_TEST(test_sweep_refuses_bad_command_lines),
        SWEEP_TEST(test_sweep_help_names_every_part),
        SWEEP_TEST(test_sweep_sizes_have_rask_and_the_floor),
        SWEEP_TEST(test_sweep_inflight_has_every_depth),
        SWEEP_TEST(test_sweep_workers_has_every_pool),
        SWEEP_TEST(test_sweep_clients_all_get_something),
        SWEEP_TEST(test_sweep_handlers_cost_what_they_should),
        SWEEP_TEST(test_sweep_payload_has_every_way),
        SWEEP_TEST(test_sweep_flow_has_every_way),
        SWEEP_TEST(test_sweep_load_has_every_step),
        SWEEP_TEST(test_sweep_mixture_is_beside_the_ideal_queue),
        SWEEP_TEST(test_sweep_prints_a_table_and_draws_a_panel_for_each_part),
        SWEEP_TEST(test_bench_draws_the_distribution),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
