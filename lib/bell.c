/* SPDX-License-Identifier: MIT */
/* Publish, park, wake; the argument is in bell.h. Kernel contracts: futex(2), futex_waitv (Linux 5.16), membarrier(2). */
#include "bell.h"
#include "clock.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS 1000000u

static bool registered;
static _Thread_local struct rk_bell_batch *collecting;

static bool wanted(const char *barrier)
{
    const char *wish = getenv("RASK_BARRIER");
    return wish != NULL && strcmp(wish, barrier) == 0;
}

bool rk_fence_only(void)
{
    return wanted("fence-only");
}

bool rk_fence_wanted(void)
{
    return wanted("fence") || rk_fence_only();
}

static void register_once(void)
{
    if (rk_fence_wanted()) return;
    registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool rk_membarrier_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_once);
    return registered;
}

void rk_heavy_barrier(void)
{
    /* Fails only where registration failed too; then every waiter is FENCED and the fence is what counts. */
    if (registered) syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
    rk_full_fence();
}

static void wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void rk_bell_ring(uint32_t *bell)
{
    /* SYNC R10 fetch_add: pairs with the kernel's compare in rk_bell_wait */
    rk_fetch_add(bell, 1u);
    RK_STEP(BUMPED);
    wake(bell);
}

void rk_bell_collect(struct rk_bell_batch *batch)
{
    collecting = batch;
}

void rk_bell_wake(uint32_t *const *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) wake(words[i]);
}

/** Bump now, wake later. False: there is no batch, or it is full. */
static bool collect(uint32_t *bell)
{
    struct rk_bell_batch *batch = collecting;
    if (batch == NULL || batch->count == RK_BELL_BATCH_MAX) return false;
    /* SYNC R10 fetch_add: pairs with the kernel's compare in rk_bell_wait */
    rk_fetch_add(bell, 1u);
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->word[i] == bell) return true;
    batch->word[batch->count++] = bell;
    return true;
}

void rk_publish_slow(const uint64_t *state, uint32_t *bell, uint64_t *rung)
{
    uint64_t seen = rk_load_relaxed(state);
    if (seen & RK_WAITER_FENCED) {
        rk_full_fence();
        seen = rk_load_relaxed(state);
    }
    seen &= ~(uint64_t)RK_WAITER_FENCED; /* it may come and go during one sleep */
    if (!(seen & RK_WAITER_PARKED) || seen == *rung) return;
    *rung = seen;
    if (!collect(bell)) rk_bell_ring(bell);
}

/** The next sleep begins. Returns what the word said before. */
static uint64_t announce(uint64_t *state, uint64_t flags)
{
    uint64_t before = rk_load_relaxed(state);
    /* SYNC R4 release, then rk_park_barrier or rk_nap_barrier: pairs with rk_publish */
    rk_store_release(state, (before + RK_WAITER_SLEEP) | flags);
    return before;
}

void rk_park_announce(uint64_t *state)
{
    announce(state, RK_WAITER_PARKED);
}

void rk_park_withdraw(uint64_t *state)
{
    rk_store_release(state, rk_load_relaxed(state) & ~(uint64_t)RK_WAITER_PARKED);
}

void rk_park_barrier(void)
{
    rk_heavy_barrier();
}

void rk_park_lighten(uint64_t *state)
{
    rk_store_release(state, rk_load_relaxed(state) & ~(uint64_t)RK_WAITER_FENCED);
}

void rk_nap_begin(struct rk_nap *nap)
{
    nap->awake = 0;
    if (nap->parks < RK_NAP_PARKS_MAX && ++nap->parks == RK_NAP_PARKS_MAX) nap->fenced = true;
}

bool rk_nap_announce(const struct rk_nap *nap, uint64_t *state)
{
    uint64_t before = announce(state, RK_WAITER_PARKED | (nap->fenced ? RK_WAITER_FENCED : 0));
    return (before & RK_WAITER_FENCED) == 0;
}

void rk_nap_barrier(bool heavy)
{
    if (heavy)
        rk_heavy_barrier();
    else
        rk_full_fence();
}

bool rk_nap_awake_again(struct rk_nap *nap)
{
    if (++nap->awake < RK_NAP_AWAKE_MAX) return false;
    bool was_fenced = nap->fenced;
    *nap = (struct rk_nap){0};
    return was_fenced;
}

static int outcome(long result)
{
    if (result >= 0 || errno == EAGAIN) return 0;
    return errno == ETIMEDOUT ? -ETIMEDOUT : -EINTR;
}

static int wait_one(const struct rk_wait_word *word, const struct timespec *deadline)
{
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. */
    return outcome(
        syscall(SYS_futex, word->word, FUTEX_WAIT_BITSET, word->seen, deadline, NULL, FUTEX_BITSET_MATCH_ANY));
}

/** Kernels before 5.16 and some sandboxes have no futex_waitv: then the first word is slept on, in short steps. */
static int wait_in_steps(const struct rk_wait_word *words, uint64_t deadline_ns)
{
    uint64_t step_ns = rk_deadline_after(STEP_NS);
    struct timespec at = rk_timespec(rk_earlier(deadline_ns, step_ns));
    int result = wait_one(words, &at);
    return result == -ETIMEDOUT && (deadline_ns == 0 || step_ns < deadline_ns) ? 0 : result;
}

int rk_bell_wait(const struct rk_wait_word *words, uint32_t count, uint64_t deadline_ns)
{
    RK_CHECK(count >= 1 && count <= RK_WAIT_WORDS_MAX);
    struct timespec at = rk_timespec(deadline_ns);
    const struct timespec *deadline = deadline_ns != 0 ? &at : NULL;
    if (count == 1) return wait_one(words, deadline);
    struct futex_waitv waits[RK_WAIT_WORDS_MAX];
    for (uint32_t i = 0; i < count; i++)
        waits[i] = (struct futex_waitv){.val = words[i].seen, .uaddr = (uintptr_t)words[i].word, .flags = FUTEX_32};
    long result = syscall(SYS_futex_waitv, waits, count, 0, deadline, CLOCK_MONOTONIC);
    if (result < 0 && (errno == ENOSYS || errno == EPERM)) return wait_in_steps(words, deadline_ns);
    return outcome(result);
}

bool rk_futex_waitv_allowed(void)
{
    /* No words are -EINVAL where it is there and allowed. */
    return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, CLOCK_MONOTONIC) == 0 || (errno != ENOSYS && errno != EPERM);
}

bool rk_bell_lost(const struct rk_wait_word *words, uint32_t count)
{
    uint64_t deadline_ns = rk_deadline_after(RK_RING_GRACE_NS);
    int result;
    while ((result = rk_bell_wait(words, count, deadline_ns)) == -EINTR) continue;
    return result == -ETIMEDOUT;
}
