/* SPDX-License-Identifier: MIT */
/* Where the figures come from: machine, kernel, build, and how close the processors in use are to each other, as far as
 * the kernel tells. Reads /proc and /sys once, before the run. */
#ifndef RK_ENVIRONMENT_H
#define RK_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

struct rk_environment {
    char cpu[128];
    char architecture[32];
    char kernel[160];
    char build[160];       /* version and compiler */
    char clock_source[32]; /* of the kernel */
    char usable[256];      /* processors this process may use, "0-3,8" */
    char relation[96];     /* of the client's and the first worker's processor; empty: not pinned */
    uint32_t cpus_online;
    uint32_t cpus_usable; /* after affinity and quota */
    bool is_virtual;      /* a hypervisor may move processors and take their time */
    bool smt_siblings;    /* the two processors are threads of one core */
    double load;          /* one-minute average before the run; negative: not known */
    double clock_read_ns;
};

/** Processors are -1 when not pinned. Never fails: what is not known says so. */
void rk_environment_read(struct rk_environment *environment, int client_cpu, int worker_cpu);

/** The first two processors that can be used. Returns how many there are, 1 or 2; both are set. */
int rk_environment_two_cpus(int cpus[2]);

/** May this process run on `cpu`? */
bool rk_cpu_is_usable(uint32_t cpu);

#endif
