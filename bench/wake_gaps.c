/* SPDX-License-Identifier: MIT */
/* Part `gaps`: calls with a pause before each, over pauses of different length and the three wait modes: latency, and the
 * processor time of client and worker per call. What the pausing itself costs the client is measured in slices of its
 * own and taken off. All modes of one gap take turns, then the next gap, over and over. */
#include "exit_codes.h"
#include "wake.h"
#include <rask/client.h>

#define GAPS 6u
#define MODES 3u
/* Rounds over all gaps, at least; a slice has at most this. */
#define ROUNDS 6u
#define SLICE_NS_MAX 2000000000ull
#define TARGET 1.3

enum { SPIN, HYBRID, PARK };

/* Long gaps give few calls a second: they get more of the time. */
static const struct {
    uint64_t gap_ns;
    const char *name;
    uint32_t weight;
} gaps[GAPS] = {{0, "0", 1},           {1000, "1 us", 1},    {10000, "10 us", 1},
                {100000, "100 us", 2}, {1000000, "1 ms", 4}, {10000000, "10 ms", 6}};
#define WEIGHTS 15u
static const char *const modes[MODES] = {"spin", "hybrid", "park"};

struct cell {
    double p50_ns, p99_ns; /* p99 0: too few samples */
    uint64_t count;
    struct rk_series cpu_ns; /* per call, client and worker */
    struct rk_series slices_ns;
};

struct gaps {
    struct cell cells[GAPS][MODES];
    struct rk_series pause_cpu_ns[GAPS];
    struct rk_series to_spin[GAPS], to_park[GAPS]; /* hybrid's p50 to theirs, slice by slice */
    double budget_ns;
};

static int start(struct rk_suite *wake)
{
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < MODES && code == RK_EXIT_OK; i++) {
        const struct rk_runner_plan plan = {.name = modes[i],
                                            .kind = &rk_runner_rask,
                                            .wait_mode = RASK_WAIT_SPIN + i,
                                            .workers = 1,
                                            .sessions = 1,
                                            .in_flight = 1,
                                            .client_cpu = wake->client_cpu,
                                            .worker_cpu = wake->worker_cpu};
        code = rk_suite_add(wake, &plan);
    }
    return code;
}

static void note_cell(struct cell *cell, const struct rk_runner_result *result, double pause_cpu_ns)
{
    double cpu_ns = (double)(result->client_cpu_ns + result->worker_cpu_ns) / (double)result->calls - pause_cpu_ns;
    cell->p50_ns = result->series_p50_ns;
    cell->p99_ns = result->series_p99_ns;
    cell->count = result->series_count;
    rk_series_add(&cell->cpu_ns, cpu_ns > 0 ? cpu_ns : 0);
    rk_series_add(&cell->slices_ns, result->p50_ns);
}

static int visit(struct rk_suite *wake, struct gaps *all, uint32_t gap, uint64_t slice_ns)
{
    struct rk_runner_order order = {
        .verb = RK_RUN_PAUSES, .gap_ns = gaps[gap].gap_ns, .series = gap, .duration_ns = slice_ns / 8};
    int code = rk_suite_run(wake, PARK, &order);
    if (code != RK_EXIT_OK) return code;
    double pause_ns = (double)wake->results[PARK].client_cpu_ns / (double)wake->results[PARK].calls;
    rk_series_add(&all->pause_cpu_ns[gap], pause_ns);
    order.verb = RK_RUN_PACED;
    order.duration_ns = slice_ns;
    for (uint32_t i = 0; i < MODES; i++) {
        code = rk_suite_run(wake, i, &order);
        if (code != RK_EXIT_OK) return code;
    }
    for (uint32_t i = 0; i < MODES; i++) note_cell(&all->cells[gap][i], &wake->results[i], pause_ns);
    all->budget_ns = wake->results[HYBRID].spin_budget_ns;
    rk_series_add(&all->to_spin[gap], wake->results[HYBRID].p50_ns / wake->results[SPIN].p50_ns);
    rk_series_add(&all->to_park[gap], wake->results[HYBRID].p50_ns / wake->results[PARK].p50_ns);
    return RK_EXIT_OK;
}

static json_t *cell_json(uint32_t gap, uint32_t mode, struct cell *cell)
{
    json_t *out = json_object();
    json_object_set_new(out, "gap_ns", json_integer((json_int_t)gaps[gap].gap_ns));
    json_object_set_new(out, "mode", rk_json_text(modes[mode]));
    json_object_set_new(out, "p50_ns", json_real(cell->p50_ns));
    json_object_set_new(out, "p99_ns", cell->p99_ns > 0 ? json_real(cell->p99_ns) : json_null());
    json_object_set_new(out, "slices_p50_ns", rk_suite_spread(&cell->slices_ns));
    json_object_set_new(out, "cpu_ns_per_call", rk_suite_spread(&cell->cpu_ns));
    json_object_set_new(out, "calls", json_integer((json_int_t)cell->count));
    return out;
}

