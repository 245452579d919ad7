/* SPDX-License-Identifier: MIT */
/* A plugin in versions: `version` answers with its number. 2 has a method more, 3 has that one first, 4 has only that one,
 * 5 is 1 with an open() that fails in every worker but the first that tries. */
#include <errno.h>
#include <fcntl.h>
#include <rask/plugin.h>
#include <string.h>
#include <unistd.h>

static int version(struct rask_call *call)
{
    char *reply = rask_reserve_reply(call, 1);
    if (!reply) return ENOMEM;
    reply[0] = '0' + VERSION;
    return rask_reply(call, 1);
}

static int other(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static int crash(struct rask_call *call)
{
    volatile int *nowhere = NULL;
    (void)call;
    return *nowhere;
}

static const struct rask_method methods[] = {
#if VERSION == 3
    {.name = "other", .handle = other},
#endif
#if VERSION != 4
    {.name = "version", .handle = version},
#endif
    {.name = "crash", .handle = crash},
#if VERSION == 2 || VERSION == 4
    {.name = "other", .handle = other},
#endif
};
static const char *const keys[] = {"once", NULL};

/* `once` names a file that the first worker makes. */
static int open_plugin(const struct rask_host *host, void **state)
{
    (void)state;
    const char *path = host->config(host, "once");
    if (VERSION != 5 || !path) return 0;
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "version",
    .version = "0",
    .methods = methods,
    .method_count = sizeof(methods) / sizeof(methods[0]),
    .config_keys = keys,
    .open = open_plugin,
};
__attribute__((unused)) static int (*const used[])(struct rask_call *) = {version, other};
