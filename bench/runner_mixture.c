/* SPDX-License-Identifier: MIT */
/* An open loop of requests most of which are fast, and some slow ones that sleep: they come by chance, whether or not answers
 * keep up, and latency counts from when each was meant to be sent. Afterwards the same arrivals, with the service times that
 * the handlers measured themselves, go through the ideal single queue (queue_model.h). The sender looks at the clock and
 * for answers in turn and never sleeps, so that it is never late by itself; several sessions are served by the same
 * loop. */
#include "arrivals.h"
#include "plugins/work.h"
#include "queue_model.h"
#include "runner_work.h"
#include "slice.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAKE_MAX 16u
#define LATE_NS 1000u
#define REQUESTS_MAX 4000000u

struct request {
    uint64_t due_ns; /* all times absolute */
    uint64_t begin_ns, end_ns;
    uint64_t taken_ns;
    uint32_t session;
    bool slow;
};

struct run {
    struct rk_runner_work *self;
    const struct rk_runner_order *order;
    struct rk_runner_result *result;
    struct request *requests;
    uint64_t count, next, taken;
    uint32_t sessions;
    struct rk_work_order fast, slow;
};

/** Everything that comes within the slice, at least one. */
static int draw(struct run *run)
{
    const struct rk_runner_order *order = run->order;
    struct rk_arrivals arrivals;
    uint64_t room = (uint64_t)(order->rate * (double)order->duration_ns / 1e9 * 1.5) + 1000;
    if (room > REQUESTS_MAX) room = REQUESTS_MAX;
    run->requests = calloc(room, sizeof *run->requests);
    if (run->requests == NULL) return -ENOMEM;
    rk_arrivals_init(&arrivals, order->rate, true, order->seed);
    while (run->count < room) {
        struct request *one = &run->requests[run->count];
        one->due_ns = rk_arrivals_next(&arrivals);
        one->slow = rk_arrivals_chance(&arrivals) < RK_MIXTURE_SLOW_PART;
        one->session = (uint32_t)(rk_arrivals_chance(&arrivals) * run->sessions);
        if (run->count > 0 && one->due_ns > order->duration_ns) break;
        run->count++;
    }
    return 0;
}

static int send_due(struct run *run)
{
    while (run->next < run->count) {
        struct request *one = &run->requests[run->next];
        uint64_t now_ns = rask_now_ns();
        if (now_ns < one->due_ns) return 0;
        struct rask *session = run->self->sessions[one->session];
        struct rask_request request = {0};
        int error = rask_reserve(session, sizeof run->fast, &request);
        if (error == -EAGAIN) return 0; /* it waits in line, and that counts */
        if (error != 0) return error;
        memcpy(request.data, one->slow ? &run->slow : &run->fast, sizeof run->fast);
        request.user_data = run->next++;
        if (now_ns > one->due_ns + LATE_NS) run->result->late++;
        error = rask_submit(session, &request, run->self->work, sizeof run->fast, NULL);
        if (error != 0) return error;
    }
    return 0;
}

static int take(struct run *run, struct rask *session)
{
    struct rask_completion done[TAKE_MAX];
    int count = rask_poll(session, done, TAKE_MAX), error = count < 0 ? count : 0;
    for (int i = 0; i < count; i++) {
        struct request *one = &run->requests[done[i].user_data];
        struct rk_work_stamps stamps;
        one->taken_ns = rask_now_ns();
        if (error == 0) error = rk_runner_work_check(&done[i], sizeof stamps, run->result);
        if (error == 0) {
            memcpy(&stamps, done[i].data, sizeof stamps);
            one->begin_ns = stamps.begin_ns;
            one->end_ns = stamps.end_ns;
        }
        rask_release(session, &done[i]);
        run->taken++;
    }
    return error;
}

