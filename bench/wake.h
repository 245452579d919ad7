/* SPDX-License-Identifier: MIT */
/* `rask bench wake`: what the parts share. Each part starts its contenders (runner.h), lets them measure in turns until its
 * time is over, prints a table with the verdicts, and leaves everything in JSON. */
#ifndef RK_WAKE_H
#define RK_WAKE_H

#include "environment.h"
#include "json.h"
#include "runner.h"
#include "series.h"
#include <stdbool.h>
#include <stdint.h>

enum rk_wake_part {
    RK_WAKE_PARKED,
    RK_WAKE_BUSY,
    RK_WAKE_GAPS,
    RK_WAKE_IDLE,
    RK_WAKE_WORKERS,
    RK_WAKE_BATCH,
    RK_WAKE_PARTS
};

#define RK_WAKE_RUNNERS_MAX 8u

struct rk_wake {
    uint32_t parts; /* a bit per part */
    uint64_t duration_ns;
    int client_cpu;
    int worker_cpu; /* the same as client_cpu where there is only one */
    bool tables;
    const char *plot;
    struct rk_environment environment;
    /* Of the part at hand. */
    enum rk_wake_part part;
    json_t *out;
    uint64_t start_ns;
    uint64_t end_ns;
    uint32_t runner_count;
    struct rk_runner *runners[RK_WAKE_RUNNERS_MAX];
    struct rk_runner_result results[RK_WAKE_RUNNERS_MAX];
    int shown_percent;
};

/* ---- pure ---------------------------------------------------------------------------------------------------------- */

const char *rk_wake_part_name(enum rk_wake_part part);
/** "parked,gaps" -> bits; -EINVAL with the word that is none in `bad`. */
int rk_wake_parts_parse(const char *text, uint32_t *parts, char *bad, size_t bytes);
/** A part's share of `duration_ns` among those selected; 0: each its default. */
uint64_t rk_wake_share_ns(enum rk_wake_part part, uint32_t parts, uint64_t duration_ns);

/* ---- contenders ---------------------------------------------------------------------------------------------------- */

/** Start one more; its facts are in results[]. RK_EXIT_OK or an exit code after a message. */
int rk_wake_add(struct rk_wake *wake, const struct rk_runner_plan *plan);
/** A slice of runner `index`, its result in results[index]. RK_EXIT_OK or an exit code after a message. */
int rk_wake_run(struct rk_wake *wake, uint32_t index, const struct rk_runner_order *order);
void rk_wake_stop_all(struct rk_wake *wake);
/** Is there time for another round? Shows progress on standard error. False after Ctrl-C. */
bool rk_wake_goes_on(struct rk_wake *wake);

/* ---- results ------------------------------------------------------------------------------------------------------- */

/** A line or a piece of the table, unless only JSON is wanted. */
__attribute__((format(printf, 2, 3))) void rk_wake_print(const struct rk_wake *wake, const char *format, ...);
/** "12.3 us" for a table. */
const char *rk_wake_time(double ns, char *text, size_t bytes);
/** {"p50", "p10", "p90", "count"} of a series. */
json_t *rk_wake_spread(struct rk_series *series);
/** Print a verdict and keep it in `list`: value against target; a value under 0 was not measured. */
void rk_wake_verdict(struct rk_wake *wake, json_t *list, const char *what, double value, bool at_most, double target);

/* ---- the parts: RK_EXIT_OK or an exit code after a message ----------------------------------------------------------- */

int rk_wake_parked(struct rk_wake *wake);
int rk_wake_busy(struct rk_wake *wake);
int rk_wake_gaps(struct rk_wake *wake);
int rk_wake_idle(struct rk_wake *wake);
int rk_wake_workers(struct rk_wake *wake);
int rk_wake_batch(struct rk_wake *wake);

/** Is gnuplot there? */
bool rk_wake_can_plot(void);
/** Draw the "cells" of the part gaps into an SVG file. RK_EXIT_OK or an exit code after a message. */
int rk_wake_plot_gaps(const char *path, const json_t *gaps);

#endif
