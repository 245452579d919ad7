/* SPDX-License-Identifier: MIT */
/* A plugin in C++17: the macro and the inline helpers must work there, and the symbol must come out unmangled. */
#include <algorithm>
#include <rask/plugin.h>

static int reverse(struct rask_call *call)
{
    const char *text = static_cast<const char *>(call->request);
    char *reply = static_cast<char *>(rask_reserve_reply(call, call->request_bytes));
    if (!reply) return 1;
    std::reverse_copy(text, text + call->request_bytes, reply);
    return rask_reply(call, call->request_bytes);
}

static const struct rask_method methods[] = {
    {"reverse", reverse, 0, "bytes in, the same bytes backwards out"},
};

RASK_PLUGIN("reverse", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
