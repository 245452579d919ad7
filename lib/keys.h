/* SPDX-License-Identifier: MIT */
/* Keyed requests: those of one session with the same key go to one worker, in the order in which they were submitted.
 *
 * A key is bound to a lane as long as that lane holds a request with it: one that waits there, runs there, or timed out
 * there and may still run. What cannot go to that lane yet waits here, first in, first out, and not in the backlog's list;
 * it counts as backlog. Once the lane holds none (answered, retracted, or its worker proven dead), the key may go to another
 * lane; it prefers the worker it had.
 *
 * Private memory, a table of RK_KEYS_MAX entries made at the first key. An idle key keeps its entry until another needs it,
 * the longest idle one first. */
#ifndef RK_KEYS_H
#define RK_KEYS_H

#include "ticket.h"
#include <rask/limits.h>

#define RK_KEYS_MAX RASK_KEYS_MAX
#define RK_KEY_BUCKETS RASK_KEYS_MAX

struct rask;
struct rk_lane;

/** One key. It is in the list of idle keys, in that of keys for which tickets wait, or (all its tickets are bound) in none. */
struct rk_key {
    uint64_t key;   /* 0: the entry was never used */
    uint32_t bound; /* positions of its lane that hold its requests */
    uint32_t turns; /* requests that were submitted with it */
    uint32_t worker;
    uint16_t lane;  /* that they are in, or that they were in last */
    uint16_t list;  /* RK_KEYS_* */
    uint32_t chain; /* next of the bucket */
    uint32_t next;
    uint32_t previous;
    struct rk_ticket_list waiting;
};

enum { RK_KEYS_BUSY, RK_KEYS_IDLE, RK_KEYS_WAITING, RK_KEYS_LISTS };

struct rk_keys {
    uint32_t used; /* entries that were ever used */
    uint32_t head[RK_KEYS_LISTS];
    uint32_t tail[RK_KEYS_LISTS];
    uint32_t bucket[RK_KEY_BUCKETS];
    struct rk_key entry[RK_KEYS_MAX];
};

/** The entry of a key, made if there is none. 0, -ENOMEM, -EAGAIN all entries are in use. */
int rk_key_find(struct rask *s, uint64_t key, uint32_t *index);

/** The lane that may have the next request of the key: NULL for now if it must wait. */
struct rk_lane *rk_key_lane(struct rask *s, uint32_t index);

/** Must this one wait for a worker that waits for a function of the caller? */
bool rk_key_upcalling(const struct rask *s, const struct rk_ticket *ticket);

/** Its lane holds one more; one fewer. */
void rk_key_bound(struct rask *s, const struct rk_ticket *ticket);
void rk_key_unbound(struct rask *s, const struct rk_ticket *ticket);

/** It is marked in its lane: whether it runs there or comes back is open until its answer, so nothing may follow it into that
 * lane. The key takes no lane until none holds a request of it. */
void rk_key_hold(struct rask *s, const struct rk_ticket *ticket);

/** A QUEUED ticket waits for its key's lane, in its turn: requests that a worker skipped come back one by one, after others that
 * lay behind them. */
void rk_key_wait(struct rask *s, struct rk_ticket *ticket);
void rk_key_unwait(struct rask *s, struct rk_ticket *ticket);

/** First ticket that waits for this key, or NULL. */
struct rk_ticket *rk_key_first(const struct rask *s, uint32_t index);

/** First key for which a ticket waits, the one behind it; RK_KEYS_MAX: none. */
uint32_t rk_key_next_waiting(const struct rask *s, uint32_t index);

#endif
