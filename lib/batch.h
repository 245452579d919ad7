/* SPDX-License-Identifier: MIT */
/* Wakes that several requests need, made together: requests are published at once, bells are bumped at once (so a worker
 * that is just going to sleep does not), and only the kernel's wakes are collected and leave in one io_uring_enter.
 *
 * A client that dies in between leaves nobody asleep who matters: its requests have no taker any more, and the supervisor
 * rings every worker to end its lanes. */
#ifndef RK_BATCH_H
#define RK_BATCH_H

#include "session.h"

/** From here to rk_batch_close(), publishing in this thread collects wakes. No memory: it wakes at once. */
void rk_batch_open(struct rask *s);
void rk_batch_close(struct rask *s);

/** Make the wakes that were collected. */
void rk_batch_wake(struct rask *s);
static inline void rk_batch_flush(struct rask *s)
{
    if (RK_UNLIKELY(s->wakes_held > 0)) rk_batch_wake(s);
}

/** Free it; `ours` false: in a forked child. */
void rk_batch_finish(struct rask *s, bool ours);

#endif
