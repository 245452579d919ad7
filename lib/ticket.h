/* SPDX-License-Identifier: MIT */
/* Tickets: one per request, in the client's private memory. The truth about a request is here; nothing a peer writes can
 * change it but through a checked completion.
 *
 *   FREE -> RESERVED -> QUEUED -> BOUND -> DONE -> HELD -> FREE
 *              |           ^        |        (delivered, not yet released)
 *              v           +--------+ retracted, or its worker died before it was taken
 *             FREE (abandoned)
 *
 * A BOUND ticket whose deadline passed goes on to DONE and HELD while its lane still refers to it (`lane_holds`): its
 * number and its block are used again only after the late response or the worker's death. */
#ifndef RK_TICKET_H
#define RK_TICKET_H

#include "atomic.h"
#include "check.h"
#include <assert.h>
#include <rask/client.h>
#include <rask/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RK_TICKET_NONE UINT32_MAX

enum rk_ticket_state {
    RK_TICKET_FREE = 0,
    RK_TICKET_RESERVED,
    RK_TICKET_QUEUED,
    RK_TICKET_BOUND,
    RK_TICKET_DONE,
    RK_TICKET_HELD,
};

/* Flags of a ticket. */
#define RK_TICKET_MAY_HAVE_RUN 0x01u /* sticky */
#define RK_TICKET_LANE_HOLDS 0x02u   /* a lane's ring still refers to this ticket */
#define RK_TICKET_CANCELLED 0x04u    /* by rask_cancel() */
#define RK_TICKET_ORPHAN 0x08u       /* released by the user while the lane holds it */
#define RK_TICKET_LISTED 0x10u       /* in the ready list */
#define RK_TICKET_PRIVATE 0x20u      /* of rask_call(): nobody else can take it */
#define RK_TICKET_MARKED 0x40u       /* its slot carries a mark: the worker may skip it */
#define RK_TICKET_SPECIAL 0x80u      /* something of the second line counts: a deadline, a callback, a view, a wish */

/* Wishes of a ticket, with RK_TICKET_SPECIAL. */
#define RK_WISH_KEY 0x01u       /* `key` counts */
#define RK_WISH_TELL_LATE 0x02u /* the supervisor has to hear that its handler is past the deadline */
#define RK_WISH_STREAM 0x04u    /* it belongs to stream `key` */
#define RK_WISH_QUIET 0x08u     /* of a stream: it was processed, and there is no answer */

struct rk_responses;

struct rk_ticket {
    /* The first line is all that a small request without deadline or callback touches. */
    uint8_t bytes[RASK_INLINE_BYTES]; /* small request, later small response */
    uint64_t id;                      /* generation << 32 | index */
    uint64_t user_data;
    union {
        uint32_t length;    /* of the request */
        uint32_t next_free; /* while FREE */
    };
    uint32_t block;  /* of the request, RK_BLOCK_NONE: inline */
    uint16_t lane;   /* while BOUND or lane_holds */
    uint16_t method; /* of a stream: with its number in the high half */
    union {
        struct {
            uint8_t state;
            uint8_t flags;        /* RK_TICKET_* */
            uint8_t kind;         /* what the slot says: enum rk_request_kind, RK_REQUEST_UPCALLS */
            uint8_t memory_class; /* of a stream's item: class of its block + 1, 0: none */
        };
        uint32_t marks; /* all four; only stored: see rk_ticket_take() */
    };
    /* With RK_TICKET_SPECIAL. */
    uint64_t deadline_ns;
    rask_read_fn read; /* callback style; NULL: delivered by poll or wait */
    /* In a list. */
    uint32_t next;
    uint32_t previous;
    /* Outcome, from DONE on. */
    uint8_t status;
    uint8_t executed;
    uint8_t wishes;  /* RK_WISH_* */
    uint8_t retries; /* how often it may be sent again */
    union {
        int32_t code;
        uint32_t turn; /* before that, with RK_WISH_KEY: how many were submitted with this key before it */
    };
    uint32_t response_length;
    uint32_t response_block; /* to release with response_generation, RK_BLOCK_NONE: none */
    union {
        uint32_t response_generation;
        uint32_t
            pair_room; /* before that, with a block: how long a response may be that comes in the pair (layout.h) */
    };
    uint32_t key;                 /* entry in the table of keys; with RK_WISH_STREAM: of streams */
    const void *response;         /* in place, or `bytes` */
    struct rk_responses *view_of; /* mapping that `response` lies in */
} __attribute__((aligned(64)));
static_assert(sizeof(struct rk_ticket) == 128, "two lines");
static_assert(offsetof(struct rk_ticket, deadline_ns) == 64, "the usual request touches the first alone");

