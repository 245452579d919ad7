/* SPDX-License-Identifier: MIT */
/* Slices with time between calls: calls with a gap before each, and batches to workers that sleep. */
#include "clock.h"
#include "runner_rask.h"
#include <errno.h>
#include <rask/status.h>
#include <string.h>

/* Between two batches: every worker has gone to sleep by then. */
#define BATCH_PAUSE_NS 2000000u
#define BATCH_MAX 256u
#define TIMEOUT_NS 10000000000ull

#if defined(RASK_SUBMIT_MORE)
#define MORE RASK_SUBMIT_MORE
#else
#define MORE 0u
#endif

static void pause_for(uint64_t gap_ns)
{
    if (gap_ns == 0) return;
    uint64_t end_ns = rask_now_ns() + gap_ns;
    if (gap_ns < RK_GAP_SLEEP_NS) {
        while (rask_now_ns() < end_ns) continue;
        return;
    }
    const struct timespec end = rk_timespec(end_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR) continue;
}

static void note_series(const struct rk_histogram *series, struct rk_runner_result *result)
{
    result->series_count = rk_histogram_count(series);
    result->series_p50_ns = (double)rk_histogram_percentile(series, 50);
    bool enough = rk_histogram_beyond(series, 99) >= RK_RUNNER_BEYOND_MIN;
    result->series_p99_ns = enough ? (double)rk_histogram_percentile(series, 99) : 0;
}

int rk_runner_paced(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    const struct rk_contender *calls = rk_calls_contender(self->calls[0]);
    struct rk_histogram *series = self->series[order->series], *slice = self->samples.each;
    bool calling = order->verb == RK_RUN_PACED;
    int error = 0;
    /* The first call after a while without any is not what this gap is like. */
    if (calling) error = calls->round_trips(calls->self, 1);
    rk_histogram_reset(slice);
    rk_meter_begin(&self->meter, false);
    uint64_t until_ns = rask_now_ns() + order->duration_ns;
    for (uint64_t now_ns = 0; error == 0 && (now_ns < until_ns || result->calls < 3); result->calls++) {
        pause_for(order->gap_ns);
        uint64_t start_ns = rask_now_ns();
        if (calling) error = calls->round_trips(calls->self, 1);
        now_ns = rask_now_ns();
        rk_histogram_record(slice, now_ns - start_ns);
    }
    rk_meter_end(&self->meter, result);
    result->p50_ns = (double)rk_histogram_percentile(slice, 50);
    if (calling) rk_histogram_merge(series, slice);
    note_series(series, result);
    return error;
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

static int submit_all(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rask_request *requests)
{
    struct rask *session = self->sessions[0];
    const uint32_t method = (uint32_t)rask_method(session, "echo");
    struct rask_request_options more = RASK_REQUEST_OPTIONS_INIT;
    more.flags = MORE;
    for (uint32_t i = 0; i < order->depth; i++) {
        bool last = i + 1 == order->depth;
        int error = rask_submit(session, &requests[i], method, 8, order->one_by_one || last ? NULL : &more);
        if (error != 0) return error;
    }
    return 0;
}

static int take_all(struct rask *session)
{
    struct rask_completion done[16];
    int error = 0;
    while (error == 0 && rask_pending(session) > 0) {
        int got = rask_wait_any(session, done, 16, rask_now_ns() + TIMEOUT_NS);
        for (int i = 0; i < got; i++) {
            if (done[i].status != RASK_OK) error = -rask_status_errno(done[i].status);
            rask_release(session, &done[i]);
        }
        if (got < 0) error = got;
    }
    return error;
}

/** One batch: system calls and sleeps of the submitting part alone are added to the result. */
static int one_batch(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_histogram *slice,
                     struct rk_runner_result *result)
{
    struct rask_request requests[BATCH_MAX];
    struct rk_runner_result part = {.error = 0};
    int error = 0;
    for (uint32_t i = 0; i < order->depth && error == 0; i++) {
        error = rask_reserve(self->sessions[0], 8, &requests[i]);
        if (error == 0) memset(requests[i].data, (int)i, 8);
    }
    if (error != 0) return error;
    struct rk_meter *meter = &self->client_meter;
    if (order->count_calls) rk_meter_begin(meter, true);
    uint64_t start_ns = rask_now_ns();
    error = submit_all(self, order, requests);
    rk_histogram_record(slice, rask_now_ns() - start_ns);
    if (order->count_calls) rk_meter_end(meter, &part);
    result->system_calls += part.system_calls;
    result->counted = part.counted;
    return error != 0 ? error : take_all(self->sessions[0]);
}

int rk_runner_batch(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct rk_histogram *slice = self->samples.each;
    uint64_t start_ns = rask_now_ns(), until_ns = start_ns + order->duration_ns;
    int error = order->depth > BATCH_MAX ? -EINVAL : 0;
    rk_histogram_reset(slice);
    while (error == 0 && (rask_now_ns() < until_ns || result->calls < 3)) {
        pause_for(BATCH_PAUSE_NS);
        error = one_batch(self, order, slice, result);
        result->calls++;
    }
    result->took_ns = rask_now_ns() - start_ns;
    result->p50_ns = (double)rk_histogram_percentile(slice, 50);
    if (!order->count_calls) rk_histogram_merge(self->series[order->series], slice);
    note_series(self->series[order->series], result);
    return error;
}
