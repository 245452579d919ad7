/* SPDX-License-Identifier: MIT */
/* Reading a deep pipeline without getting into the writer's way.
 *
 * A reader that has caught up looks at the line that is written next, and takes it away from the writer just before: then
 * every message costs a transfer, and what the writer fetched ahead (lines.h) was in vain. So where many messages are in
 * flight, and the other side has enough to do, the reader looks at the slot of the message RK_RUN - 1 places behind the next
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

/** Messages of a run. */
#define RK_RUN 16u
/** From this many in flight on runs are waited for. */
#define RK_RUN_DEEP 32u
/** How many messages ahead a reader fetches lines, of those that are certain. */
#define RK_READ_AHEAD 8u
/** Looks for a run, about 100 ns each. */
#define RK_GATHER_LOOKS 64u
#define RK_COMPANY_LOOKS 6u
#define RK_SKIPS_MAX 63u

struct rk_run {
    uint64_t sure; /* positions below it are published */
    uint16_t skips, left;
};

/** Where a reader is: the slot of its next message, which begins with its sequence. */
struct rk_reading {
    const void *ring;
    const void *next;
    uint32_t mask;
    uint64_t position;
};

static inline bool rk_run_there(const struct rk_reading *at, uint64_t behind)
{
    const uint64_t *slot = rk_slots_behind(at->ring, at->next, (uint32_t)behind, at->mask);
    /* SYNC R1, R2 acquire: as for the next message */
    return rk_load_acquire(slot) == at->position + behind + 1;
}

/** Before a message is read: fetch the line of a later one, and see in time how far the next run has come. */
static inline void rk_run_ahead(struct rk_run *run, const struct rk_reading *at)
{
    uint64_t later = at->position + RK_READ_AHEAD;
    if (RK_LIKELY(later > run->sure)) return;
    if (later == run->sure && rk_run_there(at, RK_READ_AHEAD + RK_RUN - 1)) run->sure += RK_RUN;
    if (later < run->sure) __builtin_prefetch(rk_slots_behind(at->ring, at->next, RK_READ_AHEAD, at->mask));
}

/** Is a whole run there? Then its first lines are on their way. */
static inline bool rk_run_look(struct rk_run *run, const struct rk_reading *at)
{
    if (!rk_run_there(at, RK_RUN - 1)) return false;
    run->sure = at->position + RK_RUN;
    for (uint32_t i = 0; i < RK_READ_AHEAD; i++) __builtin_prefetch(rk_slots_behind(at->ring, at->next, i, at->mask));
    return true;
}

/** Nothing is certain to be there: wait a moment for a run. */
void rk_run_gather(struct rk_run *run, const struct rk_reading *at);

#endif
