/* SPDX-License-Identifier: MIT */
/* Emissions: answers that a handler sends while it goes on. They lie in a ring of the lane beside its responses; the worker waits
 * while it is full (SYNC R13). Order: those of a request come after the responses before it, and before its own. So only
 * those of the oldest request that has no response yet are looked at, and all of them before its response is. */
#include "error.h"
#include "stream.h"
#include <errno.h>
#include <string.h>

static const struct rk_side_slot *next_slot(const struct rask *s, const struct rk_lane *lane)
{
    const uint8_t *ring = (const uint8_t *)lane->header + rk_response_emissions_offset(&s->params);
    return (const struct rk_side_slot *)(const void *)ring + lane->emissions % RASK_EMITS_MAX;
}

static bool is_there(const struct rk_side_slot *slot, const struct rk_lane *lane)
{
    /* SYNC R12 acquire: pairs with rk_emission_publish */
    return rk_load_acquire(&slot->sequence) == lane->emissions + 1 &&
           rk_load_relaxed(&slot->position) == (uint32_t)lane->response_position;
}

/** The stream of an emission, or NULL: the worker broke the rules. */
static struct rask_stream *stream_of(struct rask *s, struct rk_lane *lane, const struct rk_side_slot *slot,
                                     uint64_t *user_data)
{
    uint64_t position;
    const struct rk_ticket *ticket = rk_lane_asks_for(lane, &s->tickets, rk_load_relaxed(&slot->position),
                                                      rk_load_relaxed(&slot->ticket), &position);
    if (ticket == NULL) return NULL;
    if (!(ticket->wishes & RK_WISH_STREAM) || s->streams->at[ticket->key] == NULL) {
        lane->broken = true;
        rk_error(-EPROTO, "worker %u: it emits to a request that takes one response", lane->worker);
        return NULL;
    }
    *user_data = ticket->user_data;
    return s->streams->at[ticket->key];
}

/** A block that nobody will look at. */
static void refuse_block(struct rk_lane *lane, const struct rk_view *view)
{
    lane->mapped->references++;
    rk_responses_release(lane->mapped, view->block, view->generation);
}

/** One emission becomes an answer. False: not now (its segment is not here), or never (lane->broken). */
static bool take(struct rask *s, struct rk_lane *lane, const struct rk_side_slot *slot)
{
    uint64_t user_data;
    struct rask_stream *stream = stream_of(s, lane, slot, &user_data);
    if (stream == NULL) return false;
    uint32_t length = rk_load_relaxed(&slot->length);
    struct rk_view view = {.block = RK_BLOCK_NONE};
    if (length > RASK_INLINE_BYTES) {
        enum rk_taking found = rk_lane_find_block(lane, &slot->payload.block, length, &view);
        if (found == RK_TAKING_LATER) { /* announced before it was published, so it is on its way */
            lane->stalled = true;
            rk_session_control(s);
        }
        if (found != RK_TAKING_REPLY) return false;
    }
    if (stream->closed) {
        if (view.block != RK_BLOCK_NONE) refuse_block(lane, &view);
        return true;
    }
    struct rk_answer *answer = rk_answer_add(stream, user_data);
    if (answer == NULL) return false;
    answer->status = RASK_OK;
    answer->code = 0;
    answer->executed = RASK_EXECUTED_YES;
    answer->length = length;
    answer->data = answer->bytes;
    if (view.block == RK_BLOCK_NONE) {
        memcpy(answer->bytes, slot->payload.bytes, sizeof answer->bytes);
        return true;
    }
    rk_answer_view(stream, answer, &view, lane->mapped);
    lane->mapped->references++;
    return true;
}

/** Has the stream of this emission as many answers waiting as it may? */
static bool has_its_fill(struct rask *s, struct rk_lane *lane, const struct rk_side_slot *slot)
{
    uint64_t user_data;
    const struct rask_stream *stream = stream_of(s, lane, slot, &user_data);
    return stream != NULL && stream->waiting_answers >= stream->options.queue_max;
}

bool rk_emissions_wait(const struct rask *s, const struct rk_lane *lane)
{
    return !lane->full && is_there(next_slot(s, lane), lane);
}

bool rk_emissions_take(struct rask *s, struct rk_lane *lane, bool all)
{
    uint64_t before = lane->emissions;
    bool more;
    lane->full = false;
    for (;;) {
        const struct rk_side_slot *slot = next_slot(s, lane);
        more = is_there(slot, lane);
        if (!more) break;
        if (lane->emissions - before == RASK_EMITS_MAX) { /* those that were taken have not been told yet */
            lane->broken = true;
            rk_error(-EPROTO, "worker %u: it emits over the %u that its ring has room for", lane->worker,
                     RASK_EMITS_MAX);
            break;
        }
        lane->full = !all && has_its_fill(s, lane, slot); /* until the caller takes some: rask_stream_take() */
        if (lane->full || lane->broken || !take(s, lane, slot)) break;
        lane->emissions++;
    }
    if (lane->state != RK_LANE_IS_OPEN) return false;
    if (lane->emissions == before) return !more;
    /* SYNC R13 release: pairs with the worker's look for room */
    rk_store_release(&lane->page->emissions_taken, lane->emissions);
    rk_publish(lane->worker_state, lane->worker_bell, &lane->rung);
    return !more;
}
