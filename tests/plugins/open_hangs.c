/* SPDX-License-Identifier: MIT */
/* A plugin whose open() never returns. */
#include <rask/plugin.h>
#include <unistd.h>

static int handle(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {{.name = "any", .handle = handle}};

static int open_plugin(const struct rask_host *host, void **state)
{
    (void)host;
    (void)state;
    while (pause() < 0) continue;
    return 0;
}

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "open_hangs",
    .version = "1",
    .methods = methods,
    .method_count = 1,
    .open = open_plugin,
};