/** A first-in, first-out list of tickets through next and previous. */
struct rk_ticket_list {
    uint32_t head;
    uint32_t tail;
    uint32_t count;
};

struct rk_tickets {
    struct rk_ticket *table;
    uint32_t capacity;
    uint32_t fresh; /* table[fresh..] was never used: memory is touched as needed */
    uint32_t free_head;
    uint32_t used;
    union {
        struct {
            uint8_t state;    /* of a new reservation: RESERVED */
            uint8_t flags;    /* 0, or SPECIAL while every request has to be looked at */
            uint8_t kind;     /* CALL, with UPCALLS while the caller answers them */
            uint8_t reserved; /* no memory class */
        };
        uint32_t marks; /* all four */
    };
    uint8_t *copies; /* RK_PAIR_ROOM bytes for each, touched as needed: rk_ticket_copy(). NULL: there was no memory */
    struct rk_ticket late; /* takes a response that comes after its request's end was reported */
};

/** 0 or -ENOMEM. */
int rk_tickets_init(struct rk_tickets *tickets, uint32_t capacity);
void rk_tickets_finish(struct rk_tickets *tickets);

/** Tickets that have room for a response of RK_PAIR_ROOM bytes; those of a longer queue behind them have none. */
#define RK_COPIES_MAX 65536u
/** Where such a response is kept for the caller, until the ticket is released. NULL: there is no room for it. */
void *rk_ticket_copy(struct rk_tickets *tickets, const struct rk_ticket *ticket);

/** An entry that was never used, or NULL when all are in use. */
struct rk_ticket *rk_ticket_fresh(struct rk_tickets *tickets);

/** A RESERVED ticket with a new id, or NULL when all are in use. */
static inline struct rk_ticket *rk_ticket_take(struct rk_tickets *tickets)
{
    struct rk_ticket *ticket;
    if (RK_LIKELY(tickets->free_head != RK_TICKET_NONE)) {
        ticket = &tickets->table[tickets->free_head];
        tickets->free_head = ticket->next_free;
    } else if ((ticket = rk_ticket_fresh(tickets)) == NULL) {
        return NULL;
    }
    /* A generation comes again after 2^32 uses of one entry. One whole store: half of one, read as a whole soon after, waits
     * for every store before it, those to lines that the worker has included. */
    rk_store_relaxed(&ticket->id, ticket->id + (1ull << 32));
    ticket->marks = tickets->marks;
    tickets->used++;
    return ticket;
}

static inline uint32_t rk_ticket_index(const struct rk_tickets *tickets, const struct rk_ticket *ticket)
{
    (void)tickets;
    return (uint32_t)ticket->id;
}

/** Free an entry. Its deadline_ns, read, view_of, wishes and retries are clear again. */
static inline void rk_ticket_put(struct rk_tickets *tickets, struct rk_ticket *ticket)
{
    ticket->state = RK_TICKET_FREE;
    ticket->next_free = tickets->free_head;
    tickets->free_head = rk_ticket_index(tickets, ticket);
    tickets->used--;
}

/** The ticket with this id, or NULL if no live ticket has it. */
static inline struct rk_ticket *rk_ticket_find(const struct rk_tickets *tickets, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    if (index >= tickets->fresh) return NULL;
    struct rk_ticket *ticket = &tickets->table[index];
    return ticket->id == id && ticket->state != RK_TICKET_FREE ? ticket : NULL;
}

void rk_list_init(struct rk_ticket_list *list);
void rk_list_push_back(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket);
void rk_list_push_front(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket);
/** Before `behind`, which is in the list. */
void rk_list_put_before(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket,
                        struct rk_ticket *behind);
void rk_list_remove(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket);
/** First of the list, or NULL. */
static inline struct rk_ticket *rk_list_first(const struct rk_tickets *tickets, const struct rk_ticket_list *list)
{
    return list->head == RK_TICKET_NONE ? NULL : &tickets->table[list->head];
}

#endif
