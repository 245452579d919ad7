/* SPDX-License-Identifier: MIT */
/* The picture of `rask bench sweep`: a panel for each part with a curve, of those that were measured. */
#include "exit_codes.h"
#include "plot.h"
#include "sweep.h"

static double number(const json_t *row, const char *key, const char *inner)
{
    const json_t *value = json_object_get(row, key);
    if (inner != NULL) value = json_object_get(value, inner);
    return json_is_number(value) ? json_number_value(value) : -1;
}

#define CURVES_MAX 3u

/** A point of each curve of a panel; what is not over 0 was not measured. */
struct point {
    double x;
    const char *label; /* in place of x, or NULL */
    double y[CURVES_MAX];
};

static struct point sizes(const json_t *row)
{
    double size = number(row, "size", NULL);
    return (struct point){.x = size > 0 ? size : 8, /* 0 has no place on the axis */
                          .y = {number(row, "p50_ns", "p50") / 1e3, number(row, "latency_ns", "p99") / 1e3,
                                number(row, "floor_p50_ns", "p50") / 1e3}};
}

static struct point inflight(const json_t *row)
{
    return (struct point){
        .x = number(row, "in_flight", NULL),
        .y = {number(row, "calls_per_s", "p50") / 1e6, number(row, "floor_calls_per_s", "p50") / 1e6}};
}

static struct point pools(const json_t *row)
{
    double workers = number(row, "workers", NULL);
    return (struct point){.x = workers > 0 ? workers : number(row, "clients", NULL),
                          .y = {number(row, "calls_per_s", "p50") / 1e6}};
}

static struct point load(const json_t *row)
{
    return (struct point){.x = number(row, "rate", NULL) / 1e6,
                          .y = {number(row, "latency_ns", "p50") / 1e3, number(row, "latency_ns", "p99") / 1e3,
                                number(row, "latency_ns", "p99.9") / 1e3}};
}

static struct point mixture(const json_t *row)
{
    return (struct point){.label = json_string_value(json_object_get(row, "name")),
                          .y = {number(row, "fast_ns", "p99") / 1e3, number(row, "fast_ideal_ns", "p99") / 1e3}};
}

#define LINES(column, name) "$data using 1:" #column " with linespoints lw 2 title '" name "'"

static const struct {
    const char *part;
    struct point (*point)(const json_t *row);
    const char *script;
} panels[] = {
    {"sizes", sizes,
     "set title 'latency against payload size, one at a time'\nset xlabel 'bytes'\nset ylabel 'us'\nset logscale xy\n"
     "set xtics ('0' 8, '32' 32, '256' 256, '1 Ki' 1024, '16 Ki' 16384, '1 Mi' 1048576)\n"
     "plot " LINES(2, "rask p50") ", " LINES(3, "rask p99") ", " LINES(4, "floor p50") "\n"},
    {"inflight", inflight,
     "set title 'throughput against requests in flight, 32 bytes'\nset xlabel 'in flight'\n"
     "set ylabel 'million calls/s'\nset logscale x 2\nset yrange [0:*]\n"
     "plot " LINES(2, "rask") ", " LINES(3, "bare ring") "\n"},
    {"workers", pools,
     "set title 'throughput against workers'\nset xlabel 'workers'\nset ylabel 'million calls/s'\nset logscale x 2\n"
     "set yrange [0:*]\nplot " LINES(2, "rask") "\n"},
    {"clients", pools,
     "set title 'throughput against clients'\nset xlabel 'clients'\nset ylabel 'million calls/s'\nset logscale x 2\n"
     "set yrange [0:*]\nplot " LINES(2, "rask") "\n"},
    {"load", load,
     "set title 'latency against load, 32 bytes'\nset xlabel 'million calls/s asked for'\nset ylabel 'us'\n"
     "set logscale y\nplot " LINES(2, "p50") ", " LINES(3, "p99") ", " LINES(4, "p99.9") "\n"},
    {"mixture", mixture,
     "set title '1 % slow requests: p99 of the fast ones'\nset ylabel 'us'\nset yrange [0:*]\n"
     "set xrange [-0.5:*]\nset xtics rotate by -15\nset offsets 0,0.5,0,0\n"
     "plot $data using 0:2:xtic(1) with linespoints lw 2 title 'rask', "
     "$data using 0:3 with linespoints lw 2 title 'ideal single queue'\n"},
};
#define PANELS (sizeof panels / sizeof panels[0])

/** The rows of a panel's part; NULL when nothing was measured, of which gnuplot makes an error. */
static const json_t *rows_of(const json_t *parts, size_t panel)
{
    size_t index;
    const json_t *row, *rows = json_object_get(json_object_get(parts, panels[panel].part), "rows");
    json_array_foreach(rows, index, row)
    {
        const struct point point = panels[panel].point(row);
        for (uint32_t i = 0; i < CURVES_MAX; i++)
            if (point.y[i] > 0) return rows;
    }
    return NULL;
}

static void write_point(FILE *to, const struct point *point)
{
    if (point->label != NULL)
        fprintf(to, "\"%s\"", point->label);
    else
        fprintf(to, "%g", point->x);
    for (uint32_t i = 0; i < CURVES_MAX; i++) {
        if (point->y[i] > 0)
            fprintf(to, " %g", point->y[i]);
        else
            fputs(" NaN", to); /* a hole in the curve */
    }
    fputs("\n", to);
}

static void draw_panel(FILE *to, size_t panel, const json_t *rows)
{
    size_t index;
    const json_t *row;
    /* `reset` leaves the terminal and the file. */
    fprintf(to, "reset\nset grid\nset key left top opaque\n$data << EOD\n");
    json_array_foreach(rows, index, row)
    {
        const struct point point = panels[panel].point(row);
        write_point(to, &point);
    }
    fprintf(to, "EOD\n%s", panels[panel].script);
}

int rk_sweep_draw(const char *path, const json_t *parts)
{
    struct rk_plot plot;
    unsigned count = 0;
    for (size_t i = 0; i < PANELS; i++) count += rows_of(parts, i) != NULL;
    if (count == 0) return RK_EXIT_OK; /* one processor, or interrupted at once: said already */
    unsigned columns = count > 1 ? 2 : 1, lines = (count + columns - 1) / columns;
    int code = rk_plot_begin(&plot, path, 560 * columns, 360 * lines);
    if (code != RK_EXIT_OK) return code;
    fprintf(plot.to, "set multiplot layout %u,%u\n", lines, columns);
    for (size_t i = 0; i < PANELS; i++) {
        const json_t *rows = rows_of(parts, i);
        if (rows != NULL) draw_panel(plot.to, i, rows);
    }
    fprintf(plot.to, "unset multiplot\n");
    return rk_plot_end(&plot);
}
