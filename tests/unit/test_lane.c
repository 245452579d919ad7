/* SPDX-License-Identifier: MIT */
/* A client against a worker that writes what it likes into its response segment. Whatever it is, the session ends in
 * words, every request ends once, and none that may have run is called "not executed". */
#include "forged_worker.h"

#define REQUESTS 3u

static uint64_t tickets[REQUESTS];
static const struct rk_request_slot *slots[REQUESTS];

static int tear_down(void **state)
{
    (void)state;
    forged_stop();
    return 0;
}

/* A session with REQUESTS requests in the worker's hands. */
static struct forged_lane *three_entered(void)
{
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < REQUESTS; i++) tickets[i] = submit(1, (uint8_t)i, 0, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) slots[i] = forged_take(lane);
    return lane;
}

/* The lie was noticed: the session is over, with these words, and everything that was entered is "maybe". */
static void session_ended(unsigned from, const char *words)
{
    struct rask_request request;
    for (unsigned i = from; i < REQUESTS; i++) ends_as(tickets[i], RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(rask_pending(forged.session), 0);
    assert_int_equal(rask_reserve(forged.session, 1, &request), -ENOTCONN);
    if (strstr(rask_last_error(), words) == NULL) fail_msg("\"%s\" does not say %s", rask_last_error(), words);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
}

/* What a hostile worker changes in an honest response. */
struct lie {
    const char *name;
    int32_t ticket; /* added */
    uint16_t status;
    uint16_t next;
    uint8_t kind;
};

static const struct lie lies[] = {
    {"a later ticket", 1, 0, 1, RK_RESPONSE_REPLY},
    {"an earlier ticket", -1, 0, 1, RK_RESPONSE_REPLY},
    {"ticket of another kind", 1, 0, 1, RK_RESPONSE_SKIPPED},
    {"kind 0", 0, 0, 1, 0},
    {"kind 3", 0, 0, 1, 3},
    {"kind 255", 0, 0, 1, 255},
    {"first status past the last", 0, RASK_STATUS_COUNT, 1, RK_RESPONSE_REPLY},
    {"status 65535", 0, UINT16_MAX, 1, RK_RESPONSE_REPLY},
    {"first slot past the last", 0, 0, SLOTS, RK_RESPONSE_REPLY},
    {"slot 65533", 0, 0, RK_SLOT_PAIR - 1, RK_RESPONSE_REPLY},
};

static void test_client_refuses_responses_it_did_not_ask_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct forged_lane *lane = three_entered();
        print_message("%s\n", lies[i].name);
        struct rk_response_slot *response = forged_response(lane, slots[0]);
        response->ticket += (uint32_t)lies[i].ticket;
        response->status = lies[i].status;
        response->next = lies[i].next;
        response->kind = lies[i].kind;
        forged_publish(lane, response);
        session_ended(0, "response of kind");
        if (i + 1 < sizeof lies / sizeof lies[0]) forged_stop();
    }
}

static void test_responses_before_the_lie_are_delivered(void **state)
{
    struct rask_completion done;
    (void)state;
    struct forged_lane *lane = three_entered();
    forged_reply(lane, slots[0], RASK_OK);
    struct rk_response_slot *response = forged_response(lane, slots[1]);
    response->kind = 77;
    forged_publish(lane, response);
    ends_as(tickets[0], RASK_OK, RASK_EXECUTED_YES, &done);
    rask_release(forged.session, &done);
    session_ended(1, "response of kind 77");
}

static void test_reply_to_a_retracted_request_is_refused(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < REQUESTS; i++) tickets[i] = submit(1, (uint8_t)i, 0, NULL);
    assert_int_equal(rask_cancel(forged.session, tickets[0]), 0);
    ends_as(tickets[0], RASK_CANCELLED, RASK_EXECUTED_NO, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) slots[i] = forged_take(lane);
    assert_int_equal(slots[0]->cancel, RK_CANCEL_STOP);
    forged_reply(lane, slots[0], RASK_OK); /* it claims to have run it */
    session_ended(1, "response of kind 1");
}

