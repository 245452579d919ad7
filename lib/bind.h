/* SPDX-License-Identifier: MIT */
/* A ticket becomes a request in a lane: the last step of every way to send one, and the whole way of a plain one. Inlined where
 * it is used: a call costs as much as what it does. */
#ifndef RK_BIND_H
#define RK_BIND_H

#include "session.h"

/** A request with a block, in a slot of the pair: if it fits the room behind it goes there, too, and the worker has it sooner.
 * Returns how long a response may be to come back the same way; 0: it must not. */
__attribute__((noinline)) uint32_t rk_bind_to_pair(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket);

/** Write and publish a ticket's request; rk_lane_load() leaves room. */
__attribute__((always_inline)) static inline void rk_bind(struct rask *s, struct rk_lane *lane,
                                                          struct rk_ticket *ticket)
{
    struct rk_request_slot *slot = lane->next_request;
    if (RK_LIKELY(ticket->block == RK_BLOCK_NONE)) {
        rk_copy_inline(slot->payload.bytes, ticket->bytes);
    } else {
        const struct rk_block *block = &s->slab.blocks[ticket->block];
        slot->payload.block = (struct rk_block_ref){.offset = block->offset, .segment = block->segment};
        ticket->pair_room = 0;
        if (lane->slot >= RK_SLOT_PAIR) slot->payload.block.room = rk_bind_to_pair(s, lane, ticket);
    }
    RK_STEP(REQUEST_PAYLOAD);
    rk_lane_publish(lane, slot, ticket, rk_ladder_meets(&s->ladder));
}

/** The lane used last, if nothing waits before a new request and no other lane could be better for it; else NULL. */
static inline struct rk_lane *rk_bind_lane(const struct rask *s)
{
    if (RK_UNLIKELY(s->backlog.count > 0 || s->open_count == 0)) return NULL;
    struct rk_lane *lane = &s->lanes[s->open_lanes[s->turn]];
    if (RK_UNLIKELY(!rk_lane_takes_more(lane))) return NULL;
    bool others = s->spread.lanes > 1 && (rk_lane_load(lane) > 0 || s->spread.window == 1);
    return RK_LIKELY(!others) ? lane : NULL;
}

/** Send a reservation that has nothing special about it, if that needs no thought. False: nothing was done, rk_submit() it. */
__attribute__((always_inline)) static inline bool rk_submit_plain(struct rask *s, struct rk_ticket *ticket,
                                                                  uint32_t method, size_t length)
{
    if (RK_UNLIKELY((ticket->flags & RK_TICKET_SPECIAL) || s->events != NULL)) return false;
    if (RK_UNLIKELY(length <= RASK_INLINE_BYTES && ticket->block != RK_BLOCK_NONE)) return false;
    struct rk_lane *lane = rk_bind_lane(s);
    if (RK_UNLIKELY(lane == NULL)) return false;
    ticket->length = (uint32_t)length;
    ticket->method = (uint16_t)method;
    s->pending++;
    s->requests++;
    rk_bind(s, lane, ticket);
    return true;
}

#endif
