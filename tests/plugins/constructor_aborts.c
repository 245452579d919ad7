/* SPDX-License-Identifier: MIT */
/* A plugin that dies while it is being loaded. */
#include <rask/plugin.h>
#include <stdlib.h>

__attribute__((constructor)) static void run_while_loading(void)
{
    abort();
}

static int handle(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {{.name = "any", .handle = handle}};

RASK_PLUGIN("constructor_aborts", "1", 0, methods);
