/* SPDX-License-Identifier: MIT */
/* What a supervisor and its workers take from the machine, read from /proc. */
#ifndef RK_PROCESSES_H
#define RK_PROCESSES_H

#include <rask/limits.h>
#include <stdint.h>
#include <sys/types.h>

struct rk_processes {
    uint32_t count;
    pid_t pids[RASK_WORKERS_MAX + 1];
};

struct rk_usage {
    uint64_t cpu_ns;       /* ever spent on a processor */
    uint64_t ticks;        /* the same as the kernel's clock ticks, user and system */
    uint64_t switches;     /* times a process gave the processor up by itself, or was taken off it */
    uint64_t sleeps;       /* of these, by itself */
    uint64_t shared_kib;   /* shared memory, each page counted once however many map it */
    uint64_t resident_kib; /* all of their memory; a page that n processes map counts a n-th for each */
};

/** The supervisor and its children. 0 or -ESRCH. */
int rk_processes_find(struct rk_processes *processes, pid_t supervisor);

/** Sums over the processes; those that are gone add nothing. */
struct rk_usage rk_processes_usage(const struct rk_processes *processes);

/** The same without the memory, which takes long to add up. */
struct rk_usage rk_processes_activity(const struct rk_processes *processes);

/** Times a process gave the processor up by itself (voluntary_ctxt_switches); 0 when it is gone. */
uint64_t rk_process_sleeps(pid_t pid);

/** A line of /proc/meminfo in KiB, "MemAvailable"; 0 when there is none. */
uint64_t rk_meminfo_kib(const char *name);

#endif
