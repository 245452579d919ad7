/* SPDX-License-Identifier: MIT */
/* Part `parked`: a round trip with both sides asleep, beside the bare futex ping-pong, on one core and on two. Slices in
 * turn; the figure is the median of the ratios of neighbouring slices. */
#include "exit_codes.h"
#include "wake.h"
#include <rask/client.h>

#define SLICE_NS 50000000u
#define TARGET 1.15
/* Of the rounds, one in this many counts system calls instead of time. */
#define COUNT_EVERY 8u

enum { RASK, FUTEX, SIDES };

struct side {
    struct rk_series p50;
    uint64_t counted_calls, system_calls; /* in slices that count */
    uint64_t calls, sleeps;               /* in slices that are timed */
};

struct placement {
    const char *name;
    struct side sides[SIDES];
    struct rk_series ratios;
};

static int start(struct rk_suite *wake, int worker_cpu)
{
    const struct rk_runner_plan plans[SIDES] = {
        {.name = "rask",
         .kind = &rk_runner_rask,
         .wait_mode = RASK_WAIT_PARK,
         .workers = 1,
         .sessions = 1,
         .in_flight = 1,
         .client_cpu = wake->client_cpu,
         .worker_cpu = worker_cpu},
        {.name = "futex", .kind = &rk_runner_futex, .client_cpu = wake->client_cpu, .worker_cpu = worker_cpu}};
    int code = rk_suite_add(wake, &plans[RASK]);
    return code == RK_EXIT_OK ? rk_suite_add(wake, &plans[FUTEX]) : code;
}

static void note_side(struct side *side, const struct rk_runner_result *result, bool count)
{
    if (count && result->counted) {
        side->counted_calls += result->calls;
        side->system_calls += result->system_calls;
    }
    if (count) return;
    rk_series_add(&side->p50, result->p50_ns);
    side->calls += result->calls;
    side->sleeps += result->sleeps;
}

/** Both sides in turn; a figure needs both. */
static int round_of(struct rk_suite *wake, struct placement *placement, uint32_t slice_ns, bool count)
{
    const struct rk_runner_order order = {.verb = RK_RUN_TRIPS, .duration_ns = slice_ns, .count_calls = count};
    for (uint32_t i = 0; i < SIDES; i++) {
        int code = rk_suite_run(wake, i, &order);
        if (code != RK_EXIT_OK) return code;
    }
    for (uint32_t i = 0; i < SIDES; i++) note_side(&placement->sides[i], &wake->results[i], count);
    if (!count) rk_series_add(&placement->ratios, wake->results[RASK].p50_ns / wake->results[FUTEX].p50_ns);
    return RK_EXIT_OK;
}

static double per(uint64_t what, uint64_t calls)
{
    return calls > 0 ? (double)what / (double)calls : -1;
}

static json_t *json_of(struct side *side)
{
    json_t *out = json_object();
    double calls = per(side->system_calls, side->counted_calls);
    json_object_set_new(out, "p50_ns", rk_suite_spread(&side->p50));
    json_object_set_new(out, "calls", json_integer((json_int_t)side->calls));
    json_object_set_new(out, "sleeps_per_call", json_real(per(side->sleeps, side->calls)));
    json_object_set_new(out, "system_calls_per_call", calls >= 0 ? json_real(calls) : json_null());
    return out;
}

static void print_side(const struct rk_suite *wake, const char *where, const char *name, struct side *side)
{
    char p50[32], p10[32], p90[32], system_calls[32] = "-";
    double calls = per(side->system_calls, side->counted_calls);
    if (calls >= 0) snprintf(system_calls, sizeof system_calls, "%.2f", calls);
    rk_suite_print(wake, "  %-10s %-6s %10s %10s %10s %14s %8.2f\n", where, name,
                   rk_suite_time(rk_series_percentile(&side->p50, 50), p50, sizeof p50),
                   rk_suite_time(rk_series_percentile(&side->p50, 10), p10, sizeof p10),
                   rk_suite_time(rk_series_percentile(&side->p50, 90), p90, sizeof p90), system_calls,
                   per(side->sleeps, side->calls));
}

static void report(struct rk_suite *wake, struct placement *placement, json_t *verdicts)
{
    char what[96];
    json_t *one = json_object();
    print_side(wake, placement->name, "rask", &placement->sides[RASK]);
    print_side(wake, "", "futex", &placement->sides[FUTEX]);
    json_object_set_new(one, "rask", json_of(&placement->sides[RASK]));
    json_object_set_new(one, "futex", json_of(&placement->sides[FUTEX]));
    json_object_set_new(one, "ratio", rk_suite_spread(&placement->ratios));
    json_object_set_new(wake->out, placement->name, one);
    snprintf(what, sizeof what, "%s: parked round trip / bare futex ping-pong", placement->name);
    double ratio = placement->ratios.count > 0 ? rk_series_percentile(&placement->ratios, 50) : -1;
    rk_suite_verdict(wake, verdicts, what, ratio, true, TARGET);
    rk_suite_print(wake, "               (median of %u ratios; 10th to 90th percentile %.3f .. %.3f)\n",
                   placement->ratios.count, rk_series_percentile(&placement->ratios, 10),
                   rk_series_percentile(&placement->ratios, 90));
}

static int measure(struct rk_suite *wake, struct placement *placement, int worker_cpu, json_t *verdicts)
{
    uint64_t room_ns = (wake->end_ns - wake->start_ns) / 8;
    uint32_t slice_ns = room_ns < SLICE_NS ? (uint32_t)room_ns : SLICE_NS;
    int code = start(wake, worker_cpu);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 2 || rk_suite_goes_on(wake)); round++)
        code = round_of(wake, placement, slice_ns, round % COUNT_EVERY == 1);
    rk_suite_stop_all(wake);
    if (code == RK_EXIT_OK) report(wake, placement, verdicts);
    for (uint32_t i = 0; i < SIDES; i++) rk_series_finish(&placement->sides[i].p50);
    rk_series_finish(&placement->ratios);
    return code;
}

int rk_wake_parked(struct rk_suite *wake)
{
    struct placement one = {.name = "one core"}, two = {.name = "two cores"};
    uint64_t end_ns = wake->end_ns;
    json_t *verdicts = json_array();
    json_object_set_new(wake->out, "verdicts", verdicts);
    rk_suite_print(wake,
                   "\nparked: both sides sleep (--wait park), 32 bytes, beside a bare futex ping-pong\n"
                   "  %-10s %-6s %10s %10s %10s %14s %8s\n",
                   "", "", "p50", "p10", "p90 (slices)", "system calls", "sleeps");
    if (wake->client_cpu == wake->worker_cpu) return measure(wake, &one, wake->client_cpu, verdicts);
    wake->end_ns = wake->start_ns + (end_ns - wake->start_ns) / 2;
    int code = measure(wake, &one, wake->client_cpu, verdicts);
    wake->start_ns = rask_now_ns();
    wake->end_ns = end_ns > wake->start_ns ? end_ns : wake->start_ns;
    return code == RK_EXIT_OK ? measure(wake, &two, wake->worker_cpu, verdicts) : code;
}
