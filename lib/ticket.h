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

#include <rask/client.h>
#include <rask/limits.h>
#include <stdbool.h>
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

struct rk_responses;

struct rk_ticket {
    uint8_t bytes[RASK_INLINE_BYTES]; /* small request, later small response */
    uint64_t id;                      /* generation << 32 | index */
    uint64_t user_data;
    uint64_t deadline_ns;
    uint64_t position; /* in its lane, while BOUND or lane_holds */
    rask_read_fn read; /* callback style; NULL: delivered by poll or wait */
    uint32_t length;   /* of the request */
    uint32_t block;    /* of the request, RK_BLOCK_NONE: inline */
    uint32_t next;     /* free list, backlog, ready list */
    uint32_t previous; /* ready list */
    uint16_t method;
    uint16_t lane;
    uint8_t state;
    bool may_have_run;   /* sticky */
    bool lane_holds;     /* a lane's ring still refers to this ticket */
    bool user_cancelled; /* rask_cancel() */
    bool orphan;         /* released by the user while lane_holds */
    /* Outcome, from DONE on. */
    uint32_t status;
    int32_t code;
    uint32_t response_length;
    uint32_t response_block; /* to release with response_generation, RK_BLOCK_NONE: none */
    uint32_t response_generation;
    uint32_t executed;
    const void *response;         /* in place; NULL: `bytes` */
    struct rk_responses *view_of; /* mapping that `response` lies in */
} __attribute__((aligned(64)));

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
};

/** 0 or -ENOMEM. */
int rk_tickets_init(struct rk_tickets *tickets, uint32_t capacity);
void rk_tickets_finish(struct rk_tickets *tickets);

/** A RESERVED ticket with a new id, or NULL when all are in use. */
struct rk_ticket *rk_ticket_take(struct rk_tickets *tickets);
void rk_ticket_put(struct rk_tickets *tickets, struct rk_ticket *ticket);

static inline uint32_t rk_ticket_index(const struct rk_tickets *tickets, const struct rk_ticket *ticket)
{
    return (uint32_t)(ticket - tickets->table);
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
void rk_list_remove(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket);
/** First of the list, or NULL. */
static inline struct rk_ticket *rk_list_first(const struct rk_tickets *tickets, const struct rk_ticket_list *list)
{
    return list->head == RK_TICKET_NONE ? NULL : &tickets->table[list->head];
}

#endif
