/* SPDX-License-Identifier: MIT */
/* Contenders in processes of their own; see runner.h. Orders and results travel over a SEQPACKET socket pair. */
#include "runner.h"
#include <errno.h>
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

/** A runner's whole life. */
__attribute__((noreturn)) static void live(const struct rk_runner_plan *plan, int fd, pid_t parent)
{
    struct rk_runner_order order;
    struct rk_runner_result result = {.error = 0};
    settle_in(parent);
    void *self = plan->kind->open(plan, &result);
    const struct rk_runner_result facts = result;
    bool open = result.error == 0;
    if (send(fd, &result, sizeof result, MSG_NOSIGNAL) < 0) open = false;
    while (open && receive(fd, &order, sizeof order) == (ssize_t)sizeof order && order.verb != RK_RUN_END) {
        result = facts;
        plan->kind->serve(self, &order, &result);
        if (send(fd, &result, sizeof result, MSG_NOSIGNAL) < 0) break;
    }
    plan->kind->close(self);
    _exit(0);
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
        live(plan, pair[0], parent);
    }
    close(pair[0]);
    if (runner->pid < 0)
        rk_runner_fail(ready, -errno, "fork: %s", strerror(errno));
    else
        await(runner, ANSWER_MS, ready);
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
