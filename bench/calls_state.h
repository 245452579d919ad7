/* SPDX-License-Identifier: MIT */
/* What roundtrip.c and pipeline.c share: the session under measurement and its payload. */
#ifndef RK_CALLS_STATE_H
#define RK_CALLS_STATE_H

#include "calls.h"
#include <string.h>

/** A request in flight; user_data of its completion is its index. */
struct rk_flight {
    uint64_t stamp;     /* what its payload begins and ends with */
    uint64_t submit_ns; /* 0: not sampled */
};

struct rk_calls {
    struct rask *session;
    uint32_t method;
    uint32_t in_flight;
    size_t size;
    bool echoes;
    uint8_t *payload; /* what the next request says */
    uint64_t stamp;
    uint64_t sum; /* of bytes read from answers that are not compared, so that reading them has a use */
    struct rk_trouble trouble;
    struct rk_contender contender;
    uint32_t lead_in; /* calls before a slice counts */
    struct rk_flight *flights;
    uint32_t *free_flights; /* indices, a stack */
    uint32_t free_count;
};

/** A payload that differs at both ends from all others in flight. */
static inline void rk_calls_stamp(struct rk_calls *calls)
{
    uint64_t stamp = ++calls->stamp;
    size_t bytes = calls->size < sizeof stamp ? calls->size : sizeof stamp;
    if (bytes == sizeof stamp) {
        memcpy(calls->payload, &stamp, sizeof stamp);
        memcpy(calls->payload + calls->size - sizeof stamp, &stamp, sizeof stamp);
    } else if (bytes > 0) {
        memcpy(calls->payload, &stamp, bytes);
    }
}

/** Does an echo begin and end with `stamp`? */
static inline bool rk_calls_ends_match(const struct rk_calls *calls, const uint8_t *data, uint64_t stamp)
{
    uint64_t first, last;
    if (calls->size < sizeof stamp) return calls->size == 0 || memcmp(data, &stamp, calls->size) == 0;
    memcpy(&first, data, sizeof first);
    memcpy(&last, data + calls->size - sizeof last, sizeof last);
    return first == stamp && last == stamp;
}

/** Read an answer of any length. */
void rk_calls_read(struct rk_calls *calls, const uint8_t *data, size_t length);

/** Note how a request ended that did not end well. Returns a negative errno. */
int rk_calls_failed(struct rk_calls *calls, int error, const struct rask_completion *completion);
int rk_calls_wrong_answer(struct rk_calls *calls);

#endif
