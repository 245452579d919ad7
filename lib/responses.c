/* SPDX-License-Identifier: MIT */
/* Taking responses: from a lane to the caller's array, to the ticket that somebody waits for, or to where else they belong. */
#include "error.h"
#include "lease.h"
#include "session.h"
#include "stream.h"
#include "upcall.h"
#include <string.h>

/** Too late: its time-out was reported. The block of the response goes back, and what was kept for the handler is free. */
static void on_late(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket)
{
    const struct rk_ticket *late = &s->tickets.late;
    if (late->response_block != RK_BLOCK_NONE) {
        lane->mapped->references++;
        rk_responses_release(lane->mapped, late->response_block, late->response_generation);
    }
    rk_request_block_free(s, ticket);
    if (ticket->flags & RK_TICKET_ORPHAN) rk_ticket_drop(s, ticket);
}

/** The next response comes to the place of one in the pair, which may stay in the caller's hands. */
static void copy_from_pair(struct rask *s, struct rk_ticket *ticket)
{
    void *own = rk_ticket_copy(&s->tickets, ticket); /* there since rk_bind_to_pair() */
    memcpy(own, ticket->response, ticket->response_length);
    ticket->response = own;
}

static inline void on_response(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket, bool skipped)
{
    if (RK_UNLIKELY(lane->answer_block != RK_BLOCK_NONE) && lane->response_position > lane->answer_position)
        rk_upcall_forget_answer(s, lane);
    if (RK_UNLIKELY(lane->lease != RK_LEASE_NONE))
        rk_lease_begin(s, lane, ticket); /* nonsense ends the session after this */
    rk_ticket_let_go(s, ticket);
    if (RK_UNLIKELY(ticket->state != RK_TICKET_BOUND)) {
        on_late(s, lane, ticket);
    } else if (RK_UNLIKELY(skipped)) {
        rk_settle_again(s, ticket);
    } else {
        if (ticket->response_block != RK_BLOCK_NONE) {
            ticket->view_of = lane->mapped;
            ticket->flags |= RK_TICKET_SPECIAL;
            lane->mapped->references++;
        } else if (ticket->response_length > RASK_INLINE_BYTES) {
            copy_from_pair(s, ticket);
        }
        rk_finish(s, ticket);
    }
}

/** Any response but the usual one. False: look no further. */
static bool take_special(struct rask *s, struct rk_lane *lane)
{
    struct rk_ticket *ticket = NULL;
    if (s->streams != NULL && !rk_emissions_take(s, lane, true)) { /* they come before the response */
        if (lane->broken) rk_settle_end(s, rask_last_error());
        return false;
    }
    enum rk_taking found = rk_lane_take(lane, &s->tickets, &ticket);
    if (found >= RK_TAKING_SKIPPED) {
        on_response(s, lane, ticket, found == RK_TAKING_SKIPPED);
        if (RK_UNLIKELY(lane->broken)) rk_settle_end(s, rask_last_error());
    } else if (found == RK_TAKING_LATER) { /* announced before it was published, so it is on its way */
        lane->stalled = true;
        rk_session_control(s);
        return false;
    } else if (found == RK_TAKING_BROKEN) {
        rk_settle_end(s, rask_last_error());
        return false;
    }
    return true;
}

/** The usual response of a ticket that somebody waits for, or that finds the caller's array full. */
static inline void take_plain(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket, uint32_t length,
                              uint32_t next)
{
    memcpy(ticket->bytes, lane->next_response->payload.bytes, RASK_INLINE_BYTES);
    rk_lane_passed(lane, next);
    ticket->flags &= (uint8_t)~RK_TICKET_LANE_HOLDS;
    ticket->status = RASK_OK;
    ticket->code = 0;
    ticket->response_length = length;
    ticket->response = ticket->bytes;
    ticket->response_block = RK_BLOCK_NONE;
    rk_finish(s, ticket);
}

/** An item that needs no answer, most of what a busy stream gets back: counted, and its ticket is free. False: nothing was done. */
static inline bool take_quiet(struct rask *s, struct rk_lane *lane)
{
    uint32_t next;
    struct rk_ticket *ticket = rk_lane_quiet(lane, &s->tickets, &next);
    if (ticket == NULL || s->streams == NULL || lane->answer_block != RK_BLOCK_NONE) return false;
    struct rask_stream *stream = rk_stream_of(s, ticket);
    if (stream->phase != RK_STREAM_RUNNING || lane->full || rk_emissions_wait(s, lane)) return false;
    rk_lane_passed(lane, next);
    lane->items--;
    stream->backlog--;
    stream->processed++;
    stream->held--;
    s->pending--;
    s->finished++;
    ticket->wishes = 0;
    rk_ticket_put(&s->tickets, ticket);
    return true;
}

