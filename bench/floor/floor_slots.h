/* SPDX-License-Identifier: MIT */
/* Two rings of slots in memory that both processes may write, one ring each way: what the bare ring and the peer "eventfd"
 * (shared memory, with a descriptor to sleep on) move their bytes with. A slot is a flag and the message: in one cache line
 * up to 56 bytes. There are at least twice as many slots as messages in flight, so nobody has to ask whether one is free:
 * the answer to a message says that its slot is.
 *
 * The flag is the message's number, stored with release and loaded with acquire; nothing else orders. */
#ifndef RK_FLOOR_SLOTS_H
#define RK_FLOOR_SLOTS_H

#include "atomic.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RK_SLOTS_LINE_BYTES 64u

struct rk_slots {
    uint8_t *there; /* client to server */
    uint8_t *back;
    uint64_t stride;
    uint64_t mask;
    size_t size;
    size_t bytes; /* of the whole mapping */
};

/** Map and populate both rings for `depth` messages in flight, before the fork; 1: one slot each way, used again and again. 0 or
 * -ENOMEM. */
int rk_slots_init(struct rk_slots *slots, size_t size, uint32_t depth);
void rk_slots_finish(struct rk_slots *slots);

static inline uint64_t *rk_slot_of(const struct rk_slots *slots, uint8_t *ring, uint64_t number)
{
    return (uint64_t *)(void *)(ring + (number & slots->mask) * slots->stride);
}

static inline void rk_slot_write(uint64_t *slot, const uint8_t *data, size_t bytes)
{
    if (bytes == 32)
        memcpy(slot + 1, data, 32); /* known to the compiler: four words */
    else
        memcpy(slot + 1, data, bytes);
}

#endif
