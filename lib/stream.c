/* SPDX-License-Identifier: MIT */
/* A stream's life, and the way of its items; see stream.h. */
#include "stream.h"
#include "bind.h"
#include "error.h"
#include "events.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int create_table(struct rask *s)
{
    struct rk_streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL) return rk_error(-ENOMEM, "out of memory for streams");
    s->streams = streams;
    return 0;
}

static int check_options(const struct rask *s, const struct rask_stream_options *options,
                         struct rask_stream_options *full)
{
    *full = (struct rask_stream_options)RASK_STREAM_OPTIONS_INIT;
    if (options != NULL) *full = *options;
    if (full->size != sizeof *full)
        return rk_error(-EINVAL, "stream options: size is %u, not %zu: start from RASK_STREAM_OPTIONS_INIT", full->size,
                        sizeof *full);
    if (full->policy > RASK_STREAM_DROP_NEWEST)
        return rk_error(-EINVAL, "stream options: policy is %u: BLOCK is 0, FAIL 1, DROP_OLDEST 2, DROP_NEWEST 3",
                        full->policy);
    if (full->queue_max == 0) full->queue_max = RASK_STREAM_QUEUE_MAX_DEFAULT;
    if (full->queue_max > RASK_STREAM_QUEUE_MAX_LIMIT)
        return rk_error(-EINVAL, "stream options: queue_max is %u: at most %u", full->queue_max,
                        RASK_STREAM_QUEUE_MAX_LIMIT);
    if (full->worker > s->workers)
        return rk_error(-EINVAL, "stream options: worker is %u: there are %u", full->worker, s->workers);
    if (full->queue_bytes_max == 0) full->queue_bytes_max = RASK_STREAM_BYTES_MAX_DEFAULT;
    if (full->reserved0 != 0 || full->reserved[0] != 0 || full->reserved[1] != 0)
        return rk_error(-EINVAL, "stream options: reserved words must be 0");
    if ((full->flags & ~RASK_STREAM_MORE) != 0)
        return rk_error(-EINVAL, "stream options: flags is %#x, of which only RASK_STREAM_MORE (%#x) is known",
                        full->flags, RASK_STREAM_MORE);
    return 0;
}

/** The two tickets that a stream keeps. */
static int keep_tickets(struct rask_stream *stream)
{
    int result = rk_reserve(stream->s, 0, &stream->opener);
    if (result != 0) return result;
    result = rk_reserve(stream->s, 0, &stream->control);
    if (result != 0) {
        rk_ticket_put(&stream->s->tickets, stream->opener);
        return result;
    }
    stream->opener->wishes = stream->control->wishes = RK_WISH_STREAM;
    stream->opener->key = stream->control->key = stream->index;
    stream->opener->user_data = stream->control->user_data = 0;
    return 0;
}

static int create(struct rask *s, uint32_t method, const struct rask_stream_options *options, struct rask_stream **out)
{
    uint32_t index = 0;
    while (index < RASK_STREAMS_MAX && s->streams->at[index] != NULL) index++;
    if (index == RASK_STREAMS_MAX)
        return rk_error(-EAGAIN, "%u streams are open, which is the limit: close one first", RASK_STREAMS_MAX);
    struct rask_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) return rk_error(-ENOMEM, "out of memory for a stream");
    *stream = (struct rask_stream){.s = s, .index = index, .method = method, .options = *options};
    rk_list_init(&stream->waiting);
    int result = keep_tickets(stream);
    if (result != 0) {
        free(stream);
        return result;
    }
    stream->next = s->streams->all;
    if (stream->next != NULL) stream->next->previous = stream;
    s->streams->all = s->streams->at[index] = stream;
    s->asides++;
    rk_store_relaxed(&s->header->sent[index], 0);
    *out = stream;
    return 0;
}

int rask_stream_open(struct rask *s, uint32_t method, const struct rask_stream_options *options,
                     struct rask_stream **out)
{
    struct rask_stream_options full;
    *out = NULL;
    if (rk_session_forked(s)) return rk_session_refuse_child();
    int result = check_options(s, options, &full);
    if (result == 0 && method >= s->method_count)
        result = rk_error(-EINVAL, "method %u: the plugin has %u methods", method, s->method_count);
    if (result == 0) result = rk_session_usable(s);
    if (result == 0 && s->streams == NULL) result = create_table(s);
    return result == 0 ? create(s, method, &full, out) : result;
}

