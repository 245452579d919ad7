/* SPDX-License-Identifier: MIT */
/* Futex operations of io_uring (Linux 6.7), for clients: a private ring that makes an eventfd readable when a bell is rung,
 * a ring that wakes many bells in one system call, and the entry for a ring that belongs to the application.
 *
 * A ring belongs to the thread that made it (SINGLE_ISSUER for the waiting one) and is not inherited over fork. */
#ifndef RK_REACTOR_FUTEX_H
#define RK_REACTOR_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

struct io_uring_sqe;
struct rk_futex_ring;

/** A ring whose completions make `eventfd` readable; -1: a ring for wakes only. 0, or the errno of the step that failed:
 * -ENOTSUP when the kernel has no futex operations. */
int rk_futex_ring_create(struct rk_futex_ring **out, int eventfd);
/** `ours` false: in a forked child, where the ring is not mapped. NULL is allowed. */
void rk_futex_ring_destroy(struct rk_futex_ring *ring, bool ours);

/** Collect what came, before the eventfd is read: from here on only new completions make it readable. One system call,
 * none when no wait is under way. */
void rk_futex_ring_collect(struct rk_futex_ring *ring);
/** Wait on `word` while it is `seen`. A wait that is still under way does as well: a ring wakes it, whatever it had seen. 0
 * or -errno; -EEXIST: the ring is another thread's. */
int rk_futex_ring_arm(struct rk_futex_ring *ring, uint32_t *word, uint32_t seen);

/** Wake everybody who waits on these words: one system call. 0, or -errno: then wake them some other way. */
int rk_futex_ring_wake(struct rk_futex_ring *ring, uint32_t *const *words, uint32_t count);

/** Fill an entry of any ring: wait on `word` while it is `seen`; or do nothing and complete at once. */
void rk_futex_prep_wait(struct io_uring_sqe *sqe, const uint32_t *word, uint32_t seen);
void rk_futex_prep_nothing(struct io_uring_sqe *sqe);
/** Has this kernel the wait? Asked once. 0, -ENOTSUP, or the errno of a ring that cannot be made. */
int rk_futex_prep_allowed(void);

#endif
