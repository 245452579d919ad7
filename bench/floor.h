/* SPDX-License-Identifier: MIT */
/* The least that a round trip between two processes can cost here: hand-written ping-pongs over bare shared cache lines,
 * with a forked peer. Payload is written by one side and read and copied back by the other; the answer is compared.
 *
 *   up to 32 bytes   flag and 32 bytes of payload share one line
 *   more             a line with the flag, then the payload from the next line on
 *
 * Each in one buffer per direction that is used again and again, and in a ring with a fresh buffer per message; each with
 * and without `pause` while waiting (with sched_yield instead where both sides share one processor).
 * Small ones also over one line that both sides write: faster, for a read brings ownership along, but only a reference
 * and no candidate: no channel can do so whose memory has one writer, and with one call in flight only.
 *
 * Between slices the peer sleeps in read(2) on a socket, so it takes no time from a worker on the same processor. It ends
 * with the floor, and when the parent dies (end of file, PR_SET_PDEATHSIG). */
#ifndef RK_FLOOR_H
#define RK_FLOOR_H

#include "slice.h"
#include <stdint.h>

#define RK_FLOOR_INLINE_BYTES 32u
#define RK_FLOOR_VARIANTS_MAX 6u

struct rk_floor_options {
    uint64_t size;   /* payload bytes */
    int peer_cpu;    /* -1: the peer is not pinned */
    bool shared_cpu; /* both sides run on one processor: yield while waiting */
};

struct rk_floor;

/** Map the memory and fork the peer; in a program without threads. 0, -ENOMEM, or the errno of socketpair or fork. A peer that
 * cannot be pinned ends at once: the first round trip says -ECHILD. */
int rk_floor_create(struct rk_floor **out, const struct rk_floor_options *options);

/** End the peer, reap it, free everything. NULL is allowed. */
void rk_floor_destroy(struct rk_floor *floor);

/** The variants, as contenders for rk_slice_run(). Errors of round trips: -EBADMSG an answer differs, -ECHILD the peer is
 * gone. A contender that is `reference` is shown but no candidate for the floor. */
uint32_t rk_floor_count(const struct rk_floor *floor);
const struct rk_contender *rk_floor_contender(struct rk_floor *floor, uint32_t variant);
bool rk_floor_is_reference(const struct rk_floor *floor, uint32_t variant);

/** Let the peer run, before a round of slices, and put it to sleep after it. Other slices must come in between only while
 * it sleeps. 0 or a negative errno. */
int rk_floor_wake(struct rk_floor *floor);
int rk_floor_park(struct rk_floor *floor);

#endif
