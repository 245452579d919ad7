/* SPDX-License-Identifier: MIT */
/* Forks one worker. The supervisor has one thread, so the child may run on without exec: it loads the plugin, reports
 * READY or FAILED over its socket, and serves. */
#ifndef RK_SPAWN_H
#define RK_SPAWN_H

#include "reactor.h"
#include "worker_limits.h"
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define RK_CPU_ANY (-1)

struct rk_canary;

struct rk_spawn_config {
    uint32_t index;
    uint32_t generation;
    uint32_t wait_mode; /* enum rask_wait_mode, resolved */
    uint32_t parties;   /* how many may spin */
    int cpu;            /* pin to this one, or RK_CPU_ANY */
    int control_word_fd;
    int crash_fd; /* see crash.h; -1: none */
    uint64_t crash_payload_bytes;
    const char *plugin_path;        /* for messages */
    int plugin_fd;                  /* its copy */
    const struct rk_canary *canary; /* to be tried first; NULL: none */
    const struct rk_worker_limits *limits;
    uint64_t caller_timeout_ns;
    uint32_t chance; /* for the jitter of a limit */
    const char *const *settings;
    struct rlimit files;        /* what the worker may open; the supervisor raises its own */
    struct rk_reactor *reactor; /* the parent's, for the child to forget */
};

/** What the supervisor holds of a worker. */
struct rk_spawned {
    pid_t pid;
    int pidfd;
    int socket; /* SEQPACKET, non-blocking, close-on-exec */
};

/** Close everything but 0, 1, 2 and these two (-1: none). */
void rk_close_others(int a, int b);

/** The same for any few; they are sorted. */
void rk_close_all_but(int *kept, unsigned count);

/** Fork. Returns 0 in the parent with *out filled in, or -errno. Does not return in the child. */
int rk_spawn_worker(struct rk_spawned *out, const struct rk_spawn_config *config);

#endif
