/* SPDX-License-Identifier: MIT */
/* Handlers that die in every way a crash file should tell apart, and one that lives. */
#include <rask/plugin.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The faults themselves are meant, so sanitizers are kept out of them. */
#define FAULTY __attribute__((no_sanitize("undefined", "address")))

static volatile int zero;
static int *volatile nowhere;
static int (*volatile no_function)(void);

FAULTY static int segv(struct rask_call *call)
{
    (void)call;
    *nowhere = 1; /* the faulty line */
    return 0;
}

FAULTY static int jump(struct rask_call *call)
{
    (void)call;
    return no_function() + 1; /* no tail call: the return address is here */
}

FAULTY static int fpe(struct rask_call *call)
{
    (void)call;
    return 1000 / zero;
}

static int abort_now(struct rask_call *call)
{
    (void)call;
    abort();
}

static int trap(struct rask_call *call)
{
    (void)call;
    __builtin_trap();
}

/* As deep as 4 GiB; every frame is used, so that no compiler turns it into a loop. */
__attribute__((noinline)) static int deeper(volatile char *above, unsigned more)
{
    volatile char frame[4096];
    frame[0] = above ? above[0] : 0;
    return more > 0 ? deeper(frame, more - 1) + frame[0] : 0;
}

static int overflow(struct rask_call *call)
{
    (void)call;
    return deeper(NULL, 1u << 20);
}

static int leave(struct rask_call *call)
{
    (void)call;
    _exit(3);
}

static int hang(struct rask_call *call)
{
    (void)call;
    while (pause() < 0) continue;
    return 0;
}

/* A child of the handler crashes; the worker lives and answers how the child died. */
FAULTY static int fork_and_crash(struct rask_call *call)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) *nowhere = 1;
    if (child < 0 || waitpid(child, &status, 0) != child) return 1;
    int *reply = rask_reserve_reply(call, sizeof(*reply));
    if (!reply) return 2;
    *reply = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return rask_reply(call, sizeof(*reply));
}

static int echo(struct rask_call *call)
{
    void *reply = rask_reserve_reply(call, call->request_bytes);
    if (!reply) return 1;
    if (call->request_bytes > 0) memcpy(reply, call->request, call->request_bytes);
    return rask_reply(call, call->request_bytes);
}

static void own_handler(int number)
{
    static const char text[] = "the plugin's own handler\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    signal(number, SIG_DFL);
}

/* --set own=1: it handles SIGSEGV itself. */
static int open_plugin(const struct rask_host *host, void **state)
{
    (void)state;
    if (host->config(host, "own")) signal(SIGSEGV, own_handler);
    return 0;
}

static const char *const keys[] = {"own", NULL};
static const struct rask_method methods[] = {
    {.name = "segv", .handle = segv},
    {.name = "jump", .handle = jump},
    {.name = "fpe", .handle = fpe},
    {.name = "abort", .handle = abort_now},
    {.name = "trap", .handle = trap},
    {.name = "overflow", .handle = overflow},
    {.name = "leave", .handle = leave},
    {.name = "hang", .handle = hang},
    {.name = "fork", .handle = fork_and_crash},
    {.name = "echo", .handle = echo},
};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "crasher",
    .version = "1.2",
    .methods = methods,
    .method_count = sizeof(methods) / sizeof(methods[0]),
    .config_keys = keys,
    .open = open_plugin,
};
