/* SPDX-License-Identifier: MIT */
/* A plugin whose method has a name that no command line could take. */
#include <rask/plugin.h>

static int handle(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {
    {.name = "good", .handle = handle},
    {.name = "not a name", .handle = handle},
};

RASK_PLUGIN("bad_name", "1", 0, methods);
