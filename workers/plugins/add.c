/* SPDX-License-Identifier: MIT */
/* add: adds two bytes. Request of `add`: exactly two bytes. Response: one byte, their sum modulo 256.
 *
 * Each byte of the request is read once and any value is fine, so the request may be shared with the caller. */
#include <rask/plugin.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum add_error {
    ADD_BAD_LENGTH = 1, /* the request is not two bytes */
    ADD_NO_ROOM = 2     /* no room for the response; the caller sees RASK_REPLY_TOO_LARGE */
};

static int add(struct rask_call *call)
{
    if (call->request_bytes != 2) {
        call->host->log(call->host, RASK_LOG_WARNING, "add: refused a request of %zu bytes: send exactly two",
                        call->request_bytes);
        return ADD_BAD_LENGTH;
    }
    const uint8_t *terms = call->request;
    uint8_t *sum = rask_reserve_reply(call, 1);
    if (!sum) return ADD_NO_ROOM;
    *sum = (uint8_t)(terms[0] + terms[1]);
    return rask_reply(call, 1);
}

static const struct rask_method methods[] = {
    {.name = "add", .handle = add, .summary = "two bytes in, their sum modulo 256 out as one byte"},
};

RASK_PLUGIN("add", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
