/* SPDX-License-Identifier: MIT */
/* How many system calls some processes make, counted by the kernel's tracepoint raw_syscalls:sys_enter through
 * perf_event_open(2): nobody is stopped for it, unlike with strace. Needs tracefs and the right to use it (root, or
 * CAP_PERFMON); where that is missing, there is no figure. While it is enabled each system call takes a little longer:
 * count in slices of their own. */
#ifndef RK_CALL_COUNTER_H
#define RK_CALL_COUNTER_H

#include <rask/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** What to do where it is missing. */
#define RK_CALL_COUNTER_HINT                                                                         \
    "system calls are not counted: the kernel's tracepoint cannot be used; as root, it may only be " \
    "missing: mount -t tracefs nodev /sys/kernel/tracing"

struct rk_call_counter {
    uint32_t count;
    int fds[RASK_WORKERS_MAX + 1];
};

/** Count nothing yet. */
void rk_call_counter_init(struct rk_call_counter *counter);
/** Count this process too (0: the caller), and what threads it starts later. False: not allowed or not there. */
bool rk_call_counter_add(struct rk_call_counter *counter, pid_t pid);
void rk_call_counter_finish(struct rk_call_counter *counter);

/** Start at zero; stop and return the sum. The stopping call itself counts where the caller is counted, and is taken off. */
void rk_call_counter_start(struct rk_call_counter *counter);
uint64_t rk_call_counter_stop(struct rk_call_counter *counter);

#endif
