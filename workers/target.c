/* SPDX-License-Identifier: MIT */
/* Opens the session a command needs. A private supervisor is this very binary, so that both sides are of one build. */
#include "target.h"
#include "clock.h"
#include "error.h"
#include <errno.h>
#include <rask/limits.h>
#include <time.h>
#include <unistd.h>

#define GRACE_STEP_NS 10000000u

int rk_target_check(const struct rk_target *target)
{
    if (target->socket && target->plugin) {
        return rk_usage_error("--socket and --plugin exclude each other: name a running supervisor or a plugin");
    }
    if (!target->plugin && target->settings.count > 0) {
        return rk_usage_error("--set needs --plugin: a running supervisor has its settings");
    }
    if (!target->plugin && target->workers > 0) {
        return rk_usage_error("--workers needs --plugin: a running supervisor has its workers");
    }
    return RK_GO_ON;
}

/* RASK_BIN and the other places stay in charge where /proc is not there. */
static const char *own_program(char *path, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", path, bytes - 1);
    if (length <= 0 || (size_t)length >= bytes - 1) return NULL;
    path[length] = '\0';
    return access(path, X_OK) == 0 ? path : NULL;
}

/* Nobody listens; perhaps not yet: a script may have started the supervisor one line before. */
static bool is_absent(int error)
{
    return error == -ENOENT || error == -ECONNREFUSED;
}

/* Where nobody listens, say what would help. */
static int connect_to(struct rask **out, const char *socket, struct rask_options *options)
{
    if (options->connect_timeout_ns == 0) options->connect_timeout_ns = RASK_CONNECT_TIMEOUT_NS_DEFAULT;
    uint64_t deadline_ns = rk_deadline_after(options->connect_timeout_ns);
    uint64_t grace_ns = rk_earlier(rk_deadline_after(RK_TARGET_GRACE_NS), deadline_ns);
    int error = rask_connect(out, socket, options);
    for (uint64_t now_ns; is_absent(error) && (now_ns = rask_now_ns()) < grace_ns;) {
        const struct timespec step = rk_timespec(GRACE_STEP_NS);
        nanosleep(&step, NULL);
        options->connect_timeout_ns = deadline_ns - now_ns;
        error = rask_connect(out, socket, options);
    }
    if (!is_absent(error)) return error;
    return rk_error(error, "%s: start a supervisor with \"rask run\", or name a plugin with --plugin",
                    rask_last_error());
}

int rk_target_open(struct rask **out, const struct rk_target *target, const struct rask_options *options)
{
    struct rask_options adjusted = *options;
    adjusted.wait_mode = target->wait_mode;
    if (!target->plugin) return connect_to(out, target->socket, &adjusted);

    char program[4096];
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    spawn.plugin = target->plugin;
    spawn.program = own_program(program, sizeof(program));
    spawn.settings = target->settings.count > 0 ? target->settings.list : NULL;
    spawn.workers = (uint32_t)target->workers;
    spawn.wait_mode = target->wait_mode;
    spawn.pin_workers = target->pin_workers;
    int error = rask_spawn(out, &spawn, &adjusted);
    if (error != -ETIMEDOUT) return error;
    return rk_error(error, "%s; \"rask check %s\" tells whether the plugin hangs", rask_last_error(), target->plugin);
}
