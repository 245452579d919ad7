/* SPDX-License-Identifier: MIT */
/* A private supervisor: the `rask` binary, started over an inherited socket, shared by the sessions that use it. */
#ifndef RK_LAUNCH_H
#define RK_LAUNCH_H

struct rask;
struct rk_launch;

/** `s` uses the private supervisor of `with`, too. Thread-safe. */
void rk_launch_share(struct rask *s, struct rask *with);

/** A new session's socket through the supervisor that `s` is attached to. The caller owns *socket_out. */
int rk_launch_adopt(struct rask *s, int *socket_out);

/** One session less; the last one waits for the supervisor's end (at most 2 s, then kills it). NULL is allowed. */
void rk_launch_release(struct rk_launch *launch);

#endif
