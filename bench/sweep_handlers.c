/* SPDX-License-Identifier: MIT */
/* Part `handlers`: requests that burn 0, 1, 10, 100 us of a processor. One at a time, spinning and pinned: what the call adds to
 * what the handler takes by its own clock. In a pipeline over as many workers as processors: how much of the processors is
 * kept busy with the work itself. */
#include "exit_codes.h"
#include "runner_work.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define COSTS 4u
#define IN_FLIGHT_EACH 16u /* per worker */
#define SLICE_NS 50000000u

enum { SINGLE, PIPELINE, RUNNERS };

static const struct {
    uint64_t ns;
    const char *name;
} costs[COSTS] = {{0, "0"}, {1000, "1 us"}, {10000, "10 us"}, {100000, "100 us"}};

struct handlers {
    uint32_t workers; /* of the pipeline */
    struct rk_series p50_ns[COSTS];
    struct rk_series rates[COSTS];
    struct rk_histogram *parts[RK_WORK_SERIES]; /* of the cost at hand */
};

static int start(struct rk_suite *sweep, const struct handlers *all)
{
    const struct rk_runner_plan single = {.name = "one at a time",
                                          .kind = &rk_runner_work,
                                          .wait_mode =
                                              sweep->client_cpu == sweep->worker_cpu ? RASK_WAIT_PARK : RASK_WAIT_SPIN,
                                          .workers = 1,
                                          .sessions = 1,
                                          .client_cpu = sweep->client_cpu,
                                          .worker_cpu = sweep->worker_cpu};
    const struct rk_runner_plan pipeline = {.name = "in a pipeline",
                                            .kind = &rk_runner_work,
                                            .wait_mode = RASK_WAIT_HYBRID,
                                            .workers = all->workers,
                                            .sessions = 1,
                                            .client_cpu = -1,
                                            .worker_cpu = -1};
    int code = rk_suite_add(sweep, &single);
    return code == RK_EXIT_OK ? rk_suite_add(sweep, &pipeline) : code;
}

static int visit(struct rk_suite *sweep, struct handlers *all, uint32_t index, uint64_t slice_ns)
{
    struct rk_runner_order order = {.verb = RK_RUN_WORK,
                                    .depth = 1,
                                    .series = index * RK_WORK_SERIES,
                                    .cost_ns = costs[index].ns,
                                    .duration_ns = slice_ns};
    int code = rk_suite_run(sweep, SINGLE, &order);
    if (code != RK_EXIT_OK) return code;
    order.depth = IN_FLIGHT_EACH * all->workers;
    code = rk_suite_run(sweep, PIPELINE, &order);
    if (code != RK_EXIT_OK) return code;
    rk_series_add(&all->p50_ns[index], sweep->results[SINGLE].p50_ns);
    rk_series_add(&all->rates[index], 1e9 / sweep->results[PIPELINE].p50_ns);
    return RK_EXIT_OK;
}

static int fetch(struct rk_suite *sweep, struct handlers *all, uint32_t index)
{
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < RK_WORK_SERIES && code == RK_EXIT_OK; i++) {
        rk_histogram_reset(all->parts[i]);
        code = rk_suite_series(sweep, SINGLE, index * RK_WORK_SERIES + i, all->parts[i]);
    }
    return code;
}

static int report_one(struct rk_suite *sweep, struct handlers *all, uint32_t index, json_t *rows)
{
    char text[4][32], share[16] = "-";
    int code = fetch(sweep, all, index);
    if (code != RK_EXIT_OK) return code;
    double rate = rk_series_percentile(&all->rates[index], 50);
    double busy = rate * (double)costs[index].ns / 1e9 / sweep->environment.cpus_usable;
    if (costs[index].ns > 0) snprintf(share, sizeof share, "%.0f %%", busy * 100);
    json_t *row = rk_sweep_row(rows, costs[index].name, "cost_ns", costs[index].ns);
    json_object_set_new(row, "p50_ns", rk_suite_spread(&all->p50_ns[index]));
    json_object_set_new(row, "service_ns", rk_suite_latency(all->parts[RK_WORK_SERVICE]));
    json_object_set_new(row, "overhead_ns", rk_suite_latency(all->parts[RK_WORK_OVERHEAD]));
    json_object_set_new(row, "calls_per_s", rk_suite_spread(&all->rates[index]));
    json_object_set_new(row, "busy", costs[index].ns > 0 ? json_real(busy) : json_null());
    rk_suite_print(sweep, "  %-7s %10s %10s %10s %10s %11.3f M %10s\n", costs[index].name,
                   rk_suite_time(rk_series_percentile(&all->p50_ns[index], 50), text[0], sizeof text[0]),
                   rk_suite_percentile(all->parts[RK_WORK_SERVICE], 50, text[1], sizeof text[1]),
                   rk_suite_percentile(all->parts[RK_WORK_OVERHEAD], 50, text[2], sizeof text[2]),
                   rk_suite_percentile(all->parts[RK_WORK_OVERHEAD], 99, text[3], sizeof text[3]), rate / 1e6, share);
    return RK_EXIT_OK;
}

static int report(struct rk_suite *sweep, struct handlers *all, json_t *rows)
{
    int code = RK_EXIT_OK;
    rk_suite_print(sweep,
                   "\nhandlers: one at a time, pinned; and %u in flight over %u worker%s, hybrid\n"
                   "  %-7s %10s %10s %10s %10s %13s %10s\n",
                   IN_FLIGHT_EACH * all->workers, all->workers, all->workers == 1 ? "" : "s", "cost", "p50", "handler",
                   "added p50", "added p99", "calls/s", "processors");
    for (uint32_t i = 0; i < COSTS && code == RK_EXIT_OK; i++) code = report_one(sweep, all, i, rows);
    rk_suite_print(sweep, "  \"handler\" by its own clock, two reads of which are in it; \"processors\": the part of "
                          "all of them that did the\n  work itself in the pipeline, by what a request costs.\n");
    return code;
}

int rk_sweep_handlers(struct rk_suite *sweep)
{
    struct handlers all = {.workers = sweep->environment.cpus_usable};
    json_t *rows = json_array();
    uint64_t slice_ns = (sweep->end_ns - sweep->start_ns) / COSTS / RUNNERS / 3;
    int code = RK_EXIT_OK;
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", json_array());
    if (all.workers > RK_WORK_DEPTH_MAX / IN_FLIGHT_EACH) all.workers = RK_WORK_DEPTH_MAX / IN_FLIGHT_EACH;
    json_object_set_new(sweep->out, "workers", json_integer(all.workers));
    for (uint32_t i = 0; i < RK_WORK_SERIES; i++) {
        all.parts[i] = rk_histogram_create();
        if (all.parts[i] == NULL) code = RK_EXIT_UNAVAILABLE;
    }
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    if (code == RK_EXIT_OK) code = start(sweep, &all);
    rk_suite_begin(sweep);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 1 || rk_suite_goes_on(sweep)); round++)
        for (uint32_t i = 0; i < COSTS && code == RK_EXIT_OK; i++) code = visit(sweep, &all, i, slice_ns);
    if (code == RK_EXIT_OK) code = report(sweep, &all, rows);
    for (uint32_t i = 0; i < COSTS; i++) {
        rk_series_finish(&all.p50_ns[i]);
        rk_series_finish(&all.rates[i]);
    }
    for (uint32_t i = 0; i < RK_WORK_SERIES; i++) rk_histogram_destroy(all.parts[i]);
    return code;
}
