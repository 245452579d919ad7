/* SPDX-License-Identifier: MIT */
/* Publish, park, wake: the only file that calls futex and membarrier.
 *
 * Publishing must not pay for the sleeper, so the barrier is on the side that sleeps:
 *
 *   ringer                                  sleeper
 *   ------                                  -------
 *   store message, release (R1, R2)         seen = load bell            (R10)
 *   light barrier                           state = next sleep, PARKED  (R4)
 *   load state                 (R4)         HEAVY barrier
 *   if PARKED, and not rung for this        look once more; found: no sleep
 *   sleep yet: bell += 1, wake (R10)        futex wait while bell == seen
 *                                           state &= ~PARKED
 *
 * No wake-up is lost: the heavy barrier makes every running registered thread execute a full barrier at some point
 * during the call. If a ringer's store comes before that point, it is visible to the sleeper's second look. If it comes
 * after, the ringer's later load of `state` sees PARKED, and it bumps the bell: before the sleeper's wait, which then
 * returns at once because the value differs, or after, and the wake finds it. `seen` is read before the look, so a bump
 * between look and wait is never missed.
 *
 * FENCED in `state` asks ringers for a full fence between store and load, and then a full fence is enough on the
 * sleeper's side, too: of two parties that each store, fence and load the other's word, one sees the other's store. It is
 * set
 *   - for good, before the peer gets the memory, where a party is not registered (the kernel lacks membarrier);
 *   - for a while, by a sleeper that parks often, because the heavy barrier interrupts every registered process that
 *     runs. A ringer may have loaded the state just before FENCED was set, and not fenced: so the announcement that sets
 *     it is followed by a heavy barrier (rk_nap_announce() says when), which that ringer cannot escape. After it every
 *     load of a ringer sees FENCED. Taking it away again needs nothing, for the next announcement sees that the
 *     word is not FENCED and asks for the heavy barrier; a ringer that still sees FENCED only fences once too often.
 *
 * A sleeper may take long to get a processor, and PARKED stays until then. So sleeps are numbered, in the same word, and a
 * ringer remembers for which it rang: one wake for each sleep, however many messages come. The next sleep has another number,
 * and nothing that was published before its announcement is missed, for the second look sees it.
 *
 * What no barrier can prevent is a ringer that is killed between its store and its wake: the supervisor rings for it.
 * Every order of these steps is checked by tests/model/bell.pml: see docs/model.md. */
#ifndef RK_BELL_H
#define RK_BELL_H

#include "atomic.h"
#include "check.h"
#include "layout.h"
#include "step.h"
#include <stdbool.h>
#include <stdint.h>

/** Register this process for the heavy barrier; once, repeated calls are cheap. False where the kernel refuses (then the
 * process must ask for FENCED). RASK_BARRIER=fence in the environment forces false. */
bool rk_membarrier_register(void);

/** Does RASK_BARRIER=fence or fence-only ask for it? */
bool rk_fence_wanted(void);

/** Is it fence-only: fences, and everything else as if there were none? For comparison: what a fence per message costs. */
bool rk_fence_only(void);

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
void rk_publish_slow(const uint64_t *state, uint32_t *bell, uint64_t *rung);

/** After the release store of a message: may the peer sleep? Then rk_publish_slow() is due, now or after more messages. */
static inline bool rk_publish_due(const uint64_t *state)
{
    rk_light_barrier();
    /* SYNC R4 relaxed load after light barrier: pairs with rk_park_announce */
    return RK_UNLIKELY((rk_load_relaxed(state) & RK_WAITER_FLAGS) != 0);
}

/** After the release store of a message: ring the peer if it sleeps. No system call otherwise. `rung`: for which sleep this
 * party rang that bell last, 0 at first; its own. */
static inline void rk_publish(const uint64_t *state, uint32_t *bell, uint64_t *rung)
{
    if (rk_publish_due(state)) rk_publish_slow(state, bell, rung);
}

/** Announce and withdraw sleep in one waiter word. The caller runs rk_park_barrier() once after all announcements, looks
 * once more, and only then waits. */
void rk_park_announce(uint64_t *state);
void rk_park_withdraw(uint64_t *state);
void rk_park_barrier(void);

/** What a sleeper remembers of its sleeps, to choose between the two barriers. Private. */
struct rk_nap {
    uint32_t parks; /* since it was last busy for long; at most RK_NAP_PARKS_MAX */
    uint32_t awake; /* waits since that ended without a sleep */
    bool fenced;    /* it parks often: announcements set FENCED */
};
/** Sleeps until the fence is switched on, and waits without a sleep until it is switched off. */
#define RK_NAP_PARKS_MAX 4u
#define RK_NAP_AWAKE_MAX 1024u

/** This party is about to sleep: how often it does decides how. Once before the announcements. */
void rk_nap_begin(struct rk_nap *nap);

/** rk_park_announce(), with FENCED if this party parks often. True: ringers of this word may not fence yet, so the barrier
 * that follows has to be the heavy one. */
bool rk_nap_announce(const struct rk_nap *nap, uint64_t *state);

/** The barrier between announcement and second look: heavy, or a fence where every word was FENCED before. */
void rk_nap_barrier(bool heavy);

/** Out of line part of rk_nap_awake(). */
bool rk_nap_awake_again(struct rk_nap *nap);

/** A wait ended without a sleep. True: this party is busy again, and rk_park_lighten() is due for each of its words. */
static inline bool rk_nap_awake(struct rk_nap *nap)
{
    return RK_UNLIKELY(nap->parks != 0) && rk_nap_awake_again(nap);
}

/** Publishers of this word need not fence any more. Not for words that are FENCED for good. */
void rk_park_lighten(uint64_t *state);

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

/** Does the kernel take several words at once? Where not, rk_bell_wait() looks at them every millisecond. */
bool rk_futex_waitv_allowed(void);

/** A wait timed out, and yet a message is there. Was its ring lost? It may have been published in that very moment, with the
 * ring still to come: so the caller, still announced, gives it RK_RING_GRACE_NS more. True: no ring came. */
bool rk_bell_lost(const struct rk_wait_word *words, uint32_t count);
#define RK_RING_GRACE_NS 20000000u

#endif
