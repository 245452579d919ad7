/* SPDX-License-Identifier: MIT */
/* What the files of the runner with the plugin `work` share: its sessions, and the orders that have a file of their own. */
#ifndef RK_RUNNER_WORK_H
#define RK_RUNNER_WORK_H

#include "histogram.h"
#include "meter.h"
#include "payload.h"
#include "runner.h"
#include "standstill.h"
#include <rask/client.h>

#define RK_WORK_SESSIONS_MAX 8u
#define RK_WORK_DEPTH_MAX 256u

/** RK_RUN_WORK collects in three series, from order.series on. */
enum rk_work_series { RK_WORK_LATENCY, RK_WORK_SERVICE, RK_WORK_OVERHEAD, RK_WORK_SERIES };

/** RK_RUN_MIXTURE collects in these series, from order.series on. Parts are of the fast requests. */
enum rk_mixture_series {
    RK_MIXTURE_FAST,
    RK_MIXTURE_FAST_IDEAL, /* in the ideal single queue with the same arrivals and service times */
    RK_MIXTURE_SLOW,
    RK_MIXTURE_BEFORE, /* from the intended time until the handler begins */
    RK_MIXTURE_SERVICE,
    RK_MIXTURE_AFTER, /* from the handler's end until its answer is taken */
    RK_MIXTURE_SERIES
};

#define RK_MIXTURE_SLOW_PART 0.01
/* Answered in time: a fast request within so many times its cost, a slow one within so many times its own. */
#define RK_MIXTURE_SLACK_FAST 10u
#define RK_MIXTURE_SLACK_SLOW 2u

enum rk_bulk_way {
    RK_BULK_REFERENCE, /* reserved and sent, and not a byte of it written or read */
    RK_BULK_TOUCHED,   /* copied in once, summed in place by the handler */
    RK_BULK_ALONE,     /* the same bytes copied and summed by this process */
    RK_BULK_WAYS
};

enum rk_flow_way {
    RK_FLOW_CALLS, /* 32 bytes, order.depth in flight */
    RK_FLOW_ITEMS, /* of a stream, 32 bytes, without answers */
    RK_FLOW_CALL,  /* 32 bytes, one at a time */
    RK_FLOW_ASK,   /* the same, and its handler asks back */
    RK_FLOW_BLOCK, /* 1 KiB, one at a time */
    RK_FLOW_KEEP,  /* the same, kept by the handler, which gives the one before it back */
    RK_FLOW_BULK,  /* of a stream, order.size bytes each, copied in and summed in place, order.depth in the backlog */
    RK_FLOW_WAYS
};

struct rk_runner_work {
    const struct rk_runner_plan *plan;
    uint32_t session_count;
    struct rask *sessions[RK_WORK_SESSIONS_MAX];
    uint32_t work, weigh, sum, count, ask, keep; /* methods */
    struct rk_meter meter;
    double rounds_per_ns;
    struct rk_standstill workers;
    bool stops; /* workers stand still between slices */
    struct rk_histogram *series[RK_RUNNER_SERIES_MAX];
    struct rk_histogram *slice;
    /* RK_RUN_BULK */
    struct rk_payload payload;
    uint64_t number;
    uint8_t *copy;
};

/** 0 or -errno; a request that did not end well has its text in the result. */
int rk_runner_mixture(struct rk_runner_work *self, const struct rk_runner_order *order,
                      struct rk_runner_result *result);
int rk_runner_bulk(struct rk_runner_work *self, const struct rk_runner_order *order, struct rk_runner_result *result);
void rk_runner_bulk_finish(struct rk_runner_work *self);

int rk_runner_flow(struct rk_runner_work *self, const struct rk_runner_order *order, struct rk_runner_result *result);

/** Rounds of rk_work_burn() that cost so much. */
uint64_t rk_runner_work_rounds(const struct rk_runner_work *self, uint64_t cost_ns);
/** 0, or -errno with the text in the result: how a request ended. */
int rk_runner_work_check(const struct rask_completion *completion, size_t length, struct rk_runner_result *result);

#endif
