/* SPDX-License-Identifier: MIT */
/* Which slot the next message goes to. Every message names it (layout.h), so a writer may choose; a reader just follows.
 *
 * A caller that waits for each answer (nothing else in flight) goes back and forth between the two slots of a pair, whose
 * lines both caches hold. With more in flight the slots pass by in order, so that both sides can fetch lines ahead.
 *
 * The chosen slot is never in use as long as at most RK_SLOTS_SPARE fewer messages than slots are in flight: let p0 < p1 <
 * ... be in flight, oldest first. p0's successor is in the same pair or at most two slots on, p1's at most two slots on, and
 * from p2 on there were two or more in flight, so each follows right behind the one before. The slots in use therefore lie
 * within a window of (in flight + 3) slots, and the next one is at its end. */
#ifndef RK_SLOTS_H
#define RK_SLOTS_H

#include <stdint.h>

/** Slots of a ring that are not used at the same time as the others. */
#define RK_SLOTS_SPARE 3u

/** From this many in flight on the reader is busy elsewhere: lines can be fetched ahead without taking them away from it. */
#define RK_DEEP 8u
/** How many slots ahead the writer and the reader fetch. */
#define RK_WRITE_AHEAD 12u
#define RK_READ_AHEAD 16u

/** Consecutive slots lie this many lines apart (in a ring of more than a page; an odd number, so every line has its turn):
 * in different pages, where no processor fetches the next one unasked. Otherwise the reader's processor takes lines away
 * that the writer is about to write. */
#define RK_SLOT_STRIDE 65u

/** Which line of the ring a slot is. */
static inline uint32_t rk_slot_line(uint64_t slot, uint32_t mask)
{
    return (uint32_t)(slot * RK_SLOT_STRIDE) & mask;
}

/** The slot behind `slot`, which is being written, when `in_flight` messages before it are not free yet. */
static inline uint32_t rk_slots_next(uint32_t slot, uint64_t in_flight, uint32_t mask)
{
    if (in_flight == 0) return slot ^ 1;
    return ((in_flight == 1 ? slot | 1 : slot) + 1) & mask;
}

#endif
