/* SPDX-License-Identifier: MIT */
/* See meter.h. Reads the processor clocks of other processes (clock_getcpuclockid) and /proc. */
#include "meter.h"
#include "processes.h"
#include <errno.h>
#include <rask/client.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {.tv_sec = 0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t worker_cpu_ns(const struct rk_meter *meter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < meter->count; i++) sum += clock_ns(meter->clocks[i]);
    return sum;
}

static uint64_t sleeps(const struct rk_meter *meter)
{
    struct rusage own;
    uint64_t sum = getrusage(RUSAGE_SELF, &own) == 0 ? (uint64_t)own.ru_nvcsw : 0;
    for (uint32_t i = 0; i < meter->count; i++) sum += rk_process_sleeps(meter->pids[i]);
    return sum;
}

void rk_meter_init(struct rk_meter *meter, const pid_t *pids, uint32_t count)
{
    *meter = (struct rk_meter){.count = 0};
    rk_call_counter_init(&meter->counter);
    meter->can_count = rk_call_counter_add(&meter->counter, 0);
    for (uint32_t i = 0; i < count && i < RASK_WORKERS_MAX; i++) {
        if (clock_getcpuclockid(pids[i], &meter->clocks[meter->count]) != 0) continue;
        meter->pids[meter->count++] = pids[i];
        if (meter->can_count) meter->can_count = rk_call_counter_add(&meter->counter, pids[i]);
    }
}

void rk_meter_finish(struct rk_meter *meter)
{
    rk_call_counter_finish(&meter->counter);
}

void rk_meter_begin(struct rk_meter *meter, bool count_calls)
{
    meter->counting = count_calls && meter->can_count;
    meter->sleeps = sleeps(meter);
    meter->worker_cpu_ns = worker_cpu_ns(meter);
    meter->client_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    meter->start_ns = rask_now_ns();
    if (meter->counting) rk_call_counter_start(&meter->counter);
}

void rk_meter_end(struct rk_meter *meter, struct rk_runner_result *result)
{
    if (meter->counting) result->system_calls = rk_call_counter_stop(&meter->counter);
    result->counted = meter->counting;
    result->took_ns = rask_now_ns() - meter->start_ns;
    result->client_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - meter->client_cpu_ns;
    result->worker_cpu_ns = worker_cpu_ns(meter) - meter->worker_cpu_ns;
    result->sleeps = sleeps(meter) - meter->sleeps;
}

void rk_meter_trips(struct rk_meter *meter, const struct rk_contender *contender, struct rk_samples *samples,
                    const struct rk_runner_order *order, struct rk_runner_result *result)
{
    uint64_t until_ns = rask_now_ns() + order->duration_ns;
    const struct rk_slice slice = {
        .until_ns = until_ns, .stop_ns = until_ns + order->duration_ns, .min_calls = 3, .max_calls = UINT64_MAX};
    int error = contender->begin(contender->self);
    if (error == 0) {
        /* The lead-in is over: what begin() does again inside the slice is one more of the same. */
        const struct rk_contender running = {.name = contender->name,
                                             .self = contender->self,
                                             .begin = contender->end,
                                             .round_trips = contender->round_trips,
                                             .end = contender->end};
        rk_samples_reset(samples);
        rk_meter_begin(meter, order->count_calls);
        error = rk_slice_run(&running, &slice, samples);
        rk_meter_end(meter, result);
    }
    if (error != 0) rk_runner_fail(result, error, "a round trip failed: %s", strerror(-error));
    result->calls = samples->calls;
    result->p50_ns = rk_samples_p50_ns(samples);
}
