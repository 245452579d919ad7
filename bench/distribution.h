/* SPDX-License-Identifier: MIT */
/* A histogram as a file: the percentile distribution that HdrHistogram writes (.hgrm, which its plotters read) and the same as
 * CSV. Values are in microseconds. Rows grow denser towards the end: five for each halving of what is left. */
#ifndef RK_DISTRIBUTION_H
#define RK_DISTRIBUTION_H

#include "histogram.h"
#include <stdio.h>

/** 0 or -EIO. */
int rk_distribution_hgrm(FILE *to, const struct rk_histogram *histogram);
int rk_distribution_csv(FILE *to, const struct rk_histogram *histogram);

/** The same as points of a plot, "1/(1-percentile) microseconds" a line, without the maximum. */
void rk_distribution_points(FILE *to, const struct rk_histogram *histogram);

/** Into a file: .hgrm unless its name ends in .csv. RK_EXIT_OK, or RK_EXIT_IO after a message that begins with `option`. */
int rk_distribution_file(const char *option, const char *path, const struct rk_histogram *histogram);

#endif
