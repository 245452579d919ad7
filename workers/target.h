/* SPDX-License-Identifier: MIT */
/* Whom a command talks to: a running supervisor (--socket) or a private one of its own (--plugin). Shared by call,
 * methods and bench. */
#ifndef RK_TARGET_H
#define RK_TARGET_H

#include "options.h"
#include <rask/client.h>

/** How long a supervisor may take to make its socket, after it was started just before. */
#define RK_TARGET_GRACE_NS 250000000u

struct rk_target {
    const char *socket;
    const char *plugin;
    struct rk_settings settings;
    uint64_t workers;        /* 0: not said */
    uint32_t wait_mode;      /* enum rask_wait_mode, of both sides */
    const char *pin_workers; /* see rask_spawn_options; not an option of its own */
};

/* Rows for a command's option table, filling in the target at `t`. */
#define RK_OPTION_SOCKET(t)                                                                                            \
    {                                                                                                                  \
        .name = "socket", .value = "PATH", .help = "talk to the supervisor that listens on PATH", .text = &(t)->socket \
    }
#define RK_OPTION_PLUGIN(t)                                                                                         \
    {                                                                                                               \
        .name = "plugin", .value = "PLUGIN", .help = "start a private supervisor with PLUGIN", .text = &(t)->plugin \
    }
#define RK_OPTION_SET(t)                                                                                             \
    {                                                                                                                \
        .name = "set", .value = "KEY=VALUE", .help = "configure PLUGIN; may be repeated", .settings = &(t)->settings \
    }
#define RK_OPTION_WORKERS(t)                                                                      \
    {                                                                                             \
        .name = "workers", .value = "N", .help = "workers of the private supervisor (default 1)", \
        .count = &(t)->workers, .min = 1, .max = RASK_WORKERS_MAX                                 \
    }
#define RK_OPTION_WAIT(t)                                                                                       \
    {                                                                                                           \
        .name = "wait", .value = "MODE", .help = "spin, hybrid (default) or park", .wait_mode = &(t)->wait_mode \
    }

/** Do the options agree with each other? RK_GO_ON, or 64 after a message. */
int rk_target_check(const struct rk_target *target);

/** Connect, for RK_TARGET_GRACE_NS if nobody listens yet, or spawn. `options` gives limits and time-out; its wait mode is set from the target. 0 or -errno. */
int rk_target_open(struct rask **out, const struct rk_target *target, const struct rask_options *options);

#endif
