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

/* The next request goes by the pair: slot 0 of it, by its number in a request of the ring. */
static struct rk_request_slot *by_pair(struct guest *g, uint32_t length, uint32_t room)
{
    struct rk_request_slot *first = fill(g, g->position);
    first->next = RK_SLOT_PAIR;
    publish(g, first);
    assert_int_equal(take(g), RK_TAKE_REQUEST);
    rk_served_reply(g->served, &g->handling, RASK_OK, 0);
    struct rk_request_slot *slot = &g->served->pair->request[0].slot;
    memset((uint8_t *)slot + sizeof slot->sequence, 0, sizeof *slot - sizeof slot->sequence);
    slot->ticket = (uint32_t)g->position + 1000;
    slot->kind = RK_REQUEST_CALL;
    slot->consumed = (uint16_t)g->position;
    slot->next = (uint16_t)g->slot;
    slot->length = length;
    slot->payload.block = (struct rk_block_ref){.offset = rk_request_slab_offset(&g->served->params), .room = room};
    rk_store_release(&slot->sequence, ++g->position);
    return slot;
}

static void test_payload_behind_its_slot_is_read_and_answered_there(void **state)
{
    (void)state;
    const struct rk_response_slot *answer = &one.served->pair->response[0].slot;
    struct rk_request_slot *slot = by_pair(&one, 1000, 1024);
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    assert_ptr_equal(one.handling.call.request, slot + 1);
    assert_ptr_equal(one.handling.whole,
                     (const uint8_t *)one.served->request[0].base + rk_request_slab_offset(&one.served->params));
    assert_ptr_equal(rk_served_reserve(one.served, &one.handling, 1024), answer + 1);
    assert_int_equal(one.handling.block, RK_BLOCK_NONE);
    one.handling.replied_bytes = 1001;
    rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    assert_int_equal(answer->length, 1001);
    assert_int_equal(answer->payload.block.segment, RK_SEGMENT_IN_PAIR);
}

static void test_short_answer_leaves_the_room_of_the_pair(void **state)
{
    (void)state;
    const struct rk_response_slot *answer = &one.served->pair->response[0].slot;
    by_pair(&one, 1000, 1024);
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    memcpy(rk_served_reserve(one.served, &one.handling, 100), "short", 6);
    one.handling.replied_bytes = 6;
    rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    assert_int_equal(answer->length, 6);
    assert_string_equal((const char *)answer->payload.bytes, "short");
}

static void test_what_was_not_agreed_goes_to_a_block(void **state)
{
    static const uint32_t rooms[] = {0, 1024, UINT32_MAX};
    static const uint32_t bytes[] = {100, 1025, RK_PAIR_ROOM + 1};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        by_pair(&one, 1000, rooms[i]);
        assert_int_equal(take(&one), RK_TAKE_REQUEST);
        assert_non_null(rk_served_reserve(one.served, &one.handling, bytes[i]));
        assert_int_not_equal(one.handling.block, RK_BLOCK_NONE);
        one.handling.replied_bytes = bytes[i];
        rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    }
    by_pair(&one, RK_PAIR_ROOM + 1, 1024); /* a request that cannot be there */
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    assert_ptr_equal(one.handling.call.request, one.handling.whole);
    assert_int_equal(one.handling.pair_room, 0);
}

static void test_room_is_for_slots_of_the_pair(void **state)
{
    (void)state;
    struct rk_request_slot *slot = fill(&one, 0);
    slot->length = 1000;
    slot->payload.block =
        (struct rk_block_ref){.offset = rk_request_slab_offset(&one.served->params), .room = RK_PAIR_ROOM};
    publish(&one, slot);
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    assert_ptr_equal(one.handling.call.request, one.handling.whole);
    assert_int_equal(one.handling.pair_room, 0);
}

/* Could the client write there? */
static bool clients_too(const struct guest *g, const void *room)
{
    return (uintptr_t)room - (uintptr_t)g->served->bell.base < g->served->bell.bytes;
}

static void test_reply_to_another_user_is_made_where_only_the_worker_writes(void **state)
{
    static const uint32_t bytes[] = {1, RASK_INLINE_BYTES, RASK_INLINE_BYTES + 1, 1000};
    (void)state;
    const struct rk_response_slot *answer = &one.served->pair->response[0].slot;
    one.served->snapshot = true;
    for (unsigned i = 0; i < 4; i++) {
        by_pair(&one, 1000, RK_PAIR_ROOM);
        assert_int_equal(take(&one), RK_TAKE_REQUEST);
        assert_ptr_equal(rk_served_response_slot(one.served), answer);
        uint8_t *room = rk_served_reserve(one.served, &one.handling, bytes[i]);
        if (clients_too(&one, room)) fail_msg("%u bytes are made in the client's sight", bytes[i]);
        memset(room, (int)i + 1, bytes[i]);
        one.handling.replied_bytes = bytes[i];
        rk_served_reply(one.served, &one.handling, RASK_OK, 0);
        assert_int_equal(answer->length, bytes[i]);
        if (bytes[i] > RASK_INLINE_BYTES)
            assert_int_equal(answer->payload.block.segment, 0);
        else
            for (unsigned k = 0; k < bytes[i]; k++) assert_int_equal(answer->payload.bytes[k], i + 1);
    }
}

/* There is one place for all sessions of a worker: what one handler wrote, the next does not send to somebody else. */
static void test_reply_to_another_user_has_no_bytes_of_others(void **state)
{
    static const uint8_t nothing[RASK_INLINE_BYTES];
    (void)state;
    one.served->snapshot = true;
    by_pair(&one, 8, 0);
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    memset(rk_served_reserve(one.served, &one.handling, RASK_INLINE_BYTES), 's', RASK_INLINE_BYTES);
    one.handling.replied_bytes = 1;
    rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    const struct rk_response_slot *answer = &one.served->pair->response[0].slot;
    assert_int_equal(answer->payload.bytes[0], 's');
    assert_int_not_equal(answer->payload.bytes[1], 's');
    by_pair(&one, 8, 0);
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    rk_served_reserve(one.served, &one.handling, RASK_INLINE_BYTES);
    one.handling.replied_bytes = RASK_INLINE_BYTES;
    rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    assert_memory_equal(answer->payload.bytes, nothing, RASK_INLINE_BYTES);
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
        cmocka_unit_test_setup_teardown(test_payload_behind_its_slot_is_read_and_answered_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_short_answer_leaves_the_room_of_the_pair, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_not_agreed_goes_to_a_block, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_is_for_slots_of_the_pair, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reply_to_another_user_is_made_where_only_the_worker_writes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_reply_to_another_user_has_no_bytes_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_handler_gets_no_more_room_than_it_asked_for, set_up, tear_down),
    };
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
