/* SPDX-License-Identifier: MIT */
/* The ticket table: numbers that are not used twice, a bound, and the lists. */
#include "ticket.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAPACITY 8u

static struct rk_tickets tickets;

static int set_up(void **state)
{
    (void)state;
    return rk_tickets_init(&tickets, CAPACITY);
}

static int tear_down(void **state)
{
    (void)state;
    rk_tickets_finish(&tickets);
    return 0;
}

static void test_table_gives_what_it_has_and_no_more(void **state)
{
    struct rk_ticket *taken[CAPACITY];
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CAPACITY; i++) {
            taken[i] = rk_ticket_take(&tickets);
            assert_non_null(taken[i]);
            assert_int_equal(taken[i]->state, RK_TICKET_RESERVED);
            assert_int_equal(taken[i]->flags, 0);
            for (unsigned j = 0; j < i; j++) assert_ptr_not_equal(taken[i], taken[j]);
            assert_int_equal(rk_ticket_index(&tickets, taken[i]), taken[i] - tickets.table);
        }
        assert_int_equal(tickets.used, CAPACITY);
        assert_null(rk_ticket_take(&tickets));
        assert_int_equal(tickets.used, CAPACITY);
        for (unsigned i = 0; i < CAPACITY; i++) rk_ticket_put(&tickets, taken[i]);
        assert_int_equal(tickets.used, 0);
    }
}

static void test_number_of_a_freed_ticket_finds_nothing(void **state)
{
    (void)state;
    struct rk_ticket *first = rk_ticket_take(&tickets);
    uint64_t id = first->id;
    assert_ptr_equal(rk_ticket_find(&tickets, id), first);
    rk_ticket_put(&tickets, first);
    assert_null(rk_ticket_find(&tickets, id));
    struct rk_ticket *second = rk_ticket_take(&tickets);
    assert_ptr_equal(second, first); /* the same entry */
    assert_int_not_equal(second->id, id);
    assert_null(rk_ticket_find(&tickets, id));
    assert_ptr_equal(rk_ticket_find(&tickets, second->id), second);
}

static void test_invented_numbers_find_nothing(void **state)
{
    (void)state;
    struct rk_ticket *ticket = rk_ticket_take(&tickets);
    assert_null(rk_ticket_find(&tickets, 0));
    assert_null(rk_ticket_find(&tickets, UINT64_MAX));
    assert_null(rk_ticket_find(&tickets, ticket->id + 1));
    assert_null(rk_ticket_find(&tickets, ticket->id + CAPACITY));
    assert_null(rk_ticket_find(&tickets, ticket->id + (1ull << 32)));
    assert_null(rk_ticket_find(&tickets, ticket->id - (1ull << 32)));
}

static void test_generation_survives_its_wrap(void **state)
{
    (void)state;
    struct rk_ticket *ticket = rk_ticket_take(&tickets);
    ticket->id = (0xffffffffull << 32) | rk_ticket_index(&tickets, ticket);
    uint64_t last = ticket->id;
    rk_ticket_put(&tickets, ticket);
    ticket = rk_ticket_take(&tickets);
    assert_int_equal(ticket->id >> 32, 0);
    assert_int_equal(rk_ticket_index(&tickets, ticket), (uint32_t)last);
    assert_ptr_equal(rk_ticket_find(&tickets, ticket->id), ticket);
    assert_null(rk_ticket_find(&tickets, last));
}

/* The list holds exactly these, in this order, both ways. */
static void holds(const struct rk_ticket_list *list, struct rk_ticket *const *expected, uint32_t count)
{
    assert_int_equal(list->count, count);
    uint32_t at = list->head;
    for (uint32_t i = 0; i < count; i++) {
        assert_ptr_equal(&tickets.table[at], expected[i]);
        at = tickets.table[at].next;
    }
    assert_int_equal(at, RK_TICKET_NONE);
    at = list->tail;
    for (uint32_t i = count; i-- > 0;) {
        assert_ptr_equal(&tickets.table[at], expected[i]);
        at = tickets.table[at].previous;
    }
    assert_int_equal(at, RK_TICKET_NONE);
    assert_ptr_equal(rk_list_first(&tickets, list), count > 0 ? expected[0] : NULL);
}

static void test_lists_keep_their_order(void **state)
{
    struct rk_ticket *t[4];
    struct rk_ticket_list list;
    (void)state;
    for (unsigned i = 0; i < 4; i++) t[i] = rk_ticket_take(&tickets);
    rk_list_init(&list);
    holds(&list, NULL, 0);
    rk_list_push_back(&tickets, &list, t[1]);
    rk_list_push_back(&tickets, &list, t[2]);
    rk_list_push_front(&tickets, &list, t[0]);
    rk_list_push_back(&tickets, &list, t[3]);
    holds(&list, t, 4);
    rk_list_remove(&tickets, &list, t[1]);
    holds(&list, (struct rk_ticket *[]){t[0], t[2], t[3]}, 3);
    rk_list_remove(&tickets, &list, t[0]);
    holds(&list, (struct rk_ticket *[]){t[2], t[3]}, 2);
    rk_list_remove(&tickets, &list, t[3]);
    holds(&list, &t[2], 1);
    rk_list_remove(&tickets, &list, t[2]);
    holds(&list, NULL, 0);
    rk_list_push_front(&tickets, &list, t[3]);
    holds(&list, &t[3], 1);
}

static void test_largest_table_is_made_and_an_empty_one_gives_nothing(void **state)
{
    struct rk_tickets large;
    (void)state;
    assert_int_equal(rk_tickets_init(&large, RASK_QUEUE_MAX_LIMIT), 0); /* untouched memory costs nothing */
    assert_int_equal(large.fresh, 0);
    rk_tickets_finish(&large);
    rk_tickets_finish(&large);
    assert_null(rk_ticket_take(&large));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_table_gives_what_it_has_and_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_number_of_a_freed_ticket_finds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_invented_numbers_find_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_generation_survives_its_wrap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lists_keep_their_order, set_up, tear_down),
        cmocka_unit_test(test_largest_table_is_made_and_an_empty_one_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
