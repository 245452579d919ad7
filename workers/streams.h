/* SPDX-License-Identifier: MIT */
/* Streams as a worker sees them: what on_open() stored, per session and number; and the host's functions for them. */
#ifndef RK_STREAMS_H
#define RK_STREAMS_H

#include "served.h"
#include "worker.h"
#include <rask/ext/stream.h>

enum rk_place_of_stream { RK_STREAM_IS_CLOSED, RK_STREAM_IS_OPEN, RK_STREAM_IS_REFUSED };

/** Streams of one session. */
struct rk_served_streams {
    struct rk_served_stream {
        uint8_t place; /* enum rk_place_of_stream */
        uint16_t method;
        uint32_t serial; /* of all streams of the session; from 1 */
        int32_t code;    /* REFUSED: what on_open returned */
        void *stream;
        uint64_t processed;
        uint64_t backlog; /* as of the last look */
    } at[RASK_STREAMS_MAX];
    uint32_t open;
    uint32_t serials;
};

extern const struct rask_stream_host rk_stream_host;

/** A request of a stream has been taken: may it run? RASK_OK; RASK_CANCELLED its stream was refused; RASK_OVERLOADED no memory;
 * RASK_STATUS_COUNT the client broke the rules: rask_last_error() says how. */
uint32_t rk_streams_enter(struct rk_worker *worker, struct rk_served *served);

/** Run it. Returns what the handler returned; changes private memory only. */
int rk_streams_run(struct rk_worker *worker);

/** After rk_streams_run(), before the response: figures, and what ends. */
void rk_streams_ran(struct rk_worker *worker, struct rk_served *served, int code);

/** A stream's OPEN was skipped: what follows of it is not run. False: no memory, or the client broke the
 * rules: rask_last_error() says which. */
bool rk_streams_skipped(struct rk_served *served, const struct rk_handling *handling);

/** The session goes: close what is open. */
void rk_streams_close_all(struct rk_worker *worker, struct rk_served *served);

/** Items sent and not processed, of all streams, into the status page. */
void rk_streams_look(struct rk_worker *worker);

#endif
