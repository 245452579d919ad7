/* SPDX-License-Identifier: MIT */
/* Every memory ordering that rask uses, spelled once. Other files say *what* they rely on (SYNC lines, see the table
 * in layout.h), this one says how the compiler is told.
 *
 * Weaker choices and why they hold:
 *  - No read-modify-write on the hot path: every word has one writer, so a store is enough. The bell is the exception
 *    (several parties ring it) and is touched only when somebody sleeps.
 *  - rk_light_barrier() emits no instruction. It orders the compiler only; the processor is ordered by the heavy barrier
 *    that the *other* side runs before it sleeps or retracts (membarrier, see bell.h). Where that is missing both sides
 *    use rk_full_fence(). */
#ifndef RK_ATOMIC_H
#define RK_ATOMIC_H

#include <stdint.h>

#define rk_load_relaxed(pointer) __atomic_load_n((pointer), __ATOMIC_RELAXED)
#define rk_load_acquire(pointer) __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
#define rk_store_relaxed(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELAXED)
#define rk_store_release(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)
#define rk_fetch_add(pointer, value) __atomic_fetch_add((pointer), (value), __ATOMIC_SEQ_CST)

/** Compiler barrier; pairs with a heavy barrier on the other side. */
static inline void rk_light_barrier(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/** Full barrier of this processor: store before, load after. */
static inline void rk_full_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/** One turn of a spin loop: lets a sibling thread run and keeps the pipeline from guessing ahead. */
static inline void rk_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
    rk_light_barrier();
#endif
}

#endif
