/* SPDX-License-Identifier: MIT */
/* See measure.h. The floor's peer sleeps while rask is measured, and rask is idle while the floor is: nothing is in flight
 * between slices, and private workers that would go on spinning stand still. */
#include "measure.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MS 1000000ull
#define RASK_SLICE_NS (5 * MS)
#define FLOOR_SLICE_NS (MS / 5)
#define FLOOR_SLICE_NS_MAX (100 * MS)
#define WARM_UP_NS_MAX (200 * MS)
/* Batches, or single round trips where they are slow, that a slice's median needs at least. */
#define MEDIAN_OF 10u
/* Slower than this, a clock read is less than a thousandth: every round trip is timed. */
#define SLOW_NS 20000.0
#define PROGRESS_EVERY_NS (250 * MS)

int rk_figures_init(struct rk_figures *figures)
{
    *figures = (struct rk_figures){.best = 0};
    int error = rk_samples_init(&figures->rask, RK_BATCH);
    if (error == 0) error = rk_samples_init(&figures->scratch, RK_BATCH);
    for (uint32_t i = 0; i < RK_FLOOR_VARIANTS_MAX && error == 0; i++) {
        error = rk_samples_init(&figures->floors[i].samples, RK_BATCH);
        figures->floors[i].ratios = rk_histogram_create();
        if (figures->floors[i].ratios == NULL) error = -ENOMEM;
    }
    figures->paces = rk_histogram_create();
    return figures->paces == NULL ? -ENOMEM : error;
}

void rk_figures_finish(struct rk_figures *figures)
{
    rk_samples_finish(&figures->rask);
    rk_samples_finish(&figures->scratch);
    rk_histogram_destroy(figures->paces);
    figures->paces = NULL;
    for (uint32_t i = 0; i < RK_FLOOR_VARIANTS_MAX; i++) {
        rk_samples_finish(&figures->floors[i].samples);
        rk_histogram_destroy(figures->floors[i].ratios);
        figures->floors[i].ratios = NULL;
    }
}

/** Slices of every variant; the medians go to p50_ns. */
static int floor_slices(struct rk_figures *figures, struct rk_floor *floor, const struct rk_standstill *standstill,
                        double p50_ns[])
{
    rk_standstill_begin(standstill);
    int error = rk_floor_wake(floor);
    for (uint32_t i = 0; i < figures->floor_count && error == 0; i++) {
        struct rk_samples *total = &figures->floors[i].samples;
        uint64_t now_ns = rask_now_ns();
        const struct rk_slice slice = {.until_ns = now_ns + FLOOR_SLICE_NS,
                                       .stop_ns = now_ns + FLOOR_SLICE_NS_MAX,
                                       .min_calls = (uint64_t)MEDIAN_OF * 2 * total->batch,
                                       .max_calls = UINT64_MAX};
        rk_samples_reset(&figures->scratch);
        figures->scratch.batch = total->batch;
        error = rk_slice_run(rk_floor_contender(floor, i), &slice, &figures->scratch);
        p50_ns[i] = rk_samples_p50_ns(&figures->scratch);
        rk_samples_merge(total, &figures->scratch);
    }
    int park_error = error == 0 ? rk_floor_park(floor) : 0;
    rk_standstill_end(standstill);
    return error != 0 ? error : park_error;
}

/** A slice of rask that leaves its median in *p50_ns: 0 when nothing was measured. */
static int rask_slice(struct rk_figures *figures, struct rk_calls *calls, const struct rk_measure_options *options,
                      uint64_t end_ns, double *p50_ns)
{
    struct rk_samples *total = &figures->rask;
    uint64_t per_sample = options->in_flight > 1 ? RK_SAMPLE_EVERY : 2 * total->batch;
    const struct rk_slice slice = {.until_ns = rask_now_ns() + RASK_SLICE_NS,
                                   .stop_ns = end_ns,
                                   .min_calls = MEDIAN_OF * per_sample,
                                   .max_calls = options->count != 0 ? options->count - total->calls : UINT64_MAX};
    rk_samples_reset(&figures->scratch);
    figures->scratch.batch = total->batch;
    int error = options->in_flight > 1 ? rk_calls_pipeline(calls, &slice, &figures->scratch)
                                       : rk_slice_run(rk_calls_contender(calls), &slice, &figures->scratch);
    *p50_ns = rk_samples_p50_ns(&figures->scratch);
    if (figures->scratch.paced_calls > 0)
        rk_histogram_record(figures->paces, figures->scratch.paced_ns * 1000 / figures->scratch.paced_calls);
    rk_samples_merge(total, &figures->scratch);
    return error;
}

static void note_ratios(struct rk_figures *figures, double rask_p50_ns, const double floor_p50_ns[])
{
    if (rask_p50_ns <= 0) return;
    figures->slices++;
    for (uint32_t i = 0; i < figures->floor_count; i++)
        if (floor_p50_ns[i] > 0)
            rk_histogram_record(figures->floors[i].ratios, (uint64_t)(rask_p50_ns / floor_p50_ns[i] * 1e6));
}

