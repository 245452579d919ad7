/* SPDX-License-Identifier: MIT */
/* One call at a time with rask_call(). Every byte of a request is written (copied from private memory) and every byte of
 * an answer over 32 bytes is read; echoes are compared in full in the warm-up and over 32 bytes, otherwise at both ends.
 * Waits inside rask_call(), as the session's wait mode says. */
#include "calls_state.h"
#include <errno.h>
#include <stdlib.h>

#define LEAD_IN 64u
#define WARM_UP_CALLS_MIN 3u
#define WARM_UP_TIMEOUT_NS 10000000000ull
/* Round trips longer than this make a lead-in of one: they do not depend on warm caches. */
#define SLOW_NS 20000.0

int rk_calls_failed(struct rk_calls *calls, int error, const struct rask_completion *completion)
{
    calls->trouble = (struct rk_trouble){.error = error, .status = completion->status, .code = completion->code};
    return error != 0 ? error : -rask_status_errno(completion->status);
}

int rk_calls_wrong_answer(struct rk_calls *calls)
{
    calls->trouble.wrong_answer = true;
    return -EBADMSG;
}

void rk_calls_read(struct rk_calls *calls, const uint8_t *data, size_t length)
{
    uint64_t sum = 0, word;
    size_t at = 0;
    for (; at + sizeof word <= length; at += sizeof word) {
        memcpy(&word, data + at, sizeof word);
        sum += word;
    }
    for (; at < length; at++) sum += data[at];
    calls->sum += sum;
}

/** Is the answer right? Reads what the file's comment says. */
static bool is_right(struct rk_calls *calls, const struct rask_completion *answer, const uint8_t *sent, bool in_full)
{
    const uint8_t *data = answer->data;
    if (!calls->echoes) {
        rk_calls_read(calls, data, answer->length);
        return true;
    }
    if (answer->length != calls->size) return false;
    if (in_full || calls->size > RASK_INLINE_BYTES) return calls->size == 0 || memcmp(data, sent, calls->size) == 0;
    return rk_payload_matches(&calls->payload, data, calls->number);
}

static int call_once(struct rk_calls *calls, uint64_t timeout_ns, bool in_full)
{
    struct rask_completion answer;
    const uint8_t *payload = rk_payload_of(&calls->payload, ++calls->number);
    int error = rask_call(calls->session, calls->method, payload, calls->size, timeout_ns, &answer);
    if (error != 0)
        error = rk_calls_failed(calls, error, &answer);
    else if (!is_right(calls, &answer, payload, in_full))
        error = rk_calls_wrong_answer(calls);
    rask_release(calls->session, &answer);
    return error;
}

static int round_trips(void *self, uint32_t count)
{
    struct rk_calls *calls = self;
    int error = 0;
    for (uint32_t i = 0; i < count && error == 0; i++) error = call_once(calls, 0, false);
    return error;
}

static int begin(void *self)
{
    struct rk_calls *calls = self;
    return round_trips(calls, calls->lead_in);
}

static int end(void *self)
{
    (void)self;
    return 0;
}

int rk_calls_warm_up(struct rk_calls *calls, uint64_t duration_ns, double *mean_ns)
{
    uint64_t start_ns = rask_now_ns(), now_ns = start_ns;
    uint64_t count = 0, settled_ns = start_ns;
    while (count < WARM_UP_CALLS_MIN || (now_ns - start_ns < duration_ns && !rk_bench_interrupted)) {
        int error = call_once(calls, WARM_UP_TIMEOUT_NS, true);
        if (error != 0) return error;
        now_ns = rask_now_ns();
        /* The first call opens the lane: it says nothing about the others. */
        if (++count == 1) settled_ns = now_ns;
    }
    *mean_ns = (double)(now_ns - settled_ns) / (double)(count - 1);
    calls->lead_in = *mean_ns > SLOW_NS ? 1 : LEAD_IN;
    return 0;
}

int rk_calls_create(struct rk_calls **out, struct rask *session, uint32_t method, size_t size, uint32_t in_flight,
                    bool echoes)
{
    struct rk_calls *calls = calloc(1, sizeof *calls);
    *out = calls;
    if (calls == NULL) return -ENOMEM;
    *calls = (struct rk_calls){.session = session,
                               .method = method,
                               .in_flight = in_flight,
                               .size = size,
                               .echoes = echoes,
                               .lead_in = LEAD_IN};
    calls->contender =
        (struct rk_contender){.name = "rask", .self = calls, .begin = begin, .round_trips = round_trips, .end = end};
    int error = rk_payload_init(&calls->payload, size);
    calls->flights = calloc(in_flight, sizeof *calls->flights);
    calls->free_flights = calloc(in_flight, sizeof *calls->free_flights);
    if (error != 0 || calls->flights == NULL || calls->free_flights == NULL) {
        rk_calls_destroy(calls);
        *out = NULL;
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < in_flight; i++) calls->free_flights[calls->free_count++] = i;
    return 0;
}

void rk_calls_destroy(struct rk_calls *calls)
{
    if (calls == NULL) return;
    rk_payload_finish(&calls->payload);
    free(calls->flights);
    free(calls->free_flights);
    free(calls);
}

const struct rk_contender *rk_calls_contender(struct rk_calls *calls)
{
    return &calls->contender;
}

const struct rk_trouble *rk_calls_trouble(const struct rk_calls *calls)
{
    return &calls->trouble;
}
