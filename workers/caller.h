/* SPDX-License-Identifier: MIT */
/* Waiting inside a handler for the caller of its request: for an answer, or for room. Always bounded; ended early when the
 * request is to stop or its session is gone. Meanwhile the worker hears its supervisor, and no other session. */
#ifndef RK_CALLER_H
#define RK_CALLER_H

#include "host.h"
#include <stdbool.h>
#include <stdint.h>

/** Is what is waited for there? May look at the caller's memory and reclaim blocks. */
typedef bool (*rk_caller_ready)(struct rk_handling *handling);

/** Wait for `ready`; `rings`: the caller rings when it is (else it is looked for again and again). `timeout_ns` 0: the
 * supervisor's --caller-timeout. 0, -ETIMEDOUT, -ECANCELED, -EPIPE. */
int rk_caller_wait(struct rk_handling *handling, rk_caller_ready ready, bool rings, uint64_t timeout_ns);

#endif
