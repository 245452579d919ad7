/* SPDX-License-Identifier: MIT */
/* A plugin that never gets loaded: its constructor waits for ever. */
#include <rask/plugin.h>
#include <unistd.h>

__attribute__((constructor)) static void run_while_loading(void)
{
    for (;;) pause();
}

static int handle(struct rask_call *call)
{
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {{.name = "any", .handle = handle}};

RASK_PLUGIN("constructor_hangs", "1", 0, methods);
