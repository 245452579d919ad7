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

#include "lines.h"
#include <stddef.h>
#include <stdint.h>

/** Slots of a ring that are not used at the same time as the others. */
#define RK_SLOTS_SPARE 3u

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

/** The slot behind `slot`, which is being written, when `in_flight` messages before it are not free yet. */
static inline uint32_t rk_slots_next(uint32_t slot, uint64_t in_flight, uint32_t mask)
{
    if (in_flight == 0) return slot ^ 1;
    return ((in_flight == 1 ? slot | 1 : slot) + 1) & mask;
}

/** A line of the ring, from its number. */
static inline const void *rk_slots_line(const void *ring, uint32_t line)
{
    return (const uint8_t *)ring + (size_t)line * 64;
}

/** The slot `by` places behind the one at `slot`, as long as the pipeline stays deep. */
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
