/* SPDX-License-Identifier: MIT */
/* Part `batch`: 16 requests to 16 workers that sleep: with the hint that more comes (all wakes leave together behind the
 * last one), and without it (a wake each). Both ways over one session, in turns: system calls and time of the
 * submitting side. */
#include "call_counter.h"
#include "exit_codes.h"
#include "wake.h"
#include <rask/client.h>

#define WORKERS 16u
#define SLICE_NS 100000000u
#define COUNT_EVERY 4u

enum { TOGETHER, EACH, WAYS };

static const char *const ways[WAYS] = {"together", "each"};

struct way {
    struct rk_series p50;
    uint64_t batches, counted_batches, system_calls;
};

static int start(struct rk_suite *wake)
{
    const struct rk_runner_plan plan = {.name = "16 workers",
                                        .kind = &rk_runner_rask,
                                        .wait_mode = RASK_WAIT_PARK,
                                        .workers = WORKERS,
                                        .sessions = 1,
                                        .in_flight = WORKERS,
                                        .client_cpu = wake->client_cpu,
                                        .worker_cpu = -1};
    /* Every worker gets a lane before anything counts. */
    const struct rk_runner_order warm_up = {.verb = RK_RUN_BATCH, .depth = WORKERS, .duration_ns = 100000000};
    int code = rk_suite_add(wake, &plan);
    return code == RK_EXIT_OK ? rk_suite_run(wake, 0, &warm_up) : code;
}

static int round_of(struct rk_suite *wake, struct way *all, struct rk_series *saved_ns, uint64_t slice_ns, bool count)
{
    double p50_ns[WAYS];
    for (uint32_t i = 0; i < WAYS; i++) {
        const struct rk_runner_order order = {.verb = RK_RUN_BATCH,
                                              .depth = WORKERS,
                                              .series = i + 1,
                                              .duration_ns = slice_ns,
                                              .count_calls = count,
                                              .one_by_one = i == EACH};
        int code = rk_suite_run(wake, 0, &order);
        if (code != RK_EXIT_OK) return code;
        const struct rk_runner_result *result = &wake->results[0];
        p50_ns[i] = result->p50_ns;
        if (count && result->counted) {
            all[i].counted_batches += result->calls;
            all[i].system_calls += result->system_calls;
        }
        if (count) continue;
        all[i].batches += result->calls;
        rk_series_add(&all[i].p50, result->p50_ns);
    }
    if (!count) rk_series_add(saved_ns, p50_ns[EACH] - p50_ns[TOGETHER]);
    return RK_EXIT_OK;
}

static void report(struct rk_suite *wake, struct way *all, struct rk_series *saved_ns, json_t *verdicts)
{
    char time[32], low[32], high[32], calls[32];
    double calls_per_batch[WAYS];
    rk_suite_print(wake, "\nbatch: %u requests to %u sleeping workers, the submitting side, engine %s\n", WORKERS,
                   WORKERS, wake->results[0].engine);
    rk_suite_print(wake, "  %-10s %14s %10s\n", "wakes", "system calls", "time");
    for (uint32_t i = 0; i < WAYS; i++) {
        json_t *one = json_object();
        bool counted = all[i].counted_batches > 0;
        calls_per_batch[i] = counted ? (double)all[i].system_calls / (double)all[i].counted_batches : -1;
        snprintf(calls, sizeof calls, counted ? "%.2f" : "-", calls_per_batch[i]);
        json_object_set_new(one, "p50_ns", rk_suite_spread(&all[i].p50));
        json_object_set_new(one, "batches", json_integer((json_int_t)all[i].batches));
        json_object_set_new(one, "system_calls_per_batch", counted ? json_real(calls_per_batch[i]) : json_null());
        json_object_set_new(wake->out, ways[i], one);
        rk_suite_print(wake, "  %-10s %14s %10s   (%s .. %s)\n", ways[i], calls,
                       rk_suite_time(rk_series_percentile(&all[i].p50, 50), time, sizeof time),
                       rk_suite_time(rk_series_percentile(&all[i].p50, 10), low, sizeof low),
                       rk_suite_time(rk_series_percentile(&all[i].p50, 90), high, sizeof high));
    }
    json_object_set_new(wake->out, "saved_ns", rk_suite_spread(saved_ns));
    json_object_set_new(wake->out, "engine", rk_json_text(wake->results[0].engine));
    json_object_set_new(wake->out, "lanes_open", json_integer(wake->results[0].lanes_open));
    if (all[TOGETHER].counted_batches == 0) rk_suite_print(wake, "  note: %s\n", RK_CALL_COUNTER_HINT);
    rk_suite_print(wake, "  saved per batch: %.1f us (%.1f .. %.1f)\n", rk_series_percentile(saved_ns, 50) / 1e3,
                   rk_series_percentile(saved_ns, 10) / 1e3, rk_series_percentile(saved_ns, 90) / 1e3);
#if !defined(RASK_SUBMIT_MORE)
    rk_suite_print(wake, "  note: this build has no hint that more comes; both ways are the same\n");
#endif
    rk_suite_verdict(wake, verdicts, "system calls per batch, wakes together", calls_per_batch[TOGETHER], true, 1.05);
}

int rk_wake_batch(struct rk_suite *wake)
{
    struct way all[WAYS] = {{.batches = 0}};
    struct rk_series saved_ns = {.count = 0};
    json_t *verdicts = json_array();
    uint64_t room_ns = (wake->end_ns - wake->start_ns) / 8;
    json_object_set_new(wake->out, "verdicts", verdicts);
    int code = start(wake);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 2 || rk_suite_goes_on(wake)); round++)
        code = round_of(wake, all, &saved_ns, room_ns < SLICE_NS ? room_ns : SLICE_NS, round % COUNT_EVERY == 1);
    rk_suite_stop_all(wake);
    if (code == RK_EXIT_OK) report(wake, all, &saved_ns, verdicts);
    for (uint32_t i = 0; i < WAYS; i++) rk_series_finish(&all[i].p50);
    rk_series_finish(&saved_ns);
    return code;
}
