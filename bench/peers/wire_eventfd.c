/* SPDX-License-Identifier: MIT */
/* Shared memory with an eventfd each way: what people write by hand when they want to sleep. Messages lie in rings
 * (floor_slots.h); the descriptor counts those that were sent, and its reader sleeps in read(2). One write for all messages
 * of a flush, one read for all that have come: nothing in user space knows whether the other side sleeps, so that is the
 * least. (Looking first whether it sleeps saves calls, and is where wake-ups get lost: that is what rask's bell is for.) */
#include "floor_slots.h"
#include "wire_loops.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct events {
    struct rk_slots slots;
    int there, back;
    int in_fd, out_fd;
    uint8_t *in, *out;
    uint64_t sent, told, received, known; /* numbers of messages */
};

static int put(void *self, const uint8_t *data, size_t bytes)
{
    struct events *wire = self;
    rk_slot_write(rk_slot_of(&wire->slots, wire->out, ++wire->sent), data, bytes);
    return 0;
}

/** The system calls order the memory: no flag is needed. */
static int flush(void *self)
{
    struct events *wire = self;
    uint64_t count = wire->sent - wire->told;
    if (count == 0) return 0;
    wire->told = wire->sent;
    ssize_t wrote;
    do wrote = write(wire->out_fd, &count, sizeof count);
    while (wrote < 0 && errno == EINTR);
    return wrote == (ssize_t)sizeof count ? 0 : -errno;
}

static bool more(void *self)
{
    const struct events *wire = self;
    return wire->received < wire->known;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    struct events *wire = self;
    while (wire->received == wire->known) {
        uint64_t count;
        ssize_t got = read(wire->in_fd, &count, sizeof count);
        if (got < 0 && errno == EINTR) continue;
        if (got != (ssize_t)sizeof count) return -errno;
        wire->known += count;
    }
    *data = (const uint8_t *)(rk_slot_of(&wire->slots, wire->in, ++wire->received) + 1);
    *bytes = wire->slots.size;
    return 0;
}

RK_WIRE_LOOPS(events, put, flush, take, more)

static int open_events(void **self, struct rk_wire_plan *plan)
{
    struct events *wire = calloc(1, sizeof *wire);
    *self = wire;
    if (wire == NULL) return -ENOMEM;
    wire->there = eventfd(0, EFD_CLOEXEC);
    wire->back = eventfd(0, EFD_CLOEXEC);
    if (wire->there < 0 || wire->back < 0) return -errno;
    return rk_slots_init(&wire->slots, plan->size, plan->depth);
}

static int enter(void *self, enum rk_wire_side side)
{
    struct events *wire = self;
    bool client = side == RK_WIRE_CLIENT;
    wire->in = client ? wire->slots.back : wire->slots.there;
    wire->out = client ? wire->slots.there : wire->slots.back;
    wire->in_fd = client ? wire->back : wire->there;
    wire->out_fd = client ? wire->there : wire->back;
    return 0;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct events *wire = self;
    (void)side;
    if (wire == NULL) return;
    if (wire->there >= 0) close(wire->there);
    if (wire->back >= 0) close(wire->back);
    rk_slots_finish(&wire->slots);
    free(wire);
}

const struct rk_wire rk_wire_eventfd = {.name = "eventfd + shared memory",
                                        .parks = "blocking read of an eventfd; one write for all messages of a flush",
                                        .open = open_events,
                                        .enter = enter,
                                        .trips = events_trips,
                                        .stream = events_stream,
                                        .answer = events_answer,
                                        .destroy = destroy};
