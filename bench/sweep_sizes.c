/* SPDX-License-Identifier: MIT */
/* Part `sizes`: round trips of 0 bytes to 1 MiB, one at a time, both sides spinning, beside a bare exchange of the same bytes
 * (one slot each way, with and without `pause`; the better one is the floor). The loop, the payload and the checks are those
 * of `rask bench peers`. Size after size; the contenders of one take turns. */
#include "exit_codes.h"
#include "runner_wire.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define SIZES 7u
#define SLICE_NS 20000000u
#define SMALL 32u
#define TARGET_P50 1.10
#define TARGET_P99 1.5

enum { RASK, LINE, LINE_PAUSE, CONTENDERS };

static const struct {
    uint64_t bytes;
    const char *name;
} sizes[SIZES] = {{0, "0 B"},      {SMALL, "32 B"},   {64, "64 B"},       {256, "256 B"},
                  {1024, "1 KiB"}, {16384, "16 KiB"}, {1u << 20, "1 MiB"}};
static const struct rk_wire *const wires[CONTENDERS] = {&rk_wire_rask, &rk_wire_line, &rk_wire_line_pause};

struct one {
    struct rk_series p50_ns[CONTENDERS];
    struct rk_series ratio[CONTENDERS]; /* rask's p50 to that contender's, slice by slice */
    struct rk_histogram *each[CONTENDERS];
    uint64_t calls;
};

static int start(struct rk_suite *sweep, uint64_t size)
{
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < CONTENDERS && code == RK_EXIT_OK; i++) {
        const struct rk_runner_plan plan = {.name = wires[i]->name,
                                            .kind = &rk_runner_wire,
                                            .wait_mode = RASK_WAIT_SPIN,
                                            .in_flight = 1,
                                            .client_cpu = sweep->client_cpu,
                                            .worker_cpu = sweep->worker_cpu,
                                            .size = size,
                                            .wire = wires[i]};
        code = rk_suite_add(sweep, &plan);
    }
    return code;
}

static int round_of(struct rk_suite *sweep, struct one *one, uint64_t slice_ns)
{
    const struct rk_runner_order order = {.verb = RK_RUN_TRIPS, .duration_ns = slice_ns};
    for (uint32_t i = 0; i < CONTENDERS; i++) {
        int code = rk_suite_run(sweep, i, &order);
        if (code != RK_EXIT_OK) return code;
    }
    one->calls += sweep->results[RASK].calls;
    for (uint32_t i = 0; i < CONTENDERS; i++) {
        rk_series_add(&one->p50_ns[i], sweep->results[i].p50_ns);
        rk_series_add(&one->ratio[i], sweep->results[RASK].p50_ns / sweep->results[i].p50_ns);
    }
    return RK_EXIT_OK;
}

/** The better floor of this size. */
static uint32_t best(struct one *one)
{
    return rk_series_percentile(&one->p50_ns[LINE], 50) <= rk_series_percentile(&one->p50_ns[LINE_PAUSE], 50)
               ? LINE
               : LINE_PAUSE;
}

static void report(struct rk_suite *sweep, struct one *one, uint32_t index, json_t *rows)
{
    char text[6][32];
    uint32_t floor = best(one);
    json_t *row = rk_sweep_row(rows, sizes[index].name, "size", sizes[index].bytes);
    json_object_set_new(row, "p50_ns", rk_suite_spread(&one->p50_ns[RASK]));
    json_object_set_new(row, "floor", rk_json_text(wires[floor]->name));
    json_object_set_new(row, "floor_p50_ns", rk_suite_spread(&one->p50_ns[floor]));
    json_object_set_new(row, "ratio", rk_suite_spread(&one->ratio[floor]));
    json_object_set_new(row, "latency_ns", rk_suite_latency(one->each[RASK]));
    json_object_set_new(row, "floor_latency_ns", rk_suite_latency(one->each[floor]));
    json_object_set_new(row, "calls", json_integer((json_int_t)one->calls));
    rk_suite_print(sweep, "  %-8s %10s %10s %10s %10s %10s %8.2f (%.2f .. %.2f)\n", sizes[index].name,
                   rk_suite_time(rk_series_percentile(&one->p50_ns[RASK], 50), text[0], sizeof text[0]),
                   rk_suite_percentile(one->each[RASK], 99, text[1], sizeof text[1]),
                   rk_suite_percentile(one->each[RASK], 99.9, text[2], sizeof text[2]),
                   rk_suite_time(rk_series_percentile(&one->p50_ns[floor], 50), text[3], sizeof text[3]),
                   rk_suite_percentile(one->each[floor], 99, text[4], sizeof text[4]),
                   rk_series_percentile(&one->ratio[floor], 50), rk_series_percentile(&one->ratio[floor], 10),
                   rk_series_percentile(&one->ratio[floor], 90));
}