void rk_stream_forget(struct rask_stream *stream)
{
    struct rask_stream **before = stream->previous != NULL ? &stream->previous->next : &stream->s->streams->all;
    *before = stream->next;
    if (stream->next != NULL) stream->next->previous = stream->previous;
    free(stream);
}

static void return_ticket(struct rask *s, struct rk_ticket **ticket)
{
    if (*ticket != NULL) {
        (*ticket)->wishes = 0;
        rk_ticket_put(&s->tickets, *ticket);
    }
    *ticket = NULL;
}

/** Items in the caller's hands that cannot be sent any more. */
static void return_reservations(struct rask_stream *stream)
{
    struct rask *s = stream->s;
    for (uint32_t i = 0; i < s->tickets.fresh && stream->reserved > 0; i++) {
        struct rk_ticket *ticket = &s->tickets.table[i];
        if (ticket->state != RK_TICKET_RESERVED || !(ticket->wishes & RK_WISH_STREAM) || ticket->key != stream->index)
            continue;
        rk_stream_abandoned(s, ticket);
        rk_request_block_free(s, ticket);
        rk_ticket_put(&s->tickets, ticket);
    }
}

void rk_stream_look_over(struct rask_stream *stream)
{
    struct rask *s = stream->s;
    if (stream->held > 0 || !(stream->done || stream->phase == RK_STREAM_DEAD) || stream->phase == RK_STREAM_OVER)
        return;
    stream->phase = RK_STREAM_OVER;
    stream->decided = true;
    stream->bound = false; /* the lane may be another's soon, or gone with the attachment */
    return_ticket(s, &stream->opener);
    return_ticket(s, &stream->control);
    return_reservations(stream);
    s->streams->at[stream->index] = NULL;
    s->asides--;
    s->finished++;
    if (s->events != NULL) rk_events_disturb(s);
    if (stream->closed && stream->users == 0) rk_stream_forget(stream);
}

void rk_stream_decide(struct rask_stream *stream, uint32_t status, int32_t code)
{
    if (stream->decided) return;
    stream->status = status;
    stream->code = code;
    stream->decided = true;
}

/* ---- tickets on their way ---------------------------------------------------------------------------------------- */

/** Streams leave a quarter of the ring to other requests. */
static bool has_room(const struct rk_lane *lane)
{
    return lane->state == RK_LANE_IS_OPEN && !lane->broken && lane->items <= lane->mask / 4 * 3 &&
           rk_lane_load(lane) <= lane->mask - RK_SLOTS_SPARE;
}

/** The lane that may have its next ticket; NULL: none for now. */
static inline struct rk_lane *lane_of(struct rask_stream *stream)
{
    struct rask *s = stream->s;
    struct rk_lane *lane = stream->bound ? &s->lanes[stream->lane] : rk_dispatch_choose_for(s, stream->options.worker);
    return lane != NULL && has_room(lane) ? lane : NULL;
}

__attribute__((always_inline)) static inline void bind(struct rask_stream *stream, struct rk_lane *lane,
                                                       struct rk_ticket *ticket)
{
    if (RK_UNLIKELY(!stream->bound)) {
        stream->bound = true;
        stream->lane = lane->index;
        stream->open_position = lane->position;
    }
    lane->items++;
    rk_bind(stream->s, lane, ticket);
}

void rk_stream_send(struct rask_stream *stream, struct rk_ticket *ticket, uint32_t kind)
{
    struct rask *s = stream->s;
    ticket->kind = (uint8_t)(kind | (s->tickets.kind & RK_REQUEST_UPCALLS));
    ticket->method = (uint16_t)(stream->index << 8 | stream->method);
    ticket->wishes = RK_WISH_STREAM;
    ticket->flags |= RK_TICKET_SPECIAL;
    ticket->key = stream->index;
    stream->held++;
    s->pending++;
    s->requests++;
    struct rk_lane *lane = RK_LIKELY(stream->waiting.count == 0) ? lane_of(stream) : NULL;
    if (RK_LIKELY(lane != NULL)) {
        bind(stream, lane, ticket);
    } else {
        ticket->state = RK_TICKET_QUEUED;
        rk_list_push_back(&s->tickets, &stream->waiting, ticket);
        s->backlog.count++;
        rk_dispatch_ask(s);
    }
    if (RK_UNLIKELY(s->events != NULL)) rk_events_submitted(s);
}

