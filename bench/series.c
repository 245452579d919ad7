/* SPDX-License-Identifier: MIT */
/* See series.h. Sorts in place: the order of arrival means nothing. */
#include "series.h"
#include <errno.h>
#include <stdlib.h>

int rk_series_add(struct rk_series *series, double value)
{
    if (series->count == series->room) {
        uint32_t room = series->room == 0 ? 64 : series->room * 2;
        double *values = realloc(series->values, room * sizeof *values);
        if (values == NULL) return -ENOMEM;
        series->values = values;
        series->room = room;
    }
    series->values[series->count++] = value;
    return 0;
}

void rk_series_finish(struct rk_series *series)
{
    free(series->values);
    *series = (struct rk_series){.count = 0};
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double rk_series_percentile(struct rk_series *series, double percent)
{
    if (series->count == 0) return 0;
    qsort(series->values, series->count, sizeof *series->values, by_value);
    double place = percent / 100 * (series->count - 1);
    uint32_t below = (uint32_t)place;
    if (below + 1 >= series->count) return series->values[series->count - 1];
    double part = place - below;
    return series->values[below] * (1 - part) + series->values[below + 1] * part;
}
