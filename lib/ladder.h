/* SPDX-License-Identifier: MIT */
/* How long to spin before sleeping: spin (with pause) -> yield -> park.
 *
 * The budget is a time, turned into a number of looks by a calibration at start, so that no clock is read while
 * spinning. It is what a wake-up costs (spinning longer than that wastes more than sleeping), divided among the parties
 * that would spin on the processors this process may use; with one processor it is 0. */
#ifndef RK_LADDER_H
#define RK_LADDER_H

#include <rask/client.h>
#include <stdint.h>

#define RK_SPIN_BUDGET_NS 50000u
#define RK_YIELDS 2u

struct rk_ladder {
    uint32_t mode;      /* enum rask_wait_mode, never DEFAULT */
    uint32_t budget_ns; /* UINT32_MAX: spin for ever, 0: park at once */
    uint32_t spins;     /* looks with a pause before parking; UINT32_MAX: for ever */
    uint32_t yields;    /* looks with a yield after that */
};

/** RASK_WAIT_DEFAULT -> RASK_WAIT from the environment, else hybrid. -EINVAL for a mode or variable that is none. */
int rk_wait_mode_resolve(uint32_t mode);

/** "spin", "hybrid", "park" -> mode; -EINVAL. */
int rk_wait_mode_parse(const char *name);
const char *rk_wait_mode_name(uint32_t mode);

/** `parties`: how many may spin at the same time on these processors, this one included. */
void rk_ladder_init(struct rk_ladder *ladder, uint32_t mode, uint32_t parties);

/** Processors this process may use: affinity, then the cgroup's quota (cpu.max, or v1 cpu.cfs_quota_us), at least 1. */
uint32_t rk_cpus_usable(void);

#endif
