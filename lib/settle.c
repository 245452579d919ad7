/* SPDX-License-Identifier: MIT */
/* Every way a request ends without a response from its handler, and the one place where a ticket gets its outcome.
 *
 * The rules: `taken` not past a position and the mark set (retracted), or the worker proven dead: it never ran, it may move or
 * end as "not executed". Past it and no response: it may have run. may_have_run is sticky. A block is used again at once when
 * retracted, on the response, or on proof of death; a deadline that passed inside a handler frees nothing. */
#include "clock.h"
#include "error.h"
#include "events.h"
#include "lease.h"
#include "poison.h"
#include "session.h"
#include "status.h"
#include "stream.h"
#include "upcall.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void rk_request_block_free(struct rask *s, struct rk_ticket *ticket)
{
    if (ticket->block != RK_BLOCK_NONE) rk_slab_put(&s->slab, ticket->block);
    ticket->block = RK_BLOCK_NONE;
}

/** To whoever waits for it: a callback, rask_wait(), the caller's array, or the list for later. */
static void hand_over(struct rask *s, struct rk_ticket *ticket)
{
    ticket->state = RK_TICKET_DONE;
    s->finished++;
    if (RK_UNLIKELY(ticket->flags & RK_TICKET_SPECIAL) && (ticket->wishes & RK_WISH_STREAM)) {
        rk_stream_finished(s, ticket);
    } else if (RK_UNLIKELY(ticket->flags & RK_TICKET_SPECIAL) && ticket->read != NULL) {
        rk_list_push_back(&s->tickets, &s->callbacks, ticket);
        if (RK_UNLIKELY(s->events != NULL)) rk_events_disturb(s);
    } else if (ticket == s->awaited || (ticket->flags & RK_TICKET_PRIVATE)) {
        s->awaited = NULL;
    } else if (s->sink_room > 0) {
        s->sink_room--;
        rk_completion_of(s, ticket, &s->sink[s->sink_count++]);
    } else {
        ticket->flags |= RK_TICKET_LISTED;
        rk_list_push_back(&s->tickets, &s->ready, ticket);
        if (RK_UNLIKELY(s->events != NULL)) rk_events_disturb(s);
    }
}

void rk_finish(struct rask *s, struct rk_ticket *ticket)
{
    ticket->executed = (uint8_t)rk_status_executed(ticket->status);
    if (RK_UNLIKELY(ticket->flags & RK_TICKET_MAY_HAVE_RUN) && ticket->executed == RASK_EXECUTED_NO)
        ticket->executed = RASK_EXECUTED_MAYBE;
    if (RK_UNLIKELY(ticket->flags & RK_TICKET_SPECIAL) && ticket->deadline_ns != 0) {
        ticket->deadline_ns = 0;
        if (--s->with_deadline == 0) s->nearest_deadline_ns = 0;
    }
    if (!(ticket->flags & RK_TICKET_LANE_HOLDS)) rk_request_block_free(s, ticket);
    hand_over(s, ticket);
}

void rk_finish_empty(struct rask *s, struct rk_ticket *ticket, uint32_t status, int32_t code)
{
    ticket->status = (uint8_t)status;
    ticket->code = code;
    ticket->response_length = 0;
    ticket->response = ticket->bytes;
    ticket->response_block = RK_BLOCK_NONE;
    rk_finish(s, ticket);
}

static void drop_special(struct rk_ticket *ticket)
{
    if (ticket->view_of != NULL)
        rk_responses_release(ticket->view_of, ticket->response_block, ticket->response_generation);
    ticket->view_of = NULL;
    ticket->retries = 0;
    if (!(ticket->flags & RK_TICKET_LANE_HOLDS)) ticket->wishes = 0;
}

void rk_ticket_drop(struct rask *s, struct rk_ticket *ticket)
{
    if (RK_UNLIKELY(ticket->flags & RK_TICKET_SPECIAL)) drop_special(ticket);
    if (ticket->flags & RK_TICKET_LANE_HOLDS) {
        ticket->flags |= RK_TICKET_ORPHAN; /* freed by the late response or the worker's death */
        return;
    }
    rk_request_block_free(s, ticket);
    rk_ticket_put(&s->tickets, ticket);
}

