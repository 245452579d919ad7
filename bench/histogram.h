/* SPDX-License-Identifier: MIT */
/* Log-linear histogram of durations, with the bucket arithmetic of HdrHistogram at three significant digits: values
 * below 2048 ns have a bucket each, above that every octave is cut into 1024. A value is off by less than 1/1024 of
 * itself. Range 0 ns .. 100 s; what is longer counts as 100 s, but `max_ns` stays exact.
 *
 * Nothing allocates after create. Reset and merge touch only the buckets in use, so that a histogram per slice is cheap
 * and leaves the caches of what is being measured alone. One thread. */
#ifndef RK_HISTOGRAM_H
#define RK_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#define RK_HISTOGRAM_NS_MAX 100000000000ull
/* As HdrHistogram counts them: the first one holds 0..2047, each other one the next octave. */
#define RK_HISTOGRAM_OCTAVES 27
#define RK_HISTOGRAM_SUB_BUCKETS 2048

struct rk_histogram;

/** Empty histogram, or NULL when out of memory. */
struct rk_histogram *rk_histogram_create(void);
void rk_histogram_destroy(struct rk_histogram *histogram);

void rk_histogram_reset(struct rk_histogram *histogram);
void rk_histogram_record(struct rk_histogram *histogram, uint64_t value_ns);
/** Add everything in `from`. */
void rk_histogram_merge(struct rk_histogram *into, const struct rk_histogram *from);

/** The same `count` times: how a histogram from another process is put together again. */
void rk_histogram_add(struct rk_histogram *histogram, uint64_t value_ns, uint64_t count);

/** Walk the buckets that hold something, in order. Begin with *place = 0; false behind the last one. `value_ns` is the largest
 * value that falls into the bucket, in the last one the maximum: adding them all elsewhere gives the same percentiles. */
bool rk_histogram_next(const struct rk_histogram *histogram, uint32_t *place, uint64_t *value_ns, uint64_t *count);

uint64_t rk_histogram_count(const struct rk_histogram *histogram);
/** Exact; 0 when empty. */
uint64_t rk_histogram_max(const struct rk_histogram *histogram);
double rk_histogram_mean(const struct rk_histogram *histogram);

/** Smallest bucket's upper end that `percent` (0..100) of the samples do not exceed, never over the maximum: the exact
 * quantile, or up to 1/1024 more. 0 when empty. */
uint64_t rk_histogram_percentile(const struct rk_histogram *histogram, double percent);

/** Samples that lie beyond that percentile: few of them make a percentile a matter of luck. */
uint64_t rk_histogram_beyond(const struct rk_histogram *histogram, double percent);

#endif