static void test_skipped_responses_to_retracted_requests_are_passed_over(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < REQUESTS; i++) tickets[i] = submit(1, (uint8_t)i, 0, NULL);
    assert_int_equal(rask_cancel(forged.session, tickets[1]), 0);
    ends_as(tickets[1], RASK_CANCELLED, RASK_EXECUTED_NO, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) {
        slots[i] = forged_take(lane);
        struct rk_response_slot *response = forged_response(lane, slots[i]);
        if (i == 1) response->kind = RK_RESPONSE_SKIPPED;
        forged_publish(lane, response);
    }
    ends_as(tickets[0], RASK_OK, RASK_EXECUTED_YES, NULL);
    ends_as(tickets[2], RASK_OK, RASK_EXECUTED_YES, NULL);
}

/* The worker stores a `taken` that cannot be, and answers nothing; then one request is cancelled. */
static void taken_is_refused(uint64_t before, uint64_t after)
{
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < REQUESTS; i++) tickets[i] = submit(1, (uint8_t)i, 0, NULL);
    rk_store_release(&lane->header->taken, before);
    assert_int_equal(rask_cancel(forged.session, tickets[2]), 0); /* looks at `taken` */
    ends_as(tickets[2], RASK_CANCELLED, RASK_EXECUTED_NO, NULL);
    rk_store_release(&lane->header->taken, after);
    assert_int_equal(rask_cancel(forged.session, tickets[1]), 0);
    ends_as(tickets[0], RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    ends_as(tickets[1], RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(rask_pending(forged.session), 0);
}

static void test_taken_that_runs_backwards_counts_everything_as_entered(void **state)
{
    (void)state;
    taken_is_refused(1, 0);
}

static void test_taken_past_what_was_published_counts_everything_as_entered(void **state)
{
    (void)state;
    taken_is_refused(0, REQUESTS + 1);
    forged_stop();
    taken_is_refused(1, UINT64_MAX);
}

static void test_dead_worker_with_a_false_taken_has_run_everything(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < REQUESTS; i++) tickets[i] = submit(1, (uint8_t)i, 0, NULL);
    rk_store_release(&lane->header->taken, 1u << 20);
    forged_die(lane, true);
    for (unsigned i = 0; i < REQUESTS; i++) ends_as(tickets[i], RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
}

/* Blocks. `bytes` is the size of the response segment, set by the test. */
struct bad_block {
    const char *name;
    uint64_t offset;
    uint64_t from_end; /* offset counts back from the end */
    uint32_t segment;
    uint32_t index;
    uint32_t length;
};

static const struct bad_block bad_blocks[] = {
    {"second segment past the last", RK_PAGE_BYTES, 0, RK_SEGMENTS_MAX + 1, 0, 100},
    {"segment -1", RK_PAGE_BYTES, 0, UINT32_MAX, 0, 100},
    {"first block past the last", RK_PAGE_BYTES, 0, 0, RK_RESPONSE_BLOCKS_MAX, 100},
    {"block -1", RK_PAGE_BYTES, 0, 0, UINT32_MAX, 100},
    {"the header page", 0, 0, 0, 0, 100},
    {"partly the header page", RK_PAGE_BYTES - RASK_BLOCK_BYTES_MIN, 0, 0, 0, 300},
    {"no block's start", RK_PAGE_BYTES + 1, 0, 0, 0, 100},
    {"one byte past the end", 0, RASK_BLOCK_BYTES_MIN, 0, 0, RASK_BLOCK_BYTES_MIN + 1},
    {"the end", 0, 0, 0, 0, 33},
    {"far past the end", 1ull << 40, 0, 0, 0, 100},
    {"an offset that wraps", 0ull - RASK_BLOCK_BYTES_MIN, 0, 0, 0, 2 * RASK_BLOCK_BYTES_MIN},
    {"longer than the segment", RK_PAGE_BYTES, 0, 0, 0, UINT32_MAX},
};

static void test_client_refuses_blocks_outside_the_slab(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_blocks / sizeof bad_blocks[0]; i++) {
        const struct bad_block *bad = &bad_blocks[i];
        struct forged_lane *lane = three_entered();
        print_message("%s\n", bad->name);
        bool back = bad->from_end != 0 || strcmp(bad->name, "the end") == 0;
        struct rk_response_slot *response = forged_response(lane, slots[0]);
        response->length = bad->length;
        response->payload.block = (struct rk_block_ref){
            .offset = back ? lane->response.bytes - bad->from_end : bad->offset,
            .segment = bad->segment,
            .index = bad->index,
            .generation = 1,
        };
        forged_publish(lane, response);
        session_ended(0, "not in its slab");
        if (i + 1 < sizeof bad_blocks / sizeof bad_blocks[0]) forged_stop();
    }
}

