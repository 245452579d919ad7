/* SPDX-License-Identifier: MIT */
/* A plugin with settings: `get` answers with the value of the key in the request, or fails with 1 where none was given. */
#include <rask/plugin.h>
#include <string.h>

#define KEY_BYTES_MAX 63u

static int get(struct rask_call *call)
{
    char key[KEY_BYTES_MAX + 1] = "";
    if (call->request_bytes > KEY_BYTES_MAX) return 2;
    memcpy(key, call->request, call->request_bytes);
    const char *value = call->host->config(call->host, key);
    if (!value) return 1;
    size_t bytes = strlen(value);
    char *reply = rask_reserve_reply(call, bytes);
    if (!reply) return 3;
    memcpy(reply, value, bytes);
    return rask_reply(call, bytes);
}

static const struct rask_method methods[] = {{.name = "get", .handle = get, .summary = "key in, value out"}};
static const char *const keys[] = {"greeting", "colour", NULL};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "settings",
    .version = "1",
    .methods = methods,
    .method_count = 1,
    .config_keys = keys,
};
