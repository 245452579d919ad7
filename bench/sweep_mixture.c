/* SPDX-License-Identifier: MIT */
/* Part `mixture`: requests that come by chance, 1 % of which are slow: they sleep for a hundred times what a fast one burns, so
 * that more workers than processors make sense. Four workers on all processors but the sender's, which never sleeps. The fast
 * ones' p99 is compared with that in the ideal single queue: the same arrivals and the service times that the handlers
 * measured, first come first served, four servers, no time lost between them (queue_model.h). Loads take turns. */
#include "exit_codes.h"
#include "runner_work.h"
#include "slice.h"
#include "sweep.h"
#include <rask/client.h>
#include <stdio.h>

#define ROWS 4u
#define WORKERS 4u
#define CLIENTS 4u
#define FAST_NS 100000u
#define SLOW_NS (100 * FAST_NS)
#define SLICE_NS 1000000000u /* of the row with the least load; the others get as many requests */
#define WARM_UP_NS 200000000u
#define TARGET 1.3
#define WARM_UP_SERIES (ROWS * RK_MIXTURE_SERIES)

_Static_assert(WARM_UP_SERIES + RK_MIXTURE_SERIES <= RK_RUNNER_SERIES_MAX, "a set of series for each row");

/* Load: processor time of the fast ones as a part of the workers' processors. */
static const struct {
    double load;
    uint32_t clients;
    const char *name;
} rows_table[ROWS] = {{0.2, 1, "20 %, 1 client"},
                      {0.4, 1, "40 %, 1 client"},
                      {0.6, 1, "60 %, 1 client"},
                      {0.4, CLIENTS, "40 %, 4 clients"}};

struct mixture {
    double processors; /* that the workers have */
    uint64_t due[ROWS], calls[ROWS], late[ROWS], took_ns[ROWS], in_time[ROWS], in_time_ideal[ROWS];
    struct rk_series fairness[ROWS];
    struct rk_histogram *parts[RK_MIXTURE_SERIES]; /* of the row at hand */
};

static int start(struct rk_suite *sweep)
{
    const struct rk_runner_plan plan = {.name = "mixture",
                                        .kind = &rk_runner_work,
                                        .wait_mode = RASK_WAIT_HYBRID,
                                        .workers = WORKERS,
                                        .sessions = CLIENTS,
                                        .client_cpu = sweep->client_cpu,
                                        .worker_cpu = -1,
                                        .spread_workers = true};
    return rk_suite_add(sweep, &plan);
}

static double rate_of(const struct mixture *all, uint32_t row)
{
    return rows_table[row].load * all->processors * 1e9 / FAST_NS;
}

static struct rk_runner_order order_of(const struct mixture *all, uint32_t row, uint64_t seed, uint64_t duration_ns)
{
    return (struct rk_runner_order){.verb = RK_RUN_MIXTURE,
                                    .rate = rate_of(all, row),
                                    .seed = seed,
                                    .cost_ns = FAST_NS,
                                    .sleep_ns = SLOW_NS,
                                    .sessions = rows_table[row].clients,
                                    .series = row * RK_MIXTURE_SERIES,
                                    .duration_ns = duration_ns};
}

/** Lanes are opened at first use: that is not what is measured. */
static int warm_up(struct rk_suite *sweep, const struct mixture *all, uint64_t slice_ns)
{
    struct rk_runner_order order = order_of(all, ROWS - 1, 1, slice_ns < WARM_UP_NS ? slice_ns : WARM_UP_NS);
    order.series = WARM_UP_SERIES;
    return rk_suite_run(sweep, 0, &order);
}

static int visit(struct rk_suite *sweep, struct mixture *all, uint32_t row, uint32_t round, uint64_t slice_ns)
{
    uint64_t share_ns = (uint64_t)((double)slice_ns * rows_table[0].load / rows_table[row].load);
    const struct rk_runner_order order = order_of(all, row, 1 + round, share_ns);
    int code = rk_suite_run(sweep, 0, &order);
    const struct rk_runner_result *result = &sweep->results[0];
    if (code != RK_EXIT_OK) return code;
    all->due[row] += result->due;
    all->calls[row] += result->calls;
    all->late[row] += result->late;
    all->took_ns[row] += result->took_ns;
    all->in_time[row] += result->in_time;
    all->in_time_ideal[row] += result->in_time_ideal;
    rk_series_add(&all->fairness[row], result->fairness);
    return RK_EXIT_OK;
}

