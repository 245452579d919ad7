/* SPDX-License-Identifier: MIT */
/* Was it the kernel that killed a worker, because memory ran out? A SIGKILL does not say who sent it; but the kernel counts the
 * processes that it kills for memory, per memory group and in all. Contracts: Documentation/admin-guide/cgroup-v2 (memory.events),
 * cgroup-v1/memory (memory.oom_control), proc(5) (/proc/vmstat). */
#ifndef RK_OOM_H
#define RK_OOM_H

#include <stdbool.h>
#include <stdint.h>

struct rk_oom {
    char path[512]; /* the file that has the count; empty: none */
    uint64_t seen;
    uint64_t until_ns; /* deaths up to then are of the same shortage */
};

/** Find the count of this process's memory group, else that of the machine. */
void rk_oom_init(struct rk_oom *oom);

/** The same below another folder than /sys/fs/cgroup and with another file than /proc/self/cgroup; no count of the machine. */
void rk_oom_init_below(struct rk_oom *oom, const char *mount, const char *groups);

/** A process died of SIGKILL at `now_ns`: has the kernel killed one for its memory since the last question, or less than a second
 * before? It may have been another one of the group, which nobody asked about: then this one is blamed, once. */
bool rk_oom_struck(struct rk_oom *oom, uint64_t now_ns);

#endif