void rk_stream_begin(struct rask_stream *stream)
{
    struct rk_ticket *ticket = stream->opener;
    stream->opener = NULL;
    stream->phase = RK_STREAM_RUNNING;
    ticket->length = 0;
    rk_stream_send(stream, ticket, RK_REQUEST_OPEN);
}

void rk_stream_send_control(struct rask_stream *stream, uint32_t kind)
{
    struct rk_ticket *ticket = stream->control;
    stream->control = NULL;
    stream->phase = kind == RK_REQUEST_END ? RK_STREAM_ENDING : RK_STREAM_CUTTING;
    ticket->length = 0;
    rk_stream_send(stream, ticket, kind);
}

void rk_stream_wait_again(struct rask *s, struct rk_ticket *ticket)
{
    rk_list_push_front(&s->tickets, &rk_stream_of(s, ticket)->waiting, ticket);
    s->backlog.count++;
}

void rk_stream_unwait(struct rask *s, struct rk_ticket *ticket)
{
    rk_list_remove(&s->tickets, &rk_stream_of(s, ticket)->waiting, ticket);
    s->backlog.count--;
}

struct rk_ticket *rk_stream_first_waiting(const struct rask *s)
{
    for (uint32_t i = 0; i < RASK_STREAMS_MAX; i++)
        if (s->streams->at[i] != NULL && s->streams->at[i]->waiting.count > 0)
            return rk_list_first(&s->tickets, &s->streams->at[i]->waiting);
    return NULL;
}

void rk_streams_dispatch(struct rask *s)
{
    for (uint32_t i = 0; i < RASK_STREAMS_MAX; i++) {
        struct rask_stream *stream = s->streams->at[i];
        struct rk_lane *lane;
        while (stream != NULL && stream->waiting.count > 0 && (lane = lane_of(stream)) != NULL) {
            struct rk_ticket *ticket = rk_list_first(&s->tickets, &stream->waiting);
            rk_stream_unwait(s, ticket);
            bind(stream, lane, ticket);
        }
    }
}

/* ---- how they end ------------------------------------------------------------------------------------------------ */

/** Its handler returned, or would have but for the size of its answer. */
static bool was_processed(uint32_t status)
{
    return status == RASK_OK || status == RASK_HANDLER_ERROR || status == RASK_REPLY_TOO_LARGE ||
           status == RASK_ABORTED;
}

static void on_item(struct rask_stream *stream, struct rk_ticket *ticket)
{
    stream->backlog--;
    if (ticket->memory_class > 0) stream->backlog_bytes -= rk_class_bytes(ticket->memory_class - 1u);
    ticket->memory_class = 0;
    if (was_processed(ticket->status)) {
        stream->processed++;
        if (!(ticket->wishes & RK_WISH_QUIET)) rk_answer_from(stream, ticket);
    } else if (ticket->status != RASK_CANCELLED) {
        rk_stream_cut(stream, ticket->status, ticket->code); /* a gap: nothing behind it counts */
    } else if (stream->phase < RK_STREAM_CUTTING) {
        /* By policy: taken back, or passed over by a worker that had entered it when it read the mark. */
        stream->dropped++;
        /* SYNC R17 relaxed store: a figure */
        rk_store_relaxed(&stream->s->header->sent[stream->index], --stream->announced);
    }
}

/** END did not run: CUT takes its place, or nothing where nobody would read it. */
static void cut_instead(struct rask_stream *stream, struct rk_ticket *ticket)
{
    if (ticket->status != RASK_CANCELLED) rk_stream_decide(stream, ticket->status, ticket->code);
    if (stream->phase == RK_STREAM_DEAD) return;
    ticket->state = RK_TICKET_RESERVED;
    ticket->flags = RK_TICKET_SPECIAL;
    stream->control = ticket;
    rk_stream_send_control(stream, RK_REQUEST_CUT);
}

