/* SPDX-License-Identifier: MIT */
/* Wait modes, the spin budget, and how many processors there are to spin on. */
#include "ladder.h"
#include "atomic.h"
#include "clock.h"
#include "error.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_names[] = {"default", "spin", "hybrid", "park"};

const char *rk_wait_mode_name(uint32_t mode)
{
    return mode <= RASK_WAIT_PARK ? mode_names[mode] : "unknown";
}

int rk_wait_mode_parse(const char *name)
{
    for (int mode = RASK_WAIT_SPIN; mode <= RASK_WAIT_PARK; mode++)
        if (strcmp(name, mode_names[mode]) == 0) return mode;
    return rk_error(-EINVAL, "\"%s\" is not a wait mode: use spin, hybrid or park", name);
}

int rk_wait_mode_resolve(uint32_t mode)
{
    if (mode > RASK_WAIT_PARK) return rk_error(-EINVAL, "wait_mode is %u: use 0 to %d", mode, RASK_WAIT_PARK);
    if (mode != RASK_WAIT_DEFAULT) return (int)mode;
    const char *wanted = getenv("RASK_WAIT");
    if (wanted == NULL || *wanted == '\0') return RASK_WAIT_HYBRID;
    int parsed = rk_wait_mode_parse(wanted);
    return parsed > 0 ? parsed : rk_error(-EINVAL, "RASK_WAIT is \"%s\": use spin, hybrid or park", wanted);
}

/** Duration of one look with a pause, measured: it varies tenfold between processors. */
static uint32_t look_cost_ns(void)
{
    enum { LOOKS = 256 };
    uint32_t word = 0;
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < 3; round++) {
        uint64_t start = rask_now_ns();
        for (int i = 0; i < LOOKS; i++) {
            if (rk_load_acquire(&word) != 0) break;
            rk_pause();
        }
        uint64_t took = rask_now_ns() - start;
        if (took < best) best = took;
    }
    return best / LOOKS > 0 ? (uint32_t)(best / LOOKS) : 1;
}

/** "QUOTA PERIOD" (v2) or "QUOTA" with the usual period (v1), in whole processors; "max" and -1 mean none. */
static uint32_t quota(const char *path)
{
    long long granted_us = -1, period_us = -1;
    FILE *file = fopen(path, "re");
    if (file == NULL) return UINT32_MAX;
    int fields = fscanf(file, "%lld %lld", &granted_us, &period_us);
    fclose(file);
    if (fields < 1 || granted_us <= 0) return UINT32_MAX;
    if (fields < 2 || period_us <= 0) period_us = 100000;
    return (uint32_t)((granted_us + period_us - 1) / period_us);
}

/** The quota of this process's own cgroup and of each one above it, in whole processors (v2); of the v1 mount's root. */
static uint32_t cgroup_cpus(void)
{
    uint32_t cpus = quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    char line[512], path[640];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) return cpus;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) != 0) continue;
        for (char *cut = line + strlen(line); cut != NULL; cut = strrchr(line + 3, '/')) {
            *cut = '\0';
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", line + 3);
            uint32_t here = quota(path);
            if (here < cpus) cpus = here;
        }
    }
    fclose(file);
    return cpus;
}

uint32_t rk_cpus_usable(void)
{
    cpu_set_t set;
    uint32_t cpus = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = (uint32_t)CPU_COUNT(&set);
    uint32_t limited = cgroup_cpus();
    if (limited < cpus) cpus = limited;
    return cpus > 0 ? cpus : 1;
}

/** What spinning may cost in hybrid mode: a wake-up's price, shared among those who spin at the same time. */
static uint32_t hybrid_budget_ns(uint32_t parties)
{
    uint32_t cpus = rk_cpus_usable();
    if (cpus < 2) return 0;
    if (parties <= cpus) return RK_SPIN_BUDGET_NS;
    return (uint32_t)((uint64_t)RK_SPIN_BUDGET_NS * cpus / parties / 2);
}

void rk_ladder_init(struct rk_ladder *ladder, uint32_t mode, uint32_t parties)
{
    *ladder = (struct rk_ladder){.mode = mode};
    if (mode == RASK_WAIT_SPIN) {
        ladder->budget_ns = UINT32_MAX;
        ladder->spins = UINT32_MAX;
    } else if (mode == RASK_WAIT_HYBRID) {
        ladder->budget_ns = hybrid_budget_ns(parties);
        ladder->spins = ladder->budget_ns / look_cost_ns();
        ladder->yields = RK_YIELDS;
    }
}
