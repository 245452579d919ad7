/* SPDX-License-Identifier: MIT */
/* The first handler of the README: upper-cases text. A test compiles it as the README says. */
#include <ctype.h>
#include <rask/plugin.h>

static int shout(struct rask_call *call)
{
    const unsigned char *text = call->request;
    char *reply = rask_reserve_reply(call, call->request_bytes);
    if (!reply) return 1;
    for (size_t i = 0; i < call->request_bytes; i++) reply[i] = (char)toupper(text[i]);
    return rask_reply(call, call->request_bytes);
}

static const struct rask_method methods[] = {
    {.name = "shout", .handle = shout, .summary = "text in, the same text in capitals out"},
};

RASK_PLUGIN("shout", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
