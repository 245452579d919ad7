/* SPDX-License-Identifier: MIT */
/* A handler with a fault: it does not expect an empty request. The README shows how to find that line. */
#include <rask/plugin.h>
#include <stdint.h>

static int mean(struct rask_call *call)
{
    const uint8_t *values = call->request;
    uint32_t sum = 0, count = (uint32_t)call->request_bytes;
    uint8_t *reply = rask_reserve_reply(call, 1);
    if (!reply) return 1;
    for (uint32_t i = 0; i < count; i++) sum += values[i];
    *reply = (uint8_t)(sum / count);
    return rask_reply(call, 1);
}

static const struct rask_method methods[] = {
    {.name = "mean", .handle = mean, .summary = "any bytes in, their mean out"},
};

RASK_PLUGIN("mean", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
