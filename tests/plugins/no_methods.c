/* SPDX-License-Identifier: MIT */
/* A plugin without a method table. */
#include <rask/plugin.h>

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "no_methods",
    .version = "1",
};
