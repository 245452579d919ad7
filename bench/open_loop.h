/* SPDX-License-Identifier: MIT */
/* Calls at a given rate, whether or not answers keep up. The latency of a call counts from when it was meant to be sent: a call
 * that had to wait because the ones before were late is late too, as it would be for whoever sent it. (Counting from
 * when it really was sent hides just that; it is measured beside.) */
#ifndef RK_OPEN_LOOP_H
#define RK_OPEN_LOOP_H

#include "calls.h"
#include "histogram.h"
#include <stdint.h>

struct rk_open_loop {
    uint64_t rate; /* calls/s */
    uint64_t duration_ns;
    bool poisson; /* they come by chance and not evenly (arrivals.h); rk_open_loop_init() leaves it false */
    uint64_t seed;
    /* Results. */
    struct rk_histogram *from_intended;
    struct rk_histogram *from_sent;
    uint64_t calls;   /* answered */
    uint64_t late;    /* sent over a microsecond after they should have been */
    uint64_t unsent;  /* that were due before the end and did not get their turn: their latency is in no histogram */
    uint64_t took_ns; /* from the first intended time to the last answer */
};

/** When call `index` is meant to be sent, in ns after the start: exact for any index and rate. */
uint64_t rk_open_loop_due_ns(uint64_t index, uint64_t rate);

/** Calls that are meant to be sent within duration_ns, the first one in any case. */
uint64_t rk_open_loop_count(const struct rk_open_loop *loop);

/** 0 or -ENOMEM (finish is allowed then). */
int rk_open_loop_init(struct rk_open_loop *loop, uint64_t rate, uint64_t duration_ns);
void rk_open_loop_finish(struct rk_open_loop *loop);

/** Send for loop->duration_ns, then wait for what is in flight. At most as many in flight as `calls` was created for: more wait
 * in line, and their wait counts. Ends early when rk_bench_interrupted is set. 0, or -errno with the cause in
 * rk_calls_trouble(). */
int rk_calls_open_loop(struct rk_calls *calls, struct rk_open_loop *loop);

#endif
