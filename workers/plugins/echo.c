/* SPDX-License-Identifier: MIT */
/* echo: answers with the bytes it was sent. The smallest complete plugin, and what `rask bench` calls.
 *
 * The response is written where the caller will read it, so a payload is copied once, here, and nowhere else.
 * RASK_PLUGIN_SHARED_REQUEST is safe: nothing is decided from the request's bytes, so it does not matter if the caller
 * changes them meanwhile. */
#include <errno.h>
#include <rask/plugin.h>
#include <string.h>

static int echo(struct rask_call *call)
{
    void *reply = rask_reserve_reply(call, call->request_bytes);
    if (!reply) return -ENOMEM; /* the caller sees RASK_REPLY_TOO_LARGE */
    memcpy(reply, call->request, call->request_bytes);
    return rask_reply(call, call->request_bytes);
}

static const struct rask_method methods[] = {
    {.name = "echo", .handle = echo, .summary = "any bytes in, the same bytes out"},
};

RASK_PLUGIN("echo", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