static void test_last_block_of_the_slab_is_read_in_place(void **state)
{
    struct rask_completion done;
    (void)state;
    struct forged_lane *lane = three_entered();
    uint8_t *block = (uint8_t *)lane->response.base + lane->response.bytes - RASK_BLOCK_BYTES_MIN;
    memset(block, 0x3c, RASK_BLOCK_BYTES_MIN);
    struct rk_response_slot *response = forged_response(lane, slots[0]);
    response->length = RASK_BLOCK_BYTES_MIN;
    response->payload.block = (struct rk_block_ref){
        .offset = lane->response.bytes - RASK_BLOCK_BYTES_MIN, .index = RK_RESPONSE_BLOCKS_MAX - 1, .generation = 9};
    forged_publish(lane, response);
    ends_as(tickets[0], RASK_OK, RASK_EXECUTED_YES, &done);
    assert_int_equal(done.length, RASK_BLOCK_BYTES_MIN);
    assert_memory_equal(done.data, block, done.length);
    block[5] = 0x11; /* in place: a later write shows */
    assert_int_equal(((const uint8_t *)done.data)[5], 0x11);
    const struct rk_lane_request *page =
        (const void *)((const uint8_t *)forged.request.base + rk_request_lane_offset(&forged.params, lane->number));
    assert_int_equal(page->released[RK_RESPONSE_BLOCKS_MAX - 1], 0);
    rask_release(forged.session, &done);
    assert_int_equal(page->released[RK_RESPONSE_BLOCKS_MAX - 1], 9);
    rask_release(forged.session, &done);
}

static void test_response_waits_for_the_segment_it_names(void **state)
{
    struct rk_segment extra;
    struct rask_completion done;
    (void)state;
    struct forged_lane *lane = three_entered();
    assert_int_equal(rk_segment_create(&extra, RK_SEGMENT_RESPONSE_EXTRA, 2 * RK_PAGE_BYTES), 0);
    memset((uint8_t *)extra.base + RK_PAGE_BYTES, 0x77, RK_PAGE_BYTES);
    struct rk_response_slot *response = forged_response(lane, slots[0]);
    response->length = RK_PAGE_BYTES;
    response->payload.block = (struct rk_block_ref){.offset = RK_PAGE_BYTES, .segment = 5, .generation = 1};
    forged_publish(lane, response);
    assert_int_equal(rask_wait(forged.session, tickets[0], rask_now_ns() + 5 * MS, &done), -ETIMEDOUT);
    struct rk_message_segment message = {
        .session = 3, .lane = lane->number, .kind = RK_SEGMENT_RESPONSE_EXTRA, .id = 5, .bytes = extra.bytes};
    forged_send(&message, RK_SEGMENT, sizeof message, &extra.fd, 1);
    ends_as(tickets[0], RASK_OK, RASK_EXECUTED_YES, &done);
    assert_memory_equal(done.data, (uint8_t *)extra.base + RK_PAGE_BYTES, RK_PAGE_BYTES);
    rask_release(forged.session, &done);
    rk_segment_finish(&extra);
}

/* Announced extra segments that are not what they claim, or that nobody can place. */
static void segment_is_refused(uint32_t id, uint64_t bytes, bool sealed)
{
    struct rk_segment extra;
    three_entered();
    assert_int_equal(rk_segment_create(&extra, sealed ? RK_SEGMENT_RESPONSE_EXTRA : RK_SEGMENT_BELL, 2 * RK_PAGE_BYTES),
                     0);
    struct rk_message_segment message = {
        .session = 3, .lane = 0, .kind = RK_SEGMENT_RESPONSE_EXTRA, .id = id, .bytes = bytes};
    forged_send(&message, RK_SEGMENT, sizeof message, &extra.fd, 1);
    session_ended(0, "extra response");
    rk_segment_finish(&extra);
}

