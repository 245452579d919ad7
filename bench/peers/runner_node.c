/* SPDX-License-Identifier: MIT */
/* See runner_node.h. Both threads of Node.js may use both processors of the comparison; the clock is the same CLOCK_MONOTONIC,
 * read by process.hrtime. */
#include "runner_node.h"
#include "slice.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
    pid_t pid;
    FILE *to, *from;
    char *line;
    size_t line_bytes;
    struct rk_histogram *slice;
    struct rk_histogram *series[RK_RUNNER_SERIES_MAX];
};

static void pin_both(int a, int b)
{
    cpu_set_t set;
    if (a < 0 || b < 0) return;
    CPU_ZERO(&set);
    CPU_SET((size_t)a, &set);
    CPU_SET((size_t)b, &set);
    sched_setaffinity(0, sizeof set, &set); /* the command has checked them */
}

__attribute__((noreturn)) static void become_node(const struct rk_runner_plan *plan, int in, int out, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) _exit(1);
    pin_both(plan->client_cpu, plan->worker_cpu);
    if (chdir(plan->folder) == 0) execlp("node", "node", "hello.mjs", plan->name, (char *)NULL);
    _exit(127);
}

static int start(struct node *node, const struct rk_runner_plan *plan)
{
    int there[2], back[2];
    pid_t parent = getpid();
    if (pipe2(there, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0) return -errno;
    node->pid = fork();
    if (node->pid == 0) become_node(plan, there[0], back[1], parent);
    close(there[0]);
    close(back[1]);
    node->to = fdopen(there[1], "w");
    node->from = fdopen(back[0], "r");
    return node->pid > 0 && node->to != NULL && node->from != NULL ? 0 : -errno;
}

/** Its next line into the result; latencies into the slice's histogram. */
static void read_answer(struct node *node, struct rk_runner_result *result)
{
    ssize_t length = getline(&node->line, &node->line_bytes, node->from);
    if (length <= 0) {
        rk_runner_fail(result, -ECHILD, "node ended: is it installed, and piscina too (./dev bench --peers)?");
        return;
    }
    node->line[length - 1] = '\0';
    if (strncmp(node->line, "ok ", 3) != 0) {
        rk_runner_fail(result, -EIO, "%.200s", node->line);
        return;
    }
    char *at = node->line + 3, *end;
    result->calls = strtoull(at, &at, 10);
    result->took_ns = strtoull(at, &at, 10);
    rk_histogram_reset(node->slice);
    for (uint64_t latency_ns = strtoull(at, &end, 10); end != at; latency_ns = strtoull(at, &end, 10)) {
        rk_histogram_record(node->slice, latency_ns);
        at = end;
    }
}

static void *open_node(const struct rk_runner_plan *plan, struct rk_runner_result *result)
{
    struct node *node = calloc(1, sizeof *node);
    bool full = node == NULL || (node->slice = rk_histogram_create()) == NULL;
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX && !full; i++) {
        node->series[i] = rk_histogram_create();
        full = node->series[i] == NULL;
    }
    int error = full ? -ENOMEM : start(node, plan);
    if (error != 0) rk_runner_fail(result, error, "cannot start node: %s", strerror(-error));
    if (error == 0) read_answer(node, result);
    if (result->error == 0)
        snprintf(result->text, sizeof result->text, "two threads of one process, both on both processors");
    result->client_pid = (int32_t)getpid();
    return node;
}

static void serve(void *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct node *node = self;
    if (order->verb == RK_RUN_PIPELINE)
        fprintf(node->to, "pipeline %u %" PRIu64 "\n", order->depth, order->duration_ns);
    else
        fprintf(node->to, "trips %" PRIu64 "\n", order->duration_ns);
    fflush(node->to);
    read_answer(node, result);
    if (result->error != 0) return;
    result->depth = order->verb == RK_RUN_PIPELINE ? order->depth : 1;
    result->p50_ns = order->verb != RK_RUN_PIPELINE ? (double)rk_histogram_percentile(node->slice, 50)
                     : result->calls > 0            ? (double)result->took_ns / (double)result->calls
                                                    : 0;
    struct rk_histogram *series = node->series[order->series % RK_RUNNER_SERIES_MAX];
    rk_histogram_merge(series, node->slice);
    result->series_count = rk_histogram_count(series);
}

static const struct rk_histogram *series_of(void *self, uint32_t index)
{
    const struct node *node = self;
    return index < RK_RUNNER_SERIES_MAX ? node->series[index] : NULL;
}

static void close_node(void *self)
{
    struct node *node = self;
    if (node == NULL) return;
    if (node->pid > 0) {
        kill(node->pid, SIGKILL);
        while (waitpid(node->pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    if (node->to != NULL) fclose(node->to);
    if (node->from != NULL) fclose(node->from);
    free(node->line);
    rk_histogram_destroy(node->slice);
    for (uint32_t i = 0; i < RK_RUNNER_SERIES_MAX; i++) rk_histogram_destroy(node->series[i]);
    free(node);
}

const struct rk_runner_kind rk_runner_node = {
    .open = open_node, .serve = serve, .close = close_node, .series = series_of};