bool rk_settle_retract(struct rask *s, struct rk_ticket *ticket, uint8_t marks)
{
    struct rk_lane *lane = &s->lanes[ticket->lane];
    uint64_t position = rk_lane_position_of(lane, ticket);
    rk_lane_mark(lane, position, marks);
    ticket->flags |= RK_TICKET_MARKED;
    RK_STEP(MARKED);
    rk_park_barrier();
    RK_STEP(MARK_BARRIER);
    if (rk_lane_taken(lane) > position) return false;
    RK_STEP(RETRACTED);
    rk_lane_make_hole(lane, position);
    rk_ticket_let_go(s, ticket);
    return true;
}

/** Never waited for: a supervisor that does not read is told at a later look. */
void rk_settle_late(struct rask *s, struct rk_ticket *ticket)
{
    const struct rk_lane *lane = &s->lanes[ticket->lane];
    uint64_t now_ns = rask_now_ns();
    struct rk_message_late message = {
        .session = s->id,
        .lane = lane->index,
        .position = rk_lane_position_of(lane, ticket),
        .deadline_ns = ticket->deadline_ns != 0 ? rk_earlier(ticket->deadline_ns, now_ns) : now_ns,
        .ticket = (uint32_t)(ticket->id >> 32),
        .generation = lane->generation,
    };
    rk_message_init(&message.head, RK_LATE, sizeof message);
    if (!s->connected || s->socket < 0 || rk_control_send(s->socket, &message, NULL, 0) != -EAGAIN) return;
    ticket->wishes |= RK_WISH_TELL_LATE;
    ticket->flags |= RK_TICKET_SPECIAL;
    s->late_untold++;
}

void rk_settle_tell_late(struct rask *s)
{
    s->late_untold = 0;
    for (uint32_t i = 0; i < s->tickets.fresh; i++) {
        struct rk_ticket *ticket = &s->tickets.table[i];
        if (!(ticket->wishes & RK_WISH_TELL_LATE)) continue;
        ticket->wishes &= (uint8_t)~RK_WISH_TELL_LATE;
        if (ticket->flags & RK_TICKET_LANE_HOLDS) rk_settle_late(s, ticket);
    }
}

/** End a live ticket that need not run any more: `unstarted` if that is certain, else `started` (RASK_OK: leave it). A handler
 * that RK_CANCEL_STOP asks has not forever. */
static void stop(struct rask *s, struct rk_ticket *ticket, uint8_t marks, uint32_t unstarted, uint32_t started)
{
    if (ticket->state == RK_TICKET_QUEUED) {
        rk_backlog_remove(s, ticket);
        rk_finish_empty(s, ticket, unstarted, 0);
        return;
    }
    if (rk_settle_retract(s, ticket, marks)) {
        rk_finish_empty(s, ticket, unstarted, 0);
        return;
    }
    if (marks == RK_CANCEL_STOP) rk_settle_late(s, ticket);
    if (started != RASK_OK) {
        ticket->flags |= RK_TICKET_MAY_HAVE_RUN;
        rk_finish_empty(s, ticket, started, 0);
    }
}

void rk_settle_cancel(struct rask *s, struct rk_ticket *ticket)
{
    if (ticket->flags & RK_TICKET_CANCELLED) return;
    ticket->flags |= RK_TICKET_CANCELLED;
    stop(s, ticket, RK_CANCEL_STOP, RASK_CANCELLED, RASK_OK);
}

void rk_settle_expired(struct rask *s, uint64_t now_ns)
{
    if (s->with_deadline == 0 || now_ns < s->nearest_deadline_ns) return;
    s->nearest_deadline_ns = 0;
    for (uint32_t i = 0; i < s->tickets.fresh; i++) {
        struct rk_ticket *ticket = &s->tickets.table[i];
        if (ticket->deadline_ns == 0 || (ticket->state != RK_TICKET_QUEUED && ticket->state != RK_TICKET_BOUND))
            continue;
        if (now_ns >= ticket->deadline_ns)
            stop(s, ticket, RK_CANCEL_STOP, RASK_EXPIRED, RASK_TIMEOUT);
        else
            s->nearest_deadline_ns = rk_earlier(s->nearest_deadline_ns, ticket->deadline_ns);
    }
}

