/* SPDX-License-Identifier: MIT */
/* How everything in this benchmark is timed, so that a ratio compares like with like.
 *
 * A contender is something that makes round trips: rask, or one of the floors. It is measured in short slices, one
 * contender after the other, over and over. Within a slice two methods alternate:
 *   - RK_BATCH round trips between two clock reads: a clock read costs a quarter of a fast round trip, so medians,
 *     calls per second and ratios come from these;
 *   - RK_BATCH round trips, each between two clock reads of its own: the tail comes from these, and contains one clock
 *     read (rk_clock_read_ns() says how much that is).
 * A contender with slow round trips (batch = 1) needs only the second. */
#ifndef RK_SLICE_H
#define RK_SLICE_H

#include "histogram.h"
#include <stdbool.h>
#include <stdint.h>

#define RK_BATCH 16u

struct rk_contender {
    const char *name;
    void *self;
    /** Get ready, lead-in round trips included: the first ones after a pause pay for cold caches and sleeping peers. */
    int (*begin)(void *self);
    /** Make `count` complete round trips. 0, or a negative errno that ends the benchmark. */
    int (*round_trips)(void *self, uint32_t count);
    /** The slice is over. */
    int (*end)(void *self);
};

/** What was measured, of one slice or of many. */
struct rk_samples {
    struct rk_histogram *each;    /* ns of single round trips; NULL when out of memory */
    struct rk_histogram *batches; /* ns of `batch` round trips */
    uint32_t batch;
    uint64_t calls;       /* measured, in all */
    uint64_t paced_calls; /* those that calls per second come from, and the time they took */
    uint64_t paced_ns;
};

/** 0, or -ENOMEM (finish is allowed then). */
int rk_samples_init(struct rk_samples *samples, uint32_t batch);
void rk_samples_finish(struct rk_samples *samples);
void rk_samples_reset(struct rk_samples *samples);
void rk_samples_merge(struct rk_samples *into, const struct rk_samples *from);

/** Median of a round trip in ns, by the batches (or each, where there is no batch); 0 without samples. */
double rk_samples_p50_ns(const struct rk_samples *samples);
double rk_samples_calls_per_s(const struct rk_samples *samples);

/** When a slice is over: after min_calls and not before until_ns, but in any case after max_calls or at stop_ns. What is
 * least to be had is one batch (or max_calls). */
struct rk_slice {
    uint64_t until_ns;
    uint64_t stop_ns;
    uint64_t min_calls;
    uint64_t max_calls;
};

/** Has the user had enough (SIGINT)? Set by the command, looked at between batches. */
extern volatile int rk_bench_interrupted;

/** Run one slice: begin, measure into `samples` (of one slice: reset before), end. 0 or what the contender returned. */
int rk_slice_run(const struct rk_contender *contender, const struct rk_slice *slice, struct rk_samples *samples);

/** What one clock read costs, in ns. */
double rk_clock_read_ns(void);

#endif
