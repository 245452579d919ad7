/* SPDX-License-Identifier: MIT */
/* See slice.h. Nothing here allocates or enters the kernel between the first and the last clock read of a slice. */
#include "slice.h"
#include "bench.h"
#include <errno.h>
#include <rask/client.h>
#include <signal.h>

volatile int rk_bench_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    rk_bench_interrupted = 1;
}

void rk_bench_catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int rk_samples_init(struct rk_samples *samples, uint32_t batch)
{
    *samples = (struct rk_samples){.batch = batch};
    samples->each = rk_histogram_create();
    samples->batches = rk_histogram_create();
    return samples->each != NULL && samples->batches != NULL ? 0 : -ENOMEM;
}

void rk_samples_finish(struct rk_samples *samples)
{
    rk_histogram_destroy(samples->each);
    rk_histogram_destroy(samples->batches);
    *samples = (struct rk_samples){.batch = samples->batch};
}

void rk_samples_reset(struct rk_samples *samples)
{
    rk_histogram_reset(samples->each);
    rk_histogram_reset(samples->batches);
    samples->calls = 0;
    samples->paced_calls = 0;
    samples->paced_ns = 0;
}

void rk_samples_merge(struct rk_samples *into, const struct rk_samples *from)
{
    rk_histogram_merge(into->each, from->each);
    rk_histogram_merge(into->batches, from->batches);
    into->calls += from->calls;
    into->paced_calls += from->paced_calls;
    into->paced_ns += from->paced_ns;
}

double rk_samples_p50_ns(const struct rk_samples *samples)
{
    if (rk_histogram_count(samples->batches) == 0) return (double)rk_histogram_percentile(samples->each, 50);
    return (double)rk_histogram_percentile(samples->batches, 50) / samples->batch;
}

double rk_samples_calls_per_s(const struct rk_samples *samples)
{
    return samples->paced_ns > 0 ? (double)samples->paced_calls * 1e9 / (double)samples->paced_ns : 0;
}

/** `count` round trips between two clock reads. */
static int run_batch(const struct rk_contender *contender, uint32_t count, struct rk_samples *samples)
{
    uint64_t start_ns = rask_now_ns();
    int error = contender->round_trips(contender->self, count);
    uint64_t took_ns = rask_now_ns() - start_ns;
    if (error != 0) return error;
    rk_histogram_record(samples->batches, took_ns);
    samples->paced_calls += count;
    samples->paced_ns += took_ns;
    samples->calls += count;
    return 0;
}

static int run_each(const struct rk_contender *contender, uint32_t count, bool paced, struct rk_samples *samples)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start_ns = rask_now_ns();
        int error = contender->round_trips(contender->self, 1);
        uint64_t took_ns = rask_now_ns() - start_ns;
        if (error != 0) return error;
        rk_histogram_record(samples->each, took_ns);
        samples->calls++;
        if (!paced) continue;
        samples->paced_calls++;
        samples->paced_ns += took_ns;
    }
    return 0;
}

static uint32_t at_most(uint64_t left, uint32_t count)
{
    return left < count ? (uint32_t)left : count;
}

/** One batch and as many single round trips; too few calls left for a whole batch are timed singly. */
static int run_block(const struct rk_contender *contender, const struct rk_slice *slice, struct rk_samples *samples)
{
    bool batched = samples->batch > 1 && slice->max_calls - samples->calls >= samples->batch;
    if (batched) {
        int error = run_batch(contender, samples->batch, samples);
        if (error != 0) return error;
    }
    bool paced = samples->batch == 1 || samples->paced_calls == 0;
    return run_each(contender, at_most(slice->max_calls - samples->calls, samples->batch), paced, samples);
}

static bool is_over(const struct rk_slice *slice, const struct rk_samples *samples)
{
    if (rk_bench_interrupted || samples->calls >= slice->max_calls) return true;
    if (samples->calls == 0) return false;
    uint64_t now_ns = rask_now_ns();
    return now_ns >= slice->stop_ns || (now_ns >= slice->until_ns && samples->calls >= slice->min_calls);
}

int rk_slice_run(const struct rk_contender *contender, const struct rk_slice *slice, struct rk_samples *samples)
{
    int error = contender->begin(contender->self);
    while (error == 0 && !is_over(slice, samples)) error = run_block(contender, slice, samples);
    int end_error = contender->end(contender->self);
    return error != 0 ? error : end_error;
}

double rk_clock_read_ns(void)
{
    enum { ROUNDS = 63, READS = 64 };
    double best_ns = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = rask_now_ns(), last_ns = start_ns;
        for (int i = 0; i < READS; i++) last_ns = rask_now_ns();
        double read_ns = (double)(last_ns - start_ns) / READS;
        if (read_ns < best_ns) best_ns = read_ns;
    }
    return best_ns;
}
