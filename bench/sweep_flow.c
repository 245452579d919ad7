/* SPDX-License-Identifier: MIT */
/* Part `flow`: streams, upcalls and leases, each beside what it is to be compared with, in turns. A ratio is between slices of
 * the same round; system calls are counted in rounds of their own. */
#include "exit_codes.h"
#include "runner_work.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define SLICE_NS 20000000u
#define DEPTH 128u
#define BULK_DEPTH 4u
#define BULK_BYTES (1u << 20)
#define COUNT_EVERY 4u

enum { CALLS, ITEMS, CALL, ASK, BLOCK, KEEP, BULK, ALONE, WAYS };

static const struct {
    const char *key, *name;
    uint32_t verb, way, depth;
} ways[WAYS] = {
    [CALLS] = {"calls", "calls of 32 B, 128 in flight", RK_RUN_FLOW, RK_FLOW_CALLS, DEPTH},
    [ITEMS] = {"items", "items of a stream, 32 B", RK_RUN_FLOW, RK_FLOW_ITEMS, 1},
    [CALL] = {"call", "call of 32 B, one at a time", RK_RUN_FLOW, RK_FLOW_CALL, 1},
    [ASK] = {"ask", "the same with an upcall inside", RK_RUN_FLOW, RK_FLOW_ASK, 1},
    [BLOCK] = {"block", "call of 1 KiB", RK_RUN_FLOW, RK_FLOW_BLOCK, 1},
    [KEEP] = {"keep", "the same, leased and released", RK_RUN_FLOW, RK_FLOW_KEEP, 1},
    [BULK] = {"bulk", "items of 1 MiB, summed in place", RK_RUN_FLOW, RK_FLOW_BULK, BULK_DEPTH},
    [ALONE] = {"alone", "1 MiB copied and summed, one process", RK_RUN_BULK, RK_BULK_ALONE, 1},
};

struct flow {
    struct rk_series ns[WAYS]; /* per call or item */
    struct rk_series items, upcall, bulk;
    uint64_t counted[WAYS], system_calls[WAYS];
};

static int start(struct rk_suite *sweep)
{
    const struct rk_runner_plan plan = {.name = "work",
                                        .kind = &rk_runner_work,
                                        .wait_mode =
                                            sweep->client_cpu == sweep->worker_cpu ? RASK_WAIT_PARK : RASK_WAIT_SPIN,
                                        .workers = 1,
                                        .sessions = 1,
                                        .client_cpu = sweep->client_cpu,
                                        .worker_cpu = sweep->worker_cpu};
    return rk_suite_add(sweep, &plan);
}

static int visit(struct rk_suite *sweep, struct flow *flow, uint64_t slice_ns, bool count)
{
    double ns[WAYS];
    for (uint32_t i = 0; i < WAYS; i++) {
        const struct rk_runner_order order = {.verb = ways[i].verb,
                                              .way = ways[i].way,
                                              .depth = ways[i].depth,
                                              .size = BULK_BYTES,
                                              .count_calls = count,
                                              .duration_ns = slice_ns};
        int code = rk_suite_run(sweep, 0, &order);
        if (code != RK_EXIT_OK) return code;
        ns[i] = sweep->results[0].p50_ns;
        if (!count || !sweep->results[0].counted) continue;
        flow->counted[i] += sweep->results[0].calls;
        flow->system_calls[i] += sweep->results[0].system_calls;
    }
    if (count) return RK_EXIT_OK;
    for (uint32_t i = 0; i < WAYS; i++) rk_series_add(&flow->ns[i], ns[i]);
    rk_series_add(&flow->items, ns[CALLS] / ns[ITEMS]);
    rk_series_add(&flow->upcall, (ns[ASK] - ns[CALL]) / ns[CALL]);
    rk_series_add(&flow->bulk, ns[ALONE] / ns[BULK]);
    return RK_EXIT_OK;
}

static double per_call(const struct flow *flow, uint32_t way)
{
    return flow->counted[way] > 0 ? (double)flow->system_calls[way] / (double)flow->counted[way] : -1;
}

static void report_row(struct rk_suite *sweep, struct flow *flow, uint32_t way, json_t *rows)
{
    char time[32], calls[32] = "-";
    double system_calls = per_call(flow, way);
    json_t *row = rk_sweep_row(rows, ways[way].key, "depth", ways[way].depth);
    json_object_set_new(row, "ns", rk_suite_spread(&flow->ns[way]));
    json_object_set_new(row, "system_calls", system_calls >= 0 ? json_real(system_calls) : json_null());
    if (system_calls >= 0) snprintf(calls, sizeof calls, "%.4f", system_calls);
    rk_suite_print(sweep, "  %-38s %12s %14s\n", ways[way].name,
                   rk_suite_time(rk_series_percentile(&flow->ns[way], 50), time, sizeof time), calls);
}

static void report(struct rk_suite *sweep, struct flow *flow)
{
    json_t *rows = json_array(), *verdicts = json_array();
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", verdicts);
    rk_suite_print(sweep, "\nflow: streams, upcalls, leases; time per call or item\n  %-38s %12s %14s\n", "", "time",
                   "system calls");
    for (uint32_t i = 0; i < WAYS; i++) report_row(sweep, flow, i, rows);
    json_object_set_new(sweep->out, "items_ratio", rk_suite_spread(&flow->items));
    json_object_set_new(sweep->out, "upcall_ratio", rk_suite_spread(&flow->upcall));
    json_object_set_new(sweep->out, "bulk_ratio", rk_suite_spread(&flow->bulk));
    rk_suite_verdict(sweep, verdicts, "stream items of 32 B / calls in a pipeline",
                     rk_series_percentile(&flow->items, 50), false, 0.8);
    rk_suite_verdict(sweep, verdicts, "upcall / call, round trip", rk_series_percentile(&flow->upcall, 50), true, 1.3);
    rk_suite_verdict(sweep, verdicts, "stream items of 1 MiB, copied in, summed in place / one process",
                     rk_series_percentile(&flow->bulk, 50), false, 0.8);
    bool counted = flow->counted[KEEP] > 0 && flow->counted[BLOCK] > 0;
    double more = per_call(flow, KEEP) - per_call(flow, BLOCK);
    rk_suite_verdict(sweep, verdicts, "system calls that lease and release add to a call",
                     !counted   ? -1
                     : more > 0 ? more
                                : 0,
                     true, 0.001);
}

int rk_sweep_flow(struct rk_suite *sweep)
{
    struct flow flow = {.items = {.count = 0}};
    uint64_t slice_ns = (sweep->end_ns - sweep->start_ns) / WAYS / 3;
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    int code = start(sweep);
    rk_suite_begin(sweep);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 3 || rk_suite_goes_on(sweep)); round++)
        code = visit(sweep, &flow, slice_ns, round % COUNT_EVERY == 1);
    if (code == RK_EXIT_OK) report(sweep, &flow);
    for (uint32_t i = 0; i < WAYS; i++) rk_series_finish(&flow.ns[i]);
    rk_series_finish(&flow.items);
    rk_series_finish(&flow.upcall);
    rk_series_finish(&flow.bulk);
    return code;
}
