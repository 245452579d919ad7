/* SPDX-License-Identifier: MIT */
/* A host for one request: log, configuration and clock are the worker's own (host.c), the reply is plain memory. */
#include "replay.h"
#include "exit_codes.h"
#include "host.h"
#include "input.h"
#include "loader.h"
#include "options.h"
#include <errno.h>
#include <limits.h>
#include <rask/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct here {
    struct rk_handling handling; /* first: what the handler sees; a call without worker or caller */
    void *reply;
    size_t room_bytes;
    size_t reply_bytes;
};

static void *reserve_here(struct rask_call *call, size_t bytes)
{
    struct here *here = (struct here *)(void *)call;
    free(here->reply);
    here->room_bytes = here->reply_bytes = 0;
    here->reply = bytes <= RASK_PAYLOAD_BYTES_MAX_DEFAULT ? malloc(bytes > 0 ? bytes : 1) : NULL;
    if (here->reply) here->room_bytes = bytes;
    return here->reply;
}

static int reply_here(struct rask_call *call, size_t bytes)
{
    struct here *here = (struct here *)(void *)call;
    if (bytes > here->room_bytes) return -EINVAL;
    here->reply_bytes = bytes;
    return 0;
}

static int cancelled_here(struct rask_call *call)
{
    (void)call;
    return 0;
}

static const struct rask_method *find_method(const struct rask_plugin *plugin, const char *name)
{
    for (uint32_t i = 0; i < plugin->method_count; i++)
        if (strcmp(plugin->methods[i].name, name) == 0) return &plugin->methods[i];
    return NULL;
}

static int handle(const struct rask_method *method, struct here *here)
{
    int code = method->handle(&here->handling.call);
    if (code != 0) {
        rk_complain("the handler of %s returned error code %d", method->name, code);
        return RK_EXIT_HANDLER;
    }
    return rk_output_write(STDOUT_FILENO, here->reply, here->reply_bytes) == 0 ? RK_EXIT_OK : RK_EXIT_IO;
}

static int serve(const struct rk_replay *replay, const struct rask_plugin *plugin)
{
    struct rk_host host;
    struct here here = {.handling = {.kind = RK_REQUEST_CALL,
                                     .call = {.request = replay->request, .request_bytes = replay->request_bytes}}};
    const struct rask_method *method = find_method(plugin, replay->method);
    if (!method) {
        rk_complain("plugin %s has no method \"%s\"", replay->plugin, replay->method);
        return RK_EXIT_USAGE;
    }
    rk_host_init(&host, "rask replay", replay->settings);
    host.table.reserve = reserve_here;
    host.table.reply = reply_here;
    host.table.cancelled = cancelled_here;
    here.handling.call.host = &host.table;
    int result = plugin->open ? plugin->open(&host.table, &here.handling.call.state) : 0;
    if (result != 0) {
        rk_complain("plugin %s: its open() returned %d", replay->plugin, result);
        return RK_EXIT_CONFIG;
    }
    int code = handle(method, &here);
    if (plugin->close) plugin->close(here.handling.call.state);
    free(here.reply);
    return code;
}

int rk_replay_here(const struct rk_replay *replay)
{
    char path[PATH_MAX];
    struct rk_load_error error;
    const struct rask_plugin *plugin;
    if (rk_plugin_find(replay->plugin, path, sizeof(path), &error) < 0 ||
        rk_plugin_load(path, replay->settings, &plugin, &error) < 0) {
        rk_complain("%s", error.text);
        return RK_EXIT_CONFIG;
    }
    return serve(replay, plugin);
}
