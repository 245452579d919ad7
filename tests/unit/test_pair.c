/* SPDX-License-Identifier: MIT */
/* Payloads that travel in the pair, as the client sees it: what a worker may answer there and what not, that an answer in the
 * caller's hands stays as it is, and that every block comes back. */
#include "forged_worker.h"

#define BYTES 1000u

/* One request with nothing else in flight: the first of a lane goes by the ring, the following by the pair. */
static const struct rk_request_slot *sent(struct forged_lane *lane, uint8_t fill, uint64_t *ticket)
{
    *ticket = submit(BYTES, fill, 0, NULL);
    return forged_take(lane);
}

static void be_warm(struct forged_lane *lane)
{
    uint64_t ticket;
    forged_reply(lane, sent(lane, 0, &ticket), RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
}

static bool in_pair(const struct forged_lane *lane, const void *slot)
{
    return (uintptr_t)slot - (uintptr_t)lane->pair < sizeof *lane->pair;
}

/* The next response is in the pair, and says that its payload lies behind it. */
static struct rk_response_slot *answer_in_pair(struct forged_lane *lane, const struct rk_request_slot *slot,
                                               uint32_t length, uint8_t fill)
{
    struct rk_response_slot *response = forged_response(lane, slot);
    response->next = RK_SLOT_PAIR; /* always the same place */
    response->length = length;
    response->payload.block = (struct rk_block_ref){.segment = RK_SEGMENT_IN_PAIR};
    memset(response + 1, fill, length < RK_PAIR_ROOM ? length : RK_PAIR_ROOM);
    return response;
}

/* forged_response() and forged_publish() walk through the ring; here the slot of the next response is one of the pair. */
static void go_to_pair(struct forged_lane *lane)
{
    uint64_t ticket;
    const struct rk_request_slot *slot = sent(lane, 0, &ticket);
    struct rk_response_slot *response = forged_response(lane, slot);
    response->next = RK_SLOT_PAIR;
    forged_publish(lane, response);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    lane->responses = (void *)(uintptr_t)&lane->pair->response[0].slot;
    lane->slot = 0;
}

static struct forged_lane *ready(void)
{
    struct forged_lane *lane = forged_alone(NULL);
    be_warm(lane);
    go_to_pair(lane);
    return lane;
}

static void all_are(const uint8_t *bytes, uint8_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) assert_int_equal(bytes[i], value);
}

static void test_request_is_in_its_block_and_behind_its_slot(void **state)
{
    (void)state;
    uint64_t ticket;
    struct forged_lane *lane = ready();
    const struct rk_request_slot *slot = sent(lane, 7, &ticket);
    assert_true(in_pair(lane, slot));
    assert_int_equal(slot->payload.block.room, RK_PAIR_ROOM);
    all_are(forged_bytes(slot), 7, BYTES);
    all_are((const uint8_t *)(slot + 1), 7, BYTES);
}

static void test_second_in_flight_is_in_its_block_alone(void **state)
{
    (void)state;
    uint64_t first, second, third;
    struct forged_lane *lane = ready();
    first = submit(BYTES, 1, 0, NULL);
    second = submit(BYTES, 2, 0, NULL);
    third = submit(BYTES, 3, 0, NULL);
    assert_true(in_pair(lane, forged_take(lane)));
    assert_true(in_pair(lane, forged_take(lane))); /* its slot was named when there was one */
    const struct rk_request_slot *slot = forged_take(lane);
    assert_false(in_pair(lane, slot));
    assert_int_equal(slot->payload.block.room, 0);
    all_are(forged_bytes(slot), 3, BYTES);
    assert_true(first != second && second != third);
}

static void test_answer_in_hand_survives_the_next(void **state)
{
    (void)state;
    uint64_t ticket[3];
    struct rask_completion done[3];
    struct forged_lane *lane = ready();
    uint32_t used = forged.session->slab.used;
    for (unsigned i = 0; i < 3; i++) {
        const struct rk_request_slot *slot = sent(lane, (uint8_t)i, &ticket[i]);
        struct rk_response_slot *response = answer_in_pair(lane, slot, BYTES, (uint8_t)(100 + i));
        rk_store_release(&response->sequence, ++lane->answered);
        ends_as(ticket[i], RASK_OK, RASK_EXECUTED_YES, &done[i]);
        assert_int_equal(done[i].length, BYTES);
    }
    for (unsigned i = 0; i < 3; i++) all_are(done[i].data, (uint8_t)(100 + i), BYTES);
    assert_int_equal(forged.session->slab.used, used);
    for (unsigned i = 0; i < 3; i++) rask_release(forged.session, &done[i]);
}

/* The next incarnation finds an empty pair; what the caller has in hand is its own. */
static void test_answer_in_hand_survives_its_worker(void **state)
{
    (void)state;
    uint64_t ticket;
    struct rask_completion done;
    struct forged_lane *lane = ready();
    const struct rk_pair *pair = lane->pair;
    struct rk_response_slot *response = answer_in_pair(lane, sent(lane, 1, &ticket), BYTES, 77);
    rk_store_release(&response->sequence, ++lane->answered);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, &done);
    uint64_t other = submit(BYTES, 2, 0, NULL);
    forged_take(lane);
    forged_die(lane, true);
    ends_as(other, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
    for (size_t i = 0; i < sizeof *pair; i++) assert_int_equal(((const uint8_t *)pair)[i], 0);
    all_are(done.data, 77, BYTES);
    rask_release(forged.session, &done);
    assert_int_equal(forged.session->slab.used, 0);
}

