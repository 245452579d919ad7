/* SPDX-License-Identifier: MIT */
/* greeter: a plugin with state and configuration, the example of docs/plugin-guide.md.
 *
 * Request of `greet`: a name. Response: "GREETING, NAME", where GREETING is set with --set greeting=WORD. */
#include <errno.h>
#include <rask/plugin.h>
#include <stdlib.h>
#include <string.h>

static int greet(struct rask_call *call)
{
    const char *greeting = call->state;
    size_t length = strlen(greeting);
    char *reply = rask_reserve_reply(call, length + 2 + call->request_bytes);
    if (!reply) return -ENOMEM;
    memcpy(reply, greeting, length);
    memcpy(reply + length, ", ", 2);
    memcpy(reply + length + 2, call->request, call->request_bytes);
    return rask_reply(call, length + 2 + call->request_bytes);
}

static const struct rask_method methods[] = {
    {.name = "greet", .handle = greet, .summary = "a name in, a greeting out"},
};

static const char *const config_keys[] = {"greeting", NULL};

static int open_greeter(const struct rask_host *host, void **state)
{
    const char *greeting = host->config(host, "greeting");
    *state = strdup(greeting ? greeting : "hello");
    return *state ? 0 : -ENOMEM;
}

static void close_greeter(void *state)
{
    free(state);
}

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .method_count = 1,
    .name = "greeter",
    .version = "1.0",
    .methods = methods,
    .config_keys = config_keys,
    .open = open_greeter,
    .close = close_greeter,
};
