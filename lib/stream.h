/* SPDX-License-Identifier: MIT */
/* Streams in the client's private memory. Each item is a ticket like any request's and ends exactly once (settle.c); the
 * stream adds them up. What is special: its tickets go to one lane, in order, and never to a second one once its worker may
 * have seen the first.
 *
 *   IDLE -> RUNNING -> ENDING -> OVER          nothing sent; OPEN and items; END sent; END answered
 *              |          |
 *              +----------+-> CUTTING -> OVER  cancelled, closed or refused: CUT sent; CUT answered
 *              +----------+-> DEAD -> OVER     its lane is gone, or the session: the last ticket ended
 *
 * Two tickets are kept for a stream from the start, so that it can always be opened, and ended. */
#ifndef RK_STREAM_H
#define RK_STREAM_H

#include "session.h"
#include <rask/stream.h>

enum rk_stream_phase {
    RK_STREAM_IDLE,
    RK_STREAM_RUNNING,
    RK_STREAM_ENDING,
    RK_STREAM_CUTTING,
    RK_STREAM_DEAD,
    RK_STREAM_OVER,
};

struct rask_stream {
    struct rask *s;
    uint32_t index; /* in the table of open streams, and on the wire */
    uint32_t method;
    uint8_t phase;
    bool bound;     /* to `lane` */
    bool closed;    /* by the user: free it when it is over, and no call has it in hand: */
    uint32_t users; /* calls that run callbacks, one of which may close it */
    bool done;      /* its END or CUT was answered */
    uint16_t lane;
    uint64_t open_position;        /* of OPEN in that lane */
    struct rk_ticket_list waiting; /* tickets that no lane has */
    struct rk_ticket *control;     /* kept for END or CUT, NULL once sent */
    struct rk_ticket *opener;      /* kept for OPEN, NULL once sent */
    uint32_t held;                 /* its tickets that are on their way */
    struct rask_stream_options options;
    uint64_t sent;
    uint64_t announced; /* without those that were dropped: the shared word */
    uint64_t processed;
    uint64_t dropped;
    uint64_t backlog;
    uint64_t backlog_bytes;
    uint64_t reserved; /* items in the caller's hands */
    uint64_t reserved_bytes;
    uint64_t answered;
    struct rk_answer *first_answer; /* not taken by the caller yet */
    struct rk_answer *last_answer;
    uint32_t waiting_answers;
    uint64_t waiting_bytes; /* blocks of the worker's memory that they keep */
    uint32_t status;
    int32_t code;
    bool decided;             /* status and code are final */
    struct rask_stream *next; /* of all, for rask_close() */
    struct rask_stream *previous;
};

/** An answer that is not taken, or that the caller holds (answers.c). */
struct rk_answer {
    uint8_t bytes[RASK_INLINE_BYTES];
    uint64_t id; /* generation << 32 | index */
    uint64_t user_data;
    const void *data; /* in place, or `bytes` */
    uint32_t length;
    int32_t code;
    uint8_t status;
    uint8_t executed;
    bool held; /* by the caller */
    struct rk_view view;
    struct rk_responses *view_of; /* NULL: nothing to give back */
    struct rk_answer *next;       /* of its stream, or spare */
};

#define RK_ANSWER_CHUNKS 4096u

struct rk_streams {
    struct rask_stream *at[RASK_STREAMS_MAX]; /* open ones by index */
    struct rask_stream *all;
    struct rk_answer *spare;
    struct rk_answer *chunk[RK_ANSWER_CHUNKS];
    uint32_t chunks;
};

static inline struct rask_stream *rk_stream_of(const struct rask *s, const struct rk_ticket *ticket)
{
    return s->streams->at[ticket->key];
}

/* stream.c */
/** A ticket of a stream has its outcome: add it up, and free it. */
void rk_stream_finished(struct rask *s, struct rk_ticket *ticket);
/** It will not run where it was: it ends, or waits for another lane if nobody has seen any of the stream. */
void rk_stream_unprocessed(struct rask *s, struct rk_ticket *ticket);
/** Into and out of the list of those that no lane has. */
void rk_stream_wait_again(struct rask *s, struct rk_ticket *ticket);
void rk_stream_unwait(struct rask *s, struct rk_ticket *ticket);
struct rk_ticket *rk_stream_first_waiting(const struct rask *s);
/** Give lanes what waits. */
void rk_streams_dispatch(struct rask *s);
/** The lane's worker is gone, everything below `taken` was entered. Before its tickets are settled. */
void rk_streams_lane_gone(struct rask *s, const struct rk_lane *lane, uint64_t taken, int32_t signal,
                          enum rk_gone_cause cause);
/** No worker will serve them any more: all, or those that have none yet. */
void rk_streams_end(struct rask *s, bool all, uint32_t status);
/** The supervisor drains: they end, but for what runs. */
void rk_streams_shutdown(struct rask *s);
/** Memory of a stream that is over. */
void rk_stream_forget(struct rask_stream *stream);
/** Memory of all streams goes; in a forked child there is nothing mapped. */
void rk_streams_destroy(struct rask *s, bool forked);
/** Status and code, once. */
void rk_stream_decide(struct rask_stream *stream, uint32_t status, int32_t code);
/** A ticket goes on its way. */
void rk_stream_send(struct rask_stream *stream, struct rk_ticket *ticket, uint32_t kind);
/** The first item is about to follow. */
void rk_stream_begin(struct rask_stream *stream);
/** Nothing of it is on its way, and nothing will be: it is over. May free it. */
void rk_stream_look_over(struct rask_stream *stream);

/* stream_stop.c */
/** Cancel: what was not started never runs, CUT goes last. */
void rk_stream_cut(struct rask_stream *stream, uint32_t status, int32_t code);
/** Forget the oldest item that was not started. False: there is none. */
bool rk_stream_drop_oldest(struct rask_stream *stream);
/** END or CUT goes. */
void rk_stream_send_control(struct rask_stream *stream, uint32_t kind);

/* stream_items.c */
/** A reservation of a stream is given back unused. */
void rk_stream_abandoned(struct rask *s, struct rk_ticket *ticket);

/* answers.c */
#define RK_ANSWER_BIT 0x80000000u /* in the low half of an answer's number */
/** One more answer of `stream`. NULL: no memory, and the session has ended. */
struct rk_answer *rk_answer_add(struct rask_stream *stream, uint64_t user_data);
/** Its bytes are a view of a worker's memory. */
void rk_answer_view(struct rask_stream *stream, struct rk_answer *answer, const struct rk_view *view,
                    struct rk_responses *view_of);
/** The outcome of an item becomes an answer. */
void rk_answer_from(struct rask_stream *stream, struct rk_ticket *item);
/** The oldest goes to the caller. False: there is none. */
bool rk_answer_take(struct rask_stream *stream, struct rask_completion *out);
/** Release by number; and what was not taken. */
void rk_answer_release(struct rask *s, uint64_t id);
void rk_answers_drop(struct rask_stream *stream);
/** All memory, views that somebody holds included; in a forked child there is nothing mapped. */
void rk_answers_destroy(struct rk_streams *streams, bool forked);

/* emission.c */
/** Take in the emissions of the lane's oldest request: until its stream has its fill, or `all` of them. False: some are left, or
 * the lane is not open any more. */
bool rk_emissions_take(struct rask *s, struct rk_lane *lane, bool all);
/** Would that do something? */
bool rk_emissions_wait(const struct rask *s, const struct rk_lane *lane);

#endif
