/* SPDX-License-Identifier: MIT */
/* rask with handlers of a known cost: a private supervisor with the plugin `work`, and sessions with it. Closed loops are here,
 * open loops in runner_mixture.c, large payloads in runner_bulk.c. See runner.h. */
#include "runner_work.h"
#include "environment.h"
#include "plugins/work.h"
#include "slice.h"
#include "target.h"
#include <errno.h>
#include <rask/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TAKE_MAX 64u
/* Requests, in multiples of the depth, before a slice counts. */
#define SETTLE 4u

uint64_t rk_runner_work_rounds(const struct rk_runner_work *self, uint64_t cost_ns)
{
    return (uint64_t)((double)cost_ns * self->rounds_per_ns);
}

int rk_runner_work_check(const struct rask_completion *completion, size_t length, struct rk_runner_result *result)
{
    if (completion->status != RASK_OK)
        rk_runner_fail(result, -rask_status_errno(completion->status), "a call ended with %s",
                       rask_status_name(completion->status));
    else if (completion->length != length)
        rk_runner_fail(result, -EBADMSG, "an answer has %u bytes instead of %zu", completion->length, length);
    return result->error;
}

/* ---- open and close ------------------------------------------------------------------------------------------------ */

/** The quickest of several tries: none of the others was left alone. */
static double measure_rounds_per_ns(void)
{
    enum { TRIES = 15, ROUNDS = 200000 };
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t start_ns = rask_now_ns();
        rk_work_burn(ROUNDS);
        uint64_t took_ns = rask_now_ns() - start_ns;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    return best_ns > 0 ? (double)ROUNDS / (double)best_ns : 1;
}

/** Processors for the workers: all but the client's, so that who sends has one of its own; where there is one, none. */
static void name_processors(const struct rk_runner_plan *plan, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    if (!plan->spread_workers && plan->worker_cpu >= 0) snprintf(text, bytes, "%d", plan->worker_cpu);
    if (!plan->spread_workers) return;
    for (uint32_t cpu = 0; cpu < RK_CPUS_MAX && used + 8 < bytes; cpu++) {
        if ((int)cpu == plan->client_cpu || !rk_cpu_is_usable(cpu)) continue;
        int wrote = snprintf(text + used, bytes - used, "%s%u", used > 0 ? "," : "", cpu);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

static int open_sessions(struct rk_runner_work *self, const struct rk_runner_plan *plan)
{
    char processors[512];
    const struct rask_options options = RASK_OPTIONS_INIT;
    struct rk_target target = {.plugin = "work", .workers = plan->workers, .wait_mode = plan->wait_mode};
    name_processors(plan, processors, sizeof processors);
    if (processors[0] != '\0') target.pin_workers = processors;
    unsetenv("RASK_BARRIER");
    for (uint32_t i = 0; i < plan->sessions; i++) {
        int error = i == 0 ? rk_target_open(&self->sessions[0], &target, &options)
                           : rask_clone(self->sessions[0], &self->sessions[i]);
        if (error != 0) return error;
        self->session_count++;
    }
    self->work = (uint32_t)rask_method(self->sessions[0], "work");
    self->weigh = (uint32_t)rask_method(self->sessions[0], "weigh");
    self->sum = (uint32_t)rask_method(self->sessions[0], "sum");
    self->count = (uint32_t)rask_method(self->sessions[0], "count");
    self->ask = (uint32_t)rask_method(self->sessions[0], "ask");
    self->keep = (uint32_t)rask_method(self->sessions[0], "keep");
    return 0;
}

static int prepare(struct rk_runner_work *self, const struct rk_runner_plan *plan)
{
    struct rask_info info = {.size = sizeof info};
    int error = plan->sessions <= RK_WORK_SESSIONS_MAX ? 0 : -EINVAL;
    self->slice = rk_histogram_create();
    if (self->slice == NULL) error = -ENOMEM;
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX && error == 0; i++) {
        self->series[i] = rk_histogram_create();
        if (self->series[i] == NULL) error = -ENOMEM;
    }
    if (error == 0) error = open_sessions(self, plan);
    if (error == 0) error = rask_info(self->sessions[0], &info);
    if (error != 0) return error;
    rk_standstill_init(&self->workers, (pid_t)info.supervisor_pid);
    rk_meter_init(&self->meter, self->workers.workers, self->workers.count);
    rk_runner_pin(plan->client_cpu);
    self->rounds_per_ns = measure_rounds_per_ns();
    self->stops = plan->wait_mode == RASK_WAIT_SPIN;
    return 0;
}

static void *open_work(const struct rk_runner_plan *plan, struct rk_runner_result *result)
{
    struct rk_runner_work *self = calloc(1, sizeof *self);
    if (self == NULL) {
        rk_runner_fail(result, -ENOMEM, "out of memory");
        return NULL;
    }
    self->plan = plan;
    int error = prepare(self, plan);
    if (error != 0)
        rk_runner_fail(result, error, "cannot open a session: %.120s %.80s", rask_strerror(error), rask_last_error());
    if (error == 0 && self->stops) rk_standstill_begin(&self->workers);
    result->client_pid = (int32_t)getpid();
    return self;
}

static void close_work(void *pointer)
{
    struct rk_runner_work *self = pointer;
    if (self == NULL) return;
    if (self->stops) rk_standstill_end(&self->workers);
    rk_runner_bulk_finish(self);
    rk_meter_finish(&self->meter);
    /* The first one waits for the supervisor to end, so it comes last. */
    for (uint32_t i = self->session_count; i > 0; i--) rask_close(self->sessions[i - 1]);
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX; i++) rk_histogram_destroy(self->series[i]);
    rk_histogram_destroy(self->slice);
    free(self);
}

