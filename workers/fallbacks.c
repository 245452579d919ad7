/* SPDX-License-Identifier: MIT */
/* See fallbacks.h. */
#include "fallbacks.h"
#include "bell.h"
#include "reactor.h"
#include "supervisor_state.h"
#include <rask/client.h>
#include <stdlib.h>

static void say(struct rk_supervisor *supervisor, const char *event, const char *what, const char *instead)
{
    rk_supervisor_log(supervisor, RASK_LOG_INFO, RK_LOG_NO_WORKER, event, "%s: %s", what, instead);
}

void rk_fallback_barrier(struct rk_supervisor *supervisor)
{
    if (rk_membarrier_register() || rk_fence_wanted() || supervisor->config->private_fd >= 0) return;
    say(supervisor, "barrier", "barrier",
        "fences on both sides of every message, because the kernel refuses membarrier");
}

/* Was the engine wanted, or is it what was left? */
static bool fell_back(const struct rk_supervisor *supervisor)
{
    return rk_reactor_engine(supervisor->reactor) == RK_ENGINE_CLASSIC &&
           supervisor->config->engine == RK_ENGINE_AUTO && !getenv("RASK_ENGINE");
}

static bool uring_waits_on_futexes(void)
{
    struct rk_uring_probe probe = {0};
    rk_uring_probe(&probe);
    return probe.futex_wait && probe.futex_wake && probe.futex_waitv;
}

void rk_fallback_engine(struct rk_supervisor *supervisor, const char *why)
{
    if (supervisor->config->private_fd >= 0) return;
    if (fell_back(supervisor)) say(supervisor, "engine", "engine", why);
    if (rk_reactor_engine(supervisor->reactor) == RK_ENGINE_URING && !uring_waits_on_futexes())
        say(supervisor, "waiting", "waiting",
            "at most 127 sessions, and a system call for each wake, because io_uring has no futex operations here "
            "(Linux 6.7)");
    if (!rk_futex_waitv_allowed())
        say(supervisor, "waiting", "waiting",
            "idle workers look a thousand times a second, because the kernel refuses futex_waitv (Linux 5.16)");
}
