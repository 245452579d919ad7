/* SPDX-License-Identifier: MIT */
/* A plugin whose `work` is fine but for the request "canary", where it is one of FINE, FAILS, CRASHES, HANGS. Each such request is
 * a byte more in the file `tries`. */
#include <errno.h>
#include <fcntl.h>
#include <rask/plugin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tries;

static int note_try(void)
{
    int fd = tries ? open(tries, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    ssize_t written = fd < 0 ? 1 : write(fd, "x", 1);
    if (fd >= 0) close(fd);
    return written == 1 ? 0 : EIO;
}

static int on_canary(struct rask_call *call)
{
    if (note_try() != 0) return EIO;
#if defined FAILS
    (void)call;
    return 7;
#elif defined CRASHES
    (void)call;
    abort();
#elif defined HANGS
    (void)call;
    for (;;) pause();
#else
    void *reply = rask_reserve_reply(call, 5000);
    if (!reply) return ENOMEM;
    memset(reply, 1, 5000);
    return rask_reply(call, 5000);
#endif
}

static int work(struct rask_call *call)
{
    static const char canary[] = "can\0ary";
    if (call->request_bytes == sizeof(canary) - 1 && memcmp(call->request, canary, sizeof(canary) - 1) == 0)
        return on_canary(call);
    char *reply = rask_reserve_reply(call, 1);
    if (!reply) return ENOMEM;
    reply[0] = 'w';
    return rask_reply(call, 1);
}

static int only_data(struct rask_call *call)
{
    if ((uintptr_t)call->request % 8 != 0) return 10;
    return call->request_bytes == 4 && memcmp(call->request, "a=@b", 4) == 0 ? rask_reply(call, 0) : 9;
}

static int open_plugin(const struct rask_host *host, void **state)
{
    (void)state;
    tries = host->config(host, "tries");
    return 0;
}

static const struct rask_method methods[] = {
    {.name = "work", .handle = work},
    {.name = "only_data", .handle = only_data},
};
static const char *const keys[] = {"tries", NULL};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "tried",
    .version = "0",
    .methods = methods,
    .method_count = sizeof(methods) / sizeof(methods[0]),
    .config_keys = keys,
    .open = open_plugin,
};
