/* SPDX-License-Identifier: MIT */
/* Part `inflight`: 32 bytes, 1 to 1024 in flight, both sides spinning, beside a bare ring each way (with and without `pause`;
 * the better one of a depth is its floor). All depths of all contenders take turns. */
#include "exit_codes.h"
#include "runner_wire.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define DEPTHS 11u
#define DEPTH_MAX 1024u
#define JUDGED 7u /* 128 */
#define SLICE_NS 20000000u
#define TARGET 0.75

enum { RASK, RING, RING_PAUSE, CONTENDERS };

static const struct rk_wire *const wires[CONTENDERS] = {&rk_wire_rask, &rk_wire_ring, &rk_wire_ring_pause};

struct depths {
    struct rk_series rates[DEPTHS][CONTENDERS];
    struct rk_series ratios[DEPTHS][CONTENDERS]; /* rask's rate to that contender's, slice by slice */
    struct rk_histogram *latencies;              /* of the depth at hand */
};

static int start(struct rk_suite *sweep)
{
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < CONTENDERS && code == RK_EXIT_OK; i++) {
        const struct rk_runner_plan plan = {.name = wires[i]->name,
                                            .kind = &rk_runner_wire,
                                            .wait_mode = RASK_WAIT_SPIN,
                                            .in_flight = DEPTH_MAX,
                                            .client_cpu = sweep->client_cpu,
                                            .worker_cpu = sweep->worker_cpu,
                                            .size = RASK_INLINE_BYTES,
                                            .wire = wires[i]};
        code = rk_suite_add(sweep, &plan);
    }
    return code;
}

static int visit(struct rk_suite *sweep, struct depths *all, uint32_t index, uint64_t slice_ns)
{
    const struct rk_runner_order order = {
        .verb = RK_RUN_PIPELINE, .depth = 1u << index, .sessions = 1, .series = index, .duration_ns = slice_ns};
    for (uint32_t i = 0; i < CONTENDERS; i++) {
        int code = rk_suite_run(sweep, i, &order);
        if (code != RK_EXIT_OK) return code;
    }
    for (uint32_t i = 0; i < CONTENDERS; i++) {
        rk_series_add(&all->rates[index][i], 1e9 / sweep->results[i].p50_ns);
        rk_series_add(&all->ratios[index][i], sweep->results[i].p50_ns / sweep->results[RASK].p50_ns);
    }
    return RK_EXIT_OK;
}

static uint32_t best(struct depths *all, uint32_t index)
{
    return rk_series_percentile(&all->rates[index][RING], 50) >=
                   rk_series_percentile(&all->rates[index][RING_PAUSE], 50)
               ? RING
               : RING_PAUSE;
}

static int report_one(struct rk_suite *sweep, struct depths *all, uint32_t index, json_t *rows)
{
    char name[32], p50[32], p99[32];
    uint32_t floor = best(all, index);
    struct rk_series *rates = &all->rates[index][RASK], *ratios = &all->ratios[index][floor];
    rk_histogram_reset(all->latencies);
    int code = rk_suite_series(sweep, RASK, index, all->latencies);
    if (code != RK_EXIT_OK) return code;
    snprintf(name, sizeof name, "%u in flight", 1u << index);
    json_t *row = rk_sweep_row(rows, name, "in_flight", 1u << index);
    json_object_set_new(row, "calls_per_s", rk_suite_spread(rates));
    json_object_set_new(row, "floor", rk_json_text(wires[floor]->name));
    json_object_set_new(row, "floor_calls_per_s", rk_suite_spread(&all->rates[index][floor]));
    json_object_set_new(row, "ratio", rk_suite_spread(ratios));
    json_object_set_new(row, "latency_ns", rk_suite_latency(all->latencies));
    rk_suite_print(sweep, "  %9u %9.3f M %12.3f M %8.2f (%.2f .. %.2f) %10s %10s\n", 1u << index,
                   rk_series_percentile(rates, 50) / 1e6, rk_series_percentile(&all->rates[index][floor], 50) / 1e6,
                   rk_series_percentile(ratios, 50), rk_series_percentile(ratios, 10), rk_series_percentile(ratios, 90),
                   rk_suite_percentile(all->latencies, 50, p50, sizeof p50),
                   rk_suite_percentile(all->latencies, 99, p99, sizeof p99));
    return RK_EXIT_OK;
}

static int report(struct rk_suite *sweep, struct depths *all, json_t *rows, json_t *verdicts)
{
    int code = RK_EXIT_OK;
    rk_suite_print(sweep,
                   "\ninflight: 32 bytes, spin, beside a bare ring each way; latency of one call in 61\n"
                   "  %9s %11s %14s %8s %16s %10s %10s\n",
                   "", "calls/s", "ring calls/s", "ratio", "", "p50", "p99");
    for (uint32_t i = 0; i < DEPTHS && code == RK_EXIT_OK; i++) code = report_one(sweep, all, i, rows);
    struct rk_series *ratios = &all->ratios[JUDGED][best(all, JUDGED)];
    if (code == RK_EXIT_OK)
        rk_suite_verdict(sweep, verdicts, "128 in flight, 32 bytes: calls/s / a bare ring's",
                         rk_series_percentile(ratios, 50), false, TARGET);
    return code;
}

static void finish(struct depths *all)
{
    for (uint32_t depth = 0; depth < DEPTHS; depth++)
        for (uint32_t i = 0; i < CONTENDERS; i++) {
            rk_series_finish(&all->rates[depth][i]);
            rk_series_finish(&all->ratios[depth][i]);
        }
    rk_histogram_destroy(all->latencies);
}

int rk_sweep_inflight(struct rk_suite *sweep)
{
    struct depths all = {.latencies = rk_histogram_create()};
    json_t *rows = json_array(), *verdicts = json_array();
    uint64_t slice_ns = (sweep->end_ns - sweep->start_ns) / DEPTHS / CONTENDERS / 4;
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", verdicts);
    int code = all.latencies != NULL ? RK_EXIT_OK : RK_EXIT_UNAVAILABLE;
    bool possible = rk_sweep_has_two(sweep);
    if (possible && code == RK_EXIT_OK) code = start(sweep);
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    rk_suite_begin(sweep);
    for (uint32_t round = 0; possible && code == RK_EXIT_OK && (round < 2 || rk_suite_goes_on(sweep)); round++)
        for (uint32_t i = 0; i < DEPTHS && code == RK_EXIT_OK; i++) code = visit(sweep, &all, i, slice_ns);
    if (possible && code == RK_EXIT_OK) code = report(sweep, &all, rows, verdicts);
    finish(&all);
    return code;
}
