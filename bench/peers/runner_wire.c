/* SPDX-License-Identifier: MIT */
/* See runner_wire.h. A server that spins stands still between slices, and dies with the client. */
#include "runner_wire.h"
#include "meter.h"
#include "standstill.h"
#include <errno.h>
#include <rask/client.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Round trips before a slice counts. */
#define LEAD_IN 64u
#define LEAD_IN_SLOW 2u
#define SLOW_NS 5000.0
#define WARM_UP_TRIPS 256u
#define WARM_UP_NS 200000000u
#define WARM_UP_TRIPS_MIN 8u

struct runner {
    const struct rk_wire *wire;
    void *self;
    struct rk_talk talk;
    pid_t server; /* forked; 0: none */
    struct rk_standstill servers;
    bool stops;
    uint32_t lead_in;
    uint32_t depth; /* as deep as the wire can */
    struct rk_contender contender;
    struct rk_samples samples;
    struct rk_meter meter;
    struct rk_histogram *series[RK_RUNNER_SERIES_MAX];
};

void rk_wire_unique(char *name, size_t bytes, const char *prefix)
{
    static uint32_t count;
    snprintf(name, bytes, "%s-%d-%u", prefix, (int)getpid(), count++);
}

int rk_talk_init(struct rk_talk *talk, size_t size, uint32_t depth)
{
    *talk = (struct rk_talk){.size = size, .depth = depth};
    return rk_payload_init(&talk->payloads, size);
}

void rk_talk_finish(struct rk_talk *talk)
{
    rk_payload_finish(&talk->payloads);
}

void rk_talk_hello(struct rk_talk *talk)
{
    static const uint8_t request[] = "\005Hello\005World", answer[] = "\013Hello World";
    talk->size = sizeof request - 1;
    talk->request = request;
    talk->answer = answer;
    talk->answer_size = sizeof answer - 1;
}

/* ---- the server ------------------------------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void serve_forever(const struct runner *runner, int cpu, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    rk_runner_pin(cpu);
    int error = runner->wire->enter != NULL ? runner->wire->enter(runner->self, RK_WIRE_SERVER) : 0;
    if (error == 0) error = runner->wire->answer(runner->self);
    _exit(error == -EPIPE ? 0 : 1);
}

static int start_server(struct runner *runner, int cpu)
{
    pid_t parent = getpid();
    if (runner->wire->alone) {
        if (runner->wire->servers != NULL) runner->wire->servers(runner->self, &runner->servers);
        return 0;
    }
    runner->server = fork();
    if (runner->server == 0) serve_forever(runner, cpu, parent);
    if (runner->server < 0) return -errno;
    runner->servers = (struct rk_standstill){.count = 1, .workers = {runner->server}};
    return 0;
}

/* ---- the client ------------------------------------------------------------------------------------------------------ */

static int trips(void *self, uint32_t count)
{
    struct runner *runner = self;
    return runner->wire->trips(runner->self, &runner->talk, count);
}

static int begin(void *self)
{
    struct runner *runner = self;
    return trips(runner, runner->lead_in);
}

static int end(void *self)
{
    (void)self;
    return 0;
}

/** Each answer compared in full. Says how slow it is. */
static int warm_up(struct runner *runner)
{
    runner->talk.in_full = true;
    int error = trips(runner, 1); /* connects, faults pages in */
    uint64_t start_ns = rask_now_ns(), took_ns = 0;
    uint32_t done = 0;
    while (error == 0 && (done < WARM_UP_TRIPS_MIN || (done < WARM_UP_TRIPS && took_ns < WARM_UP_NS))) {
        error = trips(runner, 1);
        took_ns = rask_now_ns() - start_ns;
        done++;
    }
    runner->talk.in_full = false;
    bool slow = done > 0 && (double)took_ns / done > SLOW_NS;
    runner->lead_in = slow ? LEAD_IN_SLOW : LEAD_IN;
    runner->samples.batch = slow ? 1 : RK_BATCH;
    return error;
}

static int allocate(struct runner *runner, const struct rk_runner_plan *plan)
{
    int error = rk_talk_init(&runner->talk, plan->size, 1);
    if (plan->wire == &rk_wire_rask_hello) rk_talk_hello(&runner->talk);
    if (error == 0) error = rk_samples_init(&runner->samples, 1);
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX && error == 0; i++) {
        runner->series[i] = rk_histogram_create();
        if (runner->series[i] == NULL) error = -ENOMEM;
    }
    runner->contender =
        (struct rk_contender){.name = plan->name, .self = runner, .begin = begin, .round_trips = trips, .end = end};
    return error;
}

static int prepare(struct runner *runner, const struct rk_runner_plan *plan)
{
    const struct rk_wire *wire = plan->wire;
    struct rk_wire_plan wire_plan = {.size = plan->size,
                                     .depth = plan->in_flight > 0 ? plan->in_flight : 1,
                                     .wait_mode = plan->wait_mode,
                                     .server_cpu = plan->worker_cpu};
    int error = allocate(runner, plan);
    if (error == 0) error = wire->open(&runner->self, &wire_plan);
    if (error == 0) error = start_server(runner, plan->worker_cpu);
    rk_runner_pin(plan->client_cpu);
    if (error == 0 && wire->enter != NULL) error = wire->enter(runner->self, RK_WIRE_CLIENT);
    rk_meter_init(&runner->meter, runner->servers.workers, runner->servers.count);
    runner->depth = wire_plan.depth;
    runner->stops = plan->wait_mode == RASK_WAIT_SPIN;
    return error == 0 ? warm_up(runner) : error;
}

