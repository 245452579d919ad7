/* SPDX-License-Identifier: MIT */
/* The picture of `rask bench wake`: latency and processor time against the gap. */
#include "exit_codes.h"
#include "plot.h"
#include "wake.h"
#include <string.h>

static const char panels[] =
    "set logscale xy\nset key left top\nset xlabel 'gap before each call'\n"
    "set xrange [0.05:20000]\n"
    "set xtics ('0' 0.1, '1 us' 1, '10 us' 10, '100 us' 100, '1 ms' 1000, '10 ms' 10000)\n"
    "set multiplot layout 1,2\n"
    "set title 'p50 latency'\nset ylabel 'us'\n"
    "plot for [mode in 'spin hybrid park'] $gaps using 1:(strcol(2) eq mode ? $3 : NaN) with linespoints lw 2 "
    "title mode\n"
    "set title 'processor time per call, client and worker'\n"
    "plot for [mode in 'spin hybrid park'] $gaps using 1:(strcol(2) eq mode ? $4 : NaN) with linespoints lw 2 "
    "title mode\n"
    "unset multiplot\n";

/** One block of rows per mode, with an empty line between, so that lines do not run from one to the next. */
static void write_rows(FILE *to, const json_t *cells)
{
    static const char *const modes[] = {"spin", "hybrid", "park"};
    size_t index;
    const json_t *cell;
    for (int i = 0; i < 3; i++) {
        json_array_foreach(cells, index, cell)
        {
            if (strcmp(json_string_value(json_object_get(cell, "mode")), modes[i]) != 0) continue;
            double gap_us = json_number_value(json_object_get(cell, "gap_ns")) / 1e3;
            double cpu_ns = json_number_value(json_object_get(json_object_get(cell, "cpu_ns_per_call"), "p50"));
            fprintf(to, "%g %s %g %g\n", gap_us > 0 ? gap_us : 0.1, modes[i],
                    json_number_value(json_object_get(cell, "p50_ns")) / 1e3, cpu_ns > 0 ? cpu_ns / 1e3 : 1e-3);
        }
        fputs("\n", to);
    }
}

int rk_wake_draw(const char *path, const json_t *parts)
{
    struct rk_plot plot;
    int code = rk_plot_begin(&plot, path, 960, 420);
    if (code != RK_EXIT_OK) return code;
    fprintf(plot.to, "$gaps << EOD\n");
    write_rows(plot.to, json_object_get(json_object_get(parts, "gaps"), "cells"));
    fprintf(plot.to, "EOD\n%s", panels);
    return rk_plot_end(&plot);
}
