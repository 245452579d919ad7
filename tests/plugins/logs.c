/* SPDX-License-Identifier: MIT */
/* A handler that logs its request, as many times as its first byte says, at the level of the second. */
#include <rask/plugin.h>
#include <stdint.h>

static int say(struct rask_call *call)
{
    const uint8_t *bytes = call->request;
    if (call->request_bytes < 2) return 1;
    for (unsigned i = 0; i < bytes[0]; i++)
        call->host->log(call->host, bytes[1], "line %u: %.*s", i, (int)call->request_bytes - 2,
                        (const char *)bytes + 2);
    return 0;
}

static const struct rask_method methods[] = {{.name = "say", .handle = say, .summary = "logs"}};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "logs",
    .version = "1",
    .methods = methods,
    .method_count = 1,
};
