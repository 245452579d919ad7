/* SPDX-License-Identifier: MIT */
/* Functions behind struct rask_host. They run in the worker's thread, inside a handler; none of them blocks. */
#include "host.h"
#include "atomic.h"
#include "log.h"
#include "served.h"
#include <errno.h>
#include <rask/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct rk_handling *handling_of(struct rask_call *call)
{
    return (struct rk_handling *)(void *)call;
}

static void *host_reserve(struct rask_call *call, size_t bytes)
{
    struct rk_handling *handling = handling_of(call);
    return rk_served_reserve(handling->served, handling, bytes);
}

static int host_reply(struct rask_call *call, size_t bytes)
{
    struct rk_handling *handling = handling_of(call);
    if (bytes > handling->reserved_bytes) return -EINVAL;
    handling->replied_bytes = (uint32_t)bytes;
    return 0;
}

/** Past the supervisor's --request-timeout. */
static bool is_over(const struct rk_handling *handling)
{
    if (handling->epoch == NULL) return false;
    /* SYNC R11 acquire: pairs with the supervisor's ask */
    return rk_load_acquire(handling->stop) == rk_load_relaxed(handling->epoch);
}

static int host_cancelled(struct rask_call *call)
{
    struct rk_handling *handling = handling_of(call);
    bool stop = (rk_load_relaxed(handling->cancel) & RK_CANCEL_STOP) != 0 ||
                (call->deadline_ns != 0 && rask_now_ns() > call->deadline_ns) || is_over(handling);
    if (stop) handling->asked_to_stop = true;
    return stop;
}

/** One write per line, so that lines of several workers do not mix. */
__attribute__((format(printf, 3, 4))) static void host_log(const struct rask_host *table, int level, const char *format,
                                                           ...)
{
    const struct rk_host *host = (const struct rk_host *)table;
    va_list arguments;
    va_start(arguments, format);
    rk_log_list(level, host->prefix, RK_LOG_NO_WORKER, "plugin", format, arguments);
    va_end(arguments);
}

static const char *host_config(const struct rask_host *table, const char *key)
{
    const struct rk_host *host = (const struct rk_host *)table;
    size_t key_bytes = strlen(key);
    const char *value = NULL;
    for (const char *const *setting = host->settings; setting != NULL && *setting != NULL; setting++)
        if (strncmp(*setting, key, key_bytes) == 0 && (*setting)[key_bytes] == '=') value = *setting + key_bytes + 1;
    return value;
}

static const void *host_extension(const struct rask_host *table, const char *id)
{
    (void)table;
    (void)id;
    return NULL; /* this version has none */
}

void rk_host_init(struct rk_host *host, const char *prefix, const char *const *settings)
{
    *host = (struct rk_host){
        .table =
            {
                .size = sizeof(struct rask_host),
                .abi = RASK_PLUGIN_ABI,
                .reserve = host_reserve,
                .reply = host_reply,
                .cancelled = host_cancelled,
                .log = host_log,
                .config = host_config,
                .now_ns = rask_now_ns,
                .extension = host_extension,
            },
        .settings = settings,
    };
    snprintf(host->prefix, sizeof host->prefix, "%s", prefix);
}
