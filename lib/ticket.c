/* SPDX-License-Identifier: MIT */
/* The ticket table and the lists of tickets; see ticket.h. Private memory only. */
#include "ticket.h"
#include "check.h"
#include <errno.h>
#include <stdlib.h>

int rk_tickets_init(struct rk_tickets *tickets, uint32_t capacity)
{
    size_t bytes = (size_t)capacity * sizeof *tickets->table;
    *tickets = (struct rk_tickets){.capacity = capacity, .free_head = RK_TICKET_NONE};
    tickets->table = aligned_alloc(_Alignof(struct rk_ticket), bytes);
    return tickets->table == NULL ? -ENOMEM : 0;
}

void rk_tickets_finish(struct rk_tickets *tickets)
{
    free(tickets->table);
    *tickets = (struct rk_tickets){.free_head = RK_TICKET_NONE};
}

struct rk_ticket *rk_ticket_take(struct rk_tickets *tickets)
{
    struct rk_ticket *ticket;
    if (RK_LIKELY(tickets->free_head != RK_TICKET_NONE)) {
        ticket = &tickets->table[tickets->free_head];
        tickets->free_head = ticket->next;
    } else if (tickets->fresh < tickets->capacity) {
        ticket = &tickets->table[tickets->fresh];
        ticket->id = tickets->fresh++;
    } else {
        return NULL;
    }
    ticket->id += 1ull << 32; /* a generation wraps after 2^32 uses of one entry: hours of nothing else */
    ticket->state = RK_TICKET_RESERVED;
    ticket->may_have_run = false;
    ticket->lane_holds = false;
    ticket->user_cancelled = false;
    ticket->orphan = false;
    ticket->deadline_ns = 0;
    ticket->read = NULL;
    ticket->view_of = NULL;
    tickets->used++;
    return ticket;
}

void rk_ticket_put(struct rk_tickets *tickets, struct rk_ticket *ticket)
{
    ticket->state = RK_TICKET_FREE;
    ticket->next = tickets->free_head;
    tickets->free_head = rk_ticket_index(tickets, ticket);
    tickets->used--;
}

void rk_list_init(struct rk_ticket_list *list)
{
    *list = (struct rk_ticket_list){.head = RK_TICKET_NONE, .tail = RK_TICKET_NONE};
}

void rk_list_push_back(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket)
{
    uint32_t index = rk_ticket_index(tickets, ticket);
    ticket->next = RK_TICKET_NONE;
    ticket->previous = list->tail;
    if (list->tail == RK_TICKET_NONE)
        list->head = index;
    else
        tickets->table[list->tail].next = index;
    list->tail = index;
    list->count++;
}

void rk_list_push_front(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket)
{
    uint32_t index = rk_ticket_index(tickets, ticket);
    ticket->next = list->head;
    ticket->previous = RK_TICKET_NONE;
    if (list->head == RK_TICKET_NONE)
        list->tail = index;
    else
        tickets->table[list->head].previous = index;
    list->head = index;
    list->count++;
}

void rk_list_remove(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket)
{
    if (ticket->previous == RK_TICKET_NONE)
        list->head = ticket->next;
    else
        tickets->table[ticket->previous].next = ticket->next;
    if (ticket->next == RK_TICKET_NONE)
        list->tail = ticket->previous;
    else
        tickets->table[ticket->next].previous = ticket->previous;
    list->count--;
}
