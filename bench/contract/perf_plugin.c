/* SPDX-License-Identifier: MIT */
/* What local_lat and local_thr serve: `echo` answers with the same bytes, `take` with none. The message with number `count`
 * is the last one: then a line goes into the pipe that --set result=PATH names, "ok ELAPSED_NS" (since the first message), or
 * "size" as soon as a message is not of the size agreed on. One worker, so nothing here is shared. */
#include <fcntl.h>
#include <rask/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct perf {
    uint64_t size, count;
    uint64_t seen, first_ns;
    int result; /* the pipe */
};

enum { PERF_NO_ROOM = 1, PERF_WRONG_SIZE = 2 };

static void tell(struct perf *perf, const char *line)
{
    if (perf->result < 0 || write(perf->result, line, strlen(line)) < 0) return;
    close(perf->result);
    perf->result = -1;
}

/** One more message. */
static int count(struct rask_call *call)
{
    char line[64];
    struct perf *perf = call->state;
    if (call->request_bytes != perf->size) {
        tell(perf, "size\n");
        return PERF_WRONG_SIZE;
    }
    if (++perf->seen == 1) perf->first_ns = call->host->now_ns();
    if (perf->seen != perf->count) return 0;
    snprintf(line, sizeof line, "ok %llu\n", (unsigned long long)(call->host->now_ns() - perf->first_ns));
    tell(perf, line);
    return 0;
}

static int echo(struct rask_call *call)
{
    void *reply = rask_reserve_reply(call, call->request_bytes);
    if (reply == NULL) return PERF_NO_ROOM;
    memcpy(reply, call->request, call->request_bytes);
    int error = rask_reply(call, call->request_bytes);
    return error != 0 ? error : count(call);
}

static int take(struct rask_call *call)
{
    return count(call);
}

static uint64_t number(const struct rask_host *host, const char *key)
{
    const char *text = host->config(host, key);
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static int open_perf(const struct rask_host *host, void **state)
{
    const char *path = host->config(host, "result");
    struct perf *perf = calloc(1, sizeof *perf);
    if (perf == NULL) return 1;
    *perf = (struct perf){.size = number(host, "size"), .count = number(host, "count"), .result = -1};
    if (path != NULL) perf->result = open(path, O_WRONLY | O_CLOEXEC);
    *state = perf;
    return 0;
}

static void close_perf(void *state)
{
    struct perf *perf = state;
    if (perf->result >= 0) close(perf->result);
    free(perf);
}

static const struct rask_method methods[] = {
    {.name = "echo", .handle = echo, .summary = "bytes in, the same bytes out"},
    {.name = "take", .handle = take, .summary = "bytes in, nothing out"},
};
static const char *const keys[] = {"size", "count", "result", NULL};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .name = "perf",
    .version = "1.0",
    .methods = methods,
    .method_count = 2,
    .config_keys = keys,
    .open = open_perf,
    .close = close_perf,
};
