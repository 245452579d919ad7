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
#include "run.h"
#include "segment.h"
#include "slab.h"
#include "slots.h"
#include "ticket.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** A response without a lease. */
#define RK_LEASE_NONE UINT32_MAX

/** Entry: the request was retracted, its response must say SKIPPED. */
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

/** What a lane remembers of a request position in flight. */
struct rk_lane_entry {
    uint32_t ticket; /* index, or RK_HOLE */
    uint32_t slot;
};

struct rk_lane {
    /* Hot. */
    const struct rk_response_slot *next_response; /* slot that the worker announced */
    uint64_t response_position;                   /* next response, and oldest request position in use */
    uint64_t position;                            /* next request */
    struct rk_request_slot *next_request;         /* where that goes, already announced */
    struct rk_request_slot *requests;
    struct rk_pair *pair;
    struct rk_lane_entry *entries; /* by position & mask */
    uint32_t mask;
    uint32_t slot;    /* number of next_request */
    uint32_t in_ring; /* rk_slots_next() */
    uint32_t window;  /* how many dispatch allows, at most mask + 1 - RK_SLOTS_SPARE */
    uint32_t items;   /* positions that hold tickets of streams: the window is for the others */
    uint16_t index;
    uint8_t state;
    union {
        struct {
            bool broken;    /* the worker broke the rules */
            bool leaving;   /* its worker takes nothing new; window is 0 */
            bool upcalling; /* the caller's function runs for its worker: nothing more goes there */
            bool unused;
        };
        uint32_t closed; /* one of them */
    };
    bool stuck;   /* did not move between two looks with requests waiting: nothing more until it does */
    bool stalled; /* the next response names a segment that has not come yet */
    const struct rk_response_slot *responses;
    const uint64_t *worker_state; /* rk_waiter.state of the worker */
    uint32_t *worker_bell;
    uint64_t rung;          /* for which of its sleeps it was rung */
    uint32_t holes;         /* retracted requests that the worker has not passed yet */
    uint32_t give_up_below; /* rk_slots_prepare() */
    uint32_t give_up_due;   /* the same where the peer is to be rung, or wants a fence */
    struct rk_run run;
    /* Cold. */
    struct rk_lane_request *page;
    const struct rk_response_header *header;
    struct rk_responses *mapped;
    uint64_t taken_seen; /* `taken` must not run backwards */
    uint32_t worker;
    uint32_t generation;
    uint32_t leaving_generation; /* OPENING: this incarnation leaves, if it is the one that comes; 0: none */
    int pidfd;
    bool dead_seen;                /* pidfd said so at the last look; the supervisor has not yet */
    bool upcall_due;               /* one waits to be run (upcall.c) */
    bool full;                     /* the next emission is for a stream that has its fill of answers */
    uint64_t upcall_seen;          /* sequence of the last one */
    uint32_t answer_block;         /* request block of the answer to it: the worker may read it until ... */
    uint64_t answer_position;      /* ... the response at this position */
    uint64_t emissions;            /* taken (emission.c) */
    struct rk_lane_leases *leases; /* lease.c: NULL until the first */
    uint32_t lease;                /* of the response taken last: its word, RK_LEASE_NONE: none */
    uint32_t lease_generation;     /* and what that will say */
    uint64_t stalled_ns;           /* since when, as far as somebody looked */
    uint64_t taken_before;         /* `taken` at the last look of rk_dispatch_rebalance() */
} RK_LINE_ALIGNED;

/** Private memory of one lane: its entries. */
size_t rk_lane_private_bytes(const struct rk_params *params);

/** Prepare lane `index` of the segments that the client has made. `memory` has rk_lane_private_bytes() bytes. */
void rk_lane_init(struct rk_lane *lane, uint32_t index, const struct rk_params *params, uint8_t *request_base,
                  uint8_t *bell_base, void *memory);

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

/** Bound tickets: the load without its holes. */
static inline uint32_t rk_lane_in_flight(const struct rk_lane *lane)
{
    return rk_lane_load(lane) - lane->holes;
}

/** It gets on with what it has, or has nothing. */
static inline bool rk_lane_moves(const struct rk_lane *lane)
{
    return lane->closed == 0 && !(lane->stuck && rk_lane_load(lane) > 0);
}

/** Has the window room for another request, of no stream? */
static inline bool rk_lane_window_open(const struct rk_lane *lane)
{
    uint32_t load = rk_lane_load(lane);
    return load - lane->items < lane->window && load <= lane->mask - RK_SLOTS_SPARE;
}

/** Has dispatch room for another request there? */
static inline bool rk_lane_takes_more(const struct rk_lane *lane)
{
    return rk_lane_window_open(lane) && rk_lane_moves(lane);
}

static inline struct rk_lane_entry *rk_lane_entry(const struct rk_lane *lane, uint64_t position)
{
    return &lane->entries[position & lane->mask];
}

