/* SPDX-License-Identifier: MIT */
/* Every way a request ends without an answer, step by step: what is said about execution, and when its number and its
 * block may be used again. The worker and the supervisor are the test itself. */
#include "forged_worker.h"

#define BLOCK 4096u /* requests of this size have a block of their own */

static int tear_down(void **state)
{
    (void)state;
    forged_stop();
    return 0;
}

/* A slab that does not grow. */
static struct forged_lane *small_slab(void)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.slab_bytes = options.slab_bytes_max = RASK_SLAB_BYTES_MIN;
    return forged_alone(&options);
}

/* Reserves all blocks of the size, writes over them, and gives them back; was `data` among them? */
static bool is_free(const void *data)
{
    struct rask_request request[64];
    unsigned count = 0;
    bool found = false;
    while (count < 64 && rask_reserve(forged.session, BLOCK, &request[count]) == 0) {
        memset(request[count].data, 0xee, BLOCK);
        found |= request[count++].data == data;
    }
    assert_true(count < 64);
    while (count > 0) assert_int_equal(rask_abandon(forged.session, &request[--count]), 0);
    return found;
}

static void all_bytes_are(const uint8_t *bytes, uint8_t expected)
{
    for (unsigned i = 0; i < BLOCK; i++) assert_int_equal(bytes[i], expected);
}

static void end_supervisor(const char *why)
{
    struct rk_message_text ended = {.reason = RK_REFUSED_PROTOCOL};
    snprintf(ended.text, sizeof ended.text, "%s", why);
    forged_send(&ended, RK_ENDED, sizeof ended, NULL, 0);
}

/* --- blocks --- */

static void test_block_of_a_timed_out_request_is_not_reused(void **state)
{
    void *data;
    (void)state;
    struct forged_lane *lane = small_slab();
    uint64_t ticket = submit(BLOCK, 0xaa, rask_now_ns() + 30 * MS, &data);
    const struct rk_request_slot *slot = forged_take(lane);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, NULL); /* and is released */
    assert_int_equal(slot->cancel & RK_CANCEL_STOP, RK_CANCEL_STOP);
    assert_false(is_free(data));
    all_bytes_are(forged_bytes(slot), 0xaa); /* what the handler still reads */
    forged_reply(lane, slot, RASK_OK);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    assert_true(is_free(data));
}

static void test_block_held_by_a_dead_worker_is_free_after_its_death(void **state)
{
    struct rask_completion done;
    void *data;
    (void)state;
    struct forged_lane *lane = small_slab();
    uint64_t ticket = submit(BLOCK, 0xaa, rask_now_ns() + 30 * MS, &data);
    forged_take(lane);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, &done); /* not released yet */
    forged_die(lane, true);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    assert_true(is_free(data));
    rask_release(forged.session, &done);
    assert_true(is_free(data));
}

static void test_block_of_a_request_that_never_started_is_free_at_once(void **state)
{
    void *data;
    (void)state;
    small_slab();
    uint64_t ticket = submit(BLOCK, 0xaa, 0, &data);
    assert_int_equal(rask_cancel(forged.session, ticket), 0);
    ends_as(ticket, RASK_CANCELLED, RASK_EXECUTED_NO, NULL);
    assert_true(is_free(data));
    ticket = submit(BLOCK, 0xaa, rask_now_ns() + 30 * MS, &data);
    ends_as(ticket, RASK_EXPIRED, RASK_EXECUTED_NO, NULL);
    assert_true(is_free(data));
}

static void test_number_of_a_timed_out_request_is_not_reused(void **state)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_request request;
    (void)state;
    options.queue_max = 1;
    struct forged_lane *lane = forged_alone(&options);
    uint64_t ticket = submit(1, 1, rask_now_ns() + 30 * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(rask_reserve(forged.session, 1, &request), -EAGAIN); /* the lane still refers to it */
    forged_reply(lane, slot, RASK_OK);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    assert_int_equal(rask_reserve(forged.session, 1, &request), 0);
    assert_int_not_equal(request.ticket, ticket);
    assert_int_equal(rask_abandon(forged.session, &request), 0);
}

