/* SPDX-License-Identifier: MIT */
/* rask-probe: the figures of docs/results.md that are no round trips. Not installed; results.py runs it. One line of
 * JSON each:
 *
 *   calls COUNT DEPTH SIZE   a private supervisor with one worker, both sides spin on processors 0 and 1, a warm-up, then
 *                            COUNT echoes between two system calls that fail and are easy to find in a trace
 *   spawn ROUNDS             rask_spawn() with the echo plugin until the first answer is there, over and over
 *   attach SOCKET ROUNDS     rask_connect() with the defaults, then a first call, over and over
 *   memory SOCKET SESSIONS   sessions, each with a lane to every worker of a supervisor with the sleep plugin
 *   flat SOCKET COUNT S      memory of supervisor, workers and client before COUNT echoes, 128 in flight, and behind them;
 *                            fewer, when S seconds are over first
 *   idle SOCKET MS           what supervisor and workers do while a session with all its lanes open asks nothing */
#include "histogram.h"
#include "processes.h"
#include <errno.h>
#include <inttypes.h>
#include <rask/client.h>
#include <rask/status.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CALL_TIMEOUT_NS 10000000000ull
#define WARM_UP_CALLS 200000u
#define DEPTH_MAX 1024u
#define SESSIONS_MAX 127u
/* Rounds of requests, one for every worker, until all have a lane. */
#define ROUNDS_MAX 20
#define EXIT_USAGE 64

static int failed(const char *what, int error)
{
    fprintf(stderr, "rask-probe: %s: %s: %s\n", what, rask_strerror(error), rask_last_error());
    return EXIT_FAILURE;
}

static struct rask_info info_of(const struct rask *session)
{
    struct rask_info info = {.size = sizeof info};
    rask_info(session, &info);
    return info;
}

static int call_once(struct rask *session, const char *method, const char *text)
{
    struct rask_completion done;
    int id = rask_method(session, method);
    if (id < 0) return id;
    int error = rask_call(session, (uint32_t)id, text, strlen(text), CALL_TIMEOUT_NS, &done);
    rask_release(session, &done);
    return error;
}

static void print_times(const char *name, const struct rk_histogram *times)
{
    printf("\"%s_p50_ms\": %.3f, \"%s_max_ms\": %.3f", name, (double)rk_histogram_percentile(times, 50) / 1e6, name,
           (double)rk_histogram_max(times) / 1e6);
}

/** Keep `depth` requests in flight until `count` were answered. No clock, no time-out: nothing may enter the kernel. */
static int exchange(struct rask *session, uint64_t count, uint32_t depth, size_t size)
{
    struct rask_completion done[64];
    struct rask_request request;
    uint64_t sent = 0, taken = 0;
    int id = rask_method(session, "echo"), error = id < 0 ? id : 0;
    while (error == 0 && taken < count) {
        while (error == 0 && sent < count && sent - taken < depth) {
            error = rask_reserve(session, size, &request);
            if (error != 0) break;
            memset(request.data, (int)sent, size);
            error = rask_submit(session, &request, (uint32_t)id, size, NULL);
            sent += error == 0;
        }
        if (error != 0) break;
        int got = rask_wait_any(session, done, 64, 0);
        for (int i = 0; i < got; i++) {
            if (done[i].status != RASK_OK || done[i].length != size) error = -EBADMSG;
            rask_release(session, &done[i]);
        }
        if (got < 0) error = got;
        taken += got > 0 ? (uint64_t)got : 0;
    }
    return error;
}

/** Only now: the supervisor and its worker would inherit it. */
static void stay_on(size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) perror("rask-probe: sched_setaffinity");
}

/** Leaves a line in a trace: there is no such descriptor. */
static void mark(const char *text)
{
    if (write(-1, text, strlen(text)) >= 0) abort();
}

