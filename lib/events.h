/* SPDX-License-Identifier: MIT */
/* A client that sleeps in an event loop of its own: rask_fd() and rask_prep_wait().
 *
 * The futex protocol of bell.h stays as it is; only its last step, the sleep, happens elsewhere:
 *
 *   rask_poll() found nothing:  drain the descriptor      (what was signalled so far has been seen)
 *                               seen = load bell, announce PARKED, heavy barrier, look once more
 *                               found: withdraw, make the descriptor readable
 *                               else: arm, the caller's loop sleeps
 *   rask_poll() found some:     withdraw, make the descriptor readable: it stays so until a poll finds nothing
 *   rask_wait*, rask_call:      the same before they sleep by themselves
 *
 * The descriptor of rask_fd() is an epoll of three: an eventfd for the bell, a timerfd for deadlines and the rare looks (set
 * only while something is in flight), and the control socket. The eventfd is written by the kernel for the futex wait of
 * a private io_uring, or by a helper thread (events_helper.c) where that is not allowed. Neither is ever handed out.
 *
 * Nothing of this exists before the first call of either function. */
#ifndef RK_EVENTS_H
#define RK_EVENTS_H

#include "session.h"

/** End of rask_poll(): `count` completions were taken. */
void rk_events_polled(struct rask *s, int count);
/** The session sleeps by itself, or has something to hand over outside rask_poll(): the loop must come and look. */
void rk_events_disturb(struct rask *s);
/** Something was submitted: a timer may be due earlier. */
void rk_events_submitted(struct rask *s);
/** The socket is about to be closed. */
void rk_events_unwatch(struct rask *s);
/** The bell is about to be unmapped; `ours` false: in a forked child. */
void rk_events_detach(struct rask *s, bool ours);
/** The session is attached (again). 0 or -errno. */
int rk_events_attach(struct rask *s);
void rk_events_finish(struct rask *s, bool ours);

/* events_helper.c: a thread that waits on the bell and writes the eventfd. */
struct rk_helper;
int rk_helper_start(struct rk_helper **out, uint32_t *bell, int eventfd);
/** Wait on the bell while it is `seen`; ends by itself with the first ring. */
void rk_helper_arm(struct rk_helper *helper, uint32_t seen);
/** Stop it and wait for its end. `ours` false: in a forked child, which has no such thread. NULL is allowed. */
void rk_helper_stop(struct rk_helper *helper, bool ours);

#endif
