/* SPDX-License-Identifier: MIT */
/* What a worker gives up before it loads the plugin: another user, limits, and with --sandbox most of what a handler does not
 * need. Runs in the worker, once. */
#ifndef RK_SANDBOX_H
#define RK_SANDBOX_H

#include "worker_limits.h"
#include <stddef.h>

/** Everything that was asked for, no_new_privs always. 0, or -errno with what failed in *why. */
int rk_worker_confine(const struct rk_worker_limits *limits, char *why, size_t why_bytes);

/** Only the sandbox: system calls (seccomp) and files (Landlock, where the kernel has it). */
int rk_sandbox_enter(const struct rk_worker_limits *limits, char *why, size_t why_bytes);
/** The same as on a kernel with this version of Landlock (under 1: none), which is at most the one that there is. */
int rk_sandbox_enter_with(const struct rk_worker_limits *limits, long version, char *why, size_t why_bytes);

#endif