static void end_backlog(struct rask *s, uint32_t status)
{
    struct rk_ticket *ticket;
    while ((ticket = rk_backlog_first(s)) != NULL) {
        rk_backlog_remove(s, ticket);
        rk_finish_empty(s, ticket, status, 0);
    }
}

/** A lane that is still open has a worker that is about to be known dead, or that finishes its last request: what waits for
 * another one waits for nobody. */
void rk_settle_broken(struct rask *s)
{
    if (rk_session_called(s)) rk_session_control(s); /* it may be over; who is refused at once looks nowhere else */
    if (!s->broken || s->backlog.count == 0) return;
    rk_error(-ENOTCONN, "every worker died too often and waits for its next start: see the supervisor's messages, try "
                        "later, or repair the plugin and reload");
    end_backlog(s, RASK_UNAVAILABLE);
}

void rk_settle_shutdown(struct rask *s)
{
    if (s->shutting_down) return;
    s->shutting_down = true;
    rk_streams_shutdown(s);
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        /* The newest first: of a stream nothing may run behind what was taken back. */
        for (uint64_t position = lane->position, taken = rk_lane_taken(lane); position-- > taken;) {
            uint32_t index = rk_lane_entry(lane, position)->ticket;
            if (index != RK_HOLE && s->tickets.table[index].state == RK_TICKET_BOUND)
                stop(s, &s->tickets.table[index], RK_CANCEL_RETRACT, RASK_SHUTDOWN, RASK_OK);
        }
    }
    end_backlog(s, RASK_SHUTDOWN);
}

void rk_settle_poisoned(struct rask *s)
{
    for (uint32_t i = 0; i < s->tickets.fresh; i++) {
        struct rk_ticket *ticket = &s->tickets.table[i];
        if (ticket->state == RK_TICKET_RESERVED) {
            ticket->flags |= RK_TICKET_SPECIAL; /* rk_submit() looks at it */
        } else if (ticket->state == RK_TICKET_QUEUED || ticket->state == RK_TICKET_BOUND) {
            if (rk_poisoned(s, ticket)) stop(s, ticket, RK_CANCEL_RETRACT, RASK_POISONED, RASK_OK);
        }
    }
}

void rk_settle_again(struct rask *s, struct rk_ticket *ticket)
{
    if (ticket->wishes & RK_WISH_STREAM)
        rk_stream_unprocessed(s, ticket);
    else if (ticket->flags & RK_TICKET_CANCELLED)
        rk_finish_empty(s, ticket, RASK_CANCELLED, 0);
    else if (s->shutting_down)
        rk_finish_empty(s, ticket, RASK_SHUTDOWN, 0);
    else if (rk_poisoned(s, ticket))
        rk_finish_empty(s, ticket, RASK_POISONED, 0);
    else
        rk_backlog_return(s, ticket);
}

/** Its worker died, perhaps inside: reported, or sent again if the caller allows that. */
static void settle_entered(struct rask *s, struct rk_ticket *ticket, int32_t signal, enum rk_gone_cause cause)
{
    ticket->flags |= RK_TICKET_MAY_HAVE_RUN;
    if (cause == RK_GONE_LATE) {
        rk_finish_empty(s, ticket, ticket->flags & RK_TICKET_CANCELLED ? RASK_ABORTED : RASK_TIMEOUT, 0);
    } else if (ticket->retries > 0 && s->connected && !s->shutting_down && !(ticket->flags & RK_TICKET_CANCELLED)) {
        ticket->retries--;
        rk_settle_again(s, ticket);
    } else {
        rk_finish_empty(s, ticket, RASK_CRASHED, signal);
    }
}

