/* SPDX-License-Identifier: MIT */
/* See streams.h. */
#include "streams.h"
#include "caller.h"
#include "error.h"
#include "worker_state.h"
#include <errno.h>
#include <rask/client.h>
#include <stdlib.h>
#include <string.h>

/** Items between two looks at the producer's count, where they are quick: its line is the producer's while it sends. */
#define LOOK_EVERY 64u
#define QUICK_NS 5000u

static struct rk_served_stream *stream_at(const struct rk_served *served, uint32_t index)
{
    return served->streams != NULL && index < RASK_STREAMS_MAX ? &served->streams->at[index] : NULL;
}

static const struct rask_stream_handlers *handlers_of(const struct rk_worker *worker, uint32_t method)
{
    return worker->handlers != NULL ? worker->handlers[method] : NULL;
}

static bool make_table(struct rk_served *served)
{
    if (served->streams == NULL) served->streams = calloc(1, sizeof *served->streams);
    return served->streams != NULL;
}

static uint32_t broken(const struct rk_handling *handling)
{
    rk_error(-EPROTO, "stream %u: a request of kind %u does not fit its state", handling->stream, handling->kind);
    return RASK_STATUS_COUNT;
}

uint32_t rk_streams_enter(struct rk_worker *worker, struct rk_served *served)
{
    struct rk_handling *handling = &worker->handling;
    bool opens = handling->kind == RK_REQUEST_OPEN;
    if (handling->stream >= RASK_STREAMS_MAX) return broken(handling);
    if (opens && !make_table(served)) return RASK_OVERLOADED;
    struct rk_served_stream *stream = stream_at(served, handling->stream);
    if (stream == NULL || (stream->place == RK_STREAM_IS_CLOSED) != opens) return broken(handling);
    if (!opens && stream->method != handling->method) return broken(handling);
    if (opens) *stream = (struct rk_served_stream){.method = handling->method, .serial = ++served->streams->serials};
    return stream->place == RK_STREAM_IS_REFUSED && handling->kind == RK_REQUEST_ITEM ? RASK_CANCELLED : RASK_OK;
}

static int run_open(const struct rk_worker *worker, struct rk_served_stream *stream, struct rask_call *call)
{
    const struct rask_stream_handlers *handlers = handlers_of(worker, stream->method);
    stream->code = handlers != NULL && handlers->on_open != NULL ? handlers->on_open(call, &stream->stream) : 0;
    return stream->code;
}

static int run_item(struct rk_worker *worker, const struct rk_served_stream *stream, struct rask_call *call)
{
    const struct rask_stream_handlers *handlers = handlers_of(worker, stream->method);
    if (handlers != NULL) return handlers->on_item(call, stream->stream);
    worker->handling.replied = true; /* every reply of a method is an answer, an empty one, too */
    return worker->plugin->methods[stream->method].handle(call);
}

static int run_end(const struct rk_worker *worker, const struct rk_served_stream *stream, struct rask_call *call)
{
    const struct rask_stream_handlers *handlers = handlers_of(worker, stream->method);
    if (stream->place == RK_STREAM_IS_REFUSED) return stream->code;
    return handlers != NULL && handlers->on_end != NULL ? handlers->on_end(call, stream->stream) : 0;
}

int rk_streams_run(struct rk_worker *worker)
{
    struct rk_handling *handling = &worker->handling;
    struct rk_served_stream *stream = stream_at(handling->served, handling->stream);
    switch (handling->kind) {
    case RK_REQUEST_OPEN:
        return run_open(worker, stream, &handling->call);
    case RK_REQUEST_ITEM:
        return run_item(worker, stream, &handling->call);
    case RK_REQUEST_END:
        return run_end(worker, stream, &handling->call);
    default:
        return 0;
    }
}

static uint64_t backlog_of(const struct rk_served *served, uint32_t index)
{
    const struct rk_request_header *header = served->request[0].base;
    /* SYNC R17 relaxed: a figure */
    uint64_t backlog = rk_load_relaxed(&header->sent[index]) - served->streams->at[index].processed;
    return backlog <= RASK_STREAM_QUEUE_MAX_LIMIT ? backlog : 0; /* the client says what it likes */
}

/** What the producer has sent meanwhile, into the sum. */
static void look(struct rk_worker *worker, struct rk_served *served, uint32_t index)
{
    struct rk_served_stream *stream = &served->streams->at[index];
    uint64_t now = stream->place == RK_STREAM_IS_OPEN ? backlog_of(served, index) : 0;
    if (now == stream->backlog) return;
    uint64_t sum = worker->page->backlog + now - stream->backlog;
    stream->backlog = now;
    rk_store_relaxed(&worker->page->backlog, sum);
}