static void test_late_response_does_not_change_what_was_reported(void **state)
{
    struct rask_completion done;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = submit(1, 1, rask_now_ns() + 30 * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, &done);
    struct rk_response_slot *response = forged_response(lane, slot);
    response->length = 200; /* in a block, which goes back to the worker */
    response->payload.block =
        (struct rk_block_ref){.offset = rk_response_slab_offset(&forged.params), .index = 7, .generation = 3};
    forged_publish(lane, response);
    assert_int_equal(rask_poll(forged.session, &(struct rask_completion){0}, 1), 0);
    assert_int_equal(done.length, 0);
    assert_int_equal(rask_pending(forged.session), 0);
    const struct rk_lane_request *page =
        (const void *)((const uint8_t *)forged.request.base + rk_request_lane_offset(&forged.params, lane->number));
    assert_int_equal(page->released[7], 3);
    rask_release(forged.session, &done);
    ticket = submit(1, 2, 0, NULL);
    forged_reply(lane, forged_take(lane), RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
}

/* The worker entered it, saw the mark of the deadline, and passed it over: after its time-out was reported. */
static void late_skip(bool released)
{
    struct rask_completion done;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = submit(BLOCK, 1, rask_now_ns() + 50 * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, &done);
    if (released) rask_release(forged.session, &done);
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = RK_RESPONSE_SKIPPED;
    forged_publish(lane, response);
    assert_int_equal(rask_poll(forged.session, &(struct rask_completion){0}, 1), 0);
    rask_release(forged.session, &done);
    ticket = submit(1, 2, 0, NULL);
    forged_reply(lane, forged_take(lane), RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
}

static void test_late_skip_does_not_change_what_was_reported(void **state)
{
    (void)state;
    late_skip(true);
    forged_stop();
    late_skip(false);
}

/* --- what is said about execution --- */

static void test_maybe_stays_maybe(void **state)
{
    uint64_t tickets[3];
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < 3; i++) tickets[i] = submit(1, 1, 0, NULL);
    forged_take(lane);
    forged_take(lane);
    end_supervisor("tired");
    /* UNAVAILABLE means "no", but not for those that a worker has entered. */
    ends_as(tickets[0], RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    ends_as(tickets[1], RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    ends_as(tickets[2], RASK_UNAVAILABLE, RASK_EXECUTED_NO, NULL);
}

static void test_request_that_is_running_is_not_called_cancelled(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = submit(1, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    assert_int_equal(rask_cancel(forged.session, ticket), 0);
    assert_int_equal(slot->cancel, RK_CANCEL_STOP);
    assert_int_equal(rask_poll(forged.session, &(struct rask_completion){0}, 1), 0);
    forged_reply(lane, slot, RASK_ABORTED);
    ends_as(ticket, RASK_ABORTED, RASK_EXECUTED_MAYBE, NULL);
}

static void test_skipped_after_a_late_cancel_did_not_run(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = submit(1, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    assert_int_equal(rask_cancel(forged.session, ticket), 0); /* too late to be certain, but the worker saw the mark */
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = RK_RESPONSE_SKIPPED;
    forged_publish(lane, response);
    ends_as(ticket, RASK_CANCELLED, RASK_EXECUTED_NO, NULL);
}

static void test_shutdown_ends_what_has_not_started(void **state)
{
    struct rask_request request;
    struct rk_message message;
    uint64_t tickets[SLOTS + 2];
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < SLOTS + 2; i++) tickets[i] = submit(1, 1, 0, NULL); /* the last ones wait in the backlog */
    const struct rk_request_slot *slot = forged_take(lane);
    forged_send(&message, RK_SHUTDOWN, sizeof message, NULL, 0);
    for (unsigned i = 1; i < SLOTS + 2; i++) ends_as(tickets[i], RASK_SHUTDOWN, RASK_EXECUTED_NO, NULL);
    assert_int_equal(rask_reserve(forged.session, 1, &request), -ESHUTDOWN);
    forged_reply(lane, slot, RASK_OK);
    ends_as(tickets[0], RASK_OK, RASK_EXECUTED_YES, NULL);
}

/* --- death --- */

static void test_death_is_crashed_inside_and_unseen_before(void **state)
{
    uint64_t tickets[4];
    (void)state;
    forged_start(2, NULL);
    struct forged_lane *lane = forged_open_lane();
    for (unsigned i = 0; i < 4; i++) tickets[i] = submit(i == 3 ? 500 : 1, (uint8_t)(0x10 + i), 0, NULL);
    forged_reply(lane, forged_take(lane), RASK_OK); /* published, not seen yet */
    forged_take(lane);
    forged_die(lane, true);
    ends_as(tickets[0], RASK_OK, RASK_EXECUTED_YES, NULL);
    ends_as(tickets[1], RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(rask_pending(forged.session), 2);
    forged_end_lane(lane);
    struct forged_lane *other = forged_open_lane();
    const struct rk_request_slot *slot = forged_take(other);
    assert_int_equal(slot->payload.bytes[0], 0x12); /* in the order in which they were sent */
    forged_reply(other, slot, RASK_OK);
    slot = forged_take(other);
    for (unsigned i = 0; i < 500; i++) assert_int_equal(forged_bytes(slot)[i], 0x13);
    forged_reply(other, slot, RASK_OK);
    ends_as(tickets[2], RASK_OK, RASK_EXECUTED_YES, NULL);
    ends_as(tickets[3], RASK_OK, RASK_EXECUTED_YES, NULL);
}

static void test_death_is_noticed_without_the_supervisor(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t entered = submit(1, 1, 0, NULL), waiting = submit(1, 2, 0, NULL);
    forged_take(lane);
    close(forged.socket);
    forged.socket = -1;
    forged_die(lane, false);
    ends_as(entered, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
    ends_as(waiting, RASK_UNAVAILABLE, RASK_EXECUTED_NO, NULL);
}

static void test_silent_supervisor_does_not_hide_a_death(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t entered = submit(1, 1, 0, NULL);
    forged_take(lane);
    forged_die(lane, false);
    ends_as(entered, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
}

static void test_view_outlives_its_worker_and_its_lane(void **state)
{
    struct rask_completion done;
    (void)state;
    forged_start(2, NULL);
    struct forged_lane *lane = forged_open_lane();
    uint64_t ticket = submit(1, 1, 0, NULL);
    uint64_t at = rk_response_slab_offset(&forged.params);
    memset((uint8_t *)lane->response.base + at, 0x42, 1000);
    struct rk_response_slot *response = forged_response(lane, forged_take(lane));
    response->length = 1000;
    response->payload.block = (struct rk_block_ref){.offset = at, .index = 1, .generation = 1};
    forged_publish(lane, response);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, &done);
    uint32_t number = lane->number;
    forged_die(lane, true);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    forged_end_lane(lane);
    for (unsigned i = 0; i < 1000; i++) assert_int_equal(((const uint8_t *)done.data)[i], 0x42);
    const struct rk_lane_request *page =
        (const void *)((const uint8_t *)forged.request.base + rk_request_lane_offset(&forged.params, number));
    rask_release(forged.session, &done);
    assert_int_equal(page->released[1], 0); /* the lane is somebody else's now */
}

static void test_lane_is_clean_for_its_next_worker(void **state)
{
    (void)state;
    forged_start(2, NULL);
    struct forged_lane *lane = forged_open_lane();
    for (unsigned i = 0; i < 20; i++) {
        uint64_t ticket = submit(1, (uint8_t)i, 0, NULL);
        forged_reply(lane, forged_take(lane), RASK_OK);
        ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    }
    uint32_t number = lane->number;
    uint64_t running = submit(1, 1, 0, NULL), behind = submit(1, 9, 0, NULL);
    forged_take(lane);
    forged_die(lane, true);
    ends_as(running, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
    forged_end_lane(lane);
    lane = forged_open_lane();
    assert_int_equal(lane->number, number);
    forged_reply(lane, forged_take(lane), RASK_OK); /* position 0 in slot 0 again */
    ends_as(behind, RASK_OK, RASK_EXECUTED_YES, NULL);
}

/* --- the session's own end --- */

static void test_failed_reconnect_can_be_tried_again(void **state)
{
    struct rask_completion done;
    struct rask_request request;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    forged.session->path = strdup("/nonexistent/rask.sock");
    uint64_t entered = submit(1, 1, 0, NULL), waiting = submit(1, 2, 0, NULL);
    forged_take(lane);
    assert_int_equal(rask_reconnect(forged.session), -EALREADY);
    close(forged.socket);
    forged.socket = -1;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rask_reconnect(forged.session), -ENOENT);
        assert_true(rask_poll(forged.session, NULL, 0) >= 0);
        assert_int_equal(rask_reserve(forged.session, 1, &request), -ENOTCONN);
    }
    assert_int_equal(rask_wait(forged.session, waiting, rask_now_ns() + 100 * MS, &done), 0);
    assert_int_equal(done.executed, RASK_EXECUTED_NO);
    rask_release(forged.session, &done);
    ends_as(entered, RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(rask_wait_any(forged.session, &done, 1, 0), -ENODATA);
}

static void test_closing_with_requests_in_every_state_leaks_nothing(void **state)
{
    struct rask_completion held, unseen;
    struct rask_request reserved;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t tickets[3];
    for (unsigned i = 0; i < 3; i++) tickets[i] = submit(i == 2 ? 1 : BLOCK, 1, 0, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct rk_response_slot *response = forged_response(lane, forged_take(lane));
        response->length = 100;
        response->payload.block =
            (struct rk_block_ref){.offset = rk_response_slab_offset(&forged.params), .index = i, .generation = 1};
        forged_publish(lane, response);
    }
    ends_as(tickets[1], RASK_OK, RASK_EXECUTED_YES, &held);
    submit(BLOCK, 3, rask_now_ns() + 1000u * MS, NULL);
    assert_int_equal(rask_reserve(forged.session, BLOCK, &reserved), 0);
    (void)unseen; /* the sanitizers look at the rest, when the session closes */
}

static const struct rk_request_slot *inner_slot;
static struct forged_lane *inner_lane;
static int stolen;

/* Runs inside rask_call(), whose own request it answers; then it looks for completions. */
static void poll_inside(const struct rask_completion *completion, void *user)
{
    struct rask_completion out[4];
    (void)completion;
    (void)user;
    inner_slot = forged_take(inner_lane);
    struct rk_response_slot *response = forged_response(inner_lane, inner_slot);
    response->length = 1;
    response->payload.bytes[0] = 99;
    forged_publish(inner_lane, response);
    int count = rask_poll(forged.session, out, 4);
    assert_true(count >= 0);
    stolen = count;
    for (int i = 0; i < count; i++) rask_release(forged.session, &out[i]);
}

static void test_callback_does_not_take_the_completion_of_the_call_it_runs_in(void **state)
{
    struct rask_completion out;
    (void)state;
    inner_lane = forged_alone(NULL);
    assert_int_equal(rask_request(forged.session, 0, 0, NULL, poll_inside, NULL, NULL), 0);
    forged_reply(inner_lane, forged_take(inner_lane), RASK_OK);
    memset(&out, 0xee, sizeof out);
    int result = rask_call(forged.session, 0, "x", 1, 1000u * MS, &out);
    assert_int_equal(stolen, 0);
    assert_int_equal(result, 0);
    assert_int_equal(out.status, RASK_OK);
    assert_int_equal(out.length, 1);
    assert_int_equal(*(const uint8_t *)out.data, 99);
    rask_release(forged.session, &out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_block_of_a_timed_out_request_is_not_reused, tear_down),
        cmocka_unit_test_teardown(test_block_held_by_a_dead_worker_is_free_after_its_death, tear_down),
        cmocka_unit_test_teardown(test_block_of_a_request_that_never_started_is_free_at_once, tear_down),
        cmocka_unit_test_teardown(test_number_of_a_timed_out_request_is_not_reused, tear_down),
        cmocka_unit_test_teardown(test_late_response_does_not_change_what_was_reported, tear_down),
        cmocka_unit_test_teardown(test_late_skip_does_not_change_what_was_reported, tear_down),
        cmocka_unit_test_teardown(test_maybe_stays_maybe, tear_down),
        cmocka_unit_test_teardown(test_request_that_is_running_is_not_called_cancelled, tear_down),
        cmocka_unit_test_teardown(test_skipped_after_a_late_cancel_did_not_run, tear_down),
        cmocka_unit_test_teardown(test_shutdown_ends_what_has_not_started, tear_down),
        cmocka_unit_test_teardown(test_death_is_crashed_inside_and_unseen_before, tear_down),
        cmocka_unit_test_teardown(test_death_is_noticed_without_the_supervisor, tear_down),
        cmocka_unit_test_teardown(test_silent_supervisor_does_not_hide_a_death, tear_down),
        cmocka_unit_test_teardown(test_view_outlives_its_worker_and_its_lane, tear_down),
        cmocka_unit_test_teardown(test_lane_is_clean_for_its_next_worker, tear_down),
        cmocka_unit_test_teardown(test_failed_reconnect_can_be_tried_again, tear_down),
        cmocka_unit_test_teardown(test_closing_with_requests_in_every_state_leaks_nothing, tear_down),
        cmocka_unit_test_teardown(test_callback_does_not_take_the_completion_of_the_call_it_runs_in, tear_down),
    };
    rk_membarrier_register();
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
