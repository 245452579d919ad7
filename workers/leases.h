/* SPDX-License-Identifier: MIT */
/* Leases as a worker holds them: requests of one session whose bytes its handlers keep. */
#ifndef RK_LEASES_H
#define RK_LEASES_H

#include "served.h"
#include "worker.h"
#include <rask/ext/lease.h>

struct rk_served_leases {
    uint32_t count;
    uint64_t bytes; /* memory they take, counted in blocks */
    uint32_t ended; /* how often a word changed: the shared counter */
    struct rk_held {
        bool used;
        uint32_t serial; /* of the stream; 0: of none */
        uint32_t generation;
        uint64_t item;
        uint64_t bytes;
        void *copy; /* the worker's own, NULL: the client's block, whose word says the end */
    } at[RASK_LEASES_MAX];
};

extern const struct rask_lease_host rk_lease_host;

/** The session is gone. Does a handler still hold bytes of it? Then it stays mapped, in the worker's list of those. */
bool rk_leases_keep(struct rk_worker *worker, struct rk_served *served);
/** The table goes, with the copies that are still held. */
void rk_leases_free(struct rk_served_leases *leases);
/** The worker ends. */
void rk_leases_finish(struct rk_worker *worker);

#endif
