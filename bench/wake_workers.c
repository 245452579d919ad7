/* SPDX-License-Identifier: MIT */
/* Part `workers`: throughput of pools from 2 to 64 workers on the processors there are, from one client and from four, each
 * with 128 in flight: more workers than processors must not make it collapse. Pools take turns. */
#include "exit_codes.h"
#include "wake.h"
#include <rask/client.h>
#include <stdio.h>

#define POOLS 6u
#define LOADS 2u
#define DEPTH 128u
#define SLICE_NS 200000000u
#define TARGET 0.8

static const uint32_t workers[POOLS] = {2, 4, 8, 16, 32, 64};
static const uint32_t clients[LOADS] = {1, 4};

struct pools {
    struct rk_series rates[LOADS][POOLS];
    struct rk_series ratios[LOADS][POOLS]; /* to 2 workers, round by round */
};

static int start(struct rk_suite *wake)
{
    static char names[POOLS][16];
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < POOLS && code == RK_EXIT_OK; i++) {
        snprintf(names[i], sizeof names[i], "%u workers", workers[i]);
        const struct rk_runner_plan plan = {.name = names[i],
                                            .kind = &rk_runner_rask,
                                            .wait_mode = RASK_WAIT_HYBRID,
                                            .workers = workers[i],
                                            .sessions = clients[LOADS - 1],
                                            .in_flight = DEPTH,
                                            .client_cpu = -1,
                                            .worker_cpu = -1};
        code = rk_suite_add(wake, &plan);
    }
    return code;
}

static int round_of(struct rk_suite *wake, struct pools *pools, uint32_t load, uint64_t slice_ns)
{
    const struct rk_runner_order order = {
        .verb = RK_RUN_PIPELINE, .duration_ns = slice_ns, .depth = DEPTH, .sessions = clients[load]};
    for (uint32_t i = 0; i < POOLS; i++) {
        int code = rk_suite_run(wake, i, &order);
        if (code != RK_EXIT_OK) return code;
    }
    for (uint32_t i = 0; i < POOLS; i++) {
        rk_series_add(&pools->rates[load][i], 1e9 / wake->results[i].p50_ns);
        rk_series_add(&pools->ratios[load][i], wake->results[0].p50_ns / wake->results[i].p50_ns);
    }
    return RK_EXIT_OK;
}

static void report_one(struct rk_suite *wake, struct pools *pools, uint32_t load, uint32_t i, json_t *list)
{
    struct rk_series *rates = &pools->rates[load][i];
    json_t *one = json_object();
    json_object_set_new(one, "clients", json_integer(clients[load]));
    json_object_set_new(one, "workers", json_integer(workers[i]));
    json_object_set_new(one, "calls_per_s", rk_suite_spread(rates));
    json_object_set_new(one, "to_2_workers", rk_suite_spread(&pools->ratios[load][i]));
    json_array_append_new(list, one);
    rk_suite_print(wake, "  %7u %8u %9.3f M   (%.3f .. %.3f) %10.2f\n", clients[load], workers[i],
                   rk_series_percentile(rates, 50) / 1e6, rk_series_percentile(rates, 10) / 1e6,
                   rk_series_percentile(rates, 90) / 1e6, rk_series_percentile(&pools->ratios[load][i], 50));
}

static void report(struct rk_suite *wake, struct pools *pools, json_t *verdicts)
{
    char what[96];
    json_t *list = json_array();
    rk_suite_print(wake, "\nworkers: echo of 32 bytes, %u in flight per client, hybrid, not pinned, %u processors\n",
                   DEPTH, wake->environment.cpus_usable);
    rk_suite_print(wake, "  %7s %8s %11s   %16s %10s\n", "clients", "workers", "calls/s", "", "to 2");
    for (uint32_t load = 0; load < LOADS; load++) {
        for (uint32_t i = 0; i < POOLS; i++) report_one(wake, pools, load, i, list);
        snprintf(what, sizeof what, "%u client%s: throughput of 64 workers / of 2", clients[load],
                 clients[load] == 1 ? "" : "s");
        rk_suite_verdict(wake, verdicts, what, rk_series_percentile(&pools->ratios[load][POOLS - 1], 50), false,
                         TARGET);
    }
    json_object_set_new(wake->out, "pools", list);
}

int rk_wake_workers(struct rk_suite *wake)
{
    static struct pools pools;
    json_t *verdicts = json_array();
    uint64_t room_ns = (wake->end_ns - wake->start_ns) / POOLS / LOADS / 3;
    pools = (struct pools){.rates = {{{.count = 0}}}};
    json_object_set_new(wake->out, "verdicts", verdicts);
    int code = start(wake);
    rk_suite_begin(wake);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 1 || rk_suite_goes_on(wake)); round++)
        for (uint32_t load = 0; load < LOADS && code == RK_EXIT_OK; load++)
            code = round_of(wake, &pools, load, room_ns < SLICE_NS ? room_ns : SLICE_NS);
    rk_suite_stop_all(wake);
    if (code == RK_EXIT_OK) report(wake, &pools, verdicts);
    for (uint32_t load = 0; load < LOADS; load++)
        for (uint32_t i = 0; i < POOLS; i++) {
            rk_series_finish(&pools.rates[load][i]);
            rk_series_finish(&pools.ratios[load][i]);
        }
    return code;
}
