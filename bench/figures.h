/* SPDX-License-Identifier: MIT */
/* The figures in a result file of `rask bench`, `rask bench wake` or `rask bench peers`: everything that is a median with a
 * spread, by the place where it stands. For `rask bench compare`. */
#ifndef RK_FIGURES_FILE_H
#define RK_FIGURES_FILE_H

#include "json.h"
#include <stdbool.h>
#include <stdint.h>

#define RK_FIGURES_MAX 4096u

struct rk_figure {
    char where[160]; /* "spin 32 / pipe / 1 / ratio_to_rask" */
    double p10, p50, p90;
    bool noisy; /* the part or contest it belongs to says so */
};

struct rk_figure_list {
    uint32_t count;
    struct rk_figure figures[RK_FIGURES_MAX];
};

/** All figures of a result; those beyond RK_FIGURES_MAX are left out. */
void rk_figures_collect(struct rk_figure_list *list, const json_t *result);
/** NULL: there is none of that name. */
const struct rk_figure *rk_figures_find(const struct rk_figure_list *list, const char *where);

enum rk_change {
    RK_SAME,  /* the spreads touch: the difference may be chance */
    RK_LOWER, /* b lies below a as a whole, and not by less than a hundredth */
    RK_HIGHER,
    RK_UNSURE /* they would differ, but one of them was measured while others used the processors */
};

/** What happened from `a` to `b`. */
enum rk_change rk_figures_compare(const struct rk_figure *a, const struct rk_figure *b);

#endif