static void test_answer_after_its_end_was_told_is_passed_over(void **state)
{
    (void)state;
    struct forged_lane *lane = ready();
    uint32_t used = forged.session->slab.used;
    uint64_t ticket = submit(BYTES, 5, rask_now_ns() + 2u * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(forged.session->slab.used, used + 1); /* the handler may still read it */
    struct rk_response_slot *response = answer_in_pair(lane, slot, BYTES, 9);
    rk_store_release(&response->sequence, ++lane->answered);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    assert_int_equal(forged.session->slab.used, used);
}

/* To submit enters the kernel for no memory: the room for answers is there from the start, where there was memory for it. */
static void test_without_room_for_its_answer_a_request_is_in_its_block_alone(void **state)
{
    (void)state;
    uint64_t ticket;
    struct forged_lane *lane = ready();
    assert_non_null(forged.session->tickets.copies);
    free(forged.session->tickets.copies);
    forged.session->tickets.copies = NULL;
    for (unsigned i = 0; i < 3; i++) {
        const struct rk_request_slot *slot = sent(lane, (uint8_t)(i + 1), &ticket);
        assert_true(in_pair(lane, slot));
        assert_int_equal(slot->payload.block.room, 0);
        all_are(forged_bytes(slot), (uint8_t)(i + 1), BYTES);
        struct rk_response_slot *response = answer_in_pair(lane, slot, 0, 0);
        rk_store_release(&response->sequence, ++lane->answered);
        ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    }
    assert_null(forged.session->tickets.copies);
}

/* What answers in hand may take is bounded, however long the queue is. */
static void test_room_for_answers_is_bounded(void **state)
{
    (void)state;
    static struct rask_request request[RK_COPIES_MAX];
    struct rask_options options = RASK_OPTIONS_INIT;
    options.queue_max = RASK_QUEUE_MAX_LIMIT;
    struct forged_lane *lane = forged_alone(&options);
    be_warm(lane);
    for (unsigned i = 0; i < RK_COPIES_MAX; i++) assert_int_equal(rask_reserve(forged.session, 1, &request[i]), 0);
    uint64_t ticket;
    go_to_pair(lane);
    const struct rk_request_slot *slot = sent(lane, 1, &ticket);
    assert_int_equal((uint32_t)ticket, RK_COPIES_MAX);
    assert_true(in_pair(lane, slot));
    assert_int_equal(slot->payload.block.room, 0);
    rk_store_release(&answer_in_pair(lane, slot, 0, 0)->sequence, ++lane->answered);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    rask_abandon(forged.session, &request[RK_COPIES_MAX - 1]);
    assert_int_equal(sent(lane, 2, &ticket)->payload.block.room, RK_PAIR_ROOM);
}

/* The worker says of this answer that it lies behind its slot. */
static void refused(struct forged_lane *lane, uint64_t ticket, struct rk_response_slot *response)
{
    rk_store_release(&response->sequence, ++lane->answered);
    ends_as(ticket, RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    struct rask_request request;
    assert_int_equal(rask_reserve(forged.session, 1, &request), -ENOTCONN);
    if (strstr(rask_last_error(), "which was not agreed") == NULL) fail_msg("\"%s\"", rask_last_error());
}

static void test_longer_than_agreed_is_refused(void **state)
{
    (void)state;
    uint64_t ticket;
    struct forged_lane *lane = ready();
    const struct rk_request_slot *slot = sent(lane, 1, &ticket);
    refused(lane, ticket, answer_in_pair(lane, slot, RK_PAIR_ROOM + 1, 1));
}

static void test_to_a_request_without_a_block_it_is_refused(void **state)
{
    (void)state;
    struct forged_lane *lane = ready();
    uint64_t ticket = submit(8, 1, 0, NULL);
    refused(lane, ticket, answer_in_pair(lane, forged_take(lane), 100, 1));
}

static void test_from_the_ring_it_is_refused(void **state)
{
    (void)state;
    uint64_t ticket;
    struct forged_lane *lane = forged_alone(NULL);
    be_warm(lane);
    const struct rk_request_slot *slot = sent(lane, 1, &ticket);
    struct rk_response_slot *response = forged_response(lane, slot);
    response->length = 100;
    response->payload.block = (struct rk_block_ref){.segment = RK_SEGMENT_IN_PAIR};
    refused(lane, ticket, response);
}

static int end(void **state)
{
    (void)state;
    forged_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_request_is_in_its_block_and_behind_its_slot, end),
        cmocka_unit_test_teardown(test_second_in_flight_is_in_its_block_alone, end),
        cmocka_unit_test_teardown(test_answer_in_hand_survives_the_next, end),
        cmocka_unit_test_teardown(test_answer_in_hand_survives_its_worker, end),
        cmocka_unit_test_teardown(test_answer_after_its_end_was_told_is_passed_over, end),
        cmocka_unit_test_teardown(test_without_room_for_its_answer_a_request_is_in_its_block_alone, end),
        cmocka_unit_test_teardown(test_room_for_answers_is_bounded, end),
        cmocka_unit_test_teardown(test_longer_than_agreed_is_refused, end),
        cmocka_unit_test_teardown(test_to_a_request_without_a_block_it_is_refused, end),
        cmocka_unit_test_teardown(test_from_the_ring_it_is_refused, end),
    };
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
