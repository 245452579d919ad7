/* SPDX-License-Identifier: MIT */
/* Contenders in processes of their own; see runner.h. Orders and results travel over a SEQPACKET socket pair. */
#include "runner.h"
#include "histogram.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beyond the slice itself, before a runner counts as hung. */
#define ANSWER_MS 30000

struct rk_runner {
    const char *name;
    pid_t pid;
    int fd;
};

void rk_runner_fail(struct rk_runner_result *result, int error, const char *format, ...)
{
    va_list arguments;
    result->error = error;
    va_start(arguments, format);
    vsnprintf(result->text, sizeof result->text, format, arguments);
    va_end(arguments);
}

void rk_runner_pin(int cpu)
{
    cpu_set_t set;
    if (cpu < 0) return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set); /* the command has checked it */
}

static ssize_t receive(int fd, void *data, size_t bytes)
{
    ssize_t got;
    do got = recv(fd, data, bytes, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

static void settle_in(pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    signal(SIGINT, SIG_DFL);
    prctl(PR_SET_TIMERSLACK, 1ul); /* pauses as long as they were meant to be */
}

/** A histogram as a train of packets; an empty one ends it. */
#define TRAIN_MAX 256u
struct train {
    uint32_t count;
    struct {
        uint64_t value_ns, count;
    } buckets[TRAIN_MAX];
};

static void send_series(int fd, const struct rk_histogram *series)
{
    struct train train;
    uint32_t place = 0;
    do {
        train.count = 0;
        while (
            series != NULL && train.count < TRAIN_MAX &&
            rk_histogram_next(series, &place, &train.buckets[train.count].value_ns, &train.buckets[train.count].count))
            train.count++;
        if (send(fd, &train, sizeof train, MSG_NOSIGNAL) < 0) return;
    } while (train.count > 0);
}

/** A runner's whole life once it has a process. */
__attribute__((noreturn)) static void live(const struct rk_runner_plan *plan, int fd)
{
    struct rk_runner_order order;
    struct rk_runner_result result = {.error = 0};
    void *self = plan->kind->open(plan, &result);
    const struct rk_runner_result facts = result;
    bool open = result.error == 0;
    if (send(fd, &result, sizeof result, MSG_NOSIGNAL) < 0) open = false;
    while (open && receive(fd, &order, sizeof order) == (ssize_t)sizeof order && order.verb != RK_RUN_END) {
        result = facts;
        if (order.verb != RK_RUN_SERIES) plan->kind->serve(self, &order, &result);
        if (send(fd, &result, sizeof result, MSG_NOSIGNAL) < 0) break;
        if (order.verb == RK_RUN_SERIES)
            send_series(fd, plan->kind->series != NULL ? plan->kind->series(self, order.series) : NULL);
    }
    plan->kind->close(self);
    _exit(0);
}

/** What another program is told of a plan. */
struct seed {
    char name[RK_RUNNER_NAME_MAX];
    uint32_t wait_mode, in_flight;
    int client_cpu, worker_cpu;
    uint64_t size;
};

__attribute__((noreturn)) static void fail_to_begin(int fd, int error, const char *program)
{
    struct rk_runner_result result = {.error = 0};
    rk_runner_fail(&result, error, "cannot run \"%.150s\": %s", program, strerror(-error));
    if (send(fd, &result, sizeof result, MSG_NOSIGNAL) < 0) _exit(1);
    _exit(0);
}

__attribute__((noreturn)) static void become(const struct rk_runner_plan *plan, int fd)
{
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    if (fcntl(fd, F_SETFD, 0) == 0) execl(plan->program, plan->program, number, (char *)NULL);
    fail_to_begin(fd, -errno, plan->program);
}

void rk_runner_enter(int fd, const struct rk_runner_kind *(*kind_of)(struct rk_runner_plan *))
{
    struct seed seed;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (receive(fd, &seed, sizeof seed) != (ssize_t)sizeof seed) _exit(1);
    struct rk_runner_plan plan = {.name = seed.name,
                                  .wait_mode = seed.wait_mode,
                                  .in_flight = seed.in_flight,
                                  .client_cpu = seed.client_cpu,
                                  .worker_cpu = seed.worker_cpu,
                                  .size = seed.size};
    plan.kind = kind_of(&plan);
    if (plan.kind == NULL) fail_to_begin(fd, -ENOENT, seed.name);
    live(&plan, fd);
}

static void send_seed(int fd, const struct rk_runner_plan *plan)
{
    struct seed seed = {.wait_mode = plan->wait_mode,
                        .in_flight = plan->in_flight,
                        .client_cpu = plan->client_cpu,
                        .worker_cpu = plan->worker_cpu,
                        .size = plan->size};
    snprintf(seed.name, sizeof seed.name, "%s", plan->name);
    /* A program that does not begin says why: that is read next. */
    if (send(fd, &seed, sizeof seed, MSG_NOSIGNAL) < 0) return;
}

__attribute__((noreturn)) static void begin(const struct rk_runner_plan *plan, int fd, pid_t parent)
{
    settle_in(parent);
    if (plan->program != NULL) become(plan, fd);
    live(plan, fd);
}

/** The next result; `wait_ms` at most. */
static int await(struct rk_runner *runner, uint64_t wait_ms, struct rk_runner_result *result)
{
    struct pollfd ready = {.fd = runner->fd, .events = POLLIN};
    int left_ms = wait_ms < INT32_MAX ? (int)wait_ms : INT32_MAX, got;
    do got = poll(&ready, 1, left_ms);
    while (got < 0 && errno == EINTR);
    if (got == 0) {
        rk_runner_fail(result, -ETIMEDOUT, "it does not answer");
    } else if (receive(runner->fd, result, sizeof *result) != (ssize_t)sizeof *result) {
        rk_runner_fail(result, -ECHILD, "its process ended");
    }
    return result->error;
}

int rk_runner_start(struct rk_runner **out, const struct rk_runner_plan *plan, struct rk_runner_result *ready)
{
    int pair[2];
    pid_t parent = getpid();
    struct rk_runner *runner = calloc(1, sizeof *runner);
    *out = NULL;
    *ready = (struct rk_runner_result){.error = 0};
    if (runner == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        rk_runner_fail(ready, -ENOMEM, "cannot set it up: %s", strerror(errno));
        free(runner);
        return ready->error;
    }
    *runner = (struct rk_runner){.name = plan->name, .fd = pair[1], .pid = fork()};
    if (runner->pid == 0) {
        close(pair[1]);
        begin(plan, pair[0], parent);
    }
    close(pair[0]);
    if (runner->pid < 0)
        rk_runner_fail(ready, -errno, "fork: %s", strerror(errno));
    else {
        if (plan->program != NULL) send_seed(runner->fd, plan);
        await(runner, ANSWER_MS, ready);
    }
    if (ready->error != 0) {
        rk_runner_stop(runner);
        return ready->error;
    }
    *out = runner;
    return 0;
}

const char *rk_runner_name(const struct rk_runner *runner)
{
    return runner->name;
}

int rk_runner_run(struct rk_runner *runner, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    *result = (struct rk_runner_result){.error = 0};
    if (send(runner->fd, order, sizeof *order, MSG_NOSIGNAL) != (ssize_t)sizeof *order) {
        rk_runner_fail(result, -ECHILD, "its process ended");
        return result->error;
    }
    return await(runner, order->duration_ns / 1000000 + ANSWER_MS, result);
}

int rk_runner_series(struct rk_runner *runner, uint32_t series, struct rk_histogram *into,
                     struct rk_runner_result *result)
{
    const struct rk_runner_order order = {.verb = RK_RUN_SERIES, .series = series};
    struct train train;
    int error = rk_runner_run(runner, &order, result);
    while (error == 0) {
        if (receive(runner->fd, &train, sizeof train) != (ssize_t)sizeof train || train.count > TRAIN_MAX) {
            rk_runner_fail(result, -ECHILD, "its process ended");
            return result->error;
        }
        if (train.count == 0) return 0;
        for (uint32_t i = 0; i < train.count; i++)
            rk_histogram_add(into, train.buckets[i].value_ns, train.buckets[i].count);
    }
    return error;
}

/** Its supervisor may take a moment to stop; a runner that does not end by itself is killed. */
static void reap(pid_t pid)
{
    for (int tries = 0; tries < 500; tries++) {
        pid_t got = waitpid(pid, NULL, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR)) return;
        poll(NULL, 0, 10);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

void rk_runner_stop(struct rk_runner *runner)
{
    const struct rk_runner_order end = {.verb = RK_RUN_END};
    if (runner == NULL) return;
    if (send(runner->fd, &end, sizeof end, MSG_NOSIGNAL) < 0 && errno != EPIPE) kill(runner->pid, SIGKILL);
    if (runner->pid > 0) reap(runner->pid);
    close(runner->fd);
    free(runner);
}
