/* SPDX-License-Identifier: MIT */
/* The canary's command line, read by the supervisor before it starts, and its one request, handled in a worker. */
#include "canary.h"
#include "alone.h"
#include "clock.h"
#include "exit_codes.h"
#include "loader_error.h"
#include "options.h"
#include "worker_state.h"
#include <errno.h>
#include <fcntl.h>
#include <rask/client.h>
#include <rask/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_TIMEOUT_NS 5000000000u

static int read_file(struct rk_canary *canary, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe that nobody writes to would block in open() */
    int result = fd < 0 ? -errno
                        : rk_input_read(&canary->request, fd, RASK_PAYLOAD_BYTES_MAX_DEFAULT,
                                        rk_deadline_after(FILE_TIMEOUT_NS));
    if (fd >= 0) close(fd);
    if (result == 0) return RK_GO_ON;
    if (result == -EMSGSIZE)
        rk_complain("--canary: %s has more than the %u bytes that a canary may have", path,
                    RASK_PAYLOAD_BYTES_MAX_DEFAULT);
    else
        rk_complain("--canary: cannot read %s: %s", path, strerror(-result));
    return RK_EXIT_CONFIG;
}

/* A copy: handlers are promised an alignment that an argument does not have. */
static int take_text(struct rk_canary *canary, const char *text)
{
    char *copy = strdup(text);
    if (!copy) return rk_fail(-ENOMEM);
    canary->request = (struct rk_input){.data = copy, .bytes = strlen(copy), .allocation = copy};
    return RK_GO_ON;
}

int rk_canary_parse(struct rk_canary *canary, const char *text)
{
    size_t length = strcspn(text, "=");
    const char *data = text[length] == '=' ? text + length + 1 : "";
    if (length == 0) return rk_usage_error("--canary \"%s\": use METHOD, METHOD=DATA or METHOD=@FILE", text);
    canary->method = strndup(text, length);
    if (!canary->method) return rk_fail(-ENOMEM);
    return *data == '@' ? read_file(canary, data + 1) : take_text(canary, data);
}

void rk_canary_finish(struct rk_canary *canary)
{
    free(canary->method);
    canary->method = NULL;
    rk_input_finish(&canary->request);
}

static int refuse_method(const struct rk_canary *canary, const struct rk_worker *worker, struct rk_load_error *error)
{
    const struct rask_plugin *plugin = worker->plugin;
    char names[200] = "";
    for (uint32_t i = 0; i < plugin->method_count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", plugin->methods[i].name);
    }
    return rk_load_refuse(error, RK_LOAD_CANARY, "plugin %.150s has no method \"%.40s\" for --canary: it has %s",
                          worker->config.plugin_path, canary->method, names);
}

int rk_canary_try(const struct rk_canary *canary, struct rk_worker *worker, struct rk_load_error *error)
{
    const struct rask_method *method = rk_alone_method(worker->plugin, canary->method);
    if (!method) return refuse_method(canary, worker, error);
    struct rk_alone alone;
    rk_worker_stage(worker, RK_STAGE_CANARY);
    int code = rk_alone_handle(&alone, &worker->host, worker->plugin_state, method, canary->request.data,
                               canary->request.bytes);
    rk_alone_finish(&alone);
    if (code == 0) return 0;
    return rk_load_refuse(
        error, RK_LOAD_CANARY,
        "plugin %.200s: %s returned error code %d for the request of --canary; repair it, or the request",
        worker->config.plugin_path, method->name, code);
}
