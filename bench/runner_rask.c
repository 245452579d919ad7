/* SPDX-License-Identifier: MIT */
/* rask as a contender of `rask bench wake`: a private supervisor with the echo plugin, and sessions with it. Workers that
 * would go on spinning stand still between slices. See runner.h. */
#include "runner_rask.h"
#include "ladder.h"
#include "open_loop.h"
#include "queue_model.h"
#include "target.h"
#include <errno.h>
#include <pthread.h>
#include <rask/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD "echo"

static void note_facts(const struct rk_runner_rask *self, struct rk_runner_result *result)
{
    struct rask_info info = {.size = sizeof info};
    rask_info(self->sessions[0], &info);
    result->client_pid = (int32_t)getpid();
    result->supervisor_pid = (int32_t)info.supervisor_pid;
    result->spin_budget_ns = info.spin_budget_ns;
    snprintf(result->barrier, sizeof result->barrier, "%s", info.barrier);
    snprintf(result->engine, sizeof result->engine, "%s", info.engine);
    result->lanes_open = 0;
    for (uint32_t i = 0; i < self->session_count; i++) {
        rask_info(self->sessions[i], &info);
        result->lanes_open += info.lanes_open;
    }
}

static struct rask_options limits(const struct rk_runner_plan *plan)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    if (plan->sessions <= 1) return options;
    /* Many lanes: small ones, in every contender of the part. */
    options.ring_slots = 64;
    options.slab_bytes = RASK_SLAB_BYTES_MIN;
    return options;
}

static int open_sessions(struct rk_runner_rask *self, const struct rk_runner_plan *plan)
{
    char worker_cpu[16];
    const struct rask_options options = limits(plan);
    struct rk_target target = {.plugin = METHOD, .workers = plan->workers, .wait_mode = plan->wait_mode};
    snprintf(worker_cpu, sizeof worker_cpu, "%d", plan->worker_cpu);
    if (plan->worker_cpu >= 0) target.pin_workers = worker_cpu;
    if (plan->barrier)
        setenv("RASK_BARRIER", plan->barrier, 1);
    else
        unsetenv("RASK_BARRIER");
    for (uint32_t i = 0; i < plan->sessions; i++) {
        int error = i == 0 ? rk_target_open(&self->sessions[0], &target, &options)
                           : rask_clone(self->sessions[0], &self->sessions[i]);
        if (error != 0) return error;
        self->session_count++;
        error = rk_calls_create(&self->calls[i], self->sessions[i], (uint32_t)rask_method(self->sessions[0], METHOD),
                                RASK_INLINE_BYTES, plan->in_flight, true);
        if (error != 0) return error;
    }
    return 0;
}

static int prepare(struct rk_runner_rask *self, const struct rk_runner_plan *plan)
{
    struct rask_info info = {.size = sizeof info};
    double mean_ns;
    int error = rk_samples_init(&self->samples, RK_BATCH);
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX && error == 0; i++) {
        self->series[i] = rk_histogram_create();
        if (self->series[i] == NULL) error = -ENOMEM;
    }
    if (error != 0 || rask_info(self->sessions[0], &info) != 0) return error;
    rk_standstill_init(&self->workers, (pid_t)info.supervisor_pid);
    rk_meter_init(&self->meter, self->workers.workers, self->workers.count);
    rk_meter_init(&self->client_meter, NULL, 0);
    rk_runner_pin(plan->client_cpu);
    for (uint32_t i = 0; i < self->session_count && error == 0; i++)
        error = rk_calls_warm_up(self->calls[i], 1000000, &mean_ns);
    self->samples.batch = plan->wait_mode == RASK_WAIT_PARK ? 1 : RK_BATCH;
    if (plan->wait_mode != RASK_WAIT_SPIN) return error;
    self->stops = true;
    rk_standstill_begin(&self->workers);
    return error;
}

static void *open_rask(const struct rk_runner_plan *plan, struct rk_runner_result *result)
{
    struct rk_runner_rask *self = calloc(1, sizeof *self);
    if (self == NULL) {
        rk_runner_fail(result, -ENOMEM, "out of memory");
        return NULL;
    }
    self->plan = plan;
    int error = open_sessions(self, plan);
    if (error == 0) error = prepare(self, plan);
    if (error != 0) {
        rk_runner_fail(result, error, "cannot open a session: %.120s %.80s", rask_strerror(error), rask_last_error());
        return self;
    }
    note_facts(self, result);
    return self;
}

static void close_rask(void *pointer)
{
    struct rk_runner_rask *self = pointer;
    if (self == NULL) return;
    if (self->stops) rk_standstill_end(&self->workers);
    for (uint32_t i = 0; i < self->session_count; i++) rk_calls_destroy(self->calls[i]);
    /* The first one waits for the supervisor to end, so it comes last. */
    for (uint32_t i = self->session_count; i > 0; i--) rask_close(self->sessions[i - 1]);
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX; i++) rk_histogram_destroy(self->series[i]);
    rk_meter_finish(&self->meter);
    rk_meter_finish(&self->client_meter);
    rk_samples_finish(&self->samples);
    free(self);
}

/* ---- many in flight ------------------------------------------------------------------------------------------------ */

struct stream {
    struct rk_calls *calls;
    const struct rk_slice *slice;
    struct rk_samples samples;
    uint64_t start_ns, end_ns;
    int error;
};

static void *stream_one(void *pointer)
{
    struct stream *stream = pointer;
    stream->start_ns = rask_now_ns();
    stream->error = rk_calls_pipeline(stream->calls, stream->slice, &stream->samples);
    stream->end_ns = rask_now_ns();
    return NULL;
}

