/* SPDX-License-Identifier: MIT */
/* `rask bench` itself, a busy round trip beside its floor: what its command line (cmd_bench.c) and its result
 * (bench_result.c) share. */
#ifndef RK_CMD_BENCH_H
#define RK_CMD_BENCH_H

#include "calls.h"
#include "environment.h"
#include "floor.h"
#include "measure.h"
#include "options.h"
#include "report.h"
#include "standstill.h"
#include "target.h"

struct rk_busy_command {
    struct rk_target target;
    const char *method_name;
    uint64_t size;
    uint64_t in_flight;
    uint64_t duration_ns; /* 0: not said */
    uint64_t count;       /* 0: not said */
    struct rk_cpu_list pin;
    const char *hgrm, *csv, *plot; /* files for the distribution of latencies, or NULL */
    const char *barrier;           /* light, fence or fence-only; NULL: as the environment says */
    bool json;
    /* From here on: what the run needs. */
    char pin_workers[4096];
    char pinning[160];
    int client_cpu; /* -1: not pinned */
    int worker_cpu;
    struct rask *session;
    struct rk_floor *floor;
    struct rk_calls *calls;
    struct rk_figures figures;
    struct rk_standstill standstill;
    struct rk_report report;
};

/** After the run: notes, the result as text or JSON, the files that were asked for. RK_EXIT_OK or an exit code after a
 * message. */
int rk_busy_command_print(struct rk_busy_command *bench);

#endif
