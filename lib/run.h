/* SPDX-License-Identifier: MIT */
/* Reading a deep pipeline without getting into the writer's way.
 *
 * A reader that has caught up looks at the line that is written next, and takes it away from the writer just before: then
 * every message costs a transfer, and what the writer fetched ahead (lines.h) was in vain. So where many messages are in
 * flight, and the other side has enough to do, the reader looks at the slot of a message some places behind the next
 * one. When that is there all before it are, a *run*: their lines are fetched at once, and nobody looks at one that is not written.
 *
 * What it costs: a message may wait a moment for company. It is bounded: RK_GATHER_LOOKS looks, and RK_COMPANY_LOOKS once the
 * next one is there. A reader that waited in vain leaves it for the next 1, 3, 7 .. RK_SKIPS_MAX times. */
#ifndef RK_RUN_H
#define RK_RUN_H

#include "atomic.h"
#include "check.h"
#include "slots.h"
#include <stdbool.h>
#include <stdint.h>

/** A run is a third of what is in flight, at most this long. Lines are fetched half a run before they are read. */
#define RK_RUN_MAX 32u
/** From this many in flight on runs are waited for. */
#define RK_RUN_DEEP 24u
/** Messages of a run that may go by the pair. */
#define RK_RUN_PAIR 2u
/** Looks for a run, about 100 ns each. */
#define RK_GATHER_LOOKS 64u
#define RK_COMPANY_LOOKS 6u
#define RK_SKIPS_MAX 63u

struct rk_run {
    uint64_t sure; /* positions below it are published */
    uint16_t length;
    uint16_t skips, left; /* times that it is not waited for */
};

/** Where a reader is: the slot of its next message, which begins with its sequence. */
struct rk_reading {
    const void *ring;
    const void *next;
    uint32_t mask;
    uint64_t position;
};

static inline uint32_t rk_run_length(uint64_t in_flight)
{
    return in_flight / 3 < RK_RUN_MAX ? (uint32_t)in_flight / 3 : RK_RUN_MAX;
}

/** Is the message there that is `behind` places behind the next one? When the ring was empty before, one or two of those between
 * went by the pair, and a later one is in its slot, which is as good. If the next one itself is in the pair, the answer may be no
 * although it is there. */
static inline bool rk_run_there(const struct rk_reading *at, uint32_t behind)
{
    const uint64_t *slot = rk_slots_behind(at->ring, at->next, behind, at->mask);
    /* SYNC R1, R2 acquire: as for the next message */
    return rk_load_acquire(slot) - (at->position + behind + 1) <= RK_RUN_PAIR;
}

/** Before a message is read: fetch the line of a later one, and see in time how far the next run has come. The line that this is
 * seen from is asked for a quarter of a run earlier, so that nobody waits for it. */
static inline void rk_run_ahead(struct rk_run *run, const struct rk_reading *at)
{
    if (at->position >= run->sure) return;
    uint32_t length = run->length, ahead = length / 2;
    uint64_t later = at->position + ahead;
    if (later + length / 4 == run->sure)
        __builtin_prefetch(rk_slots_behind(at->ring, at->next, ahead + length / 4 + length - 1, at->mask));
    if (later == run->sure && rk_run_there(at, ahead + length - 1)) run->sure += length;
    if (later < run->sure) __builtin_prefetch(rk_slots_behind(at->ring, at->next, ahead, at->mask));
}

/** Is a whole run there, of what is in flight? Then its first lines are on their way. */
static inline bool rk_run_look(struct rk_run *run, const struct rk_reading *at, uint64_t in_flight)
{
    uint32_t length = rk_run_length(in_flight);
    if (!rk_run_there(at, length - 1)) return false;
    run->sure = at->position + length;
    run->length = (uint16_t)length;
    for (uint32_t i = 0; i < length / 2; i++) __builtin_prefetch(rk_slots_behind(at->ring, at->next, i, at->mask));
    return true;
}

/** What was certain has been read, and waiting for the next run is better than looking at a line that may not be written. */
static inline bool rk_run_over(const struct rk_run *run, uint64_t position, uint64_t in_flight)
{
    return run->sure <= position && in_flight >= RK_RUN_DEEP && run->left == 0;
}

/** Nothing is certain to be there, and so much is in flight: wait a moment for a run. */
void rk_run_gather(struct rk_run *run, const struct rk_reading *at, uint64_t in_flight);

#endif
