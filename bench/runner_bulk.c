/* SPDX-License-Identifier: MIT */
/* Payloads on their way in: by reference, touched once by each side, and the same work without another process. The time per
 * call is that of the slice divided by its calls. A sum must be right: every byte was written and read. */
#include "plugins/work.h"
#include "runner_work.h"
#include "slice.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAKE_MAX 16u
#define LEAD_IN 4u

struct run {
    struct rk_runner_work *self;
    const struct rk_runner_order *order;
    struct rk_runner_result *result;
    uint64_t middle; /* the sum of a payload's words but the two numbers at its ends */
    uint64_t taken;
};

void rk_runner_bulk_finish(struct rk_runner_work *self)
{
    rk_payload_finish(&self->payload);
    free(self->copy);
    self->copy = NULL;
}

static int prepare(struct rk_runner_work *self, uint64_t size)
{
    if (size < 32 || size % 32 != 0) return -EINVAL;
    if (self->copy != NULL && self->payload.size == size) return 0;
    rk_runner_bulk_finish(self);
    self->number = 0;
    self->copy = malloc(size);
    int error = rk_payload_init(&self->payload, size);
    return self->copy != NULL ? error : -ENOMEM;
}

static int check_value(struct run *run, uint64_t value, uint64_t expected)
{
    if (value == expected) return 0;
    rk_runner_fail(run->result, -EBADMSG, "an answer is %llx instead of %llx", (unsigned long long)value,
                   (unsigned long long)expected);
    return -EBADMSG;
}

static uint64_t sum_of(const struct run *run, uint64_t number)
{
    return run->middle + 2 * number;
}

static int alone(struct run *run)
{
    struct rk_runner_work *self = run->self;
    memcpy(self->copy, rk_payload_of(&self->payload, ++self->number), self->payload.size);
    run->taken++;
    return check_value(run, rk_work_sum(self->copy, self->payload.size), sum_of(run, self->number));
}

static int send_one(struct run *run)
{
    struct rk_runner_work *self = run->self;
    struct rask *session = self->sessions[0];
    struct rask_request request = {0};
    bool touched = run->order->way == RK_BULK_TOUCHED;
    int error = rask_reserve(session, self->payload.size, &request);
    if (error != 0) return error;
    if (touched) {
        memcpy(request.data, rk_payload_of(&self->payload, ++self->number), self->payload.size);
        request.user_data = sum_of(run, self->number);
    } else {
        request.user_data = self->payload.size;
    }
    return rask_submit(session, &request, touched ? self->sum : self->weigh, self->payload.size, NULL);
}

static int take(struct run *run)
{
    struct rask_completion done[TAKE_MAX];
    struct rask *session = run->self->sessions[0];
    int count = rask_wait_any(session, done, TAKE_MAX, 0), error = count < 0 ? count : 0;
    for (int i = 0; i < count; i++) {
        uint64_t value;
        if (error == 0) error = rk_runner_work_check(&done[i], sizeof value, run->result);
        if (error == 0) {
            memcpy(&value, done[i].data, sizeof value);
            error = check_value(run, value, done[i].user_data);
        }
        rask_release(session, &done[i]);
        run->taken++;
    }
    return error;
}

static int exchange(struct run *run)
{
    int error = 0;
    while (error == 0 && rask_pending(run->self->sessions[0]) < run->order->depth) error = send_one(run);
    return error == 0 ? take(run) : error;
}

int rk_runner_bulk(struct rk_runner_work *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct run run = {.self = self, .order = order, .result = result};
    int error = order->depth > 0 && order->way < RK_BULK_WAYS ? prepare(self, order->size) : -EINVAL;
    if (error != 0) return error;
    int (*step)(struct run *) = order->way == RK_BULK_ALONE ? alone : exchange;
    run.middle = rk_work_sum(self->payload.bytes + sizeof(uint64_t), order->size - 2 * sizeof(uint64_t));
    while (error == 0 && run.taken < (uint64_t)LEAD_IN * order->depth) error = step(&run);
    run.taken = 0;
    uint64_t start_ns = rask_now_ns(), now_ns = start_ns;
    while (error == 0 && (now_ns < start_ns + order->duration_ns || run.taken < order->depth)) {
        error = step(&run);
        now_ns = rask_now_ns();
    }
    result->calls = run.taken;
    result->took_ns = now_ns - start_ns;
    result->p50_ns = (double)result->took_ns / (double)(run.taken > 0 ? run.taken : 1);
    while (error == 0 && rask_pending(self->sessions[0]) > 0) error = take(&run);
    return error;
}