/** Calls per second of all together. Of several: from the first one's start to the last one's end, settling and draining
 * included, for one that got its turn late and was alone then would look quicker than it was. */
static double rate_of(const struct stream *streams, uint32_t count)
{
    uint64_t start_ns = UINT64_MAX, end_ns = 0, calls = 0;
    if (count == 1) return rk_samples_calls_per_s(&streams[0].samples);
    for (uint32_t i = 0; i < count; i++) {
        calls += streams[i].samples.calls;
        if (streams[i].start_ns < start_ns) start_ns = streams[i].start_ns;
        if (streams[i].end_ns > end_ns) end_ns = streams[i].end_ns;
    }
    return end_ns > start_ns ? (double)calls * 1e9 / (double)(end_ns - start_ns) : 0;
}

static double fairness_of(const struct stream *streams, uint32_t count)
{
    double shares[RK_SESSIONS_STREAMING_MAX];
    for (uint32_t i = 0; i < count; i++) shares[i] = (double)streams[i].samples.calls;
    return rk_jain_index(shares, count);
}

/** The sessions' streams at the same time, a thread each. */
static int run_streams(struct stream *streams, uint32_t count, struct rk_runner_result *result)
{
    pthread_t threads[RK_SESSIONS_STREAMING_MAX];
    uint32_t started = 0;
    int error = 0;
    for (uint32_t i = 1; i < count && error == 0; i++) {
        error = -pthread_create(&threads[i], NULL, stream_one, &streams[i]);
        started += error == 0;
    }
    if (error == 0) stream_one(&streams[0]);
    for (uint32_t i = 1; i <= started; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (error == 0) error = streams[i].error;
        result->calls += streams[i].samples.calls;
    }
    double rate = rate_of(streams, count);
    result->fairness = fairness_of(streams, count);
    result->p50_ns = rate > 0 ? 1e9 / rate : 0;
    return error;
}

static int pipeline(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct stream streams[RK_SESSIONS_STREAMING_MAX] = {{.calls = NULL}};
    uint64_t until_ns = rask_now_ns() + order->duration_ns;
    const struct rk_slice slice = {
        .until_ns = until_ns, .stop_ns = until_ns + order->duration_ns, .min_calls = 1, .max_calls = UINT64_MAX};
    uint32_t count = order->sessions < self->session_count ? order->sessions : self->session_count;
    int error = count > RK_SESSIONS_STREAMING_MAX ? -EINVAL : 0;
    for (uint32_t i = 0; i < count && error == 0; i++) {
        streams[i] = (struct stream){.calls = self->calls[i], .slice = &slice};
        error = rk_samples_init(&streams[i].samples, 1);
    }
    rk_meter_begin(&self->meter, order->count_calls);
    if (error == 0) error = run_streams(streams, count, result);
    rk_meter_end(&self->meter, result);
    for (uint32_t i = 0; i < count; i++) rk_samples_finish(&streams[i].samples);
    return error;
}

/* ---- an open loop -------------------------------------------------------------------------------------------------- */

static int load(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct rk_open_loop loop;
    int error = rk_open_loop_init(&loop, (uint64_t)order->rate, order->duration_ns);
    loop.poisson = true;
    loop.seed = order->seed;
    if (error == 0) error = rk_calls_open_loop(self->calls[0], &loop);
    if (error == 0) rk_histogram_merge(self->series[order->series], loop.from_intended);
    result->calls = loop.calls;
    result->due = loop.calls + loop.unsent;
    result->late = loop.late;
    result->took_ns = loop.took_ns;
    rk_open_loop_finish(&loop);
    return error;
}

/* ---- orders -------------------------------------------------------------------------------------------------------- */

static void explain(const struct rk_runner_rask *self, int error, struct rk_runner_result *result)
{
    for (uint32_t i = 0; i < self->session_count; i++) {
        const struct rk_trouble *trouble = rk_calls_trouble(self->calls[i]);
        if (trouble->wrong_answer)
            rk_runner_fail(result, error, "the answer of method echo was not what had been sent");
        else if (trouble->status != RASK_OK)
            rk_runner_fail(result, error, "a call ended with %s", rask_status_name(trouble->status));
    }
    if (result->error == 0) rk_runner_fail(result, error, "%.120s %.80s", rask_strerror(error), rask_last_error());
}

static void serve(void *pointer, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct rk_runner_rask *self = pointer;
    int error = 0;
    if (self->stops) rk_standstill_end(&self->workers);
    if (order->verb == RK_RUN_TRIPS)
        rk_meter_trips(&self->meter, rk_calls_contender(self->calls[0]), &self->samples, order, result);
    else if (order->verb == RK_RUN_PIPELINE)
        error = pipeline(self, order, result);
    else if (order->verb == RK_RUN_PACED || order->verb == RK_RUN_PAUSES)
        error = rk_runner_paced(self, order, result);
    else if (order->verb == RK_RUN_BATCH)
        error = rk_runner_batch(self, order, result);
    else if (order->verb == RK_RUN_LOAD)
        error = order->rate >= 1 ? load(self, order, result) : -EINVAL;
    else
        error = -ENOSYS;
    if (self->stops) rk_standstill_begin(&self->workers);
    note_facts(self, result);
    if (error != 0) explain(self, error, result);
}

static const struct rk_histogram *series_of(void *pointer, uint32_t index)
{
    const struct rk_runner_rask *self = pointer;
    return index < RK_RUNNER_SERIES_MAX ? self->series[index] : NULL;
}

const struct rk_runner_kind rk_runner_rask = {
    .open = open_rask, .serve = serve, .close = close_rask, .series = series_of};