static int probe_calls(uint64_t count, uint64_t depth, uint64_t size)
{
    struct rask *session;
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    options.wait_mode = spawn.wait_mode = RASK_WAIT_SPIN;
    spawn.plugin = "echo";
    spawn.pin_workers = "1";
    if (depth < 1 || depth > DEPTH_MAX) return EXIT_USAGE;
    int error = rask_spawn(&session, &spawn, &options);
    if (error != 0) return failed("spawn", error);
    stay_on(0);
    error = exchange(session, WARM_UP_CALLS, (uint32_t)depth, size);
    mark("calls begin");
    if (error == 0) error = exchange(session, count, (uint32_t)depth, size);
    mark("calls end");
    if (error != 0) failed("calls", error);
    rask_close(session);
    if (error == 0) printf("{\"calls\": %" PRIu64 "}\n", count);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int probe_spawn(uint64_t rounds)
{
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    struct rk_histogram *times = rk_histogram_create();
    int error = times == NULL ? -ENOMEM : 0;
    spawn.plugin = "echo";
    for (uint64_t i = 0; i < rounds && error == 0; i++) {
        struct rask *session;
        uint64_t start_ns = rask_now_ns();
        error = rask_spawn(&session, &spawn, NULL);
        if (error == 0) error = call_once(session, "echo", "first");
        if (error == 0) rk_histogram_record(times, rask_now_ns() - start_ns);
        rask_close(session);
    }
    if (error == 0) printf("{\"rounds\": %" PRIu64 ", ", rounds);
    if (error == 0) print_times("spawn", times);
    if (error == 0) printf("}\n");
    rk_histogram_destroy(times);
    return error == 0 ? EXIT_SUCCESS : failed("spawn", error);
}

static int probe_attach(const char *socket, uint64_t rounds)
{
    struct rk_histogram *attaches = rk_histogram_create(), *firsts = rk_histogram_create();
    int error = attaches == NULL || firsts == NULL ? -ENOMEM : 0;
    for (uint64_t i = 0; i < rounds && error == 0; i++) {
        struct rask *session;
        uint64_t start_ns = rask_now_ns();
        error = rask_connect(&session, socket, NULL);
        uint64_t attached_ns = rask_now_ns();
        if (error == 0) error = call_once(session, "echo", "first");
        if (error == 0) {
            rk_histogram_record(attaches, attached_ns - start_ns);
            rk_histogram_record(firsts, rask_now_ns() - attached_ns);
        }
        rask_close(session);
    }
    if (error == 0) {
        printf("{\"rounds\": %" PRIu64 ", ", rounds);
        print_times("attach", attaches);
        printf(", ");
        print_times("first_call", firsts);
        printf("}\n");
    }
    rk_histogram_destroy(attaches);
    rk_histogram_destroy(firsts);
    return error == 0 ? EXIT_SUCCESS : failed("attach", error);
}

/** A request for every worker at once; each keeps its worker busy, so that every worker gets one. */
static int occupy_all(struct rask *session, uint32_t workers, uint32_t method)
{
    struct rask_completion done;
    struct rask_request request;
    int error = 0;
    for (uint32_t i = 0; i < workers && error == 0; i++) {
        error = rask_reserve(session, 2, &request);
        if (error != 0) break;
        memcpy(request.data, "30", 2);
        error = rask_submit(session, &request, method, 2, NULL);
    }
    while (error == 0 && rask_pending(session) > 0) {
        int got = rask_wait_any(session, &done, 1, rask_now_ns() + CALL_TIMEOUT_NS);
        if (got == 1 && done.status != RASK_OK) error = -rask_status_errno(done.status);
        if (got == 1) rask_release(session, &done);
        if (got < 0) error = got;
    }
    return error;
}

static int open_all_lanes(struct rask *session)
{
    int method = rask_method(session, "sleep");
    if (method < 0) return method;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct rask_info info = info_of(session);
        if (info.lanes_open == info.workers) return 0;
        int error = occupy_all(session, info.workers, (uint32_t)method);
        if (error != 0) return error;
    }
    return info_of(session).lanes_open == info_of(session).workers ? 0 : -ETIMEDOUT;
}

struct memory {
    uint64_t sessions;
    uint64_t lanes;
    uint64_t session_bytes; /* of a session without lanes */
    uint64_t mapped_bytes;
    uint64_t available_before_kib;
};

/** The whole that supervisor, workers and this client hold. */
static int print_memory(const struct memory *memory, const struct rask_info *info)
{
    struct rk_processes all, self = {.count = 1, .pids = {getpid()}};
    int error = rk_processes_find(&all, (pid_t)info->supervisor_pid);
    if (error != 0) return error;
    struct rk_usage theirs = rk_processes_usage(&all), ours = rk_processes_usage(&self);
    uint64_t lane_bytes = (memory->mapped_bytes - memory->sessions * memory->session_bytes) / memory->lanes;
    printf("{\"sessions\": %" PRIu64 ", \"workers\": %u, \"lanes\": %" PRIu64 ", \"session_bytes\": %" PRIu64
           ", \"lane_bytes\": %" PRIu64 ", \"mapped_mib\": %.1f, \"shared_mib\": %.1f, \"resident_mib\": %.1f"
           ", \"available_fell_by_mib\": %.1f}\n",
           memory->sessions, info->workers, memory->lanes, memory->session_bytes, lane_bytes,
           (double)memory->mapped_bytes / 1048576, (double)(theirs.shared_kib + ours.shared_kib) / 1024,
           (double)(theirs.resident_kib + ours.resident_kib) / 1024,
           ((double)memory->available_before_kib - (double)rk_meminfo_kib("MemAvailable")) / 1024);
    return 0;
}

