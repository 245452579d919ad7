/* SPDX-License-Identifier: MIT */
/* Pictures, drawn as SVG by gnuplot in a process of its own that reads its script from a pipe. From a program without
 * threads.
 *
 *   struct rk_plot plot;
 *   int code = rk_plot_begin(&plot, "out.svg", 960, 420);
 *   if (code != RK_EXIT_OK) return code;
 *   fprintf(plot.to, "$data << EOD\n1 2\nEOD\nplot $data\n");
 *   return rk_plot_end(&plot); */
#ifndef RK_PLOT_H
#define RK_PLOT_H

#include "histogram.h"
#include <stdio.h>
#include <sys/types.h>

struct rk_plot {
    FILE *to; /* the script: size, file and grid are set */
    const char *path;
    pid_t pid;
};

/** Before minutes of measuring: is gnuplot there? RK_GO_ON, or RK_EXIT_UNAVAILABLE after a message that begins with `option`. */
int rk_plot_check(const char *option);

/** RK_EXIT_OK, or an exit code after a message. */
int rk_plot_begin(struct rk_plot *plot, const char *path, unsigned width, unsigned height);
/** RK_EXIT_OK, or RK_EXIT_IO after a message. */
int rk_plot_end(struct rk_plot *plot);

/** One curve of a latency distribution. */
struct rk_plot_curve {
    const char *name;
    const struct rk_histogram *histogram;
};

/** Latency against percentile, both axes logarithmic, as far as each histogram has samples. `title`: what was measured, without
 * quotes. RK_EXIT_OK or an exit code after a message. */
int rk_plot_distribution(const char *path, const char *title, const struct rk_plot_curve *curves, unsigned count);

#endif