static void print_cell(const struct rk_suite *wake, uint32_t gap, uint32_t mode, struct cell *cell)
{
    char p50[32], p99[32], cpu[32], low[32], high[32];
    rk_suite_print(
        wake, "  %-8s %-8s %10s %10s %12s   %s .. %s, %llu calls\n", mode == 0 ? gaps[gap].name : "", modes[mode],
        rk_suite_time(cell->p50_ns, p50, sizeof p50), rk_suite_time(cell->p99_ns, p99, sizeof p99),
        rk_suite_time(rk_series_percentile(&cell->cpu_ns, 50), cpu, sizeof cpu),
        rk_suite_time(rk_series_percentile(&cell->slices_ns, 10), low, sizeof low),
        rk_suite_time(rk_series_percentile(&cell->slices_ns, 90), high, sizeof high), (unsigned long long)cell->count);
}

/** Below the budget hybrid is to be like spin; above it like park, and to use at most a budget more. */
static void judge(struct rk_suite *wake, struct gaps *all, uint32_t gap, json_t *verdicts)
{
    char what[96];
    bool below = (double)gaps[gap].gap_ns < all->budget_ns;
    struct rk_series *ratios = below ? &all->to_spin[gap] : &all->to_park[gap];
    snprintf(what, sizeof what, "gap %s: p50 of hybrid / %s", gaps[gap].name, below ? "spin" : "park");
    rk_suite_verdict(wake, verdicts, what, rk_series_percentile(ratios, 50), true, TARGET);
    if (below) return;
    double hybrid_ns = rk_series_percentile(&all->cells[gap][HYBRID].cpu_ns, 50);
    double most_ns = TARGET * rk_series_percentile(&all->cells[gap][PARK].cpu_ns, 50) + all->budget_ns;
    snprintf(what, sizeof what, "gap %s: CPU per call of hybrid / (1.3 x park + one budget)", gaps[gap].name);
    rk_suite_verdict(wake, verdicts, what, most_ns > 0 ? hybrid_ns / most_ns : -1, true, 1);
}

static void report(struct rk_suite *wake, struct gaps *all, json_t *verdicts)
{
    json_t *cells = json_array(), *pauses = json_array();
    for (uint32_t gap = 0; gap < GAPS; gap++) {
        json_array_append_new(pauses, json_real(rk_series_percentile(&all->pause_cpu_ns[gap], 50)));
        for (uint32_t mode = 0; mode < MODES; mode++) {
            print_cell(wake, gap, mode, &all->cells[gap][mode]);
            json_array_append_new(cells, cell_json(gap, mode, &all->cells[gap][mode]));
        }
    }
    json_object_set_new(wake->out, "spin_budget_ns", json_real(all->budget_ns));
    json_object_set_new(wake->out, "cells", cells);
    json_object_set_new(wake->out, "pause_cpu_ns", pauses);
    rk_suite_print(
        wake,
        "  spin budget of hybrid at the end: %.1f us. A call is sent a gap after the last answer. Gaps under\n"
        "  100 us are spent spinning on the clock, others asleep; what that costs is taken off the CPU per "
        "call.\n  p99 where at least %u samples lie beyond it; .. is the 10th to 90th percentile of slices' "
        "p50.\n",
        all->budget_ns / 1e3, RK_RUNNER_BEYOND_MIN);
    for (uint32_t gap = 0; gap < GAPS; gap++) judge(wake, all, gap, verdicts);
}

static void finish(struct gaps *all)
{
    for (uint32_t gap = 0; gap < GAPS; gap++) {
        for (uint32_t mode = 0; mode < MODES; mode++) {
            rk_series_finish(&all->cells[gap][mode].cpu_ns);
            rk_series_finish(&all->cells[gap][mode].slices_ns);
        }
        rk_series_finish(&all->pause_cpu_ns[gap]);
        rk_series_finish(&all->to_spin[gap]);
        rk_series_finish(&all->to_park[gap]);
    }
}

int rk_wake_gaps(struct rk_suite *wake)
{
    static struct gaps all;
    json_t *verdicts = json_array();
    uint64_t unit_ns = (wake->end_ns - wake->start_ns) / ROUNDS / WEIGHTS / MODES;
    all = (struct gaps){.budget_ns = 0};
    json_object_set_new(wake->out, "verdicts", verdicts);
    rk_suite_print(wake, "\ngaps: 32 bytes, a pause before each call\n  %-8s %-8s %10s %10s %12s\n", "gap", "wait",
                   "p50", "p99", "CPU per call");
    int code = start(wake);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 1 || rk_suite_goes_on(wake)); round++)
        for (uint32_t gap = 0; gap < GAPS && code == RK_EXIT_OK && !(round > 0 && !rk_suite_goes_on(wake)); gap++) {
            uint64_t slice_ns = unit_ns * gaps[gap].weight;
            code = visit(wake, &all, gap, slice_ns < SLICE_NS_MAX ? slice_ns : SLICE_NS_MAX);
        }
    rk_suite_stop_all(wake);
    if (code == RK_EXIT_OK) report(wake, &all, verdicts);
    finish(&all);
    return code;
}
