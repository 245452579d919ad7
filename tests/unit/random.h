/* SPDX-License-Identifier: MIT */
/* Random numbers for tests: the seed is printed, and RASK_SEED brings a run back. xorshift64* (Vigna, 2016). */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t random_seed(void)
{
    const char *given = getenv("RASK_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    if (given != NULL) seed = strtoull(given, NULL, 0);
    printf("RASK_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed | 1;
}

static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

/** 0 .. below - 1. */
static inline uint32_t random_below(uint64_t *state, uint32_t below)
{
    return (uint32_t)((random_next(state) >> 32) * below >> 32);
}

#endif
