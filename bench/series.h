/* SPDX-License-Identifier: MIT */
/* A few numbers and their percentiles: ratios of slices, medians of slices. Exact, unlike a histogram; grows as needed. */
#ifndef RK_SERIES_H
#define RK_SERIES_H

#include <stdint.h>

/** Zeroed is empty. */
struct rk_series {
    double *values;
    uint32_t count;
    uint32_t room;
};

/** 0 or -ENOMEM. */
int rk_series_add(struct rk_series *series, double value);
void rk_series_finish(struct rk_series *series);

/** The value at `percent` (0..100) of the sorted series, between neighbours in proportion; 0 when empty. */
double rk_series_percentile(struct rk_series *series, double percent);

#endif
