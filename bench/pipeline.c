/* SPDX-License-Identifier: MIT */
/* Many in flight: each completion is taken, checked and released, and another request goes out in its place. A request is
 * written in place; answers over 32 bytes are read as a whole, and an echo must begin and end with its request's number.
 *
 * Latency is from just before rask_submit() to just after its completion was taken, of one request in RK_SAMPLE_EVERY. Where the slab is
 * too small for the depth asked for, fewer are in flight: rask_reserve() says -EAGAIN and the next completion makes room. */
#include "calls_state.h"
#include <errno.h>

#define TAKE_MAX 64u
/* Completions between two looks at the time. */
#define LOOK_EVERY 256u
/* Completions, in multiples of the depth, before a slice counts. */
#define SETTLE 4u

/** Send one more. 0, -EAGAIN when there is no room, another errno with the trouble noted. */
static int send_one(struct rk_calls *calls)
{
    struct rask_request request = {0};
    int error = rask_reserve(calls->session, calls->size, &request);
    if (error != 0) {
        if (error == -EAGAIN && rask_pending(calls->session) > 0) return error;
        return rk_calls_failed(calls, error, &(struct rask_completion){.status = RASK_OK});
    }
    uint32_t index = calls->free_flights[--calls->free_count];
    struct rk_flight *flight = &calls->flights[index];
    const uint8_t *payload = rk_payload_of(&calls->payload, ++calls->number);
    if (calls->size == RASK_INLINE_BYTES)
        memcpy(request.data, payload, RASK_INLINE_BYTES);
    else if (calls->size > 0)
        memcpy(request.data, payload, calls->size);
    request.user_data = index;
    flight->number = calls->number;
    flight->submit_ns = calls->number % RK_SAMPLE_EVERY == 0 ? rask_now_ns() : 0;
    error = rask_submit(calls->session, &request, calls->method, calls->size, NULL);
    return error != 0 ? rk_calls_failed(calls, error, &(struct rask_completion){.status = RASK_OK}) : 0;
}

static int fill(struct rk_calls *calls)
{
    while (calls->free_count > 0) {
        int error = send_one(calls);
        if (error == -EAGAIN) return 0;
        if (error != 0) return error;
    }
    return 0;
}

static int check(struct rk_calls *calls, const struct rask_completion *answer, const struct rk_flight *flight)
{
    if (answer->status != RASK_OK) return rk_calls_failed(calls, 0, answer);
    if (calls->size > RASK_INLINE_BYTES || !calls->echoes) rk_calls_read(calls, answer->data, answer->length);
    if (!calls->echoes) return 0;
    if (answer->length != calls->size || !rk_payload_matches(&calls->payload, answer->data, flight->number))
        return rk_calls_wrong_answer(calls);
    return 0;
}

/** Take what has come, at most `max`, waiting for the first. `latencies` may be NULL. Returns the count or -errno. */
static int take(struct rk_calls *calls, uint32_t max, struct rk_histogram *latencies)
{
    struct rask_completion answers[TAKE_MAX];
    int count = rask_wait_any(calls->session, answers, max < TAKE_MAX ? max : TAKE_MAX, 0);
    if (count < 0) return rk_calls_failed(calls, count, &(struct rask_completion){.status = RASK_OK});
    int error = 0;
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)answers[i].user_data;
        const struct rk_flight *flight = &calls->flights[index];
        if (flight->submit_ns != 0 && latencies != NULL)
            rk_histogram_record(latencies, rask_now_ns() - flight->submit_ns);
        if (error == 0) error = check(calls, &answers[i], flight);
        rask_release(calls->session, &answers[i]);
        calls->free_flights[calls->free_count++] = index;
    }
    return error != 0 ? error : count;
}

static int exchange(struct rk_calls *calls, uint64_t max, struct rk_histogram *latencies)
{
    int count = take(calls, max < TAKE_MAX ? (uint32_t)max : TAKE_MAX, latencies);
    if (count < 0) return count;
    int error = fill(calls);
    return error != 0 ? error : count;
}

static int settle(struct rk_calls *calls)
{
    int error = fill(calls);
    uint64_t wanted = calls->lead_in > 1 ? (uint64_t)calls->in_flight * SETTLE : 0;
    for (uint64_t taken = 0; error == 0 && taken < wanted;) {
        int count = exchange(calls, wanted - taken, NULL);
        if (count < 0) return count;
        taken += (uint64_t)count;
    }
    return error;
}

/** The measured part. Whoever is still in flight at its end is not counted. */
static int measure(struct rk_calls *calls, const struct rk_slice *slice, struct rk_samples *samples)
{
    uint64_t start_ns = rask_now_ns(), now_ns = start_ns;
    uint64_t taken = 0, next_look = 0;
    while (taken < slice->max_calls && !rk_bench_interrupted) {
        if (taken >= next_look) {
            now_ns = rask_now_ns();
            if (taken > 0 && (now_ns >= slice->stop_ns || (now_ns >= slice->until_ns && taken >= slice->min_calls)))
                break;
            next_look = calls->lead_in > 1 ? taken + LOOK_EVERY : taken + 1;
        }
        int count = exchange(calls, slice->max_calls - taken, samples->each);
        if (count < 0) return count;
        taken += (uint64_t)count;
    }
    samples->calls += taken;
    samples->paced_calls += taken;
    samples->paced_ns += rask_now_ns() - start_ns;
    return 0;
}

int rk_calls_pipeline(struct rk_calls *calls, const struct rk_slice *slice, struct rk_samples *samples)
{
    int error = settle(calls);
    if (error == 0) error = measure(calls, slice, samples);
    while (error == 0 && rask_pending(calls->session) > 0) {
        int count = take(calls, TAKE_MAX, NULL);
        if (count < 0) error = count;
    }
    return error;
}
