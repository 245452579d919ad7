/* SPDX-License-Identifier: MIT */
/* What the plugin `work` and who calls it (`rask bench sweep`) agree on. Words are in the machine's own order: both are on
 * it. The functions are here so that the caller can do the same work by itself and compare. */
#ifndef RK_WORK_H
#define RK_WORK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Request of `work`. */
struct rk_work_order {
    uint64_t rounds;   /* of rk_work_burn(): the same work however often the processor is taken away meanwhile */
    uint64_t sleep_ns; /* asleep behind it */
};

/** Response of `work`: CLOCK_MONOTONIC at the handler's first and last line. */
struct rk_work_stamps {
    uint64_t begin_ns;
    uint64_t end_ns;
};

/** Each round waits for the one before: about as long everywhere, a few processor cycles. */
static inline uint64_t rk_work_burn(uint64_t rounds)
{
    uint64_t value = rounds;
    for (uint64_t i = 0; i < rounds; i++) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : "+r"(value)); /* or the compiler finds a formula */
    }
    return value;
}

/** Sum of the 64-bit words; bytes behind the last whole one are left out. Reads every word once. */
static inline uint64_t rk_work_sum(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t sum[4] = {0}, words[4];
    for (; bytes >= sizeof words; bytes -= sizeof words, at += sizeof words) {
        memcpy(words, at, sizeof words);
        for (int i = 0; i < 4; i++) sum[i] += words[i];
    }
    for (; bytes >= sizeof words[0]; bytes -= sizeof words[0], at += sizeof words[0]) {
        memcpy(words, at, sizeof words[0]);
        sum[0] += words[0];
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

#endif
