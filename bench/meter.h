/* SPDX-License-Identifier: MIT */
/* What a slice costs client and workers beside time: processor time, sleeps, system calls. For runners (runner.h). */
#ifndef RK_METER_H
#define RK_METER_H

#include "call_counter.h"
#include "runner.h"
#include "slice.h"
#include <time.h>

struct rk_meter {
    uint32_t count; /* workers */
    pid_t pids[RASK_WORKERS_MAX];
    clockid_t clocks[RASK_WORKERS_MAX];
    struct rk_call_counter counter;
    bool can_count;
    bool counting;
    uint64_t client_cpu_ns, worker_cpu_ns, sleeps; /* at the beginning of the slice */
    uint64_t start_ns;
};

/** This process is the client, `pids` are the workers; before the client has threads. */
void rk_meter_init(struct rk_meter *meter, const pid_t *pids, uint32_t count);
void rk_meter_finish(struct rk_meter *meter);

void rk_meter_begin(struct rk_meter *meter, bool count_calls);
/** Fills in took_ns, the processor times, sleeps and system calls. */
void rk_meter_end(struct rk_meter *meter, struct rk_runner_result *result);

/** A whole slice of round trips, one at a time. */
void rk_meter_trips(struct rk_meter *meter, const struct rk_contender *contender, struct rk_samples *samples,
                    const struct rk_runner_order *order, struct rk_runner_result *result);

#endif
