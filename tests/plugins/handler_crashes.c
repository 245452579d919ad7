/* SPDX-License-Identifier: MIT */
/* Handlers that misbehave in one way each, and one that works, to see that the next call does. */
#include <rask/plugin.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int segv(struct rask_call *call)
{
    (void)call;
    return raise(SIGSEGV);
}

static int abort_now(struct rask_call *call)
{
    (void)call;
    abort();
}

static int exit_now(struct rask_call *call)
{
    (void)call;
    exit(3);
}

/* Never returns and never asks whether it should. */
static int loop(struct rask_call *call)
{
    (void)call;
    while (pause() < 0) continue;
    return 0;
}

/* The child returns from the handler as if it were the worker: it must not serve. The parent answers with its pid. */
static int fork_and_return(struct rask_call *call)
{
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) return 0;
    int32_t *reply = rask_reserve_reply(call, sizeof(*reply));
    if (!reply) return 2;
    if (waitpid(child, NULL, 0) != child) return 3;
    *reply = (int32_t)child;
    return rask_reply(call, sizeof(*reply));
}

static int fail(struct rask_call *call)
{
    (void)call;
    return 42;
}

static int pid(struct rask_call *call)
{
    int32_t *reply = rask_reserve_reply(call, sizeof(*reply));
    if (!reply) return 1;
    *reply = (int32_t)getpid();
    return rask_reply(call, sizeof(*reply));
}

static const struct rask_method methods[] = {
    {.name = "segv", .handle = segv, .summary = "dies of SIGSEGV"},
    {.name = "abort", .handle = abort_now, .summary = "dies of SIGABRT"},
    {.name = "exit", .handle = exit_now, .summary = "exits with code 3"},
    {.name = "loop", .handle = loop, .summary = "never returns"},
    {.name = "fork", .handle = fork_and_return, .summary = "returns twice; answers with the child's pid"},
    {.name = "fail", .handle = fail, .summary = "returns 42"},
    {.name = "pid", .handle = pid, .summary = "the worker's pid, 32 bits"},
};

RASK_PLUGIN("handler_crashes", "1", 0, methods);
