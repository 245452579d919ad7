/* SPDX-License-Identifier: MIT */
/* What `rask bench wake` and `rask bench sweep` share. A suite is a list of parts. Each part starts its contenders
 * (runner.h), lets them measure in turns until its time is over, prints a table with the verdicts, and leaves everything in
 * JSON. The suite's process has one thread and no session, so contenders can be forked at any time; it sleeps while they
 * measure. */
#ifndef RK_SUITE_H
#define RK_SUITE_H

#include "environment.h"
#include "json.h"
#include "options.h"
#include "runner.h"
#include "series.h"
#include <stdbool.h>
#include <stdint.h>

#define RK_SUITE_RUNNERS_MAX 16u

struct rk_suite;

struct rk_part {
    const char *name;
    uint32_t seconds; /* by default, and its weight */
    /** RK_EXIT_OK or an exit code after a message. suite->out is the part's object; its contenders need not be stopped. */
    int (*run)(struct rk_suite *suite);
};

/** What a suite is; constant. */
struct rk_suite_kind {
    const char *name; /* of the command, "wake" */
    const struct rk_part *parts;
    uint32_t count;
    uint32_t drawn;    /* parts that --plot draws, a bit each */
    const char *loose; /* parts that are not pinned, for the head of the table */
    /** Draw what was measured into an SVG file. RK_EXIT_OK or an exit code after a message. */
    int (*draw)(const char *path, const json_t *parts);
};

struct rk_suite {
    const struct rk_suite_kind *kind;
    uint32_t parts; /* selected: a bit each */
    int client_cpu;
    int worker_cpu; /* the same as client_cpu where there is only one */
    bool tables;
    struct rk_environment environment;
    /* Of the part at hand. */
    uint32_t part;
    json_t *out;
    uint64_t start_ns;
    uint64_t end_ns;
    uint32_t runner_count;
    struct rk_runner *runners[RK_SUITE_RUNNERS_MAX];
    struct rk_runner_result results[RK_SUITE_RUNNERS_MAX];
    int shown_percent;
};

/* ---- pure ---------------------------------------------------------------------------------------------------------- */

const char *rk_suite_part_name(const struct rk_suite_kind *kind, uint32_t part);
/** "parked,gaps" -> bits; -EINVAL with the word that is none in `bad`. */
int rk_suite_parts_parse(const struct rk_suite_kind *kind, const char *text, uint32_t *parts, char *bad, size_t bytes);
/** A part's share of `duration_ns` among those selected; 0: each its default. */
uint64_t rk_suite_share_ns(const struct rk_suite_kind *kind, uint32_t part, uint32_t parts, uint64_t duration_ns);

/* ---- contenders ---------------------------------------------------------------------------------------------------- */

/** Start one more; its facts are in results[]. RK_EXIT_OK or an exit code after a message. */
int rk_suite_add(struct rk_suite *suite, const struct rk_runner_plan *plan);
/** A slice of runner `index`, its result in results[index]. RK_EXIT_OK or an exit code after a message. */
int rk_suite_run(struct rk_suite *suite, uint32_t index, const struct rk_runner_order *order);
/** Add the latencies that a runner collected in a series to `into`. RK_EXIT_OK or an exit code after a message. */
int rk_suite_series(struct rk_suite *suite, uint32_t index, uint32_t series, struct rk_histogram *into);
void rk_suite_stop_all(struct rk_suite *suite);
/** The part's time begins now: starting contenders took a while of its own. */
void rk_suite_begin(struct rk_suite *suite);
/** Is there time for another round? Shows progress on standard error. False after Ctrl-C. */
bool rk_suite_goes_on(struct rk_suite *suite);

/* ---- results ------------------------------------------------------------------------------------------------------- */

/** A line or a piece of the table, unless only JSON is wanted. */
__attribute__((format(printf, 2, 3))) void rk_suite_print(const struct rk_suite *suite, const char *format, ...);
/** "12.3 us" for a table. */
const char *rk_suite_time(double ns, char *text, size_t bytes);
/** {"p50", "p10", "p90", "count"} of a series. */
json_t *rk_suite_spread(struct rk_series *series);
/** {"p50", "p90", "p99", "p99.9", "p99.99", "p99.999", "max", "samples"}, in ns; null where fewer than RK_RUNNER_BEYOND_MIN samples lie beyond. */
json_t *rk_suite_latency(const struct rk_histogram *histogram);
/** A percentile for a table, or "-" as above. */
const char *rk_suite_percentile(const struct rk_histogram *histogram, double percent, char *text, size_t bytes);
/** Print a verdict and keep it in `list`: value against target; a value under 0 was not measured. */
void rk_suite_verdict(struct rk_suite *suite, json_t *list, const char *what, double value, bool at_most,
                      double target);

/* ---- the command: suite_command.c ---------------------------------------------------------------------------------- */

struct rk_suite_line {
    const char *part, *json, *plot;
    struct rk_cpu_list pin;
    uint64_t duration_ns;
};

/* Rows for the option table of a suite's command. */
#define RK_SUITE_OPTIONS(line, how_long, drawing)                                                                      \
    {.name = "part", .value = "PART,...", .help = "measure these parts only (default all)", .text = &(line)->part},    \
        {.name = "duration",                                                                                           \
         .value = "DURATION",                                                                                          \
         .help = "about how long, of all parts together (default " how_long ", less for some parts)",                  \
         .duration_ns = &(line)->duration_ns,                                                                          \
         .min = 1000000,                                                                                               \
         .max = 24 * 3600 * 1000000000ull},                                                                            \
        {.name = "pin",                                                                                                \
         .value = "A,B",                                                                                               \
         .help = "client on A, worker on B (default the first two)",                                                   \
         .cpus = &(line)->pin},                                                                                        \
        {.name = "json", .value = "FILE", .help = "everything as JSON; - for standard output", .text = &(line)->json}, \
    {                                                                                                                  \
        .name = "plot", .value = "FILE.svg", .help = drawing " (needs gnuplot)", .text = &(line)->plot                 \
    }

/** Check the command line, measure, write. An exit code. */
int rk_suite_main(const struct rk_suite_kind *kind, const struct rk_suite_line *line);

#endif
