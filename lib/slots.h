/* SPDX-License-Identifier: MIT */
/* Which slot the next message goes to. Every message names it (layout.h), so a writer may choose; a reader just follows.
 *
 * A caller that waits for each answer (nothing else in flight) goes back and forth between the two slots of the pair. With more
 * in flight the slots of the ring pass by in order, so that both sides can fetch lines ahead.
 *
 * The chosen slot is never in use. One of the pair is chosen only when nothing but the message being written is in flight, and
 * it is not that one's. Those of the ring are given out in order and come free in order: with the one that is announced, at
 * most one more than messages are in flight is in use. */
#ifndef RK_SLOTS_H
#define RK_SLOTS_H

#include "layout.h"
#include "lines.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Slots of a ring that are not used at the same time as the others: the one that is announced. */
#define RK_SLOTS_SPARE 1u

/** From this many in flight on the reader is busy elsewhere: lines can be fetched ahead without taking them away from it. */
#define RK_DEEP 8u
/** How many slots ahead the writer fetches lines, and how many ahead it first gives them up (lines.h). */
#define RK_WRITE_AHEAD 24u
#define RK_FLUSH_AHEAD 64u

/** Consecutive slots lie this many lines apart (in a ring of more than a page; an odd number, so every line has its turn):
 * in different pages, where no processor fetches the next one unasked. Otherwise the reader's processor takes lines away
 * that the writer is about to write. */
#define RK_SLOT_STRIDE 65u

/** Which line of the ring a slot is. */
static inline uint32_t rk_slot_line(uint64_t slot, uint32_t mask)
{
    return (uint32_t)(slot * RK_SLOT_STRIDE) & mask;
}

/** Is this a number that a message may name? It was read from 16 bits. */
static inline bool rk_slot_exists(uint32_t slot, uint32_t mask)
{
    return slot <= mask || slot >= RK_SLOT_PAIR;
}

/** The slot behind `slot`, which is being written, when `in_flight` messages before it are not free yet. `in_ring` is the next
 * one of the ring, 1 at first. */
static inline uint32_t rk_slots_next(uint32_t slot, uint64_t in_flight, uint32_t *in_ring, uint32_t mask)
{
    if (in_flight == 0) return slot >= RK_SLOT_PAIR ? slot ^ 1 : RK_SLOT_PAIR;
    uint32_t next = *in_ring;
    *in_ring = (next + 1) & mask;
    return next;
}

/** Where a slot is that exists. */
static inline const struct rk_request_slot *rk_slot_request(const struct rk_request_slot *ring,
                                                            const struct rk_pair *pair, uint32_t slot, uint32_t mask)
{
    return slot >= RK_SLOT_PAIR ? &pair->request[slot & 1].slot : &ring[rk_slot_line(slot, mask)];
}
static inline const struct rk_response_slot *rk_slot_response(const struct rk_response_slot *ring,
                                                              const struct rk_pair *pair, uint32_t slot, uint32_t mask)
{
    return slot >= RK_SLOT_PAIR ? &pair->response[slot & 1].slot : &ring[rk_slot_line(slot, mask)];
}

/** Copy inline bytes that were just written in smaller pieces, word by word: a wider load would have to wait until the pieces
 * have left the processor's store buffer. */
static inline void rk_copy_inline(uint8_t *to, const uint8_t *from)
{
#pragma GCC unroll 4
    for (unsigned i = 0; i < RASK_INLINE_BYTES; i += 8) {
        uint64_t word;
        memcpy(&word, from + i, 8);
        __asm__("" : "+r"(word)); /* keeps the compiler from widening it again */
        memcpy(to + i, &word, 8);
    }
}

/** A line of the ring, from its number. */
static inline const void *rk_slots_line(const void *ring, uint32_t line)
{
    return (const uint8_t *)ring + (size_t)line * 64;
}

/** Is it one of the ring? */
static inline bool rk_slots_in_ring(const void *ring, const void *slot, uint32_t mask)
{
    return (uintptr_t)slot - (uintptr_t)ring < ((uintptr_t)mask + 1) * 64;
}

/** The slot `by` places behind the one at `slot`, which is in the ring, as long as the pipeline stays deep. */
static inline const void *rk_slots_behind(const void *ring, const void *slot, uint32_t by, uint32_t mask)
{
    uint32_t line = (uint32_t)((size_t)((const uint8_t *)slot - (const uint8_t *)ring) / 64);
    return rk_slots_line(ring, (line + by * RK_SLOT_STRIDE) & mask);
}

/** `slot` was just published with `in_flight` before it: make ready those that will be written soon. `give_up_below`: see
 * rk_slots_give_up_below(). */
static inline void rk_slots_prepare(const void *ring, uint32_t slot, uint64_t in_flight, uint32_t mask,
                                    uint32_t give_up_below)
{
    if (in_flight < RK_DEEP || in_flight + RK_WRITE_AHEAD >= mask) return;
    rk_line_fetch(rk_slots_line(ring, rk_slot_line(slot + RK_WRITE_AHEAD, mask)));
    if (in_flight < give_up_below) rk_line_give_up(rk_slots_line(ring, rk_slot_line(slot + RK_FLUSH_AHEAD, mask)));
}

/** With how many in flight a writer gives up lines: fewer than would bring it to lines in use, none where it does not help. */
static inline uint32_t rk_slots_give_up_below(uint32_t mask)
{
    return rk_lines_stay() && mask > RK_FLUSH_AHEAD + RK_DEEP ? mask - RK_FLUSH_AHEAD - RK_SLOTS_SPARE : 0;
}

#endif
