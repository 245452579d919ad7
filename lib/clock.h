/* SPDX-License-Identifier: MIT */
/* The one clock: CLOCK_MONOTONIC in nanoseconds (rask_now_ns()). */
#ifndef RK_CLOCK_H
#define RK_CLOCK_H

#include <rask/client.h>
#include <stdint.h>
#include <time.h>

/** Absolute deadline -> struct timespec. */
static inline struct timespec rk_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/** The earlier of two deadlines, 0 meaning none. */
static inline uint64_t rk_earlier(uint64_t a_ns, uint64_t b_ns)
{
    if (a_ns == 0) return b_ns;
    if (b_ns == 0) return a_ns;
    return a_ns < b_ns ? a_ns : b_ns;
}

/** now + duration, saturating below UINT64_MAX. */
static inline uint64_t rk_deadline_after(uint64_t duration_ns)
{
    uint64_t now = rask_now_ns();
    return duration_ns > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + duration_ns;
}

/** The same clock as of the kernel's last tick, some milliseconds ago at most: a fraction of what a reading costs. */
static inline uint64_t rk_tick_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
