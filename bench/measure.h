/* SPDX-License-Identifier: MIT */
/* The run: warm-up, then slices of floor, rask, floor, rask ... until the time or the count is over. On a machine that
 * drifts only neighbours in time can be compared: a ratio is taken slice by slice, and the figure is their median. */
#ifndef RK_MEASURE_H
#define RK_MEASURE_H

#include "calls.h"
#include "floor.h"
#include "slice.h"
#include "standstill.h"

struct rk_measure_options {
    uint64_t duration_ns; /* of everything behind the warm-up; not used when there is a count */
    uint64_t count;       /* calls to measure; 0: by duration */
    uint32_t in_flight;
    bool show_progress;                     /* on standard error */
    const struct rk_standstill *standstill; /* workers that would disturb the floor */
};

/** One floor variant beside rask. */
struct rk_floor_figures {
    struct rk_samples samples;
    struct rk_histogram *ratios; /* rask's p50 / this one's p50, slice by slice, in millionths */
};

struct rk_figures {
    struct rk_samples rask;
    struct rk_floor_figures floors[RK_FLOOR_VARIANTS_MAX];
    uint32_t floor_count;
    uint32_t best;              /* the candidate with the lowest p50 over the whole run: the floor */
    uint32_t best_sealed;       /* the same among those over sealed memory */
    uint32_t slices;            /* with a ratio */
    struct rk_histogram *paces; /* ns per 1000 calls of rask, slice by slice */
    uint64_t elapsed_ns;
    struct rk_samples scratch; /* of the slice at hand */
};

/** 0, or -ENOMEM (finish is allowed then). */
int rk_figures_init(struct rk_figures *figures);
void rk_figures_finish(struct rk_figures *figures);

/** Warm up and run. Ends early, with the figures so far, when rk_bench_interrupted is set. Returns 0; -ECHILD, -EPIPE
 * the floor's peer is gone; another errno with the cause in rk_calls_trouble(). */
int rk_measure_run(struct rk_figures *figures, struct rk_calls *calls, struct rk_floor *floor,
                   const struct rk_measure_options *options);

/** Calls per second of the median slice: what the processors do when nobody else wants them. 0 without slices. */
double rk_figures_median_calls_per_s(const struct rk_figures *figures);

/** Percentile of the slices' ratios to a floor variant (`best`, `best_sealed`); 0 without slices. */
double rk_figures_ratio(const struct rk_figures *figures, uint32_t variant, double percent);

#endif
