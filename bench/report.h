/* SPDX-License-Identifier: MIT */
/* The benchmark's result as text for people and as JSON. Conditions first, then the figures, then how they were taken. */
#ifndef RK_REPORT_H
#define RK_REPORT_H

#include "environment.h"
#include "floor.h"
#include "measure.h"
#include "noise.h"
#include <rask/client.h>

/** A percentile is printed when at least this many samples lie beyond it; fewer make it a matter of luck. */
#define RK_BEYOND_MIN 100u

#define RK_NOTES_MAX 12u

struct rk_report {
    struct rask_info info;
    struct rk_environment environment;
    const char *method;
    uint64_t size;
    uint32_t in_flight;
    const char *pinning; /* "client 0, workers 1", or why not */
    const struct rk_figures *figures;
    struct rk_floor *floor;
    bool echoes;
    bool interrupted;
    struct rk_noise noise;
    /* What a reader must know to judge the figures. */
    char notes[RK_NOTES_MAX][200];
    uint32_t note_count;
};

__attribute__((format(printf, 2, 3))) void rk_report_note(struct rk_report *report, const char *format, ...);

/** Standard output. 0 or -EIO. */
int rk_report_text(const struct rk_report *report);
/** One line of JSON on standard output. 0, -EIO, -ENOMEM. */
int rk_report_json(const struct rk_report *report);

/** Has this histogram enough samples for this percentile? */
bool rk_report_has(const struct rk_histogram *histogram, double percent);

#endif