static int fetch(struct rk_suite *sweep, struct mixture *all, uint32_t row)
{
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < RK_MIXTURE_SERIES && code == RK_EXIT_OK; i++) {
        rk_histogram_reset(all->parts[i]);
        code = rk_suite_series(sweep, 0, row * RK_MIXTURE_SERIES + i, all->parts[i]);
    }
    return code;
}

/** p99 of the fast ones to the ideal's, -1 where there are too few for it. */
static double ratio_of(const struct mixture *all)
{
    const struct rk_histogram *fast = all->parts[RK_MIXTURE_FAST], *ideal = all->parts[RK_MIXTURE_FAST_IDEAL];
    if (rk_histogram_beyond(fast, 99) < RK_RUNNER_BEYOND_MIN) return -1;
    return (double)rk_histogram_percentile(fast, 99) / (double)rk_histogram_percentile(ideal, 99);
}

static double part_of(uint64_t some, uint64_t all)
{
    return all > 0 ? (double)some / (double)all : 0;
}

static void add_json(struct mixture *all, uint32_t row, double ratio, json_t *rows)
{
    static const char *const keys[RK_MIXTURE_SERIES] = {"fast_ns",   "fast_ideal_ns", "slow_ns",
                                                        "before_ns", "service_ns",    "after_ns"};
    json_t *out = rk_sweep_row(rows, rows_table[row].name, "clients", rows_table[row].clients);
    double seconds = (double)all->took_ns[row] / 1e9;
    json_object_set_new(out, "load", json_real(rows_table[row].load));
    json_object_set_new(out, "rate", json_real(rate_of(all, row)));
    json_object_set_new(out, "due", json_integer((json_int_t)all->due[row]));
    json_object_set_new(out, "late", json_integer((json_int_t)all->late[row]));
    json_object_set_new(out, "goodput_per_s", json_real(seconds > 0 ? (double)all->in_time[row] / seconds : 0));
    json_object_set_new(out, "in_time", json_real(part_of(all->in_time[row], all->due[row])));
    json_object_set_new(out, "in_time_ideal", json_real(part_of(all->in_time_ideal[row], all->due[row])));
    json_object_set_new(out, "fairness",
                        rows_table[row].clients > 1 ? rk_suite_spread(&all->fairness[row]) : json_null());
    json_object_set_new(out, "p99_to_ideal", ratio >= 0 ? json_real(ratio) : json_null());
    for (uint32_t i = 0; i < RK_MIXTURE_SERIES; i++) json_object_set_new(out, keys[i], rk_suite_latency(all->parts[i]));
}

static int report_one(struct rk_suite *sweep, struct mixture *all, uint32_t row, json_t *rows, double *ratio)
{
    char text[6][32], times[16] = "-", fairness[16] = "-";
    static const struct {
        uint32_t part;
        double percent;
    } shown[6] = {{RK_MIXTURE_FAST, 50},   {RK_MIXTURE_FAST, 99},    {RK_MIXTURE_FAST_IDEAL, 99},
                  {RK_MIXTURE_BEFORE, 99}, {RK_MIXTURE_SERVICE, 99}, {RK_MIXTURE_AFTER, 99}};
    int code = fetch(sweep, all, row);
    if (code != RK_EXIT_OK) return code;
    *ratio = ratio_of(all);
    add_json(all, row, *ratio, rows);
    for (uint32_t i = 0; i < 6; i++)
        rk_suite_percentile(all->parts[shown[i].part], shown[i].percent, text[i], sizeof text[i]);
    if (*ratio >= 0) snprintf(times, sizeof times, "%.2f", *ratio);
    if (rows_table[row].clients > 1)
        snprintf(fairness, sizeof fairness, "%.3f", rk_series_percentile(&all->fairness[row], 50));
    rk_suite_print(sweep, "  %-16s %9s %9s %9s %6s %9s %9s %9s %7.2f %% %7.2f %% %8s\n", rows_table[row].name, text[0],
                   text[1], text[2], times, text[3], text[4], text[5], part_of(all->in_time[row], all->due[row]) * 100,
                   part_of(all->in_time_ideal[row], all->due[row]) * 100, fairness);
    return RK_EXIT_OK;
}

