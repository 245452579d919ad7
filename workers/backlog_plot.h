/* SPDX-License-Identifier: MIT */
/* The backlog over time as a picture: one chart in SVG, written by hand and not by gnuplot, as the plots of `rask bench wake` are:
 * it takes about 1 KB instead of 20, and needs no package where rask is used. */
#ifndef RK_BACKLOG_PLOT_H
#define RK_BACKLOG_PLOT_H

#include "backlog.h"
#include <stdio.h>

/** Write the whole picture; `title` is plain text without <, > and &. Look at ferror() afterwards. */
void rk_backlog_plot(const struct rk_backlog *backlog, const char *title, FILE *to);

#endif