/** One position of a dead worker that has no response. */
static void settle_position(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket, bool entered,
                            int32_t signal, enum rk_gone_cause cause)
{
    bool died_inside = entered && !lane->broken && !(ticket->wishes & RK_WISH_STREAM) &&
                       (cause == RK_GONE_CRASHED || cause == RK_GONE_UNKNOWN);
    rk_ticket_let_go(s, ticket);
    if (died_inside) rk_poison_death(s, lane, ticket, cause == RK_GONE_CRASHED);
    if (ticket->flags & RK_TICKET_ORPHAN) {
        rk_ticket_drop(s, ticket); /* its time-out was delivered and released */
    } else if (ticket->state != RK_TICKET_BOUND) {
        rk_request_block_free(s, ticket); /* its time-out is still in somebody's hands */
    } else if (entered) {
        settle_entered(s, ticket, signal, cause);
    } else {
        rk_settle_again(s, ticket);
    }
}

static void forget_lane(struct rask *s, struct rk_lane *lane)
{
    if (lane->upcall_due) s->asides_due--;
    rk_upcall_forget_answer(s, lane);
    rk_leases_died(s, lane);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->open_count; i++)
        if (s->open_lanes[i] != lane->index) s->open_lanes[kept++] = s->open_lanes[i];
    s->open_count = kept;
    s->turn = 0;
    s->opening -= lane->state == RK_LANE_IS_OPENING;
    if (!lane->leaving) s->has_lane[lane->worker / 64] &= ~(1ull << (lane->worker % 64));
    rk_lane_reset(lane);
    if (!s->connected) return;
    struct rk_message_lane message = {.session = s->id, .lane = lane->index};
    rk_message_init(&message.head, RK_LANE_CLOSED, sizeof message);
    rk_session_send(s, &message, NULL, 0);
}

void rk_settle_lane(struct rask *s, struct rk_lane *lane, int32_t signal, enum rk_gone_cause cause)
{
    if (lane->state == RK_LANE_IS_OPEN) {
        uint64_t taken = rk_lane_taken(lane); /* everything, when the worker broke the rules */
        if (s->streams != NULL) rk_streams_lane_gone(s, lane, taken, signal, cause);
        for (uint64_t position = lane->position; position-- > lane->response_position;) {
            uint32_t index = rk_lane_entry(lane, position)->ticket;
            if (index != RK_HOLE)
                settle_position(s, lane, &s->tickets.table[index], lane->broken || position < taken, signal, cause);
        }
    }
    forget_lane(s, lane);
    if (!s->connected) end_backlog(s, RASK_UNAVAILABLE);
    if (s->shutting_down) end_backlog(s, RASK_SHUTDOWN);
    if (s->broken) rk_settle_broken(s);
}

void rk_settle_disconnect(struct rask *s)
{
    if (!s->connected) return;
    s->connected = false;
    s->next_look_ns = 0;
    memset(s->serving, 0, sizeof s->serving);
    for (uint32_t i = 0; i < s->params.lanes; i++)
        if (s->lanes[i].state == RK_LANE_IS_OPENING) forget_lane(s, &s->lanes[i]);
    end_backlog(s, s->shutting_down ? RASK_SHUTDOWN : RASK_UNAVAILABLE);
    rk_streams_end(s, false, s->shutting_down ? RASK_SHUTDOWN : RASK_UNAVAILABLE);
}

/** One position of a lane whose worker lives, but will not answer this session any more. */
static void abandon_position(struct rask *s, struct rk_lane *lane, uint64_t position)
{
    uint32_t index = rk_lane_entry(lane, position)->ticket;
    if (index == RK_HOLE || s->tickets.table[index].state != RK_TICKET_BOUND) return;
    struct rk_ticket *ticket = &s->tickets.table[index];
    if (lane->broken) {
        ticket->flags |= RK_TICKET_MAY_HAVE_RUN;
        rk_finish_empty(s, ticket, RASK_UNAVAILABLE, 0);
    } else {
        stop(s, ticket, RK_CANCEL_STOP, RASK_UNAVAILABLE, RASK_UNAVAILABLE);
    }
}

void rk_settle_end(struct rask *s, const char *why)
{
    if (s->ended) return;
    s->ended = true;
    snprintf(s->ended_text, sizeof s->ended_text, "%s", why);
    rk_session_hang_up(s, true); /* the supervisor tells the workers */
    rk_settle_disconnect(s);
    rk_streams_end(s, true, RASK_UNAVAILABLE);
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        for (uint64_t position = lane->response_position; position < lane->position; position++)
            abandon_position(s, lane, position);
    }
}
