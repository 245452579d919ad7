/* SPDX-License-Identifier: MIT */
/* The loops around a wire's four functions, the same for all wires. A wire's file says
 *
 *   RK_WIRE_LOOPS(pipe, put, flush, take, more)
 *
 * and has pipe_trips(), pipe_stream() and pipe_answer() for its table. Everything is inlined there: nobody is measured
 * through a pointer to a function.
 *
 *   int put(self, data, bytes)         send one message; it may wait for flush() to leave
 *   int flush(self)                    send what put() has kept
 *   int take(self, &data, &bytes)      the next message, waiting for it; it stays valid until the next take()
 *   bool more(self)                    is another one here already, so that sending can wait for company? */
#ifndef RK_WIRE_LOOPS_H
#define RK_WIRE_LOOPS_H

#include "calls.h"
#include "wire.h"
#include <errno.h>
#include <rask/client.h>

#define RK_WIRE_INLINE static inline __attribute__((always_inline))

struct rk_wire_calls {
    int (*put)(void *self, const uint8_t *data, size_t bytes);
    int (*flush)(void *self);
    int (*take)(void *self, const uint8_t **data, size_t *bytes);
    bool (*more)(void *self);
};

RK_WIRE_INLINE int rk_wire_loop_trips(const struct rk_wire_calls *calls, void *self, struct rk_talk *talk,
                                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *data;
        size_t bytes;
        int error = calls->put(self, rk_talk_next(talk), talk->size);
        if (error == 0) error = calls->flush(self);
        if (error == 0) error = calls->take(self, &data, &bytes);
        if (error != 0) return error;
        if (!rk_talk_accepts(talk, data, bytes)) return -EBADMSG;
    }
    return 0;
}

/** When the requests were sent whose latency is taken: one in RK_SAMPLE_EVERY. */
struct rk_wire_stamps {
    uint64_t sent_ns[RK_WIRE_DEPTH_MAX / RK_SAMPLE_EVERY + 2];
};

RK_WIRE_INLINE uint64_t *rk_wire_stamp(struct rk_wire_stamps *stamps, uint64_t number)
{
    if (number % RK_SAMPLE_EVERY != 0) return NULL;
    return &stamps->sent_ns[number / RK_SAMPLE_EVERY % (sizeof stamps->sent_ns / sizeof stamps->sent_ns[0])];
}

RK_WIRE_INLINE int rk_wire_loop_send(const struct rk_wire_calls *calls, void *self, struct rk_talk *talk,
                                     struct rk_wire_stamps *stamps)
{
    const uint8_t *request = rk_talk_next(talk);
    uint64_t *stamp = rk_wire_stamp(stamps, talk->sent);
    if (stamp != NULL) *stamp = rask_now_ns();
    return calls->put(self, request, talk->size);
}

RK_WIRE_INLINE int rk_wire_loop_receive(const struct rk_wire_calls *calls, void *self, struct rk_talk *talk,
                                        struct rk_wire_stamps *stamps, struct rk_histogram *latencies)
{
    const uint8_t *data;
    size_t bytes;
    int error = calls->take(self, &data, &bytes);
    if (error != 0) return error;
    const uint64_t *stamp = rk_wire_stamp(stamps, talk->received + 1);
    if (stamp != NULL && latencies != NULL) rk_histogram_record(latencies, rask_now_ns() - *stamp);
    return rk_talk_accepts(talk, data, bytes) ? 0 : -EBADMSG;
}

/** Fill up, let it settle for four times the depth, measure until the slice is over, drain. Each answer is followed by
 * another request; requests leave together when answers have come together. */
RK_WIRE_INLINE int rk_wire_loop_stream(const struct rk_wire_calls *calls, void *self, struct rk_talk *talk,
                                       const struct rk_slice *slice, struct rk_samples *samples)
{
    struct rk_wire_stamps stamps;
    int error = 0;
    for (uint32_t i = 0; i < talk->depth && error == 0; i++) error = rk_wire_loop_send(calls, self, talk, &stamps);
    if (error == 0) error = calls->flush(self);
    uint64_t settled = talk->received + 4ull * talk->depth, taken = 0, start_ns = 0, now_ns = 0;
    while (error == 0) {
        bool measured = talk->received >= settled;
        if (measured && start_ns == 0) start_ns = now_ns = rask_now_ns();
        if (measured && taken % 64 == 0) {
            now_ns = rask_now_ns();
            if (rk_bench_interrupted || (now_ns >= slice->until_ns && taken >= slice->min_calls)) break;
        }
        error = rk_wire_loop_receive(calls, self, talk, &stamps, measured ? samples->each : NULL);
        taken += measured;
        if (error == 0) error = rk_wire_loop_send(calls, self, talk, &stamps);
        if (error == 0 && !calls->more(self)) error = calls->flush(self);
    }
    samples->calls += taken;
    samples->paced_calls += taken;
    samples->paced_ns += now_ns - start_ns;
    if (error == 0) error = calls->flush(self);
    while (error == 0 && talk->received < talk->sent) error = rk_wire_loop_receive(calls, self, talk, &stamps, NULL);
    return error;
}

RK_WIRE_INLINE int rk_wire_loop_answer(const struct rk_wire_calls *calls, void *self)
{
    int error = 0;
    while (error == 0) {
        const uint8_t *data;
        size_t bytes;
        error = calls->take(self, &data, &bytes);
        if (error == 0) error = calls->put(self, data, bytes);
        if (error == 0 && !calls->more(self)) error = calls->flush(self);
    }
    return error;
}

/* One by one, for wires that need only some of them. */
#define RK_WIRE_CALLS(name, put_, flush_, take_, more_) \
    static const struct rk_wire_calls name##_calls = {.put = put_, .flush = flush_, .take = take_, .more = more_};
#define RK_WIRE_TRIPS(name)                                                   \
    static int name##_trips(void *self, struct rk_talk *talk, uint32_t count) \
    {                                                                         \
        return rk_wire_loop_trips(&name##_calls, self, talk, count);          \
    }
#define RK_WIRE_STREAM(name)                                                                 \
    static int name##_stream(void *self, struct rk_talk *talk, const struct rk_slice *slice, \
                             struct rk_samples *samples)                                     \
    {                                                                                        \
        return rk_wire_loop_stream(&name##_calls, self, talk, slice, samples);               \
    }
#define RK_WIRE_ANSWER(name)                             \
    static int name##_answer(void *self)                 \
    {                                                    \
        return rk_wire_loop_answer(&name##_calls, self); \
    }

#define RK_WIRE_LOOPS(name, put_, flush_, take_, more_) \
    RK_WIRE_CALLS(name, put_, flush_, take_, more_)     \
    RK_WIRE_TRIPS(name)                                 \
    RK_WIRE_STREAM(name)                                \
    RK_WIRE_ANSWER(name)

#endif
