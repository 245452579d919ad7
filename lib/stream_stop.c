/* SPDX-License-Identifier: MIT */
/* Taking items of a stream back: all that was not started, or the oldest. See rk_settle_retract() for how "not started" becomes
 * certain. */
#include "stream.h"

/** A ticket of this stream that its lane holds at `position`, or NULL. */
static struct rk_ticket *ticket_at(const struct rask_stream *stream, const struct rk_lane *lane, uint64_t position)
{
    uint32_t index = rk_lane_entry(lane, position)->ticket;
    struct rk_ticket *ticket = index != RK_HOLE ? &stream->s->tickets.table[index] : NULL;
    bool ours = ticket != NULL && ticket->state == RK_TICKET_BOUND && (ticket->wishes & RK_WISH_STREAM) &&
                ticket->key == stream->index;
    return ours ? ticket : NULL;
}

/** Marks on what its worker may not have entered, the newest first: so nothing runs behind what is taken back. One barrier for
 * all of them; then what was not entered ends, and the supervisor hears of a handler that is in one. */
static void take_back(struct rask_stream *stream)
{
    struct rask *s = stream->s;
    struct rk_lane *lane = &s->lanes[stream->lane];
    struct rk_ticket *ticket;
    uint64_t end = lane->position;
    for (uint64_t position = end; position-- > lane->response_position;) {
        if ((ticket = ticket_at(stream, lane, position)) == NULL) continue;
        rk_lane_mark(lane, position, RK_CANCEL_STOP);
        ticket->flags |= RK_TICKET_MARKED;
    }
    rk_park_barrier();
    uint64_t taken = rk_lane_taken(lane);
    for (uint64_t position = end; position-- > taken;) {
        if ((ticket = ticket_at(stream, lane, position)) == NULL) continue;
        rk_lane_make_hole(lane, position);
        rk_ticket_let_go(s, ticket);
        rk_finish_empty(s, ticket, RASK_CANCELLED, 0);
    }
    if (taken > lane->response_position && (ticket = ticket_at(stream, lane, taken - 1)) != NULL)
        rk_settle_late(s, ticket);
}

/** What no lane has ends; END becomes CUT. */
static void empty_waiting(struct rask_stream *stream)
{
    struct rask *s = stream->s;
    uint32_t count = stream->waiting.count;
    while (count-- > 0) {
        struct rk_ticket *ticket = rk_list_first(&s->tickets, &stream->waiting);
        uint32_t kind = ticket->kind & RK_REQUEST_KIND_BITS;
        rk_stream_unwait(s, ticket);
        if (stream->bound && kind == RK_REQUEST_END) {
            ticket->kind = RK_REQUEST_CUT;
            rk_backlog_return(s, ticket); /* the last of the list */
        } else {
            rk_finish_empty(s, ticket, RASK_CANCELLED, 0);
        }
    }
}

void rk_stream_cut(struct rask_stream *stream, uint32_t status, int32_t code)
{
    rk_stream_decide(stream, status, code);
    if (stream->phase >= RK_STREAM_CUTTING) return;
    bool running = stream->phase == RK_STREAM_RUNNING;
    stream->phase = stream->bound ? RK_STREAM_CUTTING : RK_STREAM_DEAD;
    stream->held++; /* it stays until this is done */
    empty_waiting(stream);
    if (stream->bound) take_back(stream);
    if (stream->bound && running) rk_stream_send_control(stream, RK_REQUEST_CUT);
    stream->held--;
    rk_stream_look_over(stream);
}

void rk_stream_dropped(struct rask_stream *stream, struct rk_ticket *ticket)
{
    stream->dropped++;
    /* SYNC R17 relaxed store: a figure */
    rk_store_relaxed(&stream->s->header->sent[stream->index], --stream->announced);
    rk_finish_empty(stream->s, ticket, RASK_CANCELLED, 0);
}

/** Where the lane's ring has items that its worker has not entered. */
static bool drop_bound(struct rask_stream *stream)
{
    struct rk_lane *lane = &stream->s->lanes[stream->lane];
    for (uint64_t position = rk_lane_taken(lane); position < lane->position; position++) {
        struct rk_ticket *ticket = ticket_at(stream, lane, position);
        if (ticket == NULL || (ticket->kind & RK_REQUEST_KIND_BITS) != RK_REQUEST_ITEM) continue;
        if ((ticket->flags & RK_TICKET_MARKED) || !rk_settle_retract(stream->s, ticket, RK_CANCEL_RETRACT)) continue;
        rk_stream_dropped(stream, ticket);
        return true;
    }
    return false;
}

bool rk_stream_drop_oldest(struct rask_stream *stream)
{
    struct rk_tickets *tickets = &stream->s->tickets;
    if (stream->bound && drop_bound(stream)) return true;
    struct rk_ticket *ticket = rk_list_first(tickets, &stream->waiting);
    while (ticket != NULL && (ticket->kind & RK_REQUEST_KIND_BITS) != RK_REQUEST_ITEM)
        ticket = ticket->next != RK_TICKET_NONE ? &tickets->table[ticket->next] : NULL;
    if (ticket == NULL) return false;
    rk_stream_unwait(stream->s, ticket);
    rk_stream_dropped(stream, ticket);
    return true;
}

void rk_streams_shutdown(struct rask *s)
{
    rk_streams_end(s, false, RASK_SHUTDOWN);
    for (uint32_t i = 0; s->streams != NULL && i < RASK_STREAMS_MAX; i++)
        if (s->streams->at[i] != NULL) rk_stream_cut(s->streams->at[i], RASK_SHUTDOWN, 0);
}
