/* SPDX-License-Identifier: MIT */
/* Between the two files that know liburing: one way to set up a ring. */
#ifndef RK_REACTOR_RING_H
#define RK_REACTOR_RING_H

#include <liburing.h>

/** Set up a ring of this process that a fork does not inherit. 0 or -errno; *how is a static text: the flags, or the step
 * that failed. */
int rk_ring_set_up(struct io_uring *ring, unsigned entries, const char **how);

/** Submit, and wait for one completion at most `limit_ns` (UINT64_MAX: for ever). 0, -ETIME, -EINTR, ... */
int rk_ring_wait(struct io_uring *ring, uint64_t limit_ns);

#endif
