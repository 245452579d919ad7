/* SPDX-License-Identifier: MIT */
/* See histogram.h. Bucket index of a value v: v itself below 2048; otherwise, with `shift` so that v >> shift lies in
 * 1024..2047, the index is shift * 1024 + (v >> shift). The octaves follow each other without a gap. */
#include "histogram.h"
#include <stdlib.h>
#include <string.h>

#define HALF 1024u
#define HALF_BITS 10u
/* 100 s lies in the octave of shift 26: 100e9 >> 26 = 1490. */
#define SHIFT_MAX 26u
#define BUCKETS (SHIFT_MAX * HALF + 2 * HALF)
_Static_assert((RK_HISTOGRAM_NS_MAX >> SHIFT_MAX) >= HALF && (RK_HISTOGRAM_NS_MAX >> SHIFT_MAX) < 2 * HALF,
               "last octave");
_Static_assert(RK_HISTOGRAM_OCTAVES == SHIFT_MAX + 1 && RK_HISTOGRAM_SUB_BUCKETS == 2 * HALF,
               "as it is said to others");

struct rk_histogram {
    uint64_t count;
    uint64_t max_ns;
    double sum_ns;
    uint32_t first; /* buckets in use: first..last */
    uint32_t last;
    uint64_t buckets[BUCKETS];
};

struct rk_histogram *rk_histogram_create(void)
{
    struct rk_histogram *histogram = calloc(1, sizeof *histogram);
    if (histogram != NULL) histogram->first = BUCKETS;
    return histogram;
}

void rk_histogram_destroy(struct rk_histogram *histogram)
{
    free(histogram);
}

void rk_histogram_reset(struct rk_histogram *histogram)
{
    if (histogram->count > 0) {
        size_t used = histogram->last - histogram->first + 1u;
        memset(histogram->buckets + histogram->first, 0, used * sizeof histogram->buckets[0]);
    }
    histogram->count = 0;
    histogram->max_ns = 0;
    histogram->sum_ns = 0;
    histogram->first = BUCKETS;
    histogram->last = 0;
}

static uint32_t bucket_of(uint64_t value_ns)
{
    if (value_ns < 2 * HALF) return (uint32_t)value_ns;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value_ns) - HALF_BITS;
    return shift * HALF + (uint32_t)(value_ns >> shift);
}

/** Largest value that falls into a bucket. */
static uint64_t bucket_end(uint32_t index)
{
    if (index < 2 * HALF) return index;
    uint32_t shift = index / HALF - 1u;
    uint64_t mantissa = index - shift * HALF;
    return ((mantissa + 1u) << shift) - 1u;
}

void rk_histogram_add(struct rk_histogram *histogram, uint64_t value_ns, uint64_t count)
{
    uint32_t index = bucket_of(value_ns < RK_HISTOGRAM_NS_MAX ? value_ns : RK_HISTOGRAM_NS_MAX);
    histogram->buckets[index] += count;
    histogram->count += count;
    histogram->sum_ns += (double)value_ns * (double)count;
    if (value_ns > histogram->max_ns) histogram->max_ns = value_ns;
    if (index < histogram->first) histogram->first = index;
    if (index > histogram->last) histogram->last = index;
}

void rk_histogram_record(struct rk_histogram *histogram, uint64_t value_ns)
{
    rk_histogram_add(histogram, value_ns, 1);
}

bool rk_histogram_next(const struct rk_histogram *histogram, uint32_t *place, uint64_t *value_ns, uint64_t *count)
{
    uint32_t index = *place < histogram->first ? histogram->first : *place;
    if (histogram->count == 0) return false;
    while (index <= histogram->last && histogram->buckets[index] == 0) index++;
    if (index > histogram->last) return false;
    uint64_t end_ns = bucket_end(index);
    *value_ns = end_ns < histogram->max_ns && index < histogram->last ? end_ns : histogram->max_ns;
    *count = histogram->buckets[index];
    *place = index + 1;
    return true;
}

void rk_histogram_merge(struct rk_histogram *into, const struct rk_histogram *from)
{
    if (from->count == 0) return;
    for (uint32_t index = from->first; index <= from->last; index++) into->buckets[index] += from->buckets[index];
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns) into->max_ns = from->max_ns;
    if (from->first < into->first) into->first = from->first;
    if (from->last > into->last) into->last = from->last;
}

uint64_t rk_histogram_count(const struct rk_histogram *histogram)
{
    return histogram->count;
}

uint64_t rk_histogram_max(const struct rk_histogram *histogram)
{
    return histogram->max_ns;
}

double rk_histogram_mean(const struct rk_histogram *histogram)
{
    return histogram->count > 0 ? histogram->sum_ns / (double)histogram->count : 0;
}

/** How many of the smallest samples `percent` covers: rounded up, 1..count. Needs count > 0. The small term keeps what
 * floating point adds to a whole number (99.9 % of 1000) from being rounded up to the next one. */
static uint64_t rank_of(const struct rk_histogram *histogram, double percent)
{
    double exact = percent * (double)histogram->count / 100.0 - 1e-6;
    uint64_t rank = exact > 0 ? (uint64_t)exact + 1u : 0;
    if (rank < 1) rank = 1;
    return rank < histogram->count ? rank : histogram->count;
}

uint64_t rk_histogram_percentile(const struct rk_histogram *histogram, double percent)
{
    if (histogram->count == 0) return 0;
    uint64_t rank = rank_of(histogram, percent);
    uint64_t seen = 0;
    uint32_t index = histogram->first;
    while ((seen += histogram->buckets[index]) < rank) index++;
    uint64_t end_ns = bucket_end(index);
    return end_ns < histogram->max_ns ? end_ns : histogram->max_ns;
}

uint64_t rk_histogram_beyond(const struct rk_histogram *histogram, double percent)
{
    return histogram->count > 0 ? histogram->count - rank_of(histogram, percent) : 0;
}
