/* SPDX-License-Identifier: MIT */
/* What `rask stats` knows of a pool, and how it gets it: from the status pages alone, so that a supervisor that hangs cannot
 * keep it from anybody. Pages are hostile input: every word is copied once, and only the copy is looked at. */
#ifndef RK_STATS_H
#define RK_STATS_H

#include "layout.h"
#include "segment.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** A supervisor whose board is mapped. */
struct rk_stats_source {
    pid_t pid;          /* as this process knows it */
    const char *socket; /* or NULL */
    struct rk_segment board;
    uint32_t workers;
    bool same_namespace; /* the pids in its pages are those of this process's /proc */
    struct rk_stats_seen *seen;
};

/** When a worker was first seen in the request it is in. */
struct rk_stats_seen {
    uint32_t pid;
    uint64_t epoch;
    uint64_t since_ns;
};

struct rk_stats_worker {
    uint32_t state; /* enum rk_policy_state */
    uint32_t generation;
    uint32_t pid;
    bool has_page; /* of the process of the moment: stage and what follows it are known */
    char process;  /* as in /proc/PID/stat, 0: not known */
    uint64_t restarts, deaths, replacements;
    uint64_t requests, errors, refused, parks, rescues, bad_peer, log_dropped; /* of all incarnations */
    uint32_t stage;
    uint32_t sessions;
    uint32_t queue_depth;
    bool busy;
    uint32_t session, method; /* of the request it is in */
    uint64_t busy_ns_min, busy_ns_max;
    uint64_t streams, backlog, leases, leased_bytes;
    uint64_t items, upcalls, upcalls_failed; /* of the process of the moment */
    uint32_t sample_every;
    uint64_t samples, service_ns_max;
    uint64_t service[RK_SERVICE_BUCKETS];
};

struct rk_stats {
    char process; /* the supervisor's, as above */
    uint64_t uptime_ns;
    uint32_t phase;
    uint32_t sessions;
    uint64_t sessions_made, sessions_refused, sessions_ended, poisons, log_dropped;
    uint32_t workers, serving;
    struct rk_stats_worker sum; /* counters and histogram of all */
    struct rk_stats_worker worker[RASK_WORKERS_MAX];
};

/* stats_find.c */
/** The supervisor that listens on `socket` (NULL: the default one), or process `pid` if that is not 0. 0, or -errno with
 * the whole sentence in rask_last_error(): -ENOENT nobody is there or it is dead, -EACCES, -EPROTO another version. */
int rk_stats_open(struct rk_stats_source *source, const char *socket, pid_t pid);
void rk_stats_close(struct rk_stats_source *source);
/** State of a process, as in /proc/PID/stat; 0: there is none. */
char rk_process_state(pid_t pid);
/** The status page behind descriptor `fd` of the supervisor. 0 or -errno; takes what is there for hostile. */
int rk_stats_page(const struct rk_stats_source *source, uint32_t fd, struct rk_segment *page);

/* stats_look.c */
/** Look at every page, twice if a worker is busy, RK_STATS_LOOK_NS apart. 0, or -ENOENT: it is dead. */
int rk_stats_look(struct rk_stats_source *source, struct rk_stats *stats);
#define RK_STATS_LOOK_NS 50000000u
/** Time that `part` of the samples do not exceed: the upper end of its bucket. 0: there are no samples. */
uint64_t rk_stats_quantile(const struct rk_stats_worker *worker, double part);
const char *rk_stats_phase_name(uint32_t phase);
/** "running", "stopped", "zombie" ... of a state in /proc. */
const char *rk_stats_process_name(char state);

/* stats_print.c */
void rk_stats_print(const struct rk_stats_source *source, const struct rk_stats *stats);
/** One line for --watch; `before` is the look before or NULL, `between_ns` the time between. */
void rk_stats_print_line(const struct rk_stats *stats, const struct rk_stats *before, uint64_t between_ns);
/** One JSON object, one line. Returns the exit code. */
int rk_stats_print_json(const struct rk_stats_source *source, const struct rk_stats *stats);

#endif
