/* SPDX-License-Identifier: MIT */
/* Part `load`: latency from the intended time against the rate, from little to more than can be served: the hockey stick. One
 * client, one worker, 32 bytes, both sides spinning; calls come by chance. What can be served is measured first, by the
 * same loop with a rate that is out of reach. */
#include "exit_codes.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define STEPS 12u
#define IN_FLIGHT 1000u
#define OUT_OF_REACH 50e6
#define SLICE_NS 200000000u
#define SLICE_NS_MIN 5000000u
#define CAPACITY_SLICES 3u

static const uint32_t percents[STEPS] = {5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110};

struct load {
    double capacity; /* calls/s */
    uint64_t due[STEPS], calls[STEPS], late[STEPS], took_ns[STEPS];
    struct rk_histogram *latencies; /* of the step at hand */
};

static int start(struct rk_suite *sweep)
{
    const struct rk_runner_plan plan = {.name = "load",
                                        .kind = &rk_runner_rask,
                                        .wait_mode = RASK_WAIT_SPIN,
                                        .workers = 1,
                                        .sessions = 1,
                                        .in_flight = IN_FLIGHT,
                                        .client_cpu = sweep->client_cpu,
                                        .worker_cpu = sweep->worker_cpu};
    return rk_suite_add(sweep, &plan);
}

/** Its latencies go to a series of its own, which nobody looks at. */
static int find_capacity(struct rk_suite *sweep, struct load *load, uint64_t slice_ns)
{
    struct rk_series served = {.count = 0};
    const struct rk_runner_order order = {
        .verb = RK_RUN_LOAD, .rate = OUT_OF_REACH, .seed = 1, .series = STEPS, .duration_ns = slice_ns / 4};
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < CAPACITY_SLICES && code == RK_EXIT_OK; i++) {
        code = rk_suite_run(sweep, 0, &order);
        const struct rk_runner_result *result = &sweep->results[0];
        if (code == RK_EXIT_OK && result->took_ns > 0)
            rk_series_add(&served, (double)result->calls * 1e9 / (double)result->took_ns);
    }
    load->capacity = rk_series_percentile(&served, 50);
    rk_series_finish(&served);
    return code;
}

static double rate_of(const struct load *load, uint32_t step)
{
    double rate = load->capacity * percents[step] / 100;
    return rate < 1 ? 1 : rate;
}

static int visit(struct rk_suite *sweep, struct load *load, uint32_t step, uint32_t round, uint64_t slice_ns)
{
    const struct rk_runner_order order = {
        .verb = RK_RUN_LOAD, .rate = rate_of(load, step), .seed = 1 + round, .series = step, .duration_ns = slice_ns};
    int code = rk_suite_run(sweep, 0, &order);
    const struct rk_runner_result *result = &sweep->results[0];
    if (code != RK_EXIT_OK) return code;
    load->due[step] += result->due;
    load->calls[step] += result->calls;
    load->late[step] += result->late;
    load->took_ns[step] += result->took_ns;
    return code;
}

static int report_one(struct rk_suite *sweep, struct load *load, uint32_t step, json_t *rows)
{
    char name[16], text[4][32];
    static const double shown[] = {50, 99, 99.9, 99.99};
    rk_histogram_reset(load->latencies);
    int code = rk_suite_series(sweep, 0, step, load->latencies);
    if (code != RK_EXIT_OK) return code;
    double served = load->took_ns[step] > 0 ? (double)load->calls[step] * 1e9 / (double)load->took_ns[step] : 0;
    double unsent = load->due[step] > 0 ? 1 - (double)load->calls[step] / (double)load->due[step] : 0;
    snprintf(name, sizeof name, "%u %%", percents[step]);
    json_t *row = rk_sweep_row(rows, name, "percent", percents[step]);
    json_object_set_new(row, "rate", json_real(rate_of(load, step)));
    json_object_set_new(row, "served_per_s", json_real(served));
    json_object_set_new(row, "unsent", json_real(unsent));
    json_object_set_new(row, "late", json_integer((json_int_t)load->late[step]));
    json_object_set_new(row, "latency_ns", rk_suite_latency(load->latencies));
    for (uint32_t i = 0; i < 4; i++) rk_suite_percentile(load->latencies, shown[i], text[i], sizeof text[i]);
    rk_suite_print(sweep, "  %-7s %9.3f M %9.3f M %10s %10s %10s %10s %9.1f %%\n", name, rate_of(load, step) / 1e6,
                   served / 1e6, text[0], text[1], text[2], text[3], unsent * 100);
    return RK_EXIT_OK;
}

static int report(struct rk_suite *sweep, struct load *load, json_t *rows)
{
    int code = RK_EXIT_OK;
    json_object_set_new(sweep->out, "capacity_per_s", json_real(load->capacity));
    rk_suite_print(sweep,
                   "\nload: 32 bytes, one client and one worker, spin; calls by chance, latency from when each was "
                   "meant to be sent\n  %-7s %11s %11s %10s %10s %10s %10s %11s\n",
                   "load", "rate", "served", "p50", "p99", "p99.9", "p99.99", "not sent");
    for (uint32_t i = 0; i < STEPS && code == RK_EXIT_OK; i++) code = report_one(sweep, load, i, rows);
    rk_suite_print(sweep, "  100 %% is what this loop was served when it asked for more than can be. \"Not sent\": due "
                          "at the end of a slice and\n  still waiting, in no percentile.\n");
    return code;
}

int rk_sweep_load(struct rk_suite *sweep)
{
    struct load load = {.latencies = rk_histogram_create()};
    json_t *rows = json_array();
    uint64_t slice_ns = (sweep->end_ns - sweep->start_ns) / STEPS / 3;
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", json_array());
    int code = load.latencies != NULL ? RK_EXIT_OK : RK_EXIT_UNAVAILABLE;
    bool possible = rk_sweep_has_two(sweep);
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    if (slice_ns < SLICE_NS_MIN) slice_ns = SLICE_NS_MIN;
    if (possible && code == RK_EXIT_OK) code = start(sweep);
    if (possible && code == RK_EXIT_OK) code = find_capacity(sweep, &load, slice_ns);
    rk_suite_begin(sweep);
    for (uint32_t round = 0; possible && code == RK_EXIT_OK && (round < 1 || rk_suite_goes_on(sweep)); round++)
        for (uint32_t i = 0; i < STEPS && code == RK_EXIT_OK; i++) code = visit(sweep, &load, i, round, slice_ns);
    if (possible && code == RK_EXIT_OK) code = report(sweep, &load, rows);
    rk_histogram_destroy(load.latencies);
    return code;
}
