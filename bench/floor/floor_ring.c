/* SPDX-License-Identifier: MIT */
/* The floor of a pipeline: a bare ring each way between two processes, both spinning, and nothing else; and the same with a
 * single line each way, which is the floor of one at a time (floor.h has more shapes of that). Measured as
 * a wire (wire.h), so that the loop around it is the one that the peers and rask have. Nobody notices that the other side
 * died: the runner that waits for it is ended from outside. */
#include "floor_slots.h"
#include "wire_loops.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int rk_slots_init(struct rk_slots *slots, size_t size, uint32_t depth)
{
    uint64_t count = 1;
    while (depth > 1 && count < 2ull * depth) count *= 2;
    *slots = (struct rk_slots){.size = size, .mask = count - 1};
    slots->stride = (sizeof(uint64_t) + size + RK_SLOTS_LINE_BYTES - 1) / RK_SLOTS_LINE_BYTES * RK_SLOTS_LINE_BYTES;
    slots->bytes = 2 * count * slots->stride;
    void *at = mmap(NULL, slots->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) return -ENOMEM;
    slots->there = at;
    slots->back = slots->there + count * slots->stride;
    return 0;
}

void rk_slots_finish(struct rk_slots *slots)
{
    if (slots->there != NULL) munmap(slots->there, slots->bytes);
    slots->there = NULL;
}

struct ring {
    struct rk_slots slots;
    uint8_t *in, *out;
    uint64_t sent, received;
    bool pauses;
};

static int put(void *self, const uint8_t *data, size_t bytes)
{
    struct ring *ring = self;
    uint64_t *slot = rk_slot_of(&ring->slots, ring->out, ++ring->sent);
    rk_slot_write(slot, data, bytes);
    rk_store_release(slot, ring->sent);
    return 0;
}

static int flush(void *self)
{
    (void)self;
    return 0;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    struct ring *ring = self;
    const uint64_t *slot = rk_slot_of(&ring->slots, ring->in, ++ring->received);
    while (rk_load_acquire(slot) != ring->received)
        if (ring->pauses) rk_pause();
    *data = (const uint8_t *)(slot + 1);
    *bytes = ring->slots.size;
    return 0;
}

static bool more(void *self)
{
    (void)self;
    return false;
}

RK_WIRE_LOOPS(ring, put, flush, take, more)

static int open_with(void **self, const struct rk_wire_plan *plan, uint32_t depth, bool pauses)
{
    struct ring *ring = calloc(1, sizeof *ring);
    *self = ring;
    if (ring == NULL) return -ENOMEM;
    ring->pauses = pauses;
    return rk_slots_init(&ring->slots, plan->size, depth);
}

static int open_ring(void **self, struct rk_wire_plan *plan)
{
    return open_with(self, plan, plan->depth, false);
}

static int open_ring_pause(void **self, struct rk_wire_plan *plan)
{
    return open_with(self, plan, plan->depth, true);
}

static int open_line(void **self, struct rk_wire_plan *plan)
{
    plan->depth = 1;
    return open_with(self, plan, 1, false);
}

static int open_line_pause(void **self, struct rk_wire_plan *plan)
{
    plan->depth = 1;
    return open_with(self, plan, 1, true);
}

static int enter(void *self, enum rk_wire_side side)
{
    struct ring *ring = self;
    ring->in = side == RK_WIRE_CLIENT ? ring->slots.back : ring->slots.there;
    ring->out = side == RK_WIRE_CLIENT ? ring->slots.there : ring->slots.back;
    return 0;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct ring *ring = self;
    (void)side;
    if (ring == NULL) return;
    rk_slots_finish(&ring->slots);
    free(ring);
}

#define FLOOR(floor_name, how, open_)                                                                          \
    {                                                                                                          \
        .name = floor_name, .spins = how "; no deadline, no death, one thread", .open = open_, .enter = enter, \
        .trips = ring_trips, .stream = ring_stream, .answer = ring_answer, .destroy = destroy                  \
    }

/* Which is quickest depends on how far the processors are apart: the best one is the floor. */
const struct rk_wire rk_wire_ring = FLOOR("bare ring", "a flag per message", open_ring);
const struct rk_wire rk_wire_ring_pause = FLOOR("bare ring, pause", "a flag per message, with pause", open_ring_pause);
const struct rk_wire rk_wire_line = FLOOR("bare line", "one slot each way", open_line);
const struct rk_wire rk_wire_line_pause = FLOOR("bare line, pause", "one slot each way, with pause", open_line_pause);