static void show_progress(const struct rk_figures *figures, const struct rk_measure_options *options, double part)
{
    fprintf(stderr, "\r%3.0f %%  %llu calls, p50 %.1f ns%s ", part * 100, (unsigned long long)figures->rask.calls,
            rk_samples_p50_ns(&figures->rask), options->in_flight > 1 ? " in flight" : "");
}

static void clear_progress(void)
{
    fprintf(stderr, "\r%-60s\r", "");
}

static double part_done(const struct rk_figures *figures, const struct rk_measure_options *options, uint64_t now_ns,
                        uint64_t end_ns)
{
    if (options->count != 0) return (double)figures->rask.calls / (double)options->count;
    double left = now_ns < end_ns ? (double)(end_ns - now_ns) : 0;
    return 1 - left / (double)options->duration_ns;
}

/** Every floor once, to settle and to see whether it is slow; what it says is forgotten. */
static int warm_up(struct rk_figures *figures, struct rk_calls *calls, struct rk_floor *floor,
                   const struct rk_measure_options *options)
{
    double rask_ns, floor_ns[RK_FLOOR_VARIANTS_MAX];
    uint64_t warm_ns =
        options->count == 0 && options->duration_ns / 4 < WARM_UP_NS_MAX ? options->duration_ns / 4 : WARM_UP_NS_MAX;
    int error = rk_calls_warm_up(calls, warm_ns, &rask_ns);
    if (error != 0) return error;
    figures->rask.batch = rask_ns > SLOW_NS ? 1 : RK_BATCH;
    /* Large payloads make both slow: do not begin with whole batches then. */
    for (uint32_t i = 0; i < figures->floor_count; i++) figures->floors[i].samples.batch = figures->rask.batch;
    error = floor_slices(figures, floor, options->standstill, floor_ns);
    if (error != 0) return error;
    for (uint32_t i = 0; i < figures->floor_count; i++) {
        rk_samples_reset(&figures->floors[i].samples);
        figures->floors[i].samples.batch = floor_ns[i] > SLOW_NS ? 1 : RK_BATCH;
    }
    return 0;
}

/** The variant of one kind with the lowest median over the whole run. */
static uint32_t best_of(const struct rk_figures *figures, const struct rk_floor *floor, enum rk_floor_kind kind)
{
    double lowest_ns = 1e300;
    uint32_t best = 0;
    for (uint32_t i = 0; i < figures->floor_count; i++) {
        double p50_ns = rk_samples_p50_ns(&figures->floors[i].samples);
        if (rk_floor_kind(floor, i) != kind || p50_ns <= 0 || p50_ns >= lowest_ns) continue;
        lowest_ns = p50_ns;
        best = i;
    }
    return best;
}

int rk_measure_run(struct rk_figures *figures, struct rk_calls *calls, struct rk_floor *floor,
                   const struct rk_measure_options *options)
{
    figures->floor_count = rk_floor_count(floor);
    int error = warm_up(figures, calls, floor, options);
    uint64_t start_ns = rask_now_ns(), now_ns = start_ns, shown_ns = start_ns;
    uint64_t end_ns = options->count != 0 ? UINT64_MAX : start_ns + options->duration_ns;
    while (error == 0 && !rk_bench_interrupted && part_done(figures, options, now_ns, end_ns) < 1) {
        double rask_ns = 0, floor_ns[RK_FLOOR_VARIANTS_MAX] = {0};
        error = floor_slices(figures, floor, options->standstill, floor_ns);
        if (error == 0) error = rask_slice(figures, calls, options, end_ns, &rask_ns);
        if (error == 0) note_ratios(figures, rask_ns, floor_ns);
        now_ns = rask_now_ns();
        if (options->show_progress && now_ns - shown_ns >= PROGRESS_EVERY_NS) {
            show_progress(figures, options, part_done(figures, options, now_ns, end_ns));
            shown_ns = now_ns;
        }
    }
    if (shown_ns != start_ns) clear_progress();
    figures->elapsed_ns = now_ns - start_ns;
    figures->best = best_of(figures, floor, RK_FLOOR_CANDIDATE);
    figures->best_sealed = best_of(figures, floor, RK_FLOOR_SEALED);
    return error;
}

double rk_figures_median_calls_per_s(const struct rk_figures *figures)
{
    uint64_t ns_per_1000 = rk_histogram_percentile(figures->paces, 50);
    return ns_per_1000 > 0 ? 1e12 / (double)ns_per_1000 : 0;
}

double rk_figures_ratio(const struct rk_figures *figures, uint32_t variant, double percent)
{
    return (double)rk_histogram_percentile(figures->floors[variant].ratios, percent) / 1e6;
}