void rk_streams_look(struct rk_worker *worker)
{
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct rk_served *served = worker->sessions[i];
        if (served->streams == NULL || served->streams->open == 0) continue;
        for (uint32_t k = 0; k < RASK_STREAMS_MAX; k++)
            if (served->streams->at[k].place == RK_STREAM_IS_OPEN) look(worker, served, k);
    }
}

static void count_open(struct rk_worker *worker, struct rk_served *served, int change)
{
    served->streams->open += (uint32_t)change;
    rk_store_relaxed(&worker->page->streams, worker->page->streams + (uint64_t)(int64_t)change);
}

static void close_stream(struct rk_worker *worker, struct rk_served *served, uint32_t index)
{
    struct rk_served_stream *stream = &served->streams->at[index];
    const struct rask_stream_handlers *handlers = handlers_of(worker, stream->method);
    bool was_open = stream->place == RK_STREAM_IS_OPEN;
    stream->place = RK_STREAM_IS_CLOSED;
    look(worker, served, index);
    if (!was_open) return;
    count_open(worker, served, -1);
    if (handlers != NULL && handlers->on_close != NULL) handlers->on_close(stream->stream, worker->plugin_state);
}

void rk_streams_ran(struct rk_worker *worker, struct rk_served *served, int code)
{
    const struct rk_handling *handling = &worker->handling;
    struct rk_served_stream *stream = &served->streams->at[handling->stream];
    if (RK_LIKELY(handling->kind == RK_REQUEST_ITEM)) {
        uint64_t processed = ++stream->processed;
        rk_store_relaxed(&worker->page->items, worker->page->items + 1);
        if (processed % LOOK_EVERY == 0 || processed < LOOK_EVERY / 4 || worker->service_ns > QUICK_NS)
            look(worker, served, handling->stream);
    } else if (handling->kind == RK_REQUEST_OPEN) {
        stream->place = code == 0 ? RK_STREAM_IS_OPEN : RK_STREAM_IS_REFUSED;
        if (code == 0) count_open(worker, served, 1);
    } else {
        close_stream(worker, served, handling->stream);
    }
}

bool rk_streams_skipped(struct rk_served *served, const struct rk_handling *handling)
{
    if (handling->stream >= RASK_STREAMS_MAX || !make_table(served)) return false;
    served->streams->at[handling->stream] =
        (struct rk_served_stream){.place = RK_STREAM_IS_REFUSED, .method = handling->method, .code = -ECANCELED};
    return true;
}

void rk_streams_close_all(struct rk_worker *worker, struct rk_served *served)
{
    for (uint32_t i = 0; served->streams != NULL && i < RASK_STREAMS_MAX; i++)
        if (served->streams->at[i].place != RK_STREAM_IS_CLOSED) close_stream(worker, served, i);
}

/* ---- the host's functions ---------------------------------------------------------------------------------------- */

static struct rk_worker *worker_of(const struct rask_host *table)
{
    return ((const struct rk_host *)table)->worker;
}

static int host_serve(const struct rask_host *table, const char *method, const struct rask_stream_handlers *handlers)
{
    struct rk_worker *worker = worker_of(table);
    if (handlers->size != sizeof *handlers || handlers->on_item == NULL) return -EINVAL;
    if (worker == NULL) return 0; /* `rask check` */
    if (worker->handlers == NULL) worker->handlers = calloc(RASK_METHODS_MAX, sizeof(void *));
    if (worker->handlers == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < worker->plugin->method_count; i++) {
        if (strcmp(worker->plugin->methods[i].name, method) != 0) continue;
        worker->handlers[i] = handlers;
        return 0;
    }
    return -ENOENT;
}

static bool emission_room(struct rk_handling *handling)
{
    return rk_emission_room(handling->served);
}

static int host_emit(struct rask_call *call, size_t bytes)
{
    struct rk_handling *handling = (struct rk_handling *)(void *)call;
    if (handling->kind == RK_REQUEST_CALL) return -ENOTSUP;
    if (bytes > handling->reserved_bytes || handling->too_large) return -EINVAL;
    if (rk_handling_stops(handling)) return -ECANCELED;
    if (RK_UNLIKELY(!rk_emission_room(handling->served))) {
        int result = rk_caller_wait(handling, emission_room, true, 0);
        if (result != 0) return result;
    }
    rk_emission_publish(handling->served, handling, (uint32_t)bytes);
    return 0;
}

static uint64_t host_backlog(struct rask_call *call)
{
    const struct rk_handling *handling = (const struct rk_handling *)(const void *)call;
    return handling->kind == RK_REQUEST_CALL ? 0 : backlog_of(handling->served, handling->stream);
}

const struct rask_stream_host rk_stream_host = {
    .size = sizeof(struct rask_stream_host),
    .serve = host_serve,
    .emit = host_emit,
    .backlog = host_backlog,
};
