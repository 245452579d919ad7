/* SPDX-License-Identifier: MIT */
/* A lane as the client sees it: one worker incarnation's pair of rings in this session.
 *
 * Every request position gets exactly one response, in order, so the next response position is also the oldest request
 * position whose slot is not free. The worker's memory is hostile input: each value is read once, checked, and only the
 * copy used; what does not fit ends the lane.
 *
 * No system calls here but the wake of a sleeping worker; no policy: dispatch.c decides what goes where. */
#ifndef RK_LANE_H
#define RK_LANE_H

#include "bell.h"
#include "layout.h"
#include "segment.h"
#include "slab.h"
#include "slots.h"
#include "ticket.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** by_position: the request was retracted, its response must say SKIPPED. */
#define RK_HOLE UINT32_MAX

enum rk_lane_state {
    RK_LANE_IS_FREE = 0,
    RK_LANE_IS_OPENING, /* asked for, the worker has not answered yet */
    RK_LANE_IS_OPEN,
};

/** Mapped responses of one incarnation. Outlives the lane while views are held. */
struct rk_responses {
    struct rk_segment segment[RK_SEGMENTS_MAX];
    uint32_t references; /* the lane's own, and one per view */
    bool live;           /* the lane still is this incarnation's: released words are read */
    struct rk_lane_request *page;
};

struct rk_lane {
    /* Hot. */
    const struct rk_response_slot *responses;
    const struct rk_response_slot *next_response; /* slot that the worker announced */
    uint64_t response_position;                   /* next response, and oldest request position in use */
    uint64_t position;                            /* next request */
    uint32_t mask;
    uint32_t in_flight; /* bound tickets, without holes */
    uint32_t window;    /* how many dispatch allows */
    uint8_t state;
    bool broken; /* the worker broke the rules */
    uint16_t index;
    struct rk_request_slot *requests;
    const uint32_t *worker_state; /* rk_waiter.state of the worker */
    uint32_t *worker_bell;
    uint32_t *by_position; /* ticket index or RK_HOLE */
    struct rk_lane_request *page;
    struct rk_slots slots;
    /* Cold. */
    const struct rk_response_header *header;
    struct rk_responses *mapped;
    uint64_t taken_seen; /* `taken` must not run backwards */
    uint32_t worker;
    uint32_t generation;
    int pidfd;
    bool dead_seen;        /* pidfd said so at the last look; the supervisor has not yet */
    bool stuck;            /* did not move between two looks with requests waiting: nothing more until it does */
    bool stalled;          /* the next response names a segment that has not come yet */
    uint64_t stalled_ns;   /* since when, as far as somebody looked */
    uint64_t taken_before; /* `taken` at the last look of rk_dispatch_rebalance() */
};

/** Private memory of one lane: by_position and the slots' account. */
size_t rk_lane_private_bytes(const struct rk_params *params);

/** Prepare lane `index` of a request segment that the client maps. `memory` has rk_lane_private_bytes() bytes. */
void rk_lane_init(struct rk_lane *lane, uint32_t index, const struct rk_params *params, uint8_t *request_base,
                  struct rk_bell_page *bells, void *memory);

/** The worker's response segment is here: map it and be OPEN. Takes both descriptors. -EPROTO, -ENOMEM. */
int rk_lane_open(struct rk_lane *lane, const struct rk_params *params, int response_fd, int pidfd);

/** Let go of the incarnation's responses and pidfd; `mapped` false: in a forked child, where nothing is mapped. */
void rk_lane_finish(struct rk_lane *lane, bool mapped);

/** Forget the incarnation after its death was proven and everything is settled: clean words for the next one. */
void rk_lane_reset(struct rk_lane *lane);

/** Map another response segment (takes fd). -EPROTO, -ENOMEM. */
int rk_lane_add_segment(struct rk_lane *lane, uint32_t id, uint64_t bytes, int fd);

/** Request slots in use: bound tickets, and holes that the worker has not passed yet. */
static inline uint32_t rk_lane_load(const struct rk_lane *lane)
{
    return (uint32_t)(lane->position - lane->response_position);
}

/** Fill and publish the next slot but for its payload, which the caller has written to rk_lane_slot(). What the lane and
 * the ticket remember of it is noted after the worker could see it. */
static inline void rk_lane_publish(struct rk_lane *lane, struct rk_ticket *ticket, struct rk_request_slot *slot)
{
    uint64_t position = lane->position;
    uint64_t load = position - lane->response_position;
    uint16_t next = rk_slots_next(&lane->slots, load);
    slot->deadline_ns = ticket->deadline_ns;
    slot->ticket = (uint32_t)(ticket->id >> 32);
    slot->length = ticket->length;
    slot->method = ticket->method;
    slot->next = next;
    slot->consumed = (uint16_t)lane->response_position; /* SYNC R5 with R1: pairs with rk_served_take */
    slot->kind = RK_REQUEST_CALL;
    slot->cancel = 0;
    /* SYNC R1 release: pairs with rk_served_ready */
    rk_store_release(&slot->sequence, position + 1);
    rk_publish(lane->worker_state, lane->worker_bell);
    rk_slots_advance(&lane->slots, position, load);
    if (load >= RK_DEEP) rk_prefetch_write(&lane->requests[rk_slots_ahead(&lane->slots)]);
    lane->by_position[position & lane->mask] = (uint32_t)ticket->id;
    lane->position = position + 1;
    lane->in_flight++;
    ticket->state = RK_TICKET_BOUND;
    ticket->flags = (uint8_t)((ticket->flags & ~RK_TICKET_MARKED) | RK_TICKET_LANE_HOLDS);
    ticket->lane = lane->index;
    ticket->position = position;
}