static int report(struct rk_suite *sweep, struct mixture *all, json_t *rows, json_t *verdicts)
{
    char what[96];
    double ratios[ROWS];
    int code = RK_EXIT_OK;
    rk_suite_print(sweep,
                   "\nmixture: 99 %% burn %u us, 1 %% sleep %u ms; %u workers on %.0f processor%s, hybrid; the sender "
                   "has one of its own\n  %-16s %9s %9s %9s %6s %9s %9s %9s %9s %9s %8s\n",
                   FAST_NS / 1000, SLOW_NS / 1000000, WORKERS, all->processors, all->processors > 1 ? "s" : "", "load",
                   "fast p50", "fast p99", "ideal p99", "ratio", "before", "handler", "after", "in time", "ideal",
                   "fairness");
    for (uint32_t i = 0; i < ROWS && code == RK_EXIT_OK; i++) code = report_one(sweep, all, i, rows, &ratios[i]);
    if (code != RK_EXIT_OK) return code;
    rk_suite_print(sweep,
                   "  Latency from when each was meant to be sent. before, handler, after: p99 of the parts of a fast "
                   "one. In time: a fast\n  one within %u x, a slow one within %u x its cost. Fairness: Jain's index "
                   "of the clients' mean latency.\n",
                   RK_MIXTURE_SLACK_FAST, RK_MIXTURE_SLACK_SLOW);
    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(what, sizeof what, "load %s: p99 of the fast ones / ideal single queue", rows_table[i].name);
        rk_suite_verdict(sweep, verdicts, what, ratios[i], true, TARGET);
    }
    return code;
}

static double processors(const struct rk_suite *sweep)
{
    uint32_t others = sweep->environment.cpus_usable > 1 ? sweep->environment.cpus_usable - 1 : 1;
    return others < WORKERS ? others : WORKERS;
}

static void finish(struct mixture *all)
{
    for (uint32_t i = 0; i < ROWS; i++) rk_series_finish(&all->fairness[i]);
    for (uint32_t i = 0; i < RK_MIXTURE_SERIES; i++) rk_histogram_destroy(all->parts[i]);
}

int rk_sweep_mixture(struct rk_suite *sweep)
{
    struct mixture all = {.processors = processors(sweep)};
    json_t *rows = json_array(), *verdicts = json_array();
    uint64_t slice_ns = (sweep->end_ns - sweep->start_ns) / 3;
    int code = RK_EXIT_OK;
    json_object_set_new(sweep->out, "rows", rows);
    json_object_set_new(sweep->out, "verdicts", verdicts);
    json_object_set_new(sweep->out, "workers", json_integer(WORKERS));
    json_object_set_new(sweep->out, "processors", json_real(all.processors));
    json_object_set_new(sweep->out, "fast_ns", json_integer(FAST_NS));
    json_object_set_new(sweep->out, "slow_ns", json_integer(SLOW_NS));
    if (!rk_sweep_has_two(sweep)) return code;
    for (uint32_t i = 0; i < RK_MIXTURE_SERIES; i++) {
        all.parts[i] = rk_histogram_create();
        if (all.parts[i] == NULL) code = RK_EXIT_UNAVAILABLE;
    }
    if (slice_ns > SLICE_NS) slice_ns = SLICE_NS;
    if (code == RK_EXIT_OK) code = start(sweep);
    if (code == RK_EXIT_OK) code = warm_up(sweep, &all, slice_ns);
    rk_suite_begin(sweep);
    for (uint32_t round = 0; code == RK_EXIT_OK && (round < 1 || rk_suite_goes_on(sweep)); round++)
        for (uint32_t i = 0; i < ROWS && code == RK_EXIT_OK; i++) code = visit(sweep, &all, i, round, slice_ns);
    if (code == RK_EXIT_OK) code = report(sweep, &all, rows, verdicts);
    finish(&all);
    return code;
}
