/* SPDX-License-Identifier: MIT */
/* The part of the contract (layout.h) that holds figures only: what a worker tells about itself, and a supervisor about its
 * pool. Nothing is decided from them. */
#ifndef RK_LAYOUT_FIGURES_H
#define RK_LAYOUT_FIGURES_H

#include "layout.h"

enum rk_worker_stage {
    RK_STAGE_STARTING = 0,
    RK_STAGE_CHECKING = 1, /* reading the file */
    RK_STAGE_LOADING = 2,  /* dlopen and constructors */
    RK_STAGE_OPENING = 3,  /* the plugin's open() */
    RK_STAGE_SERVING = 4,
    RK_STAGE_DRAINING = 5,
    RK_STAGE_STOPPED = 6,
    RK_STAGE_CANARY = 7, /* after OPENING: trying the request of --canary */
    RK_STAGE_COUNT
};

/** One request in this many is timed; the others read no clock. */
#define RK_SAMPLE_EVERY 128u
/** Service times by powers of two: bucket i counts 2^i to 2^(i+1) - 1 ns, the last one also what is longer. */
#define RK_SERVICE_BUCKETS 40u
/** Requests that a sample counts as waiting behind it, at most, of all sessions: it looks at each. */
#define RK_DEPTH_MAX 256u

/** What a worker tells about itself. Figures only: nothing is decided from it but the wording of messages, and whether a
 * worker is still in the late request that it is to be killed for. Words that change with every request, with every sleep
 * and with every sample do not share lines. */
struct rk_status_page {
    struct rk_segment_header header;
    uint32_t stage RK_LINE_ALIGNED; /* R9, enum rk_worker_stage */
    uint32_t pid;
    uint32_t index;
    uint32_t sessions;
    /* The request being handled: odd epoch = inside a handler, epoch / 2 = requests handled. Changes with every request. */
    uint64_t epoch RK_LINE_ALIGNED; /* R9 */
    uint64_t ticket;                /* low half: the slot's ticket; high half: low bits of the request's position */
    uint32_t session;
    uint32_t method;
    uint64_t handler_errors;
    uint64_t deadline_ns; /* of the request; 0: none */
    /* Rare counters. */
    uint64_t parks RK_LINE_ALIGNED; /* R9 */
    uint64_t rescues;
    uint64_t bad_peer;
    uint64_t refused;     /* requests answered without their handler: no such method, expired, no memory */
    uint64_t log_dropped; /* lines that standard error did not take */
    uint64_t woke_epoch;  /* epoch at the last look at the clock between two requests, */
    uint64_t woke_ns;     /* and what it said */
    /* Streams, upcalls, leases. */
    uint64_t streams RK_LINE_ALIGNED; /* R9: open now */
    uint64_t items;                   /* processed */
    uint64_t backlog;                 /* items that were sent and not processed, at the last look */
    uint64_t upcalls;
    uint64_t upcalls_failed;
    uint64_t leases;
    uint64_t leased_bytes;
    /* With every sample. */
    uint64_t sample_epoch RK_LINE_ALIGNED; /* R9: of the request that was timed last, odd like `epoch` inside it */
    uint64_t sample_ns;                    /* when its handler was entered */
    uint64_t samples;
    uint64_t service_ns_max;
    uint32_t sample_every;
    uint32_t queue_depth; /* requests that waited behind that one; 0 since the worker ran out of work */
    uint64_t service[RK_SERVICE_BUCKETS] RK_LINE_ALIGNED;
};
static_assert(offsetof(struct rk_status_page, stage) == 64, "drawing");
static_assert(offsetof(struct rk_status_page, epoch) == 128, "drawing");
static_assert(offsetof(struct rk_status_page, parks) == 192, "drawing");
static_assert(offsetof(struct rk_status_page, streams) == 256, "drawing");
static_assert(offsetof(struct rk_status_page, sample_epoch) == 320, "drawing");
static_assert(offsetof(struct rk_status_page, service) == 384, "drawing");
static_assert(sizeof(struct rk_status_page) <= RK_PAGE_BYTES, "one page");

/** One worker as the supervisor sees it. The sums are of the incarnations that are gone; the present one counts in its own
 * status page. */
struct rk_pool_member {
    uint32_t state RK_LINE_ALIGNED; /* R9, enum rk_policy_state */
    uint32_t generation;
    uint32_t pid;       /* 0: no process */
    uint32_t status_fd; /* the supervisor's descriptor of its status page + 1; 0: none */
    uint64_t restarts;  /* processes started because the one before had died */
    uint64_t deaths;    /* that nobody had asked for */
    uint64_t requests;
    uint64_t errors;
    uint64_t refused;
    uint64_t parks;
    uint64_t rescues RK_LINE_ALIGNED;
    uint64_t bad_peer;
    uint64_t log_dropped;
    uint64_t replacements; /* by a reload, or because it had done its share */
};
static_assert(sizeof(struct rk_pool_member) == 128, "two lines");
static_assert(offsetof(struct rk_pool_member, rescues) == 64, "drawing");

/** What the supervisor tells tools. Figures only, as above. */
struct rk_pool_page {
    struct rk_segment_header header;
    uint64_t lock_device RK_LINE_ALIGNED; /* of PATH.lock, 0 for a private supervisor */
    uint64_t lock_inode;
    uint64_t started_ns;
    uint32_t supervisor_pid;
    uint32_t workers;
    uint32_t phase RK_LINE_ALIGNED; /* R9, enum rk_phase */
    uint32_t sessions;              /* attached now */
    uint64_t sessions_made;
    uint64_t sessions_refused;
    uint64_t sessions_ended; /* by the supervisor, because the client broke the rules or something ran out */
    uint64_t poisons;
    uint64_t log_dropped;
    struct rk_pool_member member[] RK_LINE_ALIGNED;
};
static_assert(offsetof(struct rk_pool_page, lock_device) == 64, "drawing");
static_assert(offsetof(struct rk_pool_page, phase) == 128, "drawing");
static_assert(offsetof(struct rk_pool_page, member) == 192, "drawing");

const char *rk_worker_stage_name(uint32_t stage);

#endif
