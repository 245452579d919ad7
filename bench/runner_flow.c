/* SPDX-License-Identifier: MIT */
/* Streams, upcalls and leases, each beside the plain call that it is to be compared with. The time per call, item or upcall is that
 * of the slice divided by their number; what is answered is checked. */
#include "plugins/work.h"
#include "runner_work.h"
#include <errno.h>
#include <rask/rask.h>
#include <string.h>

#define SMALL 32u
#define LARGE 1024u
#define TAKE_MAX 64u
/* Steps between two readings of the clock. */
#define LOOK_EVERY 64u

struct run {
    struct rk_runner_work *self;
    const struct rk_runner_order *order;
    struct rk_runner_result *result;
    struct rask_stream *stream;
    uint64_t sent, taken;
    uint64_t middle; /* the sum of a payload's words but the two numbers at its ends */
    uint8_t bytes[LARGE];
};

static int echo(struct rask_upcall *upcall, void *user)
{
    void *room = rask_upcall_reserve(upcall, upcall->request_bytes);
    (void)user;
    if (room == NULL) return ENOMEM;
    memcpy(room, upcall->request, upcall->request_bytes);
    return rask_upcall_reply(upcall, upcall->request_bytes);
}

static int call_once(struct run *run, uint32_t method, size_t bytes, size_t answer_bytes)
{
    struct rask_completion done;
    int error = rask_call(run->self->sessions[0], method, run->bytes, bytes, 0, &done);
    if (error == 0) error = rk_runner_work_check(&done, answer_bytes, run->result);
    rask_release(run->self->sessions[0], &done);
    run->taken++;
    return error;
}

static int take_some(struct run *run)
{
    struct rask_completion done[TAKE_MAX];
    int count = rask_wait_any(run->self->sessions[0], done, TAKE_MAX, 0), error = count < 0 ? count : 0;
    for (int i = 0; i < count; i++) {
        if (error == 0) error = rk_runner_work_check(&done[i], sizeof(uint64_t), run->result);
        rask_release(run->self->sessions[0], &done[i]);
        run->taken++;
    }
    return error;
}

static int calls(struct run *run)
{
    struct rask *session = run->self->sessions[0];
    int error = 0;
    while (error == 0 && rask_pending(session) < run->order->depth) {
        struct rask_request request;
        error = rask_reserve(session, SMALL, &request);
        if (error == 0) memcpy(request.data, run->bytes, SMALL);
        if (error == 0) error = rask_submit(session, &request, run->self->weigh, SMALL, NULL);
    }
    return error == 0 ? take_some(run) : error;
}

static int item(struct run *run)
{
    int error = rask_stream_send(run->stream, run->bytes, SMALL, 0, 0);
    run->sent += error == 0;
    return error;
}

/** Sums come as answers, in order; each is checked. */
static int take_sums(struct run *run, bool wait)
{
    struct rask_completion done;
    uint64_t sum;
    int count = wait ? rask_stream_wait(run->stream, &done, 1, 0) : rask_stream_take(run->stream, &done, 1);
    if (count <= 0) return count;
    int error = rk_runner_work_check(&done, sizeof sum, run->result);
    if (error == 0) memcpy(&sum, done.data, sizeof sum);
    if (error == 0 && sum != done.user_data) error = -EBADMSG;
    run->taken++;
    rask_release(run->self->sessions[0], &done);
    return error;
}

static int bulk(struct run *run)
{
    struct rk_payload *payload = &run->self->payload;
    struct rask_request request;
    int error = rask_stream_reserve(run->stream, payload->size, 0, &request);
    if (error == -EAGAIN) return take_sums(run, true);
    if (error != 0) return error;
    memcpy(request.data, rk_payload_of(payload, ++run->self->number), payload->size);
    request.user_data = run->middle + 2 * run->self->number;
    run->sent++;
    error = rask_stream_submit(run->stream, &request, payload->size);
    return error == 0 ? take_sums(run, false) : error;
}