static void test_client_refuses_segments_that_do_not_fit(void **state)
{
    (void)state;
    segment_is_refused(0, 2 * RK_PAGE_BYTES, true);
    forged_stop();
    segment_is_refused(RK_SEGMENTS_MAX, 2 * RK_PAGE_BYTES, true);
    forged_stop();
    segment_is_refused(UINT32_MAX, 2 * RK_PAGE_BYTES, true);
    forged_stop();
    segment_is_refused(1, 3 * RK_PAGE_BYTES, true);
    forged_stop();
    segment_is_refused(1, 2 * RK_PAGE_BYTES, false);
}

static void test_rings_wrap_without_losing_anything(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < 70000; i++) { /* past 2^16: the low bits of `consumed` come round */
        struct rask_completion done;
        uint64_t ticket = submit(1, (uint8_t)i, 0, NULL);
        const struct rk_request_slot *slot = forged_take(lane);
        assert_int_equal(slot->payload.bytes[0], (uint8_t)i);
        assert_int_equal(slot->consumed, (uint16_t)i);
        forged_reply(lane, slot, RASK_OK);
        assert_int_equal(rask_poll(forged.session, &done, 1), 1);
        assert_int_equal(done.ticket, ticket);
        rask_release(forged.session, &done);
    }
}

/* A worker rings once for each number: one that comes again would be a sleep that nobody ends. */
static void test_sleeps_keep_their_numbers_when_a_worker_needs_fences(void **state)
{
    (void)state;
    struct rask_completion done;
    forged_start(2, NULL);
    uint64_t first = submit(1, 0, 0, NULL);
    struct forged_lane *lane = forged_open_lane();
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rask_wait(forged.session, first, rask_now_ns() + MS, &done), -ETIMEDOUT);
    const uint64_t *word = &((const struct rk_request_header *)forged.request.base)->client.state;
    uint64_t sleeps = *word / RK_WAITER_SLEEP;
    assert_true(sleeps >= 3);
    for (unsigned i = 1; i < SLOTS; i++) submit(1, (uint8_t)i, 0, NULL); /* too many for one lane */
    forged.needs_fence = true;
    assert_ptr_not_equal(forged_open_lane(), lane);
    assert_int_equal(*word & RK_WAITER_FENCED, RK_WAITER_FENCED);
    assert_int_equal(*word / RK_WAITER_SLEEP, sleeps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_client_refuses_responses_it_did_not_ask_for, tear_down),
        cmocka_unit_test_teardown(test_responses_before_the_lie_are_delivered, tear_down),
        cmocka_unit_test_teardown(test_reply_to_a_retracted_request_is_refused, tear_down),
        cmocka_unit_test_teardown(test_skipped_responses_to_retracted_requests_are_passed_over, tear_down),
        cmocka_unit_test_teardown(test_taken_that_runs_backwards_counts_everything_as_entered, tear_down),
        cmocka_unit_test_teardown(test_taken_past_what_was_published_counts_everything_as_entered, tear_down),
        cmocka_unit_test_teardown(test_dead_worker_with_a_false_taken_has_run_everything, tear_down),
        cmocka_unit_test_teardown(test_client_refuses_blocks_outside_the_slab, tear_down),
        cmocka_unit_test_teardown(test_last_block_of_the_slab_is_read_in_place, tear_down),
        cmocka_unit_test_teardown(test_response_waits_for_the_segment_it_names, tear_down),
        cmocka_unit_test_teardown(test_client_refuses_segments_that_do_not_fit, tear_down),
        cmocka_unit_test_teardown(test_rings_wrap_without_losing_anything, tear_down),
        cmocka_unit_test_teardown(test_sleeps_keep_their_numbers_when_a_worker_needs_fences, tear_down),
    };
    rk_membarrier_register();
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