static void *open_runner(const struct rk_runner_plan *plan, struct rk_runner_result *result)
{
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL) {
        rk_runner_fail(result, -ENOMEM, "out of memory");
        return NULL;
    }
    runner->wire = plan->wire;
    int error = prepare(runner, plan);
    const char *detail = error != 0 && runner->wire->alone ? rask_last_error() : "";
    if (error != 0) rk_runner_fail(result, error, "cannot set it up: %.100s %.100s", strerror(-error), detail);
    const char *way = runner->stops ? runner->wire->spins : runner->wire->parks;
    if (plan->wait_mode == RASK_WAIT_HYBRID) way = "wait mode hybrid on both sides, which is the default";
    if (error == 0) snprintf(result->text, sizeof result->text, "%s", way != NULL ? way : "");
    if (error == 0 && runner->stops) rk_standstill_begin(&runner->servers);
    result->client_pid = (int32_t)getpid();
    result->depth = runner->depth;
    return runner;
}

static void close_runner(void *pointer)
{
    struct runner *runner = pointer;
    if (runner == NULL) return;
    if (runner->stops) rk_standstill_end(&runner->servers);
    if (runner->server > 0) {
        kill(runner->server, SIGKILL);
        while (waitpid(runner->server, NULL, 0) < 0 && errno == EINTR) continue;
    }
    runner->wire->destroy(runner->self, RK_WIRE_CLIENT);
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX; i++) rk_histogram_destroy(runner->series[i]);
    rk_meter_finish(&runner->meter);
    rk_samples_finish(&runner->samples);
    rk_talk_finish(&runner->talk);
    free(runner);
}

/* ---- orders ---------------------------------------------------------------------------------------------------------- */

static void stream(struct runner *runner, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    uint64_t until_ns = rask_now_ns() + order->duration_ns;
    const struct rk_slice slice = {
        .until_ns = until_ns, .stop_ns = UINT64_MAX, .min_calls = 1, .max_calls = UINT64_MAX};
    runner->talk.depth = order->depth < runner->depth ? order->depth : runner->depth;
    result->depth = runner->talk.depth;
    if (runner->wire->stream == NULL) {
        rk_runner_fail(result, -ENOSYS, "there is no pipeline over it");
        return;
    }
    rk_samples_reset(&runner->samples);
    rk_meter_begin(&runner->meter, order->count_calls);
    int error = runner->wire->stream(runner->self, &runner->talk, &slice, &runner->samples);
    rk_meter_end(&runner->meter, result);
    result->calls = runner->samples.calls;
    double rate = rk_samples_calls_per_s(&runner->samples);
    result->p50_ns = rate > 0 ? 1e9 / rate : 0;
    if (error != 0) rk_runner_fail(result, error, "a message failed: %s", strerror(-error));
}

static void serve(void *pointer, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct runner *runner = pointer;
    result->text[0] = '\0';
    if (runner->stops) rk_standstill_end(&runner->servers);
    if (order->verb == RK_RUN_TRIPS)
        rk_meter_trips(&runner->meter, &runner->contender, &runner->samples, order, result);
    else if (order->verb == RK_RUN_PIPELINE)
        stream(runner, order, result);
    else
        rk_runner_fail(result, -ENOSYS, "a wire cannot do that");
    if (runner->stops) rk_standstill_begin(&runner->servers);
    struct rk_histogram *series = runner->series[order->series % RK_RUNNER_SERIES_MAX];
    rk_histogram_merge(series, runner->samples.each);
    result->series_count = rk_histogram_count(series);
}

static const struct rk_histogram *series_of(void *pointer, uint32_t index)
{
    const struct runner *runner = pointer;
    return index < RK_RUNNER_SERIES_MAX ? runner->series[index] : NULL;
}

const struct rk_runner_kind rk_runner_wire = {
    .open = open_runner, .serve = serve, .close = close_runner, .series = series_of};

/* ---- other programs -------------------------------------------------------------------------------------------------- */

static const struct rk_wire *const *offered;

static const struct rk_runner_kind *find_wire(struct rk_runner_plan *plan)
{
    for (const struct rk_wire *const *wire = offered; *wire != NULL; wire++) {
        if (strcmp((*wire)->name, plan->name) != 0) continue;
        plan->wire = *wire;
        return &rk_runner_wire;
    }
    return NULL;
}

int rk_wire_program(int argc, char **argv, const struct rk_wire *const *wires)
{
    offered = wires;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (; *wires != NULL; wires++) printf("%s\n", (*wires)->name);
        return 0;
    }
    if (argc == 2 && *argv[1] >= '0' && *argv[1] <= '9') rk_runner_enter((int)strtol(argv[1], NULL, 10), find_wire);
    fprintf(stderr, "%s: started by \"rask bench peers\"; --list names what it measures\n", argv[0]);
    return 64;
}
