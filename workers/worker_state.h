/* SPDX-License-Identifier: MIT */
/* A worker's private state, shared by worker.c (life), worker_serve.c (loop), worker_park.c (sleep) and
 * worker_control.c (messages). */
#ifndef RK_WORKER_STATE_H
#define RK_WORKER_STATE_H

#include "bell.h"
#include "host.h"
#include "ladder.h"
#include "reactor_crowd.h"
#include "segment.h"
#include "served.h"
#include "streams.h"
#include "upcalls.h"
#include "worker.h"

struct rk_worker {
    struct rk_worker_config config;
    const struct rask_plugin *plugin;
    void *plugin_state;
    struct rk_host host;
    struct rk_handling handling;                  /* the request in hand */
    const struct rask_stream_handlers **handlers; /* of streams, by method; NULL: none are served */
    struct rk_asking asking;                      /* the upcall in hand */
    bool in_handler;                              /* messages are read while a handler waits for its caller */
    bool drops;                                   /* sessions went meanwhile: to be dropped when it returns */
    struct rk_served *kept;                       /* sessions that are gone and of which handlers hold bytes */
    bool shares_requests;                         /* the plugin copes with request bytes that change */
    uint64_t epoch;                               /* 2 per request; odd in the status page: inside a handler */
    uint32_t until_sample;                        /* requests until one is timed */
    uint32_t service_ns;                          /* what is said of them to clients */
    uint64_t counted_ns;                          /* when it was last counted what waits; 0: it ran out of work since */
    uint64_t tick_ns;                             /* when it was last thought about holding a bell back */
    uint64_t spent_epoch;                         /* from here on it wants to be replaced */
    struct rk_ladder ladder;
    struct rk_nap nap;
    uint64_t woke_ns;          /* when it last woke up */
    bool brisk;                /* it woke up twice in a short time */
    uint64_t rescue_ns;        /* when the next bounded sleep ends at the latest; 0: not set yet */
    struct rk_segment control; /* the supervisor's word, read-only */
    const uint32_t *control_word;
    uint32_t control_seen;
    bool stopping;
    bool leaving; /* another has taken over: ends when no stream is open */
    struct rk_segment status;
    struct rk_status_page *page;
    uint32_t *fork_guard; /* 0 in a forked child */
    struct rk_served *sessions[RASK_SESSIONS_MAX];
    uint32_t session_count;
    struct rk_wait_word words[RASK_SESSIONS_MAX + 1]; /* of a sleep: the control word, one per open session */
    struct rk_crowd *crowd; /* waits on more words than one futex_waitv takes; NULL until needed */
    uint32_t first;         /* whose turn comes first in the next round */
    uint8_t *snapshot;      /* private copy of a request, grown as needed */
    size_t snapshot_bytes;
    union rk_any_message *message; /* large, so not on the stack */
};

/** Has the supervisor sent something since the last look? */
static inline bool rk_worker_called(const struct rk_worker *worker)
{
    /* SYNC R7 acquire: pairs with the supervisor's bump after sending */
    return rk_load_acquire(worker->control_word) != worker->control_seen;
}

/** Has a session a request that can be served? */
static inline bool rk_served_serveable(const struct rk_served *served)
{
    return served->open && !served->stalled && rk_served_ready(served);
}

/** Is there anything to do? */
static inline bool rk_worker_anything(const struct rk_worker *worker)
{
    if (rk_worker_called(worker)) return true;
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (rk_served_serveable(worker->sessions[i])) return true;
    return false;
}

/** Sleep until a client or the supervisor rings; the argument that no ring is lost is in bell.h. `first`: after work, so the
 * ladder learns from it. */
void rk_worker_park(struct rk_worker *worker, bool first);

/** Receive and act on every message that waits. Sets `stopping` on SHUTDOWN and when the supervisor is gone. */
void rk_worker_control(struct rk_worker *worker);

/** Run the handler of the request in hand. Returns what it returned. */
static inline int rk_worker_run(struct rk_worker *worker)
{
    struct rk_handling *handling = &worker->handling;
    if (RK_LIKELY(handling->kind == RK_REQUEST_CALL))
        return worker->plugin->methods[handling->method].handle(&handling->call);
    return rk_streams_run(worker);
}

/** The same, timed (sample.c). Returns what it returned. */
int rk_worker_sample(struct rk_worker *worker);

/** Look at the clock between two requests: the next one cannot have begun before. Returns what it says. */
uint64_t rk_worker_woke(struct rk_worker *worker);

/** It has handled as many requests as it should: ask the supervisor for a successor, once. */
void rk_worker_ask_replacement(struct rk_worker *worker);

/** Drop the sessions that went while a handler was running. Is this one still there? */
bool rk_worker_drop_gone(struct rk_worker *worker, const struct rk_served *served);

/** End a session whose client broke the rules, and tell the supervisor why. */
void rk_worker_reject(struct rk_worker *worker, struct rk_served *served, const char *why);

#endif
