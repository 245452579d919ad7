/* SPDX-License-Identifier: MIT */
/* A request that no client sent, handled by a plugin that is loaded here: its reply is plain memory. For `rask replay --gdb`
 * and the canary. There is no caller, so upcalls, leases and answers of streams are refused to the handler. */
#ifndef RK_ALONE_H
#define RK_ALONE_H

#include "host.h"

struct rk_alone {
    struct rk_handling handling; /* first: what the handler sees */
    void *reply;
    size_t room_bytes;
    size_t reply_bytes;
};

/** The method of that name, or NULL. */
const struct rask_method *rk_alone_method(const struct rask_plugin *plugin, const char *name);

/** Run the method's handler on a copy of the request's description; the bytes stay the caller's. `host` is what the plugin was
 * opened with, `state` what its open() gave. Returns what the handler returned, with the reply in *alone until
 * rk_alone_finish(). */
int rk_alone_handle(struct rk_alone *alone, struct rk_host *host, void *state, const struct rask_method *method,
                    const void *request, size_t request_bytes);
void rk_alone_finish(struct rk_alone *alone);

#endif