/* ---- a closed loop ------------------------------------------------------------------------------------------------- */

struct loop {
    struct rk_runner_work *self;
    const struct rk_runner_order *order;
    struct rk_runner_result *result;
    struct rk_work_order request;
    uint64_t sent_ns[RK_WORK_DEPTH_MAX];
    uint64_t free_indices[RK_WORK_DEPTH_MAX];
    uint32_t free_count;
    uint64_t taken, start_ns;
    bool counts; /* it has settled */
};

static int send_all(struct loop *loop)
{
    struct rask *session = loop->self->sessions[0];
    int error = 0;
    while (loop->free_count > 0 && error == 0) {
        struct rask_request request = {0};
        error = rask_reserve(session, sizeof loop->request, &request);
        if (error != 0) break;
        memcpy(request.data, &loop->request, sizeof loop->request);
        request.user_data = loop->free_indices[--loop->free_count];
        loop->sent_ns[request.user_data] = rask_now_ns();
        error = rask_submit(session, &request, loop->self->work, sizeof loop->request, NULL);
    }
    return error;
}

static void note(struct loop *loop, const struct rask_completion *done, uint64_t now_ns)
{
    struct rk_work_stamps stamps;
    struct rk_histogram **series = &loop->self->series[loop->order->series];
    uint64_t latency_ns = now_ns - loop->sent_ns[done->user_data];
    memcpy(&stamps, done->data, sizeof stamps);
    uint64_t service_ns = stamps.end_ns - stamps.begin_ns;
    rk_histogram_record(loop->self->slice, latency_ns);
    rk_histogram_record(series[RK_WORK_LATENCY], latency_ns);
    rk_histogram_record(series[RK_WORK_SERVICE], service_ns);
    rk_histogram_record(series[RK_WORK_OVERHEAD], latency_ns > service_ns ? latency_ns - service_ns : 0);
}

/** Take what has come, waiting for the first. */
static int take(struct loop *loop)
{
    struct rask_completion done[TAKE_MAX];
    struct rask *session = loop->self->sessions[0];
    int count = rask_wait_any(session, done, TAKE_MAX, 0), error = count < 0 ? count : 0;
    uint64_t now_ns = rask_now_ns();
    for (int i = 0; i < count; i++) {
        if (error == 0) error = rk_runner_work_check(&done[i], sizeof(struct rk_work_stamps), loop->result);
        if (error == 0 && loop->counts) note(loop, &done[i], now_ns);
        loop->free_indices[loop->free_count++] = done[i].user_data;
        rask_release(session, &done[i]);
        loop->taken++;
    }
    return error;
}

static int closed_loop(struct rk_runner_work *self, const struct rk_runner_order *order,
                       struct rk_runner_result *result)
{
    struct loop loop = {.self = self, .order = order, .result = result};
    if (order->depth == 0 || order->depth > RK_WORK_DEPTH_MAX) return -EINVAL;
    loop.request.rounds = rk_runner_work_rounds(self, order->cost_ns);
    for (uint64_t i = 0; i < order->depth; i++) loop.free_indices[loop.free_count++] = i;
    rk_histogram_reset(self->slice);
    uint64_t now_ns = rask_now_ns(), until_ns = now_ns + order->duration_ns;
    int error = 0;
    while (error == 0 && (!loop.counts || now_ns < until_ns || loop.taken < order->depth)) {
        error = send_all(&loop);
        if (error == 0) error = take(&loop);
        now_ns = rask_now_ns();
        if (loop.counts || loop.taken < (uint64_t)order->depth * SETTLE) continue;
        loop.counts = true;
        loop.start_ns = now_ns;
        loop.taken = 0;
    }
    result->calls = loop.taken;
    result->took_ns = now_ns - loop.start_ns;
    while (error == 0 && rask_pending(self->sessions[0]) > 0) error = take(&loop);
    result->p50_ns = order->depth > 1 ? (double)result->took_ns / (double)(result->calls > 0 ? result->calls : 1)
                                      : (double)rk_histogram_percentile(self->slice, 50);
    return error;
}

/* ---- orders -------------------------------------------------------------------------------------------------------- */

static void serve(void *pointer, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct rk_runner_work *self = pointer;
    int error = order->series + (uint32_t)RK_MIXTURE_SERIES <= RK_RUNNER_SERIES_MAX ? 0 : -EINVAL;
    if (self->stops) rk_standstill_end(&self->workers);
    if (error != 0)
        rk_runner_fail(result, error, "there are %u series", RK_RUNNER_SERIES_MAX);
    else if (order->verb == RK_RUN_WORK)
        error = closed_loop(self, order, result);
    else if (order->verb == RK_RUN_MIXTURE)
        error = rk_runner_mixture(self, order, result);
    else if (order->verb == RK_RUN_BULK)
        error = rk_runner_bulk(self, order, result);
    else if (order->verb == RK_RUN_FLOW)
        error = rk_runner_flow(self, order, result);
    else
        error = -ENOSYS;
    if (self->stops) rk_standstill_begin(&self->workers);
    if (error != 0 && result->error == 0)
        rk_runner_fail(result, error, "%.120s %.80s", rask_strerror(error), rask_last_error());
}

static const struct rk_histogram *series_of(void *pointer, uint32_t index)
{
    const struct rk_runner_work *self = pointer;
    return index < RK_RUNNER_SERIES_MAX ? self->series[index] : NULL;
}

const struct rk_runner_kind rk_runner_work = {
    .open = open_work, .serve = serve, .close = close_work, .series = series_of};
