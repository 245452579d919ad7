/* SPDX-License-Identifier: MIT */
/* rask as a wire, through its public functions: a private supervisor with one worker. One at a time by rask_call(); many in
 * flight by reserve, submit, wait, release; where workers may sleep, those that are submitted together are with one wake. Default limits, except where the messages asked for need more. The plugins are
 * echo (as all peers do) and hello (for the comparison with worker pools of Node.js). */
#include "standstill.h"
#include "target.h"
#include "wire_loops.h"
#include <errno.h>
#include <rask/status.h>
#include <stdio.h>
#include <stdlib.h>

#define TAKE_MAX 64u

struct wire {
    struct rask *session;
    uint32_t method;
    struct rask_completion taken[TAKE_MAX];
    uint32_t taken_count, next;
    const struct rask_request_options *more; /* NULL, or: another submission or a flush follows */
    bool holds;                              /* taken[next - 1] was given out and is not released yet */
};

static int put(void *self, const uint8_t *data, size_t bytes)
{
    struct wire *wire = self;
    struct rask_request request;
    int error = rask_reserve(wire->session, bytes, &request);
    if (error != 0) return error;
    if (bytes == RASK_INLINE_BYTES)
        memcpy(request.data, data, RASK_INLINE_BYTES);
    else
        memcpy(request.data, data, bytes);
    return rask_submit(wire->session, &request, wire->method, bytes, wire->more);
}

static int flush(void *self)
{
    const struct wire *wire = self;
    return wire->more != NULL ? rask_flush(wire->session) : 0;
}

static bool more(void *self)
{
    const struct wire *wire = self;
    return wire->next < wire->taken_count;
}

static void release(struct wire *wire)
{
    if (wire->holds) rask_release(wire->session, &wire->taken[wire->next - 1]);
    wire->holds = false;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    struct wire *wire = self;
    release(wire);
    if (!more(wire)) {
        int count = rask_wait_any(wire->session, wire->taken, TAKE_MAX, 0);
        if (count <= 0) return count < 0 ? count : -EIO;
        wire->taken_count = (uint32_t)count;
        wire->next = 0;
    }
    const struct rask_completion *completion = &wire->taken[wire->next++];
    wire->holds = true;
    *data = completion->data;
    *bytes = completion->length;
    return completion->status == RASK_OK ? 0 : -rask_status_errno(completion->status);
}

RK_WIRE_CALLS(rask, put, flush, take, more)
RK_WIRE_STREAM(rask)

static int stream(void *self, struct rk_talk *talk, const struct rk_slice *slice, struct rk_samples *samples)
{
    int error = rask_stream(self, talk, slice, samples);
    release(self);
    return error;
}

static int trips(void *self, struct rk_talk *talk, uint32_t count)
{
    const struct wire *wire = self;
    int error = 0;
    for (uint32_t i = 0; i < count && error == 0; i++) {
        struct rask_completion answer;
        error = rask_call(wire->session, wire->method, rk_talk_next(talk), talk->size, 0, &answer);
        if (error == 0 && !rk_talk_accepts(talk, answer.data, answer.length)) error = -EBADMSG;
        rask_release(wire->session, &answer);
    }
    return error;
}

/* Wakes of workers that sleep leave with the flush, together. */
static const struct rask_request_options more_follows = {.size = sizeof more_follows, .flags = RASK_SUBMIT_MORE};

static struct rask_options limits(const struct rk_wire_plan *plan)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    uint64_t slab_bytes = (plan->depth + 1ull) * 4 * plan->size;
    if (plan->size > RASK_PAYLOAD_BYTES_MAX_DEFAULT) options.payload_bytes_max = (uint32_t)plan->size;
    if (plan->depth >= RASK_QUEUE_MAX_DEFAULT) options.queue_max = plan->depth + 1;
    if (slab_bytes > RASK_SLAB_BYTES_MAX_LIMIT) slab_bytes = RASK_SLAB_BYTES_MAX_LIMIT;
    if (slab_bytes > RASK_SLAB_BYTES_MAX_DEFAULT) options.slab_bytes_max = slab_bytes;
    return options;
}

static int open_plugin(void **self, const struct rk_wire_plan *plan, const char *plugin, const char *method)
{
    char cpu[16];
    const struct rask_options options = limits(plan);
    struct rk_target target = {.plugin = plugin, .workers = 1, .wait_mode = plan->wait_mode};
    struct wire *wire = calloc(1, sizeof *wire);
    *self = wire;
    if (wire == NULL) return -ENOMEM;
    /* Who spins needs no wake. */
    if (plan->wait_mode != RASK_WAIT_SPIN) wire->more = &more_follows;
    snprintf(cpu, sizeof cpu, "%d", plan->server_cpu);
    if (plan->server_cpu >= 0) target.pin_workers = cpu;
    unsetenv("RASK_BARRIER");
    int error = rk_target_open(&wire->session, &target, &options);
    if (error == 0) wire->method = (uint32_t)rask_method(wire->session, method);
    return error;
}

static int open_echo(void **self, struct rk_wire_plan *plan)
{
    return open_plugin(self, plan, "echo", "echo");
}

static int open_hello(void **self, struct rk_wire_plan *plan)
{
    return open_plugin(self, plan, "hello", "join");
}

static void servers(void *self, struct rk_standstill *found)
{
    const struct wire *wire = self;
    struct rask_info info = {.size = sizeof info};
    rk_standstill_init(found, rask_info(wire->session, &info) == 0 ? (pid_t)info.supervisor_pid : 0);
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct wire *wire = self;
    (void)side;
    if (wire == NULL) return;
    rask_close(wire->session);
    free(wire);
}

#define SPINS "wait mode spin on both sides"
#define PARKS "wait mode park on both sides"

const struct rk_wire rk_wire_rask = {.name = "rask",
                                     .spins = SPINS ", plugin echo",
                                     .parks = PARKS ", plugin echo",
                                     .alone = true,
                                     .open = open_echo,
                                     .trips = trips,
                                     .stream = stream,
                                     .destroy = destroy,
                                     .servers = servers};

const struct rk_wire rk_wire_rask_hello = {.name = "rask hello",
                                           .spins = SPINS ", plugin hello, method join",
                                           .parks = PARKS ", plugin hello, method join",
                                           .alone = true,
                                           .open = open_hello,
                                           .trips = trips,
                                           .stream = stream,
                                           .destroy = destroy,
                                           .servers = servers};
