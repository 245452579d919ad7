/* SPDX-License-Identifier: MIT */
/* How many processors this process may use: its affinity, and the quota of its control groups. */
#ifndef RK_CPUS_H
#define RK_CPUS_H

#include <stdint.h>

struct rk_cpus {
    uint32_t usable;      /* whole processors, at least 1: the smaller of the two below */
    uint32_t affinity;    /* sched_getaffinity, which cpusets narrow */
    uint32_t quota_milli; /* thousandths of a processor, of the tightest group; UINT32_MAX: no quota */
    char quota_from[256]; /* the file that says so; empty: none */
};

/** Look at affinity and quotas: cpu.max of this process's own group and every one above it (v2), cpu.cfs_quota_us and
 * cpu.cfs_period_us of the same in the cpu hierarchy (v1). A quota of one and a half processors lets one party spin: the
 * second would use it up, and then both are stopped. Reads files: not for a path that is taken often. */
void rk_cpus_look(struct rk_cpus *cpus);

/** The same below another folder than /sys/fs/cgroup, with another file than /proc/self/cgroup. */
void rk_cpus_look_below(struct rk_cpus *cpus, const char *mount, const char *groups);

/** rk_cpus_look(): only the count. */
uint32_t rk_cpus_usable(void);

#endif