static int step(struct run *run)
{
    const struct rk_runner_work *self = run->self;
    switch (run->order->way) {
    case RK_FLOW_CALLS:
        return calls(run);
    case RK_FLOW_ITEMS:
        return item(run);
    case RK_FLOW_CALL:
        return call_once(run, self->weigh, SMALL, sizeof(uint64_t));
    case RK_FLOW_ASK:
        return call_once(run, self->ask, SMALL, SMALL);
    case RK_FLOW_BLOCK:
        return call_once(run, self->weigh, LARGE, sizeof(uint64_t));
    case RK_FLOW_KEEP:
        return call_once(run, self->keep, LARGE, sizeof(uint64_t));
    default:
        return bulk(run);
    }
}

static int prepare_bulk(struct run *run)
{
    struct rk_runner_work *self = run->self;
    if (run->order->size < SMALL || run->order->depth == 0) return -EINVAL;
    if (self->payload.size != run->order->size) {
        rk_runner_bulk_finish(self);
        int error = rk_payload_init(&self->payload, run->order->size);
        if (error != 0) return error;
        self->number = 0;
    }
    run->middle = rk_work_sum(self->payload.bytes + sizeof(uint64_t), run->order->size - 2 * sizeof(uint64_t));
    return 0;
}

static int open_stream(struct run *run)
{
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    bool large = run->order->way == RK_FLOW_BULK;
    if (!large && run->order->way != RK_FLOW_ITEMS) return 0;
    int error = large ? prepare_bulk(run) : 0;
    if (error != 0) return error;
    if (large) options.queue_max = run->order->depth;
    if (large) options.policy = RASK_STREAM_FAIL; /* who waits for sums does not wait for room */
    return rask_stream_open(run->self->sessions[0], large ? run->self->sum : run->self->count, &options, &run->stream);
}

/** What was processed so far, and at the end all of it. */
static int finish_stream(struct run *run)
{
    struct rask_completion done;
    uint64_t counted = 0;
    int count, error = 0;
    if (run->stream == NULL) return 0;
    if (run->order->way == RK_FLOW_BULK) {
        while (error == 0 && run->taken < run->sent) error = take_sums(run, true);
    } else {
        error = rask_stream_end(run->stream);
        while (error == 0 && (count = rask_stream_wait(run->stream, &done, 1, 0)) == 1) {
            memcpy(&counted, done.data, sizeof counted);
            rask_release(run->self->sessions[0], &done);
        }
        if (error == 0 && counted != run->sent) error = -EBADMSG;
    }
    rask_stream_close(run->stream);
    return error;
}

/** Calls beside upcalls are measured as a session has them that answers none. */
static int switch_upcalls(struct rk_runner_work *self, bool on)
{
    return rask_on_upcall(self->sessions[0], "echo", on ? echo : NULL, NULL);
}

int rk_runner_flow(struct rk_runner_work *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct run run = {.self = self, .order = order, .result = result};
    bool small_steps = order->way == RK_FLOW_ITEMS || order->way == RK_FLOW_CALL || order->way == RK_FLOW_ASK;
    if (order->way >= RK_FLOW_WAYS) return -EINVAL;
    int error = switch_upcalls(self, order->way == RK_FLOW_ASK);
    if (error == 0) error = open_stream(&run);
    for (uint32_t i = 0; i < LOOK_EVERY && error == 0; i++) error = step(&run); /* caches are warm, lanes are open */
    uint64_t before = order->way == RK_FLOW_ITEMS ? run.sent : run.taken;
    rk_meter_begin(&self->meter, order->count_calls);
    uint64_t until_ns = rask_now_ns() + order->duration_ns;
    while (error == 0 && rask_now_ns() < until_ns)
        for (uint32_t i = 0; i < (small_steps ? LOOK_EVERY : 1) && error == 0; i++) error = step(&run);
    rk_meter_end(&self->meter, result);
    result->calls = (order->way == RK_FLOW_ITEMS ? run.sent : run.taken) - before;
    result->p50_ns = (double)result->took_ns / (double)(result->calls > 0 ? result->calls : 1);
    while (error == 0 && order->way == RK_FLOW_CALLS && rask_pending(self->sessions[0]) > 0) error = take_some(&run);
    int finished = finish_stream(&run);
    return error != 0 ? error : finished;
}
