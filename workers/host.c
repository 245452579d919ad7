/* SPDX-License-Identifier: MIT */
/* Functions behind struct rask_host. They run in the worker's thread, inside a handler. The extensions are in streams.c,
 * upcalls.c and leases.c. */
#include "host.h"
#include "atomic.h"
#include "caller.h"
#include "leases.h"
#include "log.h"
#include "served.h"
#include "streams.h"
#include "upcalls.h"
#include <errno.h>
#include <rask/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct rk_handling *handling_of(struct rask_call *call)
{
    return (struct rk_handling *)(void *)call;
}

static bool has_room(struct rk_handling *handling)
{
    return rk_served_reserve(handling->served, handling, handling->wanted_bytes) != NULL;
}

/** Of a stream there may be many answers that its caller has not released yet: it is given time. */
static void *wait_for_room(struct rk_handling *handling, size_t bytes)
{
    handling->wanted_bytes = bytes;
    if (rk_caller_wait(handling, has_room, false, 0) != 0) return NULL;
    return rk_served_block_data(handling->served, handling->block);
}

static void *host_reserve(struct rask_call *call, size_t bytes)
{
    struct rk_handling *handling = handling_of(call);
    void *room = rk_served_reserve(handling->served, handling, bytes);
    if (RK_LIKELY(room != NULL) || handling->kind == RK_REQUEST_CALL || handling->worker == NULL ||
        bytes > handling->served->params.payload_bytes_max)
        return room;
    return wait_for_room(handling, bytes);
}

static int host_reply(struct rask_call *call, size_t bytes)
{
    struct rk_handling *handling = handling_of(call);
    if (bytes > handling->reserved_bytes) return -EINVAL;
    handling->replied_bytes = (uint32_t)bytes;
    handling->replied = true;
    return 0;
}

/** Past the supervisor's --request-timeout. */
static bool is_over(const struct rk_handling *handling)
{
    if (handling->epoch == NULL) return false;
    /* SYNC R11 acquire: pairs with the supervisor's ask */
    return rk_load_acquire(handling->stop) == rk_load_relaxed(handling->epoch);
}

bool rk_handling_stops(struct rk_handling *handling)
{
    bool stop = (rk_load_relaxed(handling->cancel) & RK_CANCEL_STOP) != 0 || is_over(handling);
    if (stop) handling->asked_to_stop = true;
    return stop;
}

static int host_cancelled(struct rask_call *call)
{
    struct rk_handling *handling = handling_of(call);
    bool late = call->deadline_ns != 0 && rask_now_ns() > call->deadline_ns;
    if (late) handling->asked_to_stop = true;
    return rk_handling_stops(handling) || late;
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
    if (strcmp(id, RASK_EXT_STREAM) == 0) return &rk_stream_host;
    if (strcmp(id, RASK_EXT_UPCALL) == 0) return &rk_upcall_host;
    if (strcmp(id, RASK_EXT_LEASE) == 0) return &rk_lease_host;
    return NULL;
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
