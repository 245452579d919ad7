/* SPDX-License-Identifier: MIT */
/* What a worker publishes: nothing that the client has not read is overwritten, room comes back when it is released and
 * not before, and one session never disturbs another. */
#include "forged_client.h"

static void test_marked_request_is_skipped_and_said_so(void **state)
{
    (void)state;
    struct rk_request_slot *slot = fill(&one, 0);
    slot->cancel = RK_CANCEL_RETRACT;
    publish(&one, slot);
    assert_int_equal(take(&one), RK_TAKE_SKIPPED);
    assert_int_equal(one.served->response_header->taken, 1); /* stored before the mark was read */
    assert_int_equal(response_at(&one, 0)->kind, RK_RESPONSE_SKIPPED);
    assert_int_equal(response_at(&one, 0)->ticket, slot->ticket);
    serve(&one, 10);
}

/* One turn of a worker that serves both, as its loop does it. */
static void serve_what_is_there(struct guest *g)
{
    while (rk_served_ready(g->served)) {
        if (rk_served_take(g->served, &g->handling) != RK_TAKE_REQUEST) return;
        void *room = rk_served_reserve(g->served, &g->handling, 4);
        memcpy(room, &g->handling.ticket, 4);
        g->handling.replied_bytes = 4;
        rk_served_reply(g->served, &g->handling, RASK_OK, 0);
    }
}

static void holds_answers(const struct guest *g, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct rk_response_slot *response = response_at(g, i);
        uint32_t ticket;
        memcpy(&ticket, response->payload.bytes, sizeof ticket);
        assert_int_equal(response->sequence, i + 1);
        assert_int_equal(response->ticket, 1000 + i);
        assert_int_equal(ticket, 1000 + i);
    }
}

static void test_client_that_stops_reading_stops_only_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++) publish(&one, fill(&one, 0)); /* as many as a client may have */
    serve_what_is_there(&one);
    assert_int_equal(one.served->position, MANY);
    holds_answers(&one, MANY);
    for (unsigned i = 0; i < 100; i++) { /* the other one is served meanwhile, */
        publish(&two, fill(&two, two.position));
        serve_what_is_there(&two);
        assert_int_equal(two.served->position, two.position);
    }
    holds_answers(&one, MANY);    /* and nothing the first has not read was overwritten */
    publish(&one, fill(&one, 0)); /* it sends more without having read: there is no room for the answer */
    refused(&one, "no room", "consumed 0");
    holds_answers(&one, MANY);
    publish(&two, fill(&two, two.position));
    assert_int_equal(take(&two), RK_TAKE_REQUEST);
}

static void test_blocks_come_back_when_they_are_released_only(void **state)
{
    (void)state;
    struct rk_lane_request *page =
        (void *)((uint8_t *)one.request.base + rk_request_lane_offset(&one.served->params, 1));
    const struct rk_response_slot *next = one.responses, *last = NULL;
    for (;;) { /* every block that a response of this size can have */
        publish(&one, fill(&one, one.position));
        assert_int_equal(take(&one), RK_TAKE_REQUEST);
        if (rk_served_reserve(one.served, &one.handling, 3000) == NULL) break;
        one.handling.replied_bytes = 3000;
        rk_served_reply(one.served, &one.handling, RASK_OK, 0);
        last = next;
        next = response_behind(&one, last);
        assert_true(one.position < 1000);
    }
    assert_true(one.handling.too_large);
    assert_non_null(last);
    assert_int_equal(last->length, 3000);
    struct rk_block_ref block = last->payload.block;
    rk_store_release(&page->released[block.index], block.generation - 1); /* an earlier use */
    assert_null(rk_served_reserve(one.served, &one.handling, 3000));
    rk_store_release(&page->released[block.index], block.generation);
    const uint8_t *again = rk_served_reserve(one.served, &one.handling, 3000);
    assert_ptr_equal(again, (const uint8_t *)one.served->response[0].base + block.offset);
}

static void test_handler_gets_no_more_room_than_it_asked_for(void **state)
{
    (void)state;
    publish(&one, fill(&one, 0));
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    assert_null(rk_served_reserve(one.served, &one.handling, PAYLOAD_BYTES_MAX + 1));
    assert_true(one.handling.too_large);
    assert_null(rk_served_reserve(one.served, &one.handling, SIZE_MAX));
    uint8_t *small = rk_served_reserve(one.served, &one.handling, 1);
    assert_non_null(small);
    assert_false(one.handling.too_large);
    uint32_t used = one.served->slab.used;
    for (unsigned i = 0; i < 100; i++) { /* asking again gives the earlier room back */
        assert_non_null(rk_served_reserve(one.served, &one.handling, 1000));
        assert_int_equal(one.served->slab.used, used + 1);
    }
    assert_non_null(rk_served_reserve(one.served, &one.handling, 0));
    assert_int_equal(one.served->slab.used, used);
    rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    assert_int_equal(response_at(&one, 0)->length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_marked_request_is_skipped_and_said_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_that_stops_reading_stops_only_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocks_come_back_when_they_are_released_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_handler_gets_no_more_room_than_it_asked_for, set_up, tear_down),
    };
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
