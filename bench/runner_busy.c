/* SPDX-License-Identifier: MIT */
/* A runner that does what `rask bench --wait spin` does: round trips and the floor of them in turns. See runner.h. */
#include "calls.h"
#include "floor.h"
#include "measure.h"
#include "runner.h"
#include "standstill.h"
#include "target.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct busy {
    struct rk_floor *floor;
    struct rask *session;
    struct rk_calls *calls;
    struct rk_standstill workers;
};

static int open_session(struct busy *busy, const struct rk_runner_plan *plan, struct rask_info *info)
{
    char worker_cpu[16];
    const struct rask_options options = RASK_OPTIONS_INIT;
    struct rk_target target = {.plugin = "echo", .wait_mode = plan->wait_mode};
    snprintf(worker_cpu, sizeof worker_cpu, "%d", plan->worker_cpu);
    if (plan->worker_cpu >= 0) target.pin_workers = worker_cpu;
    unsetenv("RASK_BARRIER");
    int error = rk_target_open(&busy->session, &target, &options);
    if (error == 0) error = rask_info(busy->session, info);
    if (error == 0)
        error = rk_calls_create(&busy->calls, busy->session, (uint32_t)rask_method(busy->session, "echo"),
                                RASK_INLINE_BYTES, 1, true);
    return error;
}

static void *open_busy(const struct rk_runner_plan *plan, struct rk_runner_result *result)
{
    struct rask_info info = {.size = sizeof info};
    const struct rk_floor_options options = {
        .size = RASK_INLINE_BYTES, .peer_cpu = plan->worker_cpu, .shared_cpu = plan->client_cpu == plan->worker_cpu};
    struct busy *busy = calloc(1, sizeof *busy);
    int error = busy != NULL ? rk_floor_create(&busy->floor, &options) : -ENOMEM;
    if (error == 0) error = open_session(busy, plan, &info);
    if (error != 0) {
        rk_runner_fail(result, error, "cannot set it up: %.120s %.80s", rask_strerror(error), rask_last_error());
        return busy;
    }
    rk_runner_pin(plan->client_cpu);
    rk_standstill_init(&busy->workers, (pid_t)info.supervisor_pid);
    rk_standstill_begin(&busy->workers);
    result->client_pid = (int32_t)getpid();
    result->supervisor_pid = (int32_t)info.supervisor_pid;
    snprintf(result->barrier, sizeof result->barrier, "%s", info.barrier);
    snprintf(result->engine, sizeof result->engine, "%s", info.engine);
    return busy;
}

static void note(const struct rk_figures *figures, struct rk_runner_result *result)
{
    result->calls = figures->rask.calls;
    result->p50_ns = rk_samples_p50_ns(&figures->rask);
    result->slices = figures->slices;
    result->floor_p50_ns = rk_samples_p50_ns(&figures->floors[figures->best].samples);
    result->ratio = rk_figures_ratio(figures, figures->best, 50);
    result->ratio_p10 = rk_figures_ratio(figures, figures->best, 10);
    result->ratio_p90 = rk_figures_ratio(figures, figures->best, 90);
    result->sealed_p50_ns = rk_samples_p50_ns(&figures->floors[figures->best_sealed].samples);
    result->ratio_sealed = rk_figures_ratio(figures, figures->best_sealed, 50);
}

static void serve(void *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct busy *busy = self;
    static struct rk_figures figures; /* large */
    const struct rk_measure_options options = {
        .duration_ns = order->duration_ns, .in_flight = 1, .standstill = &busy->workers};
    int error = rk_figures_init(&figures);
    rk_standstill_end(&busy->workers);
    if (error == 0) error = rk_measure_run(&figures, busy->calls, busy->floor, &options);
    rk_standstill_begin(&busy->workers);
    if (error != 0) rk_runner_fail(result, error, "a round trip failed: %s", strerror(-error));
    if (error == 0) note(&figures, result);
    rk_figures_finish(&figures);
}

static void close_busy(void *self)
{
    struct busy *busy = self;
    if (busy == NULL) return;
    rk_standstill_end(&busy->workers);
    rk_calls_destroy(busy->calls);
    rask_close(busy->session);
    rk_floor_destroy(busy->floor);
    free(busy);
}

const struct rk_runner_kind rk_runner_busy = {.open = open_busy, .serve = serve, .close = close_busy};
