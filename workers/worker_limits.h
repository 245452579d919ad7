/* SPDX-License-Identifier: MIT */
/* What a worker may use, and when it is replaced. 0 always means: no limit. */
#ifndef RK_WORKER_LIMITS_H
#define RK_WORKER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RK_SANDBOX_PATHS_MAX 32u

/** Whom workers run as; see --user. */
struct rk_identity {
    bool given;
    uid_t uid;
    gid_t gid;
    int group_count;
    gid_t groups[64];
};

struct rk_worker_limits {
    /* Replaced between requests. */
    uint64_t requests_max;
    uint64_t rss_bytes_max;
    uint64_t age_ns_max;
    /* Walls of the kernel; a worker is replaced when it comes near to one. */
    uint64_t as_bytes;
    uint64_t files;
    uint64_t cpu_s;
    struct rk_identity identity;
    bool sandbox;
    unsigned writable_count;
    const char *writable[RK_SANDBOX_PATHS_MAX];
};

#endif
