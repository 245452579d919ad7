/* SPDX-License-Identifier: MIT */
/* Part `busy`: what a busy round trip costs beside the floor although parking is compiled in, and what publishing without a
 * fence gains. Beside the pipeline as it is, in turns: the same with a full fence per message on both sides and nothing else
 * changed (RASK_BARRIER=fence-only), and what rask does where it has to fence (fence). */
#include "exit_codes.h"
#include "wake.h"
#include <rask/client.h>

#define SLICE_NS 100000000u
/* One order, in which Ctrl-C is not seen. */
#define DEPTH_1_NS_MAX 10000000000ull
#define DEPTH 128u
#define TARGET_FLOOR 1.25
#define TARGET_FENCE 4.0

enum { LIGHT, FENCE_ONLY, FENCE, PIPELINES, BUSY = PIPELINES };

struct busy {
    struct rk_series rates[PIPELINES];
    struct rk_series gains[PIPELINES]; /* of LIGHT over it */
};

static const char *const names[PIPELINES] = {[LIGHT] = "light", [FENCE_ONLY] = "fence_only", [FENCE] = "fence"};
static const char *const barriers[PIPELINES] = {[FENCE_ONLY] = "fence-only", [FENCE] = "fence"};

static int start(struct rk_suite *wake)
{
    struct rk_runner_plan plan = {.name = "light",
                                  .kind = &rk_runner_rask,
                                  .wait_mode = RASK_WAIT_SPIN,
                                  .workers = 1,
                                  .sessions = 1,
                                  .in_flight = DEPTH,
                                  .client_cpu = wake->client_cpu,
                                  .worker_cpu = wake->worker_cpu};
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < PIPELINES && code == RK_EXIT_OK; i++) {
        plan.name = names[i];
        plan.barrier = barriers[i];
        code = rk_suite_add(wake, &plan);
    }
    plan.name = "depth 1";
    plan.kind = &rk_runner_busy;
    plan.barrier = NULL;
    return code == RK_EXIT_OK ? rk_suite_add(wake, &plan) : code;
}

static int round_of(struct rk_suite *wake, struct busy *busy, uint64_t slice_ns)
{
    const struct rk_runner_order order = {
        .verb = RK_RUN_PIPELINE, .duration_ns = slice_ns, .depth = DEPTH, .sessions = 1};
    for (uint32_t i = 0; i < PIPELINES; i++) {
        int code = rk_suite_run(wake, i, &order);
        if (code != RK_EXIT_OK) return code;
    }
    for (uint32_t i = 0; i < PIPELINES; i++) {
        rk_series_add(&busy->rates[i], 1e9 / wake->results[i].p50_ns);
        if (i != LIGHT) rk_series_add(&busy->gains[i], wake->results[i].p50_ns / wake->results[LIGHT].p50_ns);
    }
    return RK_EXIT_OK;
}

static void report_depth_1(struct rk_suite *wake, json_t *verdicts)
{
    const struct rk_runner_result *at = &wake->results[BUSY];
    json_t *one = json_object();
    json_object_set_new(one, "p50_ns", json_real(at->p50_ns));
    json_object_set_new(one, "floor_p50_ns", json_real(at->floor_p50_ns));
    json_object_set_new(one, "floor_sealed_p50_ns", json_real(at->sealed_p50_ns));
    json_object_set_new(one, "ratio",
                        json_pack("{s:f,s:f,s:f,s:i}", "p50", at->ratio, "p10", at->ratio_p10, "p90", at->ratio_p90,
                                  "count", (int)at->slices));
    json_object_set_new(one, "ratio_sealed_p50", json_real(at->ratio_sealed));
    json_object_set_new(wake->out, "depth_1", one);
    rk_suite_print(
        wake,
        "  depth 1: %.0f ns; floor %.0f ns, sealed floor %.0f ns; ratio %.3f (%.3f .. %.3f, %u slices), to the "
        "sealed floor %.3f\n",
        at->p50_ns, at->floor_p50_ns, at->sealed_p50_ns, at->ratio, at->ratio_p10, at->ratio_p90, at->slices,
        at->ratio_sealed);
    rk_suite_verdict(wake, verdicts, "32 bytes, depth 1 / floor", at->slices > 0 ? at->ratio : -1, true, TARGET_FLOOR);
}

static void report_pipeline(struct rk_suite *wake, struct busy *busy, json_t *verdicts)
{
    json_t *all = json_object();
    for (uint32_t i = 0; i < PIPELINES; i++) {
        json_t *one = rk_suite_spread(&busy->rates[i]);
        json_object_set_new(one, "barrier", rk_json_text(wake->results[i].barrier));
        if (i != LIGHT) json_object_set_new(one, "gain", rk_suite_spread(&busy->gains[i]));
        json_object_set_new(all, names[i], one);
        rk_suite_print(wake, "  %u in flight, barrier %-10s %7.2f M calls/s (%.2f .. %.2f)\n", DEPTH,
                       wake->results[i].barrier, rk_series_percentile(&busy->rates[i], 50) / 1e6,
                       rk_series_percentile(&busy->rates[i], 10) / 1e6,
                       rk_series_percentile(&busy->rates[i], 90) / 1e6);
    }
    json_object_set_new(wake->out, "pipeline", all);
    struct rk_series *gains = &busy->gains[FENCE_ONLY];
    rk_suite_verdict(wake, verdicts, "pipelined throughput / with a full fence per message",
                     gains->count > 0 ? rk_series_percentile(gains, 50) : -1, false, TARGET_FENCE);
    if (busy->gains[FENCE].count > 0)
        rk_suite_print(wake,
                       "               (%.2f where rask has to fence: it then gives no lines up, which a fence would "
                       "wait for)\n",
                       rk_series_percentile(&busy->gains[FENCE], 50));
}

int rk_wake_busy(struct rk_suite *wake)
{
    struct busy busy = {.rates = {{.count = 0}}};
    json_t *verdicts = json_array();
    uint64_t half_ns = (wake->end_ns - wake->start_ns) / 2;
    uint64_t slice_ns = half_ns / 8 < SLICE_NS ? half_ns / 8 : SLICE_NS;
    const struct rk_runner_order depth_1 = {.verb = RK_RUN_BUSY,
                                            .duration_ns = half_ns < DEPTH_1_NS_MAX ? half_ns : DEPTH_1_NS_MAX};
    json_object_set_new(wake->out, "verdicts", verdicts);
    rk_suite_print(wake, "\nbusy: both sides spin, 32 bytes\n");
    int code = start(wake);
    if (code == RK_EXIT_OK) code = rk_suite_run(wake, BUSY, &depth_1);
    if (code == RK_EXIT_OK) report_depth_1(wake, verdicts);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 2 || rk_suite_goes_on(wake)); round++)
        code = round_of(wake, &busy, slice_ns);
    if (code == RK_EXIT_OK) report_pipeline(wake, &busy, verdicts);
    rk_suite_stop_all(wake);
    for (uint32_t i = 0; i < PIPELINES; i++) {
        rk_series_finish(&busy.rates[i]);
        rk_series_finish(&busy.gains[i]);
    }
    return code;
}