/** Better to wait for more than to look for the next one; never for rask_poll(), which takes what is there. */
static inline bool over(const struct rask *s, const struct rk_lane *lane)
{
    return s->gathers && rk_run_over(&lane->run, lane->response_position, rk_lane_load(lane)) &&
           rk_ladder_meets(&s->ladder);
}

/** How many are handed over at once: where there are many, a run. The rest is for the next time: meanwhile the caller sends
 * others, and the worker does not run out of work. */
static inline uint32_t at_once(const struct rask *s, const struct rk_lane *lane)
{
    uint32_t load = rk_lane_load(lane);
    return s->gathers && load >= RK_RUN_DEEP && rk_ladder_meets(&s->ladder) ? rk_run_length(load) : UINT32_MAX;
}

/** Usual responses, one after the other, straight from their slots to the caller's array, at most `most` and what it has room
 * for. Returns how many. Counted once for all of them; it is most of what a busy pipeline does here. */
static uint32_t take_straight(struct rask *s, struct rk_lane *lane, uint32_t most)
{
    struct rask_completion *out = &s->sink[s->sink_count];
    uint32_t count = 0, room = s->sink_room < most ? s->sink_room : most, length, next;
    while (count < room && rk_lane_ready(lane)) {
        struct rk_reading at = rk_lane_reading(lane);
        rk_run_ahead(&lane->run, &at);
        struct rk_ticket *ticket = rk_lane_plain(lane, &s->tickets, &length, &next);
        if (RK_UNLIKELY(ticket == NULL || (ticket->flags & RK_TICKET_PRIVATE))) break;
        memcpy(ticket->bytes, lane->next_response->payload.bytes, RASK_INLINE_BYTES);
        rk_lane_passed(lane, next);
        ticket->flags &= (uint8_t)~RK_TICKET_LANE_HOLDS;
        rk_completion_ok(ticket, length, &out[count++]);
        if (over(s, lane)) break;
    }
    s->sink_room -= count;
    s->sink_count += count;
    s->pending -= count;
    s->finished += count;
    return count;
}

/** What is left in the lanes stays there for the next poll. */
static inline bool sink_full(const struct rask *s)
{
    return s->sink_room == 0 && s->sink_count > 0;
}

/** One response, whatever it is. False: look no further. */
__attribute__((always_inline)) static inline bool take_next(struct rask *s, struct rk_lane *lane)
{
    uint32_t length, next;
    struct rk_reading at = rk_lane_reading(lane);
    rk_run_ahead(&lane->run, &at);
    if (lane->items > 0 && take_quiet(s, lane)) return true;
    struct rk_ticket *ticket = rk_lane_plain(lane, &s->tickets, &length, &next);
    if (ticket == NULL) return take_special(s, lane);
    take_plain(s, lane, ticket, length, next);
    return true;
}

/** Is there one, and somebody who wants it? */
static inline bool may_take(const struct rask *s, const struct rk_lane *lane, bool everything)
{
    return rk_lane_ready(lane) && !lane->broken && !lane->stalled && (everything || !sink_full(s));
}

/** Of many in flight the first ones may come by the pair: they are taken, *count of them, and those behind them looked at as a
 * run. False: look no further. */
__attribute__((noinline)) static bool begin_run(struct rask *s, struct rk_lane *lane, bool everything, uint32_t *count)
{
    for (; !rk_slots_in_ring(lane->responses, lane->next_response, lane->mask); (*count)++)
        if (!may_take(s, lane, everything) || !take_next(s, lane)) return false;
    struct rk_reading at = rk_lane_reading(lane);
    if (lane->run.sure <= at.position) rk_run_look(&lane->run, &at, rk_lane_load(lane));
    return true;
}

/** Take what a lane has: everything, or what the caller's array has room for and at_once() says. */
uint32_t rk_take_responses(struct rask *s, struct rk_lane *lane, bool everything)
{
    uint32_t count = 0, most = everything ? UINT32_MAX : at_once(s, lane);
    lane->stuck = false;
    if (rk_lane_load(lane) >= RK_RUN_DEEP && !begin_run(s, lane, everything, &count)) return count;
    if (s->sink_room > 0 && s->awaited == NULL && !lane->broken && !lane->stalled)
        count += take_straight(s, lane, most);
    if (count > 0 && !everything && over(s, lane)) return count;
    while (count < most && may_take(s, lane, everything) && take_next(s, lane)) count++;
    return count;
}