/** Where a request is written. */
static inline struct rk_request_slot *rk_lane_request_at(const struct rk_lane *lane, uint32_t slot)
{
    return (struct rk_request_slot *)(uintptr_t)rk_slot_request(lane->requests, lane->pair, slot, lane->mask);
}

/** Fill and publish the next slot, lane->next_request, which is the client's alone until then, but for its payload, which the
 * caller has written. The caller has checked that rk_lane_load() is below the window. What the lane and the ticket remember
 * of it is noted after the worker could see it. `apart`: it runs at the same time, elsewhere. */
__attribute__((always_inline)) static inline void rk_lane_publish(struct rk_lane *lane, struct rk_request_slot *slot,
                                                                  struct rk_ticket *ticket, bool apart)
{
    uint64_t position = lane->position;
    uint64_t load = position - lane->response_position;
    uint32_t at = lane->slot, next = rk_slots_next(at, load, &lane->in_ring, lane->mask);
    uint64_t who = rk_request_word_who((uint32_t)(ticket->id >> 32), ticket->length);
    /* SYNC R5 with R1, `consumed`: pairs with rk_served_take */
    uint64_t what =
        rk_request_word_what(ticket->method, (uint16_t)next, (uint16_t)lane->response_position, ticket->kind);
    slot->deadline_ns = RK_LIKELY(!(ticket->flags & RK_TICKET_SPECIAL)) ? 0 : ticket->deadline_ns;
    memcpy(&slot->ticket, &who, sizeof who);
    RK_STEP(REQUEST_LENGTH);
    memcpy(&slot->method, &what, sizeof what);
    RK_STEP(REQUEST_FIELDS);
    /* SYNC R1 release: pairs with rk_served_ready */
    rk_store_release(&slot->sequence, position + 1);
    RK_STEP(REQUEST_SEQUENCE);
    bool due = rk_publish_due(lane->worker_state); /* asleep, or wants a fence, which would wait for lines given up */
    if (RK_UNLIKELY(due)) rk_publish_slow(lane->worker_state, lane->worker_bell, &lane->rung);
    RK_STEP(REQUEST_RUNG);
    lane->entries[position & lane->mask] = (struct rk_lane_entry){(uint32_t)ticket->id, at};
    lane->slot = next;
    lane->next_request = rk_lane_request_at(lane, next);
    lane->position = position + 1;
    ticket->state = RK_TICKET_BOUND;
    ticket->flags = (uint8_t)((ticket->flags & ~RK_TICKET_MARKED) | RK_TICKET_LANE_HOLDS);
    ticket->lane = lane->index;
    RK_STEP(REQUEST_NOTED);
    if (apart) rk_slots_prepare(lane->requests, at, load, lane->mask, due ? lane->give_up_due : lane->give_up_below);
}

/** Is a response there? One load of the worker's line. */
static inline bool rk_lane_ready(const struct rk_lane *lane)
{
    /* SYNC R2 acquire: pairs with the worker's publish */
    return rk_load_acquire(&lane->next_response->sequence) == lane->response_position + 1;
}

/** The slot of the next response says something that no worker publishes there: it was written over, and the response will
 * never be understood. For rare looks. */
static inline bool rk_lane_garbled(const struct rk_lane *lane)
{
    return rk_load_relaxed(&lane->next_response->sequence) > lane->response_position + 1;
}

/** Where its next response is. */
static inline struct rk_reading rk_lane_reading(const struct rk_lane *lane)
{
    return (struct rk_reading){lane->responses, lane->next_response, lane->mask, lane->response_position};
}

/** What rk_lane_take() found. */
enum rk_taking {
    RK_TAKING_LATER,   /* its segment has not come yet: read the control socket */
    RK_TAKING_BROKEN,  /* the worker broke the rules: lane->broken is set, rask_last_error() says how */
    RK_TAKING_HOLE,    /* a retracted request was passed over: nothing to deliver */
    RK_TAKING_SKIPPED, /* the request carried a mark and did not run */
    RK_TAKING_REPLY,   /* a long one without a block lies in the pair: copy it before the next request is sent */
};

/** The response at response_position is dealt with: `next` (checked) is the slot of the one behind it. */
static inline void rk_lane_passed(struct rk_lane *lane, uint32_t next)
{
    RK_STEP(RESPONSE_COPIED);
    lane->next_response = rk_slot_response(lane->responses, lane->pair, next, lane->mask);
    lane->response_position++;
    RK_STEP(RESPONSE_PASSED);
}

/** Whom the next response has to be for. NULL: nobody, the request was taken back or was never sent. */
__attribute__((always_inline)) static inline struct rk_ticket *rk_lane_expected(const struct rk_lane *lane,
                                                                                struct rk_tickets *tickets)
{
    uint32_t index = lane->entries[lane->response_position & lane->mask].ticket;
    if (RK_UNLIKELY(index == RK_HOLE || lane->response_position >= lane->position)) return NULL;
    return &tickets->table[index];
}

