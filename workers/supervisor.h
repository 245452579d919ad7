/* SPDX-License-Identifier: MIT */
/* The supervisor: starts workers, watches and replaces them, and introduces clients to them. One thread; never loads a
 * plugin, never reads a payload. */
#ifndef RK_SUPERVISOR_H
#define RK_SUPERVISOR_H

#include "access.h"
#include "canary.h"
#include "crash.h"
#include "loader.h"
#include "log.h"
#include "policy.h"
#include "quota.h"
#include "reactor.h"
#include "worker_limits.h"
#include <stdint.h>

#define RK_START_TIMEOUT_NS_DEFAULT 10000000000u
#define RK_DRAIN_TIMEOUT_NS_DEFAULT 5000000000u

struct rk_supervisor_config {
    const char *plugin_path;
    const struct rk_load_error *plugin_error; /* there is no such file; or NULL */
    const char *const *settings;              /* "KEY=VALUE", NULL-terminated */
    const char *socket_path;                  /* NULL: the default socket */
    int private_fd;                           /* connected socket of the only client, or -1 */
    uint32_t workers;                         /* 1..RASK_WORKERS_MAX */
    uint32_t wait_mode;                       /* enum rask_wait_mode, never DEFAULT */
    const uint32_t *cpus;                     /* worker i runs on cpus[i % cpu_count] */
    uint32_t cpu_count;                       /* 0: anywhere */
    enum rk_engine engine;
    uint64_t start_timeout_ns;
    uint64_t drain_timeout_ns;
    int log_level; /* enum rask_log_level: the last one that is shown */
    enum rk_log_format log_format;
    struct rk_crash_config crash;
    struct rk_canary canary; /* tried in the first worker of every generation */
    struct rk_restart_limit restart_limit;
    struct rk_worker_limits limits;
    struct rk_access access;
    struct rk_quota_config quota;
    uint64_t kill_grace_ns;      /* from a deadline that passed inside a handler to the end of its worker */
    uint64_t request_timeout_ns; /* 0: none */
    uint64_t caller_timeout_ns;  /* how long a handler waits for its caller, unless it says otherwise */
    uint64_t poison_ttl_ns;      /* 0: nothing is poisoned */
};

/** Run until SIGTERM or SIGINT, or with a private_fd until its last client is gone. Blocks these signals, ignores SIGPIPE.
 * Prints `ready PATH` on standard output once a worker serves, everything else on standard error. Returns the exit code:
 * 0; RK_EXIT_FORCED when workers had to be killed; RK_EXIT_CONFIG for a plugin or socket that does not work;
 * RK_EXIT_UNAVAILABLE when the machine refuses something. */
int rk_supervisor_run(const struct rk_supervisor_config *config);

#endif
