/* SPDX-License-Identifier: MIT */
/* Upcalls as the caller sees them. A lane has one slot for a request of its worker and one for the answer: a worker runs one
 * handler at a time, and that waits. The worker uses its slot again only after the answer to the upcall before came, even if
 * nobody waited for it any more; so what is read here does not change while it is read, unless the worker misbehaves.
 *
 * Functions run where callbacks run, never in the middle of taking responses. */
#ifndef RK_UPCALL_H
#define RK_UPCALL_H

#include "session.h"
#include <rask/upcall.h>

/** One function inside the other, at most: their stack frames add up. More wait. */
#define RK_UPCALL_DEPTH_MAX 16u

struct rk_upcalls {
    uint32_t count;
    uint32_t depth; /* functions that run, one inside the other */
    struct rk_upcall_entry {
        uint32_t hash;
        char name[RASK_METHOD_NAME_BYTES_MAX + 1];
        rask_upcall_fn function;
        void *user;
    } entry[RASK_UPCALLS_MAX];
};

/** Has the lane's worker a new one? Then it is due. */
void rk_upcall_look(struct rask *s, struct rk_lane *lane);
/** Would that find one? */
bool rk_upcall_waits(const struct rask *s, const struct rk_lane *lane);
/** Run what is due. Returns how many ran. */
uint32_t rk_upcalls_run(struct rask *s);
/** The lane's worker is gone, or its handler has returned: it reads the answer no more. */
void rk_upcall_forget_answer(struct rask *s, struct rk_lane *lane);
/** In such a function: does all that is in flight depend on workers that wait for it and others? */
bool rk_upcall_stuck(const struct rask *s);
/** Is no worker left but those that wait for functions that run just now? */
bool rk_upcall_blocks(const struct rask *s);

#endif
