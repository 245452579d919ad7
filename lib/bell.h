/* SPDX-License-Identifier: MIT */
/* Publish, park, wake: the only file that calls futex and membarrier.
 *
 * Publishing must not pay for the sleeper, so the barrier is on the side that sleeps:
 *
 *   ringer                                  sleeper
 *   ------                                  -------
 *   store message, release (R1, R2)         seen = load bell            (R10)
 *   light barrier                           state |= PARKED             (R4)
 *   load state                 (R4)         HEAVY barrier
 *   if PARKED: bell += 1, wake (R10)        look once more; found: no sleep
 *                                           futex wait while bell == seen
 *                                           state &= ~PARKED
 *
 * No wake-up is lost: the heavy barrier makes every running registered thread execute a full barrier at some point
 * during the call. If a ringer's store comes before that point, it is visible to the sleeper's second look. If it comes
 * after, the ringer's later load of `state` sees PARKED, and it bumps the bell: before the sleeper's wait, which then
 * returns at once because the value differs, or after, and the wake finds it. `seen` is read before the look, so a bump
 * between look and wait is never missed. Where one of the two is not registered, `state` carries FENCED and both sides
 * execute a full fence instead.
 *
 * What no barrier can prevent is a ringer that is killed between its store and its wake: the supervisor rings for it. */
#ifndef RK_BELL_H
#define RK_BELL_H

#include "atomic.h"
#include "check.h"
#include "layout.h"
#include <stdbool.h>
#include <stdint.h>

/** Register this process for the heavy barrier; once, repeated calls are cheap. False where the kernel refuses (then the
 * process must ask for FENCED). RASK_BARRIER=fence in the environment forces false. */
bool rk_membarrier_register(void);

/** Full barrier on every running registered thread of the machine (membarrier GLOBAL_EXPEDITED), and here. */
void rk_heavy_barrier(void);

/** Bump, and wake whoever waits there, whatever its state. A system call. (A client's bell may have a ring of its event loop
 * asleep on it beside a thread.) */
void rk_bell_ring(uint32_t *bell);

/** Bells that were bumped and whose sleepers were not woken yet. */
#define RK_BELL_BATCH_MAX 64u
struct rk_bell_batch {
    uint32_t count;
    uint32_t *word[RK_BELL_BATCH_MAX];
};

/** From now on rk_publish() in this thread bumps at once and leaves the wakes to the owner of `batch` (NULL: no more). When
 * the batch is full it wakes by itself. */
void rk_bell_collect(struct rk_bell_batch *batch);
/** Wake who sleeps on bells that were bumped: a system call for each. */
void rk_bell_wake(uint32_t *const *words, uint32_t count);

/** Out of line part of rk_publish(). */
void rk_publish_slow(const uint32_t *state, uint32_t *bell);

/** After the release store of a message: ring the peer if it sleeps. No system call otherwise. */
static inline void rk_publish(const uint32_t *state, uint32_t *bell)
{
    rk_light_barrier();
    /* SYNC R4 relaxed load after light barrier: pairs with rk_park_announce */
    if (RK_UNLIKELY(rk_load_relaxed(state) != 0)) rk_publish_slow(state, bell);
}

/** Announce and withdraw sleep in one waiter word. The caller runs rk_park_barrier() once after all announcements, looks
 * once more, and only then waits. */
void rk_park_announce(uint32_t *state);
void rk_park_withdraw(uint32_t *state);
void rk_park_barrier(void);

/** One word to wait on: wait while *word == seen. */
struct rk_wait_word {
    uint32_t *word;
    uint32_t seen;
};

/** Most words that one rk_bell_wait() takes (the kernel's futex_waitv limit). */
#define RK_WAIT_WORDS_MAX 128u

/** Sleep until one of the words changes or is rung, or `deadline_ns` (absolute CLOCK_MONOTONIC, 0: none).
 * Returns 0 for "look again" (also spuriously), -ETIMEDOUT, -EINTR. */
int rk_bell_wait(const struct rk_wait_word *words, uint32_t count, uint64_t deadline_ns);

/** A wait timed out, and yet a message is there. Was its ring lost? It may have been published in that very moment, with the
 * ring still to come: so the caller, still announced, gives it RK_RING_GRACE_NS more. True: no ring came. */
bool rk_bell_lost(const struct rk_wait_word *words, uint32_t count);
#define RK_RING_GRACE_NS 20000000u

#endif
