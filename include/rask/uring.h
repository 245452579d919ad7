/* SPDX-License-Identifier: MIT */
/* For programs whose event loop is an io_uring of their own: wait for completions of rask beside sockets, files and timers,
 * in the same ring. Programs with any other loop use rask_fd() of <rask/client.h>. Needs no liburing: any entry will do.
 *
 * The protocol, all in the session's thread:
 *
 *   for (;;) {
 *       if (!wait_is_under_way) {
 *           rask_prep_wait(session, sqe = io_uring_get_sqe(ring));
 *           io_uring_sqe_set_data(sqe, ...);      // after rask_prep_wait(), which clears the entry
 *           wait_is_under_way = true;
 *       }
 *       limit = rask_next_deadline_ns(session);   // absolute; 0: none
 *       io_uring_submit_and_wait_timeout(...);    // not past the limit
 *       each completion that is the wait's: wait_is_under_way = false
 *       while ((count = rask_poll(session, done, 16)) > 0) ...
 *   }
 *
 * Call rask_poll() until it returns less than asked for whenever the wait completed *or* the limit passed; it also does what deadlines
 * need. One wait at a time is enough, and more do no harm. */
#ifndef RASK_URING_H
#define RASK_URING_H

#include <rask/client.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

struct io_uring_sqe;

/** Fill an entry of the caller's ring: it completes when rask_poll() has something to do. Clears the entry first: set
 * user_data and flags afterwards. Returns 0 when the entry waits. Returns 1 when something is there already: the entry
 * then is a no-op that completes at once, so a program may treat both alike. After an error the entry is such a no-op, too.
 *
 * The entry's result does not matter: 0 (woken), -EAGAIN (rung before the wait began) and -ECANCELED (the program
 * cancelled it, or the thread that submitted it ended) all mean: rask_poll(), then arm anew. While a wait is under way,
 * other functions of the session may be used; one that sleeps itself (rask_wait(), rask_call()) completes the wait.
 *
 * What the entry does not see is time and the death of the supervisor: rask_next_deadline_ns() covers both (while something
 * is in flight, it is never further away than RASK's periodic look of 50 ms; idle, it is 0). Cancel the entry, or let it
 * complete, before rask_reconnect() and rask_close(): one that is forgotten does no harm but never completes.
 * Errors: -ENOTSUP the kernel's io_uring cannot wait on a futex (before Linux 6.7) or io_uring is forbidden: use rask_fd();
 * -EINVAL the session has a descriptor of rask_fd(): it is one or the other; -ENOTCONN not attached (rask_reconnect());
 * -ENOMEM. no-block, session thread. Source: io_uring FUTEX_WAIT (Linux 6.7). */
int rask_prep_wait(struct rask *s, struct io_uring_sqe *sqe);

/** When rask_poll() must be called at the latest, although nothing completed: absolute CLOCK_MONOTONIC, 0 for never. Valid until the
 * next rask_submit() or rask_poll(). no-block, no-syscall, session thread. */
uint64_t rask_next_deadline_ns(const struct rask *s);

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
