/* SPDX-License-Identifier: MIT */
/* The supervisor's status segment (struct rk_pool_page): what `rask stats` reads when nobody answers questions. Tools find it
 * among the supervisor's descriptors in /proc, see docs/operating.md. Every word is figures: nothing is decided from it. */
#ifndef RK_BOARD_H
#define RK_BOARD_H

struct rk_supervisor;
struct rk_member;

/** Make it, before anybody can connect: among descriptors of its name it has the lowest number. 0 or -errno. */
int rk_board_create(struct rk_supervisor *supervisor);
void rk_board_destroy(struct rk_supervisor *supervisor);

/** The socket is open: whoever knows its lock file knows whose board this is. */
void rk_board_place(struct rk_supervisor *supervisor);

/** Something about this worker has changed. */
void rk_board_member(const struct rk_member *member);

/** Its process is gone, or another one takes over: what its status page has counted since the last time is kept. */
void rk_board_keep(struct rk_member *member);

/** Something about the pool has changed. */
void rk_board_pool(const struct rk_supervisor *supervisor);

#endif