/** The slot of the next request: the client's alone until it is published. The caller has checked that rk_lane_load() < mask. */
static inline struct rk_request_slot *rk_lane_slot(struct rk_lane *lane)
{
    return &lane->requests[lane->slots.next];
}

/** Is a response there? One load of the worker's line. */
static inline bool rk_lane_ready(const struct rk_lane *lane)
{
    /* SYNC R2 acquire: pairs with the worker's publish */
    return rk_load_acquire(&lane->next_response->sequence) == lane->response_position + 1;
}

/** Statuses that a worker may answer with; the others are for the client to find. */
#define RK_REPLY_STATUSES                                                                                              \
    (1u << RASK_OK | 1u << RASK_HANDLER_ERROR | 1u << RASK_REPLY_TOO_LARGE | 1u << RASK_ABORTED | 1u << RASK_EXPIRED | \
     1u << RASK_OVERLOADED | 1u << RASK_NO_METHOD)

/** What rk_lane_take() found. */
enum rk_taking {
    RK_TAKING_LATER,   /* its segment has not come yet: read the control socket */
    RK_TAKING_BROKEN,  /* the worker broke the rules: lane->broken is set, rask_last_error() says how */
    RK_TAKING_HOLE,    /* a retracted request was passed over: nothing to deliver */
    RK_TAKING_SKIPPED, /* the request carried a mark and did not run */
    RK_TAKING_REPLY,
};

/** Where a response over the inline size lies, checked; fills the ticket. */
enum rk_taking rk_lane_find_block(struct rk_lane *lane, const struct rk_block_ref *shared, struct rk_ticket *ticket);

/** Say what is wrong with a response and set lane->broken. */
enum rk_taking rk_lane_break(struct rk_lane *lane, uint32_t kind, uint32_t status, uint32_t next, uint32_t ticket);

/** Take the response at response_position (rk_lane_ready() was true) into its ticket, which is *out for REPLY and SKIPPED.
 * A ticket that is not BOUND any more keeps its outcome: the response then goes to tickets->late. Each word of the
 * worker's memory is read once. */
static inline enum rk_taking rk_lane_take(struct rk_lane *lane, struct rk_tickets *tickets, struct rk_ticket **out)
{
    const struct rk_response_slot *slot = lane->next_response;
    uint64_t position = lane->response_position;
    uint32_t index = lane->by_position[position & lane->mask];
    uint32_t kind = rk_load_relaxed(&slot->kind);
    uint32_t status = rk_load_relaxed(&slot->status);
    uint32_t next = rk_load_relaxed(&slot->next);
    uint32_t generation = rk_load_relaxed(&slot->ticket);
    uint32_t length = rk_load_relaxed(&slot->length);
    bool reply = kind == RK_RESPONSE_REPLY && status < 32 && (RK_REPLY_STATUSES >> status & 1) && index != RK_HOLE;
    if (RK_UNLIKELY(position >= lane->position || next > lane->mask || (!reply && kind != RK_RESPONSE_SKIPPED)))
        return rk_lane_break(lane, kind, status, next, generation);
    enum rk_taking found = reply ? RK_TAKING_REPLY : RK_TAKING_HOLE;
    if (RK_LIKELY(index != RK_HOLE)) {
        struct rk_ticket *ticket = &tickets->table[index];
        *out = ticket;
        if (RK_UNLIKELY(generation != (uint32_t)(ticket->id >> 32)))
            return rk_lane_break(lane, kind, status, next, generation);
        if (RK_UNLIKELY(ticket->state != RK_TICKET_BOUND)) ticket = &tickets->late;
        ticket->response_block = RK_BLOCK_NONE;
        if (RK_UNLIKELY(!reply)) {
            if (!((*out)->flags & RK_TICKET_MARKED)) return rk_lane_break(lane, kind, status, next, generation);
            found = RK_TAKING_SKIPPED; /* it may be sent again: its bytes stay */
        } else {
            ticket->status = status;
            ticket->code = rk_load_relaxed(&slot->code);
            ticket->response_length = length;
            if (RK_LIKELY(length <= RASK_INLINE_BYTES)) {
                ticket->response = ticket->bytes;
                memcpy(ticket->bytes, slot->payload.bytes, RASK_INLINE_BYTES);
            } else {
                found = rk_lane_find_block(lane, &slot->payload.block, ticket);
                if (RK_UNLIKELY(found != RK_TAKING_REPLY)) return found;
            }
        }
        lane->in_flight--;
    }
    rk_slots_free(&lane->slots, position);
    lane->next_response = &lane->responses[next];
    lane->response_position = position + 1;
    return found;
}

/** Put marks (RK_CANCEL_*) on a published request. For a retraction the caller then runs rk_park_barrier() and compares
 * with rk_lane_taken(). */
void rk_lane_mark(struct rk_lane *lane, uint64_t position, uint8_t marks);

/** How far the worker has entered: positions below it may have run. Checked: it never runs backwards and never past what was
 * published; if it does, lane->broken is set and everything published counts as entered. */
uint64_t rk_lane_taken(struct rk_lane *lane);

/** A view is given back. */
void rk_responses_release(struct rk_responses *responses, uint32_t block, uint32_t generation);

#endif
