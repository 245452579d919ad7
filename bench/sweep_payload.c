/* SPDX-License-Identifier: MIT */
/* Part `payload`: what the bytes of a request cost. By reference: reserved and sent, and nobody writes or reads them. Touched:
 * copied in once, summed in place by the worker; one at a time, and four in flight. Alone: one process copies and sums the
 * same bytes. All in turns; a ratio is between slices of the same round. */
#include "exit_codes.h"
#include "runner_work.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define SIZES 4u
#define DEPTH 4u
#define SLICE_NS 20000000u
#define TARGET 0.9

static const struct {
    uint64_t bytes;
    const char *name;
} sizes[SIZES] = {{1024, "1 KiB"}, {16384, "16 KiB"}, {262144, "256 KiB"}, {1u << 20, "1 MiB"}};

enum { REFERENCE, TOUCHED, PIPELINED, ALONE, WAYS };

static const struct {
    const char *key;
    uint32_t way, depth;
} ways[WAYS] = {[REFERENCE] = {"reference_ns", RK_BULK_REFERENCE, 1},
                [TOUCHED] = {"touched_ns", RK_BULK_TOUCHED, 1},
                [PIPELINED] = {"pipelined_ns", RK_BULK_TOUCHED, DEPTH},
                [ALONE] = {"alone_ns", RK_BULK_ALONE, 1}};

struct payloads {
    struct rk_series ns[SIZES][WAYS];     /* per call */
    struct rk_series ratios[SIZES][WAYS]; /* throughput to that of one process alone */
};

static int start(struct rk_suite *sweep)
{
    const struct rk_runner_plan plan = {.name = "work",
                                        .kind = &rk_runner_work,
                                        .wait_mode =
                                            sweep->client_cpu == sweep->worker_cpu ? RASK_WAIT_PARK : RASK_WAIT_SPIN,
                                        .workers = 1,
                                        .sessions = 1,
                                        .client_cpu = sweep->client_cpu,
                                        .worker_cpu = sweep->worker_cpu};
    return rk_suite_add(sweep, &plan);
}

static int visit(struct rk_suite *sweep, struct payloads *all, uint32_t size, uint64_t slice_ns)
{
    double ns[WAYS];
    for (uint32_t i = 0; i < WAYS; i++) {
        const struct rk_runner_order order = {.verb = RK_RUN_BULK,
                                              .way = ways[i].way,
                                              .depth = ways[i].depth,
                                              .size = sizes[size].bytes,
                                              .duration_ns = slice_ns};
        int code = rk_suite_run(sweep, 0, &order);
        if (code != RK_EXIT_OK) return code;
        ns[i] = sweep->results[0].p50_ns;
    }
    for (uint32_t i = 0; i < WAYS; i++) {
        rk_series_add(&all->ns[size][i], ns[i]);
        rk_series_add(&all->ratios[size][i], ns[ALONE] / ns[i]);
    }
    return RK_EXIT_OK;
}

static void report(struct rk_suite *sweep, struct payloads *all, uint32_t size, json_t *rows)
{
    char text[WAYS][32];
    json_t *row = rk_sweep_row(rows, sizes[size].name, "size", sizes[size].bytes);
    for (uint32_t i = 0; i < WAYS; i++) {
        json_object_set_new(row, ways[i].key, rk_suite_spread(&all->ns[size][i]));
        rk_suite_time(rk_series_percentile(&all->ns[size][i], 50), text[i], sizeof text[i]);
    }
    json_object_set_new(row, "ratio", rk_suite_spread(&all->ratios[size][TOUCHED]));
    json_object_set_new(row, "ratio_pipelined", rk_suite_spread(&all->ratios[size][PIPELINED]));
    rk_suite_print(sweep, "  %-8s %12s %12s %12s %12s %8.2f %8.2f\n", sizes[size].name, text[REFERENCE], text[TOUCHED],
                   text[PIPELINED], text[ALONE], rk_series_percentile(&all->ratios[size][TOUCHED], 50),
                   rk_series_percentile(&all->ratios[size][PIPELINED], 50));
}

static void report_all(struct rk_suite *sweep, struct payloads *all, json_t *rows, json_t *verdicts)
{
    rk_suite_print(sweep,
                   "\npayload: time per call; the ratio is throughput to one process that copies and sums the same "
                   "bytes\n  %-8s %12s %12s %12s %12s %8s %8s\n",
                   "", "by reference", "touched", "4 in flight", "one process", "ratio", "4 in fl.");
    for (uint32_t i = 0; i < SIZES; i++) report(sweep, all, i, rows);
    rk_suite_print(sweep, "  Touched: copied in once, summed in place by the worker. Sums are checked.\n");
    rk_suite_verdict(sweep, verdicts, "1 MiB copied in, summed in place, one at a time / one process",
                     rk_series_percentile(&all->ratios[SIZES - 1][TOUCHED], 50), false, TARGET);
    rk_suite_verdict(sweep, verdicts, "1 MiB copied in, summed in place, 4 in flight / one process",
                     rk_series_percentile(&all->ratios[SIZES - 1][PIPELINED], 50), false, TARGET);
}

int rk_sweep_payload(struct rk_suite *sweep)
{
    struct payloads all = {.ns = {{{.count = 0}}}};
    json_t *rows = json_array(), *verdicts = json_array();
    uint64_t slice_ns = (sweep->end_ns - sweep->start_ns) / SIZES / WAYS / 3;
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", verdicts);
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    int code = start(sweep);
    rk_suite_begin(sweep);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 2 || rk_suite_goes_on(sweep)); round++)
        for (uint32_t i = 0; i < SIZES && code == RK_EXIT_OK; i++) code = visit(sweep, &all, i, slice_ns);
    if (code == RK_EXIT_OK) report_all(sweep, &all, rows, verdicts);
    for (uint32_t i = 0; i < SIZES; i++)
        for (uint32_t way = 0; way < WAYS; way++) {
            rk_series_finish(&all.ns[i][way]);
            rk_series_finish(&all.ratios[i][way]);
        }
    return code;
}
