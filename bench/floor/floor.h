/* SPDX-License-Identifier: MIT */
/* The least that a round trip between two processes can cost here: hand-written ping-pongs over bare shared cache lines,
 * with a forked peer. Payload is written by one side and read and copied back by the other; the answer is compared. Up to
 * 32 bytes share one line with the flag; more begin on the line behind it. With and without `pause` while waiting (with
 * sched_yield instead where both sides share one processor), in several shapes:
 *   candidates   one buffer per direction, used again and again; a ring with a fresh buffer per message
 *   two writers  (small only) one line that both sides write, with one call in flight only: no channel can do so
 *   sealed       one buffer per direction, and two in turn, in memory that the kernel lets one side write alone
 *
 * Between slices the peer sleeps in read(2) on a socket, so it takes no time from a worker on the same processor. It ends
 * with the floor, and when the parent dies (end of file, PR_SET_PDEATHSIG). */
#ifndef RK_FLOOR_H
#define RK_FLOOR_H

#include "slice.h"
#include <stdint.h>

#define RK_FLOOR_INLINE_BYTES 32u
#define RK_FLOOR_VARIANTS_MAX 10u

/** What a variant stands for. */
enum rk_floor_kind {
    RK_FLOOR_CANDIDATE,   /* memory that both may write: the best of these is the floor */
    RK_FLOOR_TWO_WRITERS, /* a reference: both really do write the same line */
    RK_FLOOR_SEALED       /* a reference: sealed as rask's segments are, mapped read-only by the reader */
};

struct rk_floor_options {
    uint64_t size;   /* payload bytes */
    int peer_cpu;    /* -1: the peer is not pinned */
    bool shared_cpu; /* both sides run on one processor: yield while waiting */
};

struct rk_floor;

/** Map the memory and fork the peer; in a program without threads. 0, -ENOMEM, or the errno of
 * memfd_create, fcntl, socketpair or fork. A peer that cannot be pinned ends at once: the first round trip says -ECHILD. */
int rk_floor_create(struct rk_floor **out, const struct rk_floor_options *options);

/** End the peer, reap it, free everything. NULL is allowed. */
void rk_floor_destroy(struct rk_floor *floor);

/** The variants, as contenders for rk_slice_run(). Errors of round trips: -EBADMSG an answer differs, -ECHILD the peer is
 * gone. */
uint32_t rk_floor_count(const struct rk_floor *floor);
const struct rk_contender *rk_floor_contender(struct rk_floor *floor, uint32_t variant);
enum rk_floor_kind rk_floor_kind(const struct rk_floor *floor, uint32_t variant);

/** Let the peer run, before a round of slices, and put it to sleep after it. Other slices must come in between only while
 * it sleeps. 0 or a negative errno. */
int rk_floor_wake(struct rk_floor *floor);
int rk_floor_park(struct rk_floor *floor);

#endif
