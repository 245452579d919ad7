/* SPDX-License-Identifier: MIT */
/* As much of a worker as serves requests of a guest (forged_client.h) whose method 0 is a stream's, and other calls: what
 * worker_serve.c does between rk_served_take() and the response. */
#ifndef SERVE_STREAMS_H
#define SERVE_STREAMS_H

#include "forged_client.h"
#include "worker_state.h"

static struct rk_worker streams_worker;
static const uint32_t streams_word; /* of its supervisor, which says nothing */
static unsigned streams_opened, streams_closed;
static void (*streams_handler)(struct rask_call *call); /* NULL: none */

static inline int count_open(struct rask_call *call, void **stream)
{
    (void)call;
    *stream = NULL;
    streams_opened++;
    return 0;
}

static inline int count_item(struct rask_call *call, void *stream)
{
    (void)stream;
    if (streams_handler != NULL) streams_handler(call);
    return 0;
}

static inline void count_close(void *stream, void *state)
{
    (void)stream;
    (void)state;
    streams_closed++;
}

static inline void serve_streams_start(void)
{
    static const struct rask_stream_handlers handlers = {
        .size = sizeof handlers, .on_open = count_open, .on_item = count_item, .on_close = count_close};
    static const struct rask_stream_handlers *table[RASK_METHODS_MAX] = {&handlers};
    static const struct rask_plugin plugin = {.method_count = 1};
    static struct rk_status_page page;
    memset(&streams_worker, 0, sizeof streams_worker);
    memset(&page, 0, sizeof page);
    streams_opened = streams_closed = 0;
    streams_worker.plugin = &plugin;
    streams_worker.handlers = table;
    streams_worker.page = &page;
    streams_worker.control_word = &streams_word;
    streams_worker.shares_requests = true;
    streams_worker.config.caller_timeout_ns = 1;
    streams_worker.asking.block = RK_BLOCK_NONE;
}

/** The next request of the guest, which is there. False: it broke the rules. */
static inline bool serve_streams_one(struct guest *g)
{
    struct rk_handling *handling = &streams_worker.handling;
    handling->worker = &streams_worker;
    enum rk_take found = rk_served_take(g->served, handling);
    if (found == RK_TAKE_SKIPPED) return handling->kind != RK_REQUEST_OPEN || rk_streams_skipped(g->served, handling);
    if (found != RK_TAKE_REQUEST) return false;
    uint32_t refused = handling->method != 0               ? RASK_NO_METHOD
                       : handling->kind == RK_REQUEST_CALL ? RASK_OK
                                                           : rk_streams_enter(&streams_worker, g->served);
    if (refused == RASK_STATUS_COUNT) return false;
    if (refused != RASK_OK) {
        rk_served_refuse(g->served, handling, refused);
        return true;
    }
    int code = handling->kind == RK_REQUEST_CALL ? 0 : rk_streams_run(&streams_worker);
    if (handling->asks) rk_asking_reset(handling);
    if (handling->kind != RK_REQUEST_CALL) rk_streams_ran(&streams_worker, g->served, code);
    rk_served_reply(g->served, handling, RASK_OK, 0);
    return true;
}

#endif
