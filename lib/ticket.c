/* SPDX-License-Identifier: MIT */
/* The ticket table and the lists of tickets; see ticket.h. Private memory only. */
#include "ticket.h"
#include "layout.h"
#include <errno.h>
#include <stdlib.h>

/** How many tickets have room for a response. */
static uint32_t copies_of(const struct rk_tickets *tickets)
{
    return tickets->capacity < RK_COPIES_MAX ? tickets->capacity : RK_COPIES_MAX;
}

int rk_tickets_init(struct rk_tickets *tickets, uint32_t capacity)
{
    size_t bytes = (size_t)capacity * sizeof *tickets->table;
    *tickets = (struct rk_tickets){.capacity = capacity, .free_head = RK_TICKET_NONE};
    tickets->state = RK_TICKET_RESERVED;
    tickets->kind = RK_REQUEST_CALL;
    tickets->table = aligned_alloc(_Alignof(struct rk_ticket), bytes);
    if (tickets->table == NULL) return -ENOMEM;
    /* Now, as to submit enters the kernel for nothing. Without it all payloads go by blocks. */
    tickets->copies = aligned_alloc(64, (size_t)copies_of(tickets) * RK_PAIR_ROOM);
    return 0;
}

void rk_tickets_finish(struct rk_tickets *tickets)
{
    free(tickets->table);
    free(tickets->copies);
    *tickets = (struct rk_tickets){.free_head = RK_TICKET_NONE};
}

void *rk_ticket_copy(struct rk_tickets *tickets, const struct rk_ticket *ticket)
{
    uint32_t index = rk_ticket_index(tickets, ticket);
    return tickets->copies != NULL && index < RK_COPIES_MAX ? tickets->copies + (size_t)index * RK_PAIR_ROOM : NULL;
}

struct rk_ticket *rk_ticket_fresh(struct rk_tickets *tickets)
{
    if (tickets->fresh >= tickets->capacity) return NULL;
    struct rk_ticket *ticket = &tickets->table[tickets->fresh];
    ticket->id = tickets->fresh++;
    ticket->deadline_ns = 0;
    ticket->read = NULL;
    ticket->view_of = NULL;
    ticket->wishes = ticket->retries = 0;
    return ticket;
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

void rk_list_put_before(struct rk_tickets *tickets, struct rk_ticket_list *list, struct rk_ticket *ticket,
                        struct rk_ticket *behind)
{
    if (behind->previous == RK_TICKET_NONE) {
        rk_list_push_front(tickets, list, ticket);
        return;
    }
    uint32_t index = rk_ticket_index(tickets, ticket);
    ticket->next = rk_ticket_index(tickets, behind);
    ticket->previous = behind->previous;
    tickets->table[behind->previous].next = index;
    behind->previous = index;
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
