/* SPDX-License-Identifier: MIT */
/* Part `idle`: what 64 workers and 64 sessions take while nobody asks anything, in `hybrid` and in `park`: two pools at the
 * same time, read from /proc before and after. This process, which reads, is not counted. */
#include "exit_codes.h"
#include "options.h"
#include "processes.h"
#include "wake.h"
#include <poll.h>
#include <rask/client.h>
#include <stdio.h>
#include <unistd.h>

#define WORKERS 64u
#define SESSIONS 64u
#define POOLS 2u
#define SETTLE_MS 1000
#define STEP_MS 100

static const char *const modes[POOLS] = {"hybrid", "park"};

struct pool {
    struct rk_processes processes;
    struct rk_usage before;
    uint64_t most_sleeps; /* of one process */
    uint64_t sleeps[RASK_WORKERS_MAX + 1];
};

static int start(struct rk_suite *wake, uint32_t index)
{
    const struct rk_runner_plan plan = {.name = modes[index],
                                        .kind = &rk_runner_rask,
                                        .wait_mode = index == 0 ? RASK_WAIT_HYBRID : RASK_WAIT_PARK,
                                        .workers = WORKERS,
                                        .sessions = SESSIONS,
                                        .in_flight = 1,
                                        .client_cpu = -1,
                                        .worker_cpu = -1};
    /* One session speaks with every worker. */
    const struct rk_runner_order open_lanes = {.verb = RK_RUN_BATCH, .depth = WORKERS, .duration_ns = 50000000};
    int code = rk_suite_add(wake, &plan);
    return code == RK_EXIT_OK ? rk_suite_run(wake, index, &open_lanes) : code;
}

static int find(const struct rk_suite *wake, struct pool *pool, uint32_t index)
{
    int error = rk_processes_find(&pool->processes, wake->results[index].supervisor_pid);
    if (error != 0) return rk_fail(error);
    if (pool->processes.count > WORKERS + 1) pool->processes.count = WORKERS + 1;
    pool->processes.pids[pool->processes.count++] = wake->results[index].client_pid;
    for (uint32_t i = 0; i < pool->processes.count; i++) pool->sleeps[i] = rk_process_sleeps(pool->processes.pids[i]);
    pool->before = rk_processes_activity(&pool->processes);
    return RK_EXIT_OK;
}

static void report(struct rk_suite *wake, struct pool *pool, uint32_t index, double idle_s, json_t *verdicts)
{
    char what[96];
    struct rk_usage after = rk_processes_activity(&pool->processes);
    double cpu_s = (double)(after.ticks - pool->before.ticks) / (double)sysconf(_SC_CLK_TCK);
    double cpu_ms = (double)(after.cpu_ns - pool->before.cpu_ns) / 1e6;
    for (uint32_t i = 0; i < pool->processes.count; i++) {
        uint64_t sleeps = rk_process_sleeps(pool->processes.pids[i]) - pool->sleeps[i];
        if (sleeps > pool->most_sleeps) pool->most_sleeps = sleeps;
    }
    uint64_t sleeps = after.sleeps - pool->before.sleeps;
    json_t *one = json_object();
    json_object_set_new(one, "processes", json_integer(pool->processes.count));
    json_object_set_new(one, "workers", json_integer(WORKERS));
    json_object_set_new(one, "sessions", json_integer(SESSIONS));
    json_object_set_new(one, "lanes_open", json_integer(wake->results[index].lanes_open));
    json_object_set_new(one, "idle_s", json_real(idle_s));
    json_object_set_new(one, "cpu_ticks_s", json_real(cpu_s));
    json_object_set_new(one, "cpu_schedstat_ms", json_real(cpu_ms));
    json_object_set_new(one, "wakeups", json_integer((json_int_t)sleeps));
    json_object_set_new(one, "wakeups_per_process_max", json_integer((json_int_t)pool->most_sleeps));
    json_object_set_new(one, "wakeup_period_s",
                        pool->most_sleeps > 0 ? json_real(idle_s / (double)pool->most_sleeps) : json_null());
    json_object_set_new(wake->out, modes[index], one);
    rk_suite_print(wake, "  %-8s %9u %6u %9.2f s %12.2f ms %9llu %12llu\n", modes[index], pool->processes.count,
                   wake->results[index].lanes_open, cpu_s, cpu_ms, (unsigned long long)sleeps,
                   (unsigned long long)pool->most_sleeps);
    if (pool->most_sleeps > 0)
        rk_suite_print(wake, "           the busiest process woke every %.1f s\n", idle_s / (double)pool->most_sleeps);
    snprintf(what, sizeof what, "%s: CPU seconds in 10 s, by clock ticks", modes[index]);
    rk_suite_verdict(wake, verdicts, what, cpu_s / idle_s * 10, true, 0.05);
}

int rk_wake_idle(struct rk_suite *wake)
{
    static struct pool pools[POOLS];
    json_t *verdicts = json_array();
    uint64_t idle_ns = wake->end_ns - wake->start_ns;
    int code = RK_EXIT_OK;
    json_object_set_new(wake->out, "verdicts", verdicts);
    for (uint32_t i = 0; i < POOLS && code == RK_EXIT_OK; i++) code = start(wake, i);
    poll(NULL, 0, SETTLE_MS);
    for (uint32_t i = 0; i < POOLS && code == RK_EXIT_OK; i++) {
        pools[i] = (struct pool){.most_sleeps = 0};
        code = find(wake, &pools[i], i);
    }
    uint64_t start_ns = rask_now_ns();
    wake->start_ns = start_ns;
    wake->end_ns = start_ns + idle_ns;
    while (code == RK_EXIT_OK && rk_suite_goes_on(wake)) poll(NULL, 0, STEP_MS);
    double idle_s = (double)(rask_now_ns() - start_ns) / 1e9;
    rk_suite_print(wake, "\nidle: %u workers and %u sessions, nothing asked for %.1f s, two pools at once\n", WORKERS,
                   SESSIONS, idle_s);
    rk_suite_print(wake, "  %-8s %9s %6s %11s %15s %9s %12s\n", "wait", "processes", "lanes", "CPU (ticks)",
                   "CPU (schedstat)", "wake-ups", "most of one");
    for (uint32_t i = 0; i < POOLS && code == RK_EXIT_OK; i++) report(wake, &pools[i], i, idle_s, verdicts);
    rk_suite_stop_all(wake);
    return code;
}
