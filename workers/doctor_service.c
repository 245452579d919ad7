/* SPDX-License-Identifier: MIT */
/* Probes of rask doctor: the parts together. Which engine a supervisor would get, whether one listens on the default
 * socket, and one real call through a private supervisor. Each waits a bounded time. */
#include "clock.h"
#include "doctor.h"
#include "loader.h"
#include "reactor.h"
#include "target.h"
#include <errno.h>
#include <rask/rask.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_NS 1000000000u
#define CALL_TIMEOUT_NS 5000000000u

void rk_probe_engine(struct rk_finding *finding)
{
    struct rk_reactor *reactor;
    char why[256] = "";
    int error = rk_reactor_create(&reactor, RK_ENGINE_AUTO, why, sizeof(why));
    if (error < 0) {
        const char *text = rask_last_error();
        rk_found(finding, RK_FINDING_MISSING, "none", "%s", *text ? text : strerror(-error));
        rk_advise(finding, "unset RASK_ENGINE, so that what works is taken");
        return;
    }
    rk_found(finding, RK_FINDING_FINE, rk_engine_name(rk_reactor_engine(reactor)), "%s", why);
    rk_reactor_destroy(reactor);
}

void rk_probe_socket(struct rk_finding *finding)
{
    char path[256] = "";
    struct rask *session;
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_info info = {.size = sizeof(info)};
    options.connect_timeout_ns = CONNECT_TIMEOUT_NS;
    int error = rask_default_socket(path, sizeof(path));
    if (error == 0) error = rask_connect(&session, path, &options);
    if (error == -ENOENT || error == -ECONNREFUSED) {
        rk_found(finding, RK_FINDING_FINE, "none", "nobody listens on %s", path);
        rk_advise(finding, "to start a supervisor there: rask run --plugin echo");
    } else if (error < 0) {
        const char *text = rask_last_error();
        rk_found(finding, RK_FINDING_WEAK, "unusable", "%s: %s", path, *text ? text : rask_strerror(error));
        rk_advise(finding, "stop what listens there, or name another socket with --socket");
    } else {
        rask_info(session, &info);
        rk_found(finding, RK_FINDING_FINE, "serving", "supervisor %u serves %s %s on %s: %u worker%s, engine %s",
                 info.supervisor_pid, info.plugin, info.plugin_version, path, info.workers,
                 info.workers == 1 ? "" : "s", info.engine);
        rask_close(session);
    }
}

/* One echo through a private supervisor. 0 or -errno; *status is how the request ended. */
static int echo_once(uint64_t *start_ns, uint64_t *call_ns, uint32_t *status)
{
    static const char words[] = "how are you?";
    const struct rk_target target = {.plugin = "echo"};
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_completion completion;
    struct rask *session;
    uint64_t begin_ns = rask_now_ns();
    options.connect_timeout_ns = CALL_TIMEOUT_NS;
    int error = rk_target_open(&session, &target, &options);
    if (error < 0) return error;
    *start_ns = rask_now_ns() - begin_ns;
    int method = rask_method(session, "echo");
    if (method < 0) {
        rask_close(session);
        return method;
    }
    begin_ns = rask_now_ns();
    rask_call(session, (uint32_t)method, words, sizeof(words), CALL_TIMEOUT_NS, &completion);
    *call_ns = rask_now_ns() - begin_ns;
    *status = completion.status;
    if (*status == RASK_OK && (completion.length != sizeof(words) || memcmp(completion.data, words, sizeof(words)))) {
        error = -EPROTO;
    }
    rask_release(session, &completion);
    rask_close(session);
    return error;
}

void rk_probe_call(struct rk_finding *finding)
{
    struct rk_load_error missing = {0};
    char path[4096];
    uint64_t start_ns = 0, call_ns = 0;
    uint32_t status = RASK_OK;
    if (rk_plugin_find("echo", path, sizeof(path), &missing) < 0) {
        rk_found(finding, RK_FINDING_WEAK, "not tried", "no plugin echo to try a call with: %s", missing.text);
        rk_advise(finding, "install rask's plugins (meson install)");
        return;
    }
    int error = echo_once(&start_ns, &call_ns, &status);
    if (error == 0 && status == RASK_OK) {
        rk_found(finding, RK_FINDING_FINE, "yes", "echo answered in %llu us, its supervisor was up in %llu us",
                 (unsigned long long)call_ns / 1000u, (unsigned long long)start_ns / 1000u);
        return;
    }
    const char *text = rask_last_error();
    rk_found(finding, RK_FINDING_MISSING, "no", "a call to echo failed: %s",
             error == 0 ? rask_status_text(status)
             : *text    ? text
                        : rask_strerror(error));
    rk_advise(finding, "see the lines above, and rask check echo");
}
