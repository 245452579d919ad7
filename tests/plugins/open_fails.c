/* SPDX-License-Identifier: MIT */
/* A plugin whose open() refuses: it says why and returns 7. */
#include <rask/plugin.h>

static int handle(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {{.name = "any", .handle = handle}};

static int open_plugin(const struct rask_host *host, void **state)
{
    (void)state;
    host->log(host, RASK_LOG_ERROR, "the model file is missing");
    return 7;
}

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "open_fails",
    .version = "1",
    .methods = methods,
    .method_count = 1,
    .open = open_plugin,
};
