/* SPDX-License-Identifier: MIT */
/* Sleeping on more words than one futex_waitv takes: several FUTEX_WAITV requests in one ring, entered with one system
 * call. Needs io_uring and Linux 6.7; without either a worker serves RASK_SESSIONS_MAX_CLASSIC sessions and no more. */
#ifndef RK_REACTOR_CROWD_H
#define RK_REACTOR_CROWD_H

#include "bell.h"

struct rk_crowd;

/** Most words of one sleep. */
#define RK_CROWD_WORDS_MAX (16 * RK_WAIT_WORDS_MAX)

/** Make a ring and try it: it must sleep on two words, stay asleep, and be woken by the second one. 0; -EOPNOTSUPP the
 * kernel has no FUTEX_WAITV request; the errno of the set-up; -EIO the ring does not work. The text of the reason is in
 * rask_last_error(). One thread; not inherited by a fork. */
int rk_crowd_create(struct rk_crowd **out);
void rk_crowd_destroy(struct rk_crowd *crowd);

/** rk_bell_wait() for up to RK_CROWD_WORDS_MAX words. */
int rk_crowd_wait(struct rk_crowd *crowd, const struct rk_wait_word *words, uint32_t count, uint64_t deadline_ns);

#endif
