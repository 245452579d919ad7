/* SPDX-License-Identifier: MIT */
/* While such a request is handled, three functions of the host are others: plugins may have kept the table since open(), so
 * it has to be that very one. */
#include "alone.h"
#include <errno.h>
#include <rask/limits.h>
#include <stdlib.h>
#include <string.h>

static void *reserve_alone(struct rask_call *call, size_t bytes)
{
    struct rk_alone *alone = (struct rk_alone *)(void *)call;
    free(alone->reply);
    alone->room_bytes = alone->reply_bytes = 0;
    alone->reply = bytes <= RASK_PAYLOAD_BYTES_MAX_DEFAULT ? malloc(bytes > 0 ? bytes : 1) : NULL;
    if (alone->reply) alone->room_bytes = bytes;
    return alone->reply;
}

static int reply_alone(struct rask_call *call, size_t bytes)
{
    struct rk_alone *alone = (struct rk_alone *)(void *)call;
    if (bytes > alone->room_bytes) return -EINVAL;
    alone->reply_bytes = bytes;
    return 0;
}

static int cancelled_alone(struct rask_call *call)
{
    (void)call;
    return 0;
}

const struct rask_method *rk_alone_method(const struct rask_plugin *plugin, const char *name)
{
    for (uint32_t i = 0; i < plugin->method_count; i++)
        if (strcmp(plugin->methods[i].name, name) == 0) return &plugin->methods[i];
    return NULL;
}

int rk_alone_handle(struct rk_alone *alone, struct rk_host *host, void *state, const struct rask_method *method,
                    const void *request, size_t request_bytes)
{
    const struct rask_host usual = host->table;
    *alone = (struct rk_alone){
        .handling = {
            .kind = RK_REQUEST_CALL,
            .call = {.host = &host->table, .state = state, .request = request, .request_bytes = request_bytes}}};
    host->table.reserve = reserve_alone;
    host->table.reply = reply_alone;
    host->table.cancelled = cancelled_alone;
    int code = method->handle(&alone->handling.call);
    host->table = usual;
    return code;
}

void rk_alone_finish(struct rk_alone *alone)
{
    free(alone->reply);
    alone->reply = NULL;
}
