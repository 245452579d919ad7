/* SPDX-License-Identifier: MIT */
/* The backlog over time as a picture: one chart in SVG, written by hand and not by gnuplot, as the plots of `rask bench wake` are:
 * it takes about 1 KB instead of 20, and needs no package where rask is used. */
#ifndef RK_CURVE_PLOT_H
#define RK_CURVE_PLOT_H

#include "curve.h"
#include <stdio.h>

/** Write the whole picture; `title` is plain text without <, > and &. Look at ferror() afterwards. */
void rk_curve_plot(const struct rk_curve *backlog, const char *title, FILE *to);

#endif