/** The tails are of samples between two clock reads each, rask's and the floor's alike. */
static void judge(struct rk_suite *sweep, struct one *one, json_t *verdicts)
{
    const struct rk_histogram *rask = one->each[RASK], *floor = one->each[best(one)];
    bool enough =
        rk_histogram_beyond(rask, 99) >= RK_RUNNER_BEYOND_MIN && rk_histogram_beyond(floor, 99) >= RK_RUNNER_BEYOND_MIN;
    double p99 = enough ? (double)rk_histogram_percentile(rask, 99) / (double)rk_histogram_percentile(floor, 99) : -1;
    rk_suite_verdict(sweep, verdicts, "32 bytes, spin: p50 / the floor's",
                     rk_series_percentile(&one->ratio[best(one)], 50), true, TARGET_P50);
    rk_suite_verdict(sweep, verdicts, "32 bytes, spin: p99 / the floor's p99", p99, true, TARGET_P99);
}

static void finish(struct one *one)
{
    for (uint32_t i = 0; i < CONTENDERS; i++) {
        rk_series_finish(&one->p50_ns[i]);
        rk_series_finish(&one->ratio[i]);
        rk_histogram_destroy(one->each[i]);
    }
}

/** One size, for `share_ns`. The verdicts of all come last, so they are kept until then. */
static int measure(struct rk_suite *sweep, uint32_t index, uint64_t share_ns, struct one *one)
{
    uint64_t end_ns, slice_ns = share_ns / CONTENDERS / 3;
    int code = start(sweep, sizes[index].bytes);
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    end_ns = rask_now_ns() + share_ns;
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 2 || rask_now_ns() < end_ns); round++) {
        code = round_of(sweep, one, slice_ns);
        rk_suite_goes_on(sweep);
        if (rk_bench_interrupted) break;
    }
    for (uint32_t i = 0; i < CONTENDERS && code == RK_EXIT_OK; i++) {
        one->each[i] = rk_histogram_create();
        code = one->each[i] != NULL ? rk_suite_series(sweep, i, 0, one->each[i]) : RK_EXIT_UNAVAILABLE;
    }
    rk_suite_stop_all(sweep);
    return code;
}

int rk_sweep_sizes(struct rk_suite *sweep)
{
    struct one all[SIZES] = {{.calls = 0}};
    json_t *rows = json_array(), *verdicts = json_array();
    uint64_t share_ns = (sweep->end_ns - sweep->start_ns) / SIZES;
    int code = RK_EXIT_OK;
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", verdicts);
    if (!rk_sweep_has_two(sweep)) return code;
    rk_suite_print(sweep,
                   "\nsizes: one at a time, spin, beside a bare exchange of the same bytes\n"
                   "  %-8s %10s %10s %10s %10s %10s %8s\n",
                   "", "p50", "p99", "p99.9", "floor p50", "floor p99", "ratio");
    for (uint32_t i = 0; i < SIZES && code == RK_EXIT_OK && !rk_bench_interrupted; i++) {
        code = measure(sweep, i, share_ns, &all[i]);
        if (code == RK_EXIT_OK) report(sweep, &all[i], i, rows);
    }
    for (uint32_t i = 0; i < SIZES; i++) {
        if (code == RK_EXIT_OK && sizes[i].bytes == SMALL && all[i].calls > 0) judge(sweep, &all[i], verdicts);
        finish(&all[i]);
    }
    return code;
}
