/* SPDX-License-Identifier: MIT */
/* What the files of a rask runner share: its sessions, and slices that are no plain round trips (runner_paced.c). */
#ifndef RK_RUNNER_RASK_H
#define RK_RUNNER_RASK_H

#include "calls.h"
#include "meter.h"
#include "runner.h"
#include "standstill.h"
#include <unistd.h>

#define RK_RUNNER_SESSIONS_MAX 64u
/* Sessions that may be busy at the same time, a thread each. */
#define RK_SESSIONS_STREAMING_MAX RK_RUNNER_SESSIONS_MAX

struct rk_runner_rask {
    const struct rk_runner_plan *plan;
    uint32_t session_count;
    struct rask *sessions[RK_RUNNER_SESSIONS_MAX];
    struct rk_calls *calls[RK_RUNNER_SESSIONS_MAX];
    struct rk_standstill workers;
    bool stops; /* workers stand still between slices */
    struct rk_meter meter;
    struct rk_meter client_meter; /* without the workers */
    struct rk_samples samples;
    struct rk_histogram *series[RK_RUNNER_SERIES_MAX];
};

/** Gaps under this are spent spinning on the clock, longer ones asleep: a sleep is never shorter than some ten microseconds. */
#define RK_GAP_SLEEP_NS 100000u

/** RK_RUN_PACED and RK_RUN_PAUSES. 0 or -errno. */
int rk_runner_paced(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_runner_result *result);
/** RK_RUN_BATCH: p50_ns, and the series, are of the submitting side, from before the first submit to after the last. */
int rk_runner_batch(struct rk_runner_rask *self, const struct rk_runner_order *order, struct rk_runner_result *result);

#endif