static int probe_memory(const char *socket, uint64_t count)
{
    struct rask *sessions[SESSIONS_MAX] = {NULL};
    struct memory memory = {.sessions = count, .available_before_kib = rk_meminfo_kib("MemAvailable")};
    struct rask_info info = {.workers = 0};
    int error = 0;
    if (count < 1 || count > SESSIONS_MAX) return EXIT_USAGE;
    for (uint64_t i = 0; i < count && error == 0; i++) {
        error = rask_connect(&sessions[i], socket, NULL);
        if (error != 0) break;
        memory.session_bytes = info_of(sessions[i]).bytes_mapped;
        error = open_all_lanes(sessions[i]);
        info = info_of(sessions[i]);
        memory.lanes += info.lanes_open;
        memory.mapped_bytes += info.bytes_mapped;
    }
    if (error == 0) error = print_memory(&memory, &info);
    for (uint64_t i = 0; i < count; i++) rask_close(sessions[i]);
    return error == 0 ? EXIT_SUCCESS : failed("memory", error);
}

/** Memory that is theirs and this process's, in KiB. */
static uint64_t resident_kib(uint32_t supervisor)
{
    struct rk_processes all, self = {.count = 1, .pids = {getpid()}};
    if (rk_processes_find(&all, (pid_t)supervisor) != 0) return 0;
    return rk_processes_usage(&all).resident_kib + rk_processes_usage(&self).resident_kib;
}

/** The first calls open the lane and touch every block: they come before. */
static int probe_flat(const char *socket, uint64_t count, uint64_t seconds_max)
{
    enum { DEPTH = 128, SIZE = 32, STEP = 1000000 };
    struct rask *session;
    int error = rask_connect(&session, socket, NULL);
    if (error != 0) return failed("flat", error);
    error = exchange(session, WARM_UP_CALLS, DEPTH, SIZE);
    uint64_t before_kib = resident_kib(info_of(session).supervisor_pid), start_ns = rask_now_ns();
    uint64_t end_ns = start_ns + seconds_max * 1000000000u, done = 0;
    while (error == 0 && done < count && rask_now_ns() < end_ns) {
        uint64_t step = count - done < STEP ? count - done : STEP;
        error = exchange(session, step, DEPTH, SIZE);
        done += step;
    }
    double seconds = (double)(rask_now_ns() - start_ns) / 1e9;
    uint64_t after_kib = resident_kib(info_of(session).supervisor_pid);
    if (error == 0)
        printf("{\"calls\": %" PRIu64 ", \"seconds\": %.2f, \"before_kib\": %" PRIu64 ", \"after_kib\": %" PRIu64
               ", \"session_bytes\": %" PRIu64 "}\n",
               done, seconds, before_kib, after_kib, info_of(session).bytes_mapped);
    if (error != 0) failed("flat", error);
    rask_close(session);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int probe_idle(const char *socket, uint64_t ms)
{
    struct rask *session;
    struct rk_processes all;
    const struct timespec settle = {.tv_sec = 1}, idle = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    int error = rask_connect(&session, socket, NULL);
    if (error != 0) return failed("idle", error);
    error = open_all_lanes(session);
    if (error == 0) error = rk_processes_find(&all, (pid_t)info_of(session).supervisor_pid);
    if (error == 0) {
        nanosleep(&settle, NULL);
        struct rk_usage before = rk_processes_usage(&all);
        nanosleep(&idle, NULL);
        struct rk_usage after = rk_processes_usage(&all);
        printf("{\"processes\": %u, \"lanes\": %u, \"idle_ms\": %" PRIu64 ", \"ticks\": %" PRIu64
               ", \"cpu_us\": %.1f, \"switches\": %" PRIu64 ", \"tick_ms\": %ld}\n",
               all.count, info_of(session).lanes_open, ms, after.ticks - before.ticks,
               (double)(after.cpu_ns - before.cpu_ns) / 1e3, after.switches - before.switches,
               1000 / sysconf(_SC_CLK_TCK));
    }
    rask_close(session);
    return error == 0 ? EXIT_SUCCESS : failed("idle", error);
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    int code = EXIT_USAGE;
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "calls") == 0 && argc == 5)
        code = probe_calls(number(argv[2]), number(argv[3]), number(argv[4]));
    else if (strcmp(verb, "spawn") == 0 && argc == 3)
        code = probe_spawn(number(argv[2]));
    else if (strcmp(verb, "attach") == 0 && argc == 4)
        code = probe_attach(argv[2], number(argv[3]));
    else if (strcmp(verb, "memory") == 0 && argc == 4)
        code = probe_memory(argv[2], number(argv[3]));
    else if (strcmp(verb, "flat") == 0 && argc == 5)
        code = probe_flat(argv[2], number(argv[3]), number(argv[4]));
    else if (strcmp(verb, "idle") == 0 && argc == 4)
        code = probe_idle(argv[2], number(argv[3]));
    if (code == EXIT_USAGE)
        fprintf(stderr, "usage: rask-probe calls COUNT DEPTH SIZE | spawn ROUNDS | attach SOCKET ROUNDS |\n"
                        "                  memory SOCKET SESSIONS | flat SOCKET COUNT S | idle SOCKET MS\n");
    return code;
}