static void on_end(struct rask_stream *stream, struct rk_ticket *ticket)
{
    if (!was_processed(ticket->status)) {
        cut_instead(stream, ticket);
        return;
    }
    bool replied = ticket->status == RASK_OK && !(ticket->wishes & RK_WISH_QUIET);
    if (replied || ticket->response_length > 0) rk_answer_from(stream, ticket);
    rk_stream_decide(stream, ticket->status, ticket->code);
    stream->done = true;
}

void rk_stream_finished(struct rask *s, struct rk_ticket *ticket)
{
    struct rask_stream *stream = rk_stream_of(s, ticket);
    uint32_t kind = ticket->kind & RK_REQUEST_KIND_BITS;
    s->pending--;
    if (kind == RK_REQUEST_ITEM)
        on_item(stream, ticket);
    else if (kind == RK_REQUEST_END)
        on_end(stream, ticket);
    else if (kind == RK_REQUEST_CUT)
        stream->done = true;
    else if (ticket->status != RASK_OK && ticket->status != RASK_CANCELLED)
        rk_stream_cut(stream, ticket->status, ticket->code);
    stream->held--;
    if (ticket->state == RK_TICKET_DONE) { /* not on its way again */
        ticket->state = RK_TICKET_HELD;
        rk_ticket_drop(s, ticket);
    }
    rk_stream_look_over(stream);
}

void rk_stream_unprocessed(struct rask *s, struct rk_ticket *ticket)
{
    struct rask_stream *stream = rk_stream_of(s, ticket);
    if (stream->bound || stream->phase == RK_STREAM_DEAD)
        rk_finish_empty(s, ticket, RASK_CANCELLED, 0);
    else
        rk_backlog_return(s, ticket);
}

/** What a stream ends as whose worker is gone. */
static uint32_t death_of(const struct rask *s, int32_t signal, enum rk_gone_cause cause)
{
    if (cause == RK_GONE_LATE) return RASK_TIMEOUT;
    if (cause == RK_GONE_KILLED && signal == 0) return s->shutting_down ? RASK_SHUTDOWN : RASK_UNAVAILABLE;
    return RASK_CRASHED;
}

/** Tickets that no lane has end, the stream with the last of all. */
static void die(struct rask_stream *stream, uint32_t status, int32_t code)
{
    struct rask *s = stream->s;
    rk_stream_decide(stream, status, code);
    stream->phase = RK_STREAM_DEAD;
    stream->held++; /* it stays until the loop is over */
    while (stream->waiting.count > 0) {
        struct rk_ticket *ticket = rk_list_first(&s->tickets, &stream->waiting);
        rk_stream_unwait(s, ticket);
        rk_finish_empty(s, ticket, RASK_CANCELLED, 0);
    }
    stream->held--;
    rk_stream_look_over(stream);
}

void rk_streams_lane_gone(struct rask *s, const struct rk_lane *lane, uint64_t taken, int32_t signal,
                          enum rk_gone_cause cause)
{
    for (uint32_t i = 0; i < RASK_STREAMS_MAX; i++) {
        struct rask_stream *stream = s->streams->at[i];
        if (stream == NULL || !stream->bound || stream->lane != lane->index) continue;
        bool unseen = taken <= stream->open_position && !lane->broken;
        if (unseen && s->connected && !s->shutting_down && stream->phase != RK_STREAM_CUTTING)
            stream->bound = false; /* another worker may have it */
        else
            die(stream, death_of(s, signal, cause), signal);
    }
}

void rk_streams_end(struct rask *s, bool all, uint32_t status)
{
    for (uint32_t i = 0; s->streams != NULL && i < RASK_STREAMS_MAX; i++)
        if (s->streams->at[i] != NULL && (all || !s->streams->at[i]->bound)) die(s->streams->at[i], status, 0);
}

void rk_streams_destroy(struct rask *s, bool forked)
{
    if (s->streams == NULL) return;
    while (s->streams->all != NULL) rk_stream_forget(s->streams->all);
    rk_answers_destroy(s->streams, forked);
    free(s->streams);
    s->streams = NULL;
}
