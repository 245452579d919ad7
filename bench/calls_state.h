/* SPDX-License-Identifier: MIT */
/* What roundtrip.c and pipeline.c share: the session under measurement and its payload. */
#ifndef RK_CALLS_STATE_H
#define RK_CALLS_STATE_H

#include "calls.h"
#include "payload.h"

/** A request in flight; user_data of its completion is its index. */
struct rk_flight {
    uint64_t number;    /* of its payload */
    uint64_t submit_ns; /* 0: not sampled */
};

struct rk_calls {
    struct rask *session;
    uint32_t method;
    uint32_t in_flight;
    size_t size;
    bool echoes;
    struct rk_payload payload;
    uint64_t number; /* of the last request's payload */
    uint64_t sum;    /* of bytes read from answers that are not compared, so that reading them has a use */
    struct rk_trouble trouble;
    struct rk_contender contender;
    uint32_t lead_in; /* calls before a slice counts */
    struct rk_flight *flights;
    uint32_t *free_flights; /* indices, a stack */
    uint32_t free_count;
};

/** Read an answer of any length. */
void rk_calls_read(struct rk_calls *calls, const uint8_t *data, size_t length);

/** Note how a request ended that did not end well. Returns a negative errno. */
int rk_calls_failed(struct rk_calls *calls, int error, const struct rask_completion *completion);
int rk_calls_wrong_answer(struct rk_calls *calls);

#endif
