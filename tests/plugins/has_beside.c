/* SPDX-License-Identifier: MIT */
/* Needs a library that lies beside it ($ORIGIN), and looks for its own file. */
#include <dlfcn.h>
#include <errno.h>
#include <rask/plugin.h>
#include <string.h>

int beside(void);

static int where(struct rask_call *call)
{
    Dl_info info;
    if (beside() != 42 || !dladdr((void *)(uintptr_t)&where, &info)) return ENOENT;
    size_t bytes = strlen(info.dli_fname);
    char *reply = rask_reserve_reply(call, bytes);
    if (!reply) return ENOMEM;
    memcpy(reply, info.dli_fname, bytes);
    return rask_reply(call, bytes);
}

static const struct rask_method methods[] = {{.name = "where", .handle = where, .summary = "path of this plugin"}};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "has_beside",
    .version = "1",
    .methods = methods,
    .method_count = 1,
};