static int converse(struct run *run)
{
    int error = 0;
    uint64_t start_ns = rask_now_ns();
    for (uint64_t i = 0; i < run->count; i++) run->requests[i].due_ns += start_ns;
    while (error == 0 && run->taken < run->count) {
        if (rk_bench_interrupted) run->count = run->next;
        error = send_due(run);
        for (uint32_t i = 0; i < run->sessions && error == 0; i++) error = take(run, run->self->sessions[i]);
    }
    run->result->took_ns = rask_now_ns() - start_ns;
    return error;
}

/* ---- afterwards ---------------------------------------------------------------------------------------------------- */

static uint64_t since(uint64_t later_ns, uint64_t earlier_ns)
{
    return later_ns > earlier_ns ? later_ns - earlier_ns : 0;
}

static void note(struct run *run, const struct request *one, uint64_t ideal_ns)
{
    struct rk_histogram **series = &run->self->series[run->order->series];
    uint64_t latency_ns = since(one->taken_ns, one->due_ns);
    uint64_t limit_ns =
        one->slow ? RK_MIXTURE_SLACK_SLOW * run->order->sleep_ns : RK_MIXTURE_SLACK_FAST * run->order->cost_ns;
    run->result->in_time += latency_ns <= limit_ns;
    run->result->in_time_ideal += ideal_ns <= limit_ns;
    if (one->slow) {
        rk_histogram_record(series[RK_MIXTURE_SLOW], latency_ns);
        return;
    }
    rk_histogram_record(series[RK_MIXTURE_FAST], latency_ns);
    rk_histogram_record(series[RK_MIXTURE_FAST_IDEAL], ideal_ns);
    rk_histogram_record(series[RK_MIXTURE_BEFORE], since(one->begin_ns, one->due_ns));
    rk_histogram_record(series[RK_MIXTURE_SERVICE], since(one->end_ns, one->begin_ns));
    rk_histogram_record(series[RK_MIXTURE_AFTER], since(one->taken_ns, one->end_ns));
}

static int compare_with_ideal(struct run *run)
{
    struct rk_queue_request *model = calloc(run->count > 0 ? run->count : 1, sizeof *model);
    if (model == NULL) return -ENOMEM;
    for (uint64_t i = 0; i < run->count; i++) {
        const struct request *one = &run->requests[i];
        model[i] =
            (struct rk_queue_request){.arrival_ns = one->due_ns, .service_ns = since(one->end_ns, one->begin_ns)};
    }
    int error = rk_queue_model(model, run->count, run->self->plan->workers);
    for (uint64_t i = 0; i < run->count && error == 0; i++)
        note(run, &run->requests[i], model[i].wait_ns + model[i].service_ns);
    free(model);
    return error;
}

/** Of the sessions' mean latency of fast requests: do they get the same service? */
static double fairness(const struct run *run)
{
    double means[RK_WORK_SESSIONS_MAX] = {0}, counts[RK_WORK_SESSIONS_MAX] = {0};
    for (uint64_t i = 0; i < run->count; i++) {
        const struct request *one = &run->requests[i];
        if (one->slow) continue;
        means[one->session] += (double)since(one->taken_ns, one->due_ns);
        counts[one->session]++;
    }
    for (uint32_t i = 0; i < run->sessions; i++) means[i] = counts[i] > 0 ? means[i] / counts[i] : 0;
    return rk_jain_index(means, run->sessions);
}

int rk_runner_mixture(struct rk_runner_work *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct run run = {.self = self, .order = order, .result = result};
    run.sessions = order->sessions < self->session_count ? order->sessions : self->session_count;
    if (run.sessions == 0 || order->rate <= 0) return -EINVAL;
    run.fast.rounds = rk_runner_work_rounds(self, order->cost_ns);
    run.slow.sleep_ns = order->sleep_ns;
    int error = draw(&run);
    if (error == 0) error = converse(&run);
    if (error == 0) error = compare_with_ideal(&run);
    result->due = run.count;
    result->calls = run.taken;
    result->fairness = fairness(&run);
    free(run.requests);
    return error;
}
