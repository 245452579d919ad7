/* SPDX-License-Identifier: MIT */
/* Leases as the caller sees them: blocks of requests that ended, which a worker still reads. A response says which word of the lane
 * will tell the end, and what it will say then; a counter says when to look. Everything that decides is private memory. */
#ifndef RK_LEASE_H
#define RK_LEASE_H

#include "session.h"
#include <rask/lease.h>

/** Leases of one lane. */
struct rk_lane_leases {
    uint32_t count;
    uint32_t ended_seen; /* of the counter */
    struct rk_lease {
        uint64_t ticket;
        uint64_t user_data;
        uint32_t block; /* RK_BLOCK_NONE: the entry is free */
        uint32_t generation;
    } entry[RASK_LEASES_MAX];
};

/** Of the session. */
struct rk_leases {
    rask_lease_fn function;
    void *user;
    uint32_t count;
    uint64_t bytes;
    struct rask_lease_event *event; /* a ring of those that wait to be told */
    uint32_t capacity;
    uint32_t first;
    uint32_t waiting;
};

/** The response just taken (lane->lease) leaves the request's block with the worker, unless that has released it meanwhile. Of
 * nonsense lane->broken is set, and the request has its response all the same. */
void rk_lease_begin(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket);
/** Take back what the lane's worker has released. */
void rk_leases_look(struct rask *s, struct rk_lane *lane);
bool rk_leases_wait(const struct rk_lane *lane);
/** The lane's worker is dead. */
void rk_leases_died(struct rask *s, struct rk_lane *lane);
/** Tell of those that ended. Returns how many. */
uint32_t rk_leases_tell(struct rask *s);
void rk_leases_destroy(struct rask *s);

#endif
