/* SPDX-License-Identifier: MIT */
/* One request, handled in this process: log, configuration and clock are the worker's own (host.c). */
#include "replay.h"
#include "alone.h"
#include "exit_codes.h"
#include "input.h"
#include "loader.h"
#include "options.h"
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int handle(const struct rk_replay *replay, struct rk_host *host, void *state, const struct rask_method *method)
{
    struct rk_alone alone;
    int exit_code = RK_EXIT_HANDLER;
    int code = rk_alone_handle(&alone, host, state, method, replay->request, replay->request_bytes);
    if (code != 0)
        rk_complain("the handler of %s returned error code %d", method->name, code);
    else
        exit_code = rk_output_write(STDOUT_FILENO, alone.reply, alone.reply_bytes) == 0 ? RK_EXIT_OK : RK_EXIT_IO;
    rk_alone_finish(&alone);
    return exit_code;
}

static int serve(const struct rk_replay *replay, const struct rask_plugin *plugin)
{
    struct rk_host host;
    void *state = NULL;
    const struct rask_method *method = rk_alone_method(plugin, replay->method);
    if (!method) {
        rk_complain("plugin %s has no method \"%s\"", replay->plugin, replay->method);
        return RK_EXIT_USAGE;
    }
    rk_host_init(&host, "rask replay", replay->settings);
    int result = plugin->open ? plugin->open(&host.table, &state) : 0;
    if (result != 0) {
        rk_complain("plugin %s: its open() returned %d", replay->plugin, result);
        return RK_EXIT_CONFIG;
    }
    int code = handle(replay, &host, state, method);
    if (plugin->close) plugin->close(state);
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
