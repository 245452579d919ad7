/* SPDX-License-Identifier: MIT */
/* The ideal that a pool of workers is measured against: one queue, first come first served, and whoever is free takes the
 * next request at once. Computed from the arrivals and service times that were measured (G/G/c), so that nothing is assumed
 * about either. Pure. */
#ifndef RK_QUEUE_MODEL_H
#define RK_QUEUE_MODEL_H

#include <stdint.h>

#define RK_QUEUE_SERVERS_MAX 256u

struct rk_queue_request {
    uint64_t arrival_ns;
    uint64_t service_ns;
    uint64_t wait_ns; /* out: from the arrival until a server begins */
};

/** `requests` in the order of their arrival. 0, or -EINVAL: no server or more than RK_QUEUE_SERVERS_MAX, or an arrival
 * before the one ahead of it. */
int rk_queue_model(struct rk_queue_request *requests, uint64_t count, uint32_t servers);

/** Jain's index of what `count` parties got: 1 all the same, 1/count one has everything; 0 when there is nothing. */
double rk_jain_index(const double *shares, uint32_t count);

#endif
