/* SPDX-License-Identifier: MIT */
/* Boost.Interprocess: a message_queue each way in shared memory. Its queue copies messages in and out under a process-shared
 * mutex and wakes with a condition. Parked: send and receive. Spinning: try_receive again and again, on both sides. The
 * queues are C++: see boost_queue.cc. */
#include "boost_queue.h"
#include "runner_wire.h"
#include "wire_loops.h"
#include <errno.h>
#include <rask/client.h>
#include <stdlib.h>

struct queues {
    struct boost_queue *there, *back, *in, *out;
    size_t size;
    bool spin;
    uint8_t *got;
};

static int put(void *self, const uint8_t *data, size_t bytes)
{
    const struct queues *queues = self;
    return boost_queue_send(queues->out, data, bytes);
}

static int nothing(void *self)
{
    (void)self;
    return 0;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    const struct queues *queues = self;
    *data = queues->got;
    return boost_queue_receive(queues->in, queues->got, queues->size, bytes, queues->spin);
}

static bool never(void *self)
{
    (void)self;
    return false;
}

RK_WIRE_LOOPS(queues, put, nothing, take, never)

/** Before the fork: the mapping is shared, so both processes use the same objects. */
static int open_queues(void **self, struct rk_wire_plan *plan)
{
    char there[48], back[48];
    struct queues *queues = calloc(1, sizeof *queues);
    *self = queues;
    if (queues == NULL) return -ENOMEM;
    *queues = (struct queues){.size = plan->size, .spin = plan->wait_mode == RASK_WAIT_SPIN};
    queues->got = malloc(plan->size);
    rk_wire_unique(there, sizeof there, "rask-bench-boost");
    rk_wire_unique(back, sizeof back, "rask-bench-boost");
    int error = boost_queue_create(&queues->there, there, plan->depth, plan->size);
    if (error == 0) error = boost_queue_create(&queues->back, back, plan->depth, plan->size);
    return queues->got != NULL ? error : -ENOMEM;
}

static int enter(void *self, enum rk_wire_side side)
{
    struct queues *queues = self;
    queues->in = side == RK_WIRE_CLIENT ? queues->back : queues->there;
    queues->out = side == RK_WIRE_CLIENT ? queues->there : queues->back;
    return 0;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct queues *queues = self;
    (void)side;
    if (queues == NULL) return;
    boost_queue_destroy(queues->there);
    boost_queue_destroy(queues->back);
    free(queues->got);
    free(queues);
}

static const struct rk_wire boost = {.name = "Boost.Interprocess",
                                     .spins = "message_queue each way, try_receive again and again",
                                     .parks = "message_queue each way, send and receive",
                                     .open = open_queues,
                                     .enter = enter,
                                     .trips = queues_trips,
                                     .stream = queues_stream,
                                     .answer = queues_answer,
                                     .destroy = destroy};

int main(int argc, char **argv)
{
    static const struct rk_wire *const wires[] = {&boost, NULL};
    return rk_wire_program(argc, argv, wires);
}
