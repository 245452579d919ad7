/* SPDX-License-Identifier: MIT */
/* Was the machine quiet while something was measured? From /proc/stat: how busy the processors were just before, with
 * nothing of ours running, and the time that a hypervisor took away meanwhile. */
#ifndef RK_NOISE_H
#define RK_NOISE_H

#include <stdbool.h>
#include <stdint.h>

struct rk_noise {
    double busy_before; /* 0..1 of all processors, by others */
    double stolen;      /* 0..1 of all processors' time, during the measurement */
    double load;        /* one-minute average at the start; negative: not known */
    bool noisy;
    uint64_t total, steal; /* at the start, in ticks */
};

/** Takes a quarter of a second. */
void rk_noise_begin(struct rk_noise *noise);
void rk_noise_end(struct rk_noise *noise);

#endif
