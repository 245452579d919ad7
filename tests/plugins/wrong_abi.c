/* SPDX-License-Identifier: MIT */
/* A plugin built for another contract: the ABI number is that of tomorrow. Its constructor must never run. */
#include <rask/plugin.h>
#include <stdlib.h>

__attribute__((constructor)) static void run_before_anybody_asked(void)
{
    abort();
}

static int handle(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {{.name = "any", .handle = handle}};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI + 1,
    .size = sizeof(struct rask_plugin),
    .name = "wrong_abi",
    .version = "1",
    .methods = methods,
    .method_count = 1,
};