/** The usual response: an OK that fits its slot, to a request without anything special about it whose reservation was as
 * small. The ticket it belongs to, with *length and *next read and checked; the caller copies the payload from
 * lane->next_response and says rk_lane_passed(). NULL: rk_lane_take() has to look at it. rk_lane_ready() was true. Each word
 * of the worker's memory is read once. */
__attribute__((always_inline)) static inline struct rk_ticket *
rk_lane_plain(const struct rk_lane *lane, struct rk_tickets *tickets, uint32_t *length, uint32_t *next)
{
    const struct rk_response_slot *slot = lane->next_response;
    struct rk_ticket *ticket = rk_lane_expected(lane, tickets);
    if (RK_UNLIKELY(ticket == NULL)) return NULL;
    uint64_t who = rk_load_relaxed((const uint64_t *)(const void *)&slot->ticket);
    uint64_t what = rk_load_relaxed((const uint64_t *)(const void *)&slot->code);
    *length = rk_response_length(who);
    *next = rk_response_next(what);
    bool plain = (uint32_t)who == (uint32_t)(ticket->id >> 32) && rk_response_is_ok(what) &&
                 rk_load_relaxed(&slot->kind) == RK_RESPONSE_REPLY && *length <= RASK_INLINE_BYTES &&
                 rk_slot_exists(*next, lane->mask) && ticket->state == RK_TICKET_BOUND &&
                 (ticket->flags & ~RK_TICKET_PRIVATE) == RK_TICKET_LANE_HOLDS && ticket->block == RK_BLOCK_NONE;
    return RK_LIKELY(plain) ? ticket : NULL;
}

/** The same for the usual response to an item of a stream: QUIET, to one without a block that nobody has taken back. */
__attribute__((always_inline)) static inline struct rk_ticket *rk_lane_quiet(const struct rk_lane *lane,
                                                                             struct rk_tickets *tickets, uint32_t *next)
{
    const struct rk_response_slot *slot = lane->next_response;
    struct rk_ticket *ticket = rk_lane_expected(lane, tickets);
    if (RK_UNLIKELY(ticket == NULL)) return NULL;
    uint64_t who = rk_load_relaxed((const uint64_t *)(const void *)&slot->ticket);
    uint64_t what = rk_load_relaxed((const uint64_t *)(const void *)&slot->code);
    *next = rk_response_next(what);
    bool usual = (uint32_t)who == (uint32_t)(ticket->id >> 32) && rk_response_is_ok(what) &&
                 rk_load_relaxed(&slot->kind) == RK_RESPONSE_QUIET && rk_slot_exists(*next, lane->mask) &&
                 ticket->state == RK_TICKET_BOUND && ticket->flags == (RK_TICKET_SPECIAL | RK_TICKET_LANE_HOLDS) &&
                 ticket->wishes == RK_WISH_STREAM && (ticket->kind & RK_REQUEST_KIND_BITS) == RK_REQUEST_ITEM &&
                 ticket->block == RK_BLOCK_NONE && ticket->memory_class == 0;
    return RK_LIKELY(usual) ? ticket : NULL;
}

/** Take the response at response_position (rk_lane_ready() was true) into its ticket, which is *out for REPLY and SKIPPED.
 * A ticket that is not BOUND any more keeps its outcome: the response then goes to tickets->late. Each word of the
 * worker's memory is read once. */
enum rk_taking rk_lane_take(struct rk_lane *lane, struct rk_tickets *tickets, struct rk_ticket **out);

/** Bytes of a worker that lie in a block, checked. */
struct rk_view {
    const void *data;
    uint32_t block;
    uint32_t generation;
};

/** Where a payload over the inline size lies. RK_TAKING_REPLY, RK_TAKING_LATER, or RK_TAKING_BROKEN. */
enum rk_taking rk_lane_find_block(struct rk_lane *lane, const struct rk_block_ref *shared, uint32_t length,
                                  struct rk_view *view);

/** Whose handler a side slot is about: its ticket, and its position in *position. NULL: the worker broke the rules. */
struct rk_ticket *rk_lane_asks_for(struct rk_lane *lane, struct rk_tickets *tickets, uint32_t low_position,
                                   uint32_t generation, uint64_t *position);

/** Where in the lane a ticket is that the lane holds. */
uint64_t rk_lane_position_of(const struct rk_lane *lane, const struct rk_ticket *ticket);

/** A retracted request: its ticket is free of the lane, which expects SKIPPED at that position. */
void rk_lane_make_hole(struct rk_lane *lane, uint64_t position);

/** Put marks (RK_CANCEL_*) on a published request. For a retraction the caller then runs rk_park_barrier() and compares
 * with rk_lane_taken(). */
void rk_lane_mark(struct rk_lane *lane, uint64_t position, uint8_t marks);

/** How far the worker has entered: positions below it may have run. Checked: it never runs backwards and never past what was
 * published; if it does, lane->broken is set and everything published counts as entered. */
uint64_t rk_lane_taken(struct rk_lane *lane);

/** A view is given back. */
void rk_responses_release(struct rk_responses *responses, uint32_t block, uint32_t generation);

#endif
