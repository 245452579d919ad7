/* SPDX-License-Identifier: MIT */
/* rask under measurement: one session, one method, requests whose bytes are really written and answers whose bytes are
 * really read. Two ways: round trips one at a time with rask_call() (a contender for rk_slice_run()), and a pipeline of
 * many in flight with reserve, submit, wait, release. Public API only. */
#ifndef RK_CALLS_H
#define RK_CALLS_H

#include "slice.h"
#include <rask/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One request in this many has its latency measured when there are many in flight: its clock reads cost the others
 * nothing then. A prime, so that it does not fall into step with rings and batches. */
#define RK_SAMPLE_EVERY 61u

/** How the benchmark went wrong, if it did. */
struct rk_trouble {
    int error;       /* what a librask function returned, 0: none */
    uint32_t status; /* enum rask_status of a request that did not end with OK */
    int32_t code;
    bool wrong_answer; /* the handler echoes, and this was not what had been sent */
};

struct rk_calls;

/** Allocate everything. `echoes`: answers must equal requests, and are compared. 0 or -ENOMEM. */
int rk_calls_create(struct rk_calls **out, struct rask *session, uint32_t method, size_t size, uint32_t in_flight,
                    bool echoes);
/** NULL is allowed. The session stays open. */
void rk_calls_destroy(struct rk_calls *calls);

/** Make calls for about `duration_ns`, at least three, each answer compared in full, each with a time-out. Returns 0 with
 * the mean round trip in *mean_ns, or a negative errno with the cause in rk_calls_trouble(). */
int rk_calls_warm_up(struct rk_calls *calls, uint64_t duration_ns, double *mean_ns);

/** One call at a time. */
const struct rk_contender *rk_calls_contender(struct rk_calls *calls);

/** Many in flight: fill up, let it settle, measure, drain. As rk_slice_run(); samples->each gets the latencies from submit
 * to taken of one request in RK_SAMPLE_EVERY, paced_* every one. */
int rk_calls_pipeline(struct rk_calls *calls, const struct rk_slice *slice, struct rk_samples *samples);

const struct rk_trouble *rk_calls_trouble(const struct rk_calls *calls);

#endif
