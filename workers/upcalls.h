/* SPDX-License-Identifier: MIT */
/* Upcalls as a worker makes them. */
#ifndef RK_UPCALLS_H
#define RK_UPCALLS_H

#include "host.h"
#include "served.h"
#include <rask/ext/upcall.h>

/** The upcall in a worker's hands; there is one per worker. */
struct rk_asking {
    uint32_t block; /* of its request, RK_BLOCK_NONE: `bytes` */
    uint32_t reserved_bytes;
    uint8_t bytes[RASK_INLINE_BYTES] __attribute__((aligned(8)));
    struct rk_answer answer;
    uint8_t *copy; /* of an answer, grown as needed */
    size_t copy_bytes;
};

extern const struct rask_upcall_host rk_upcall_host;

/** Give back what was reserved for a request of an upcall. */
void rk_asking_reset(struct rk_handling *handling);

#endif
