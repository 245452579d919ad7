/* SPDX-License-Identifier: MIT */
/* Parts `workers` and `clients`: throughput of 1 to 64 workers from one client, and of 1 to 64 clients (a session and a thread
 * each) with two workers, on the processors there are, not pinned: more parties than processors must not make it
 * collapse. All points take turns; the last one is compared with the best one, round by round. */
#include "exit_codes.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define POINTS 7u /* 1, 2, 4 .. 64 */
#define LAST (POINTS - 1)
#define SLICE_NS 50000000u
#define TARGET 0.8

/** What is swept. */
struct pools {
    const char *key; /* "workers" */
    uint32_t depth;  /* in flight for each client */
    bool by_workers; /* a pool for each point; otherwise one pool and a number of clients */
    struct rk_series rates[POINTS];
    struct rk_series ratios[POINTS]; /* the last point's rate to this one's, round by round */
    struct rk_series fairness[POINTS];
};

static int start(struct rk_suite *sweep, const struct pools *pools)
{
    static char names[POINTS][16];
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < (pools->by_workers ? POINTS : 1) && code == RK_EXIT_OK; i++) {
        uint32_t workers = pools->by_workers ? 1u << i : 2;
        snprintf(names[i], sizeof names[i], "%u workers", workers);
        const struct rk_runner_plan plan = {.name = names[i],
                                            .kind = &rk_runner_rask,
                                            .wait_mode = RASK_WAIT_HYBRID,
                                            .workers = workers,
                                            .sessions = pools->by_workers ? 1 : 1u << LAST,
                                            .in_flight = pools->depth,
                                            .client_cpu = -1,
                                            .worker_cpu = -1};
        code = rk_suite_add(sweep, &plan);
    }
    return code;
}

/** Many threads need long slices: until each has had its turns, what the scheduler did is all that there is to see. */
static uint32_t weight_of(const struct pools *pools, uint32_t point)
{
    if (pools->by_workers) return 2;
    return 1u << point > 4 ? (1u << point) / 4 : 1;
}

static uint64_t slice_unit_ns(const struct rk_suite *sweep, const struct pools *pools)
{
    uint32_t weights = 0;
    for (uint32_t i = 0; i < POINTS; i++) weights += weight_of(pools, i);
    uint64_t unit_ns = (sweep->end_ns - sweep->start_ns) / weights / 2;
    return unit_ns < SLICE_NS ? unit_ns : SLICE_NS;
}

static int round_of(struct rk_suite *sweep, struct pools *pools, uint64_t unit_ns)
{
    double rates[POINTS];
    for (uint32_t i = 0; i < POINTS; i++) {
        uint32_t runner = pools->by_workers ? i : 0;
        const struct rk_runner_order order = {.verb = RK_RUN_PIPELINE,
                                              .duration_ns = unit_ns * weight_of(pools, i),
                                              .depth = pools->depth,
                                              .sessions = pools->by_workers ? 1 : 1u << i};
        int code = rk_suite_run(sweep, runner, &order);
        if (code != RK_EXIT_OK) return code;
        rates[i] = sweep->results[runner].p50_ns > 0 ? 1e9 / sweep->results[runner].p50_ns : 0;
        rk_series_add(&pools->rates[i], rates[i]);
        rk_series_add(&pools->fairness[i], sweep->results[runner].fairness);
    }
    for (uint32_t i = 0; i < POINTS; i++) rk_series_add(&pools->ratios[i], rates[i] > 0 ? rates[LAST] / rates[i] : 0);
    return RK_EXIT_OK;
}

static uint32_t best(struct pools *pools)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < POINTS; i++)
        if (rk_series_percentile(&pools->rates[i], 50) > rk_series_percentile(&pools->rates[at], 50)) at = i;
    return at;
}

static void report(struct rk_suite *sweep, struct pools *pools, json_t *rows, json_t *verdicts)
{
    char name[32], what[96];
    rk_suite_print(sweep, "  %7s %11s %19s %9s\n", pools->key, "calls/s", "", pools->by_workers ? "" : "fairness");
    for (uint32_t i = 0; i < POINTS; i++) {
        struct rk_series *rates = &pools->rates[i];
        snprintf(name, sizeof name, "%u %s", 1u << i, pools->key);
        json_t *row = rk_sweep_row(rows, name, pools->key, 1u << i);
        json_object_set_new(row, "calls_per_s", rk_suite_spread(rates));
        rk_suite_print(sweep, "  %7u %9.3f M   (%.3f .. %.3f)", 1u << i, rk_series_percentile(rates, 50) / 1e6,
                       rk_series_percentile(rates, 10) / 1e6, rk_series_percentile(rates, 90) / 1e6);
        if (!pools->by_workers) {
            json_object_set_new(row, "fairness", rk_suite_spread(&pools->fairness[i]));
            rk_suite_print(sweep, " %9.2f", rk_series_percentile(&pools->fairness[i], 50));
        }
        rk_suite_print(sweep, "\n");
    }
    uint32_t at = best(pools);
    snprintf(what, sizeof what, "throughput of %u %s / of the best, %u", 1u << LAST, pools->key, 1u << at);
    rk_suite_verdict(sweep, verdicts, what, rk_series_percentile(&pools->ratios[at], 50), false, TARGET);
}

static int measure(struct rk_suite *sweep, struct pools *pools)
{
    json_t *rows = json_array(), *verdicts = json_array();
    uint64_t unit_ns = slice_unit_ns(sweep, pools);
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", verdicts);
    json_object_set_new(sweep->out, "in_flight_each", json_integer(pools->depth));
    int code = start(sweep, pools);
    rk_suite_begin(sweep);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 1 || rk_suite_goes_on(sweep)); round++)
        code = round_of(sweep, pools, unit_ns);
    if (code == RK_EXIT_OK) report(sweep, pools, rows, verdicts);
    for (uint32_t i = 0; i < POINTS; i++) {
        rk_series_finish(&pools->rates[i]);
        rk_series_finish(&pools->ratios[i]);
        rk_series_finish(&pools->fairness[i]);
    }
    return code;
}

int rk_sweep_workers(struct rk_suite *sweep)
{
    struct pools pools = {.key = "workers", .depth = 128, .by_workers = true};
    rk_suite_print(sweep, "\nworkers: one client, echo of 32 bytes, %u in flight, hybrid, processors: %u\n",
                   pools.depth, sweep->environment.cpus_usable);
    return measure(sweep, &pools);
}

int rk_sweep_clients(struct rk_suite *sweep)
{
    struct pools pools = {.key = "clients", .depth = 32};
    rk_suite_print(sweep,
                   "\nclients: two workers, echo of 32 bytes, %u in flight each, hybrid, processors: %u; fairness is\n"
                   "Jain's index of what each got: 1 all the same, 1/n one has everything\n",
                   pools.depth, sweep->environment.cpus_usable);
    return measure(sweep, &pools);
}
