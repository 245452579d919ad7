/* SPDX-License-Identifier: MIT */
/* Streams against a worker and a supervisor that are the test itself (forged_flows.h): moments that real ones hit by chance, and
 * things that only a bad one does. */
#include "forged_flows.h"
#include <sys/epoll.h>

/** Its first ticket ends before it was sent: what follows must not be sent behind it. */
static void test_stream_of_a_broken_pool(void **unused)
{
    (void)unused;
    for (unsigned how = 0; how < 3; how++) {
        struct rask_request item = {0}, other = {0};
        forged_start(1, NULL);
        struct rk_message_workers none = {.count = 1, .flags = RK_POOL_BROKEN};
        forged_send(&none, RK_WORKERS, sizeof none, NULL, 0);
        poll_once();
        struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
        if (how == 0) {
            assert_int_equal(rask_stream_send(stream, "x", 1, 0, 0), -EPIPE);
        } else if (how == 1) {
            assert_int_equal(rask_stream_reserve(stream, 1000, 0, &other), 0);
            assert_int_equal(rask_stream_reserve(stream, 1000, 0, &item), 0);
            assert_int_equal(rask_stream_submit(stream, &item, 1000), -EPIPE);
            assert_int_equal(rask_stream_submit(stream, &other, 1000), -EPIPE);
        } else {
            assert_int_equal(rask_stream_end(stream), -EPIPE);
        }
        assert_int_equal(state_of(stream).ended, 1);
        assert_int_equal(state_of(stream).status, RASK_UNAVAILABLE);
        assert_int_equal(state_of(stream).sent, 0);
        assert_int_equal(state_of(stream).backlog, 0);
        assert_int_equal(rask_pending(forged.session), 0);
        assert_int_equal(forged.session->tickets.used, 0);
        rask_stream_close(stream);
        forged_stop();
    }
}

/** Its worker entered the item between the look for the oldest and the mark, and then saw the mark: it is a drop. */
static void test_drop_that_the_worker_does(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_request item;
    struct rask_stream *stream = stream_with(RASK_STREAM_DROP_OLDEST, 2);
    assert_int_equal(rask_stream_reserve(stream, 1000, 0, &item), 0);
    assert_int_equal(rask_stream_submit(stream, &item, 1000), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET); /* OPEN */
    const struct rk_request_slot *slot = forged_take(lane);
    struct rk_ticket *ticket = rk_ticket_find(&forged.session->tickets, item.ticket);
    assert_false(rk_settle_retract(forged.session, ticket, RK_CANCEL_RETRACT));
    answer_kind(lane, slot, RK_RESPONSE_SKIPPED);
    poll_once();
    struct rask_stream_state state = state_of(stream);
    assert_int_equal(state.sent, 1);
    assert_int_equal(state.processed, 0);
    assert_int_equal(state.dropped, 1);
    assert_int_equal(state.backlog + state.backlog_bytes, 0);
    assert_int_equal(forged.session->header->sent[0], 0); /* as the handler sees it */
    rask_stream_close(stream);
    forged_stop();
}

/** Everything that a stream left behind is taken while there is no arena. */
static void test_answers_outlive_the_attachment(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_REPLY);
    poll_once();
    forged.session->path = strdup("/nonexistent/rask.sock");
    close(forged.socket);
    forged.socket = -1;
    rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
    poll_once();
    assert_int_equal(rask_reconnect(forged.session), -ENOENT);
    assert_null(forged.session->lanes);
    assert_int_equal(state_of(stream).status, RASK_UNAVAILABLE);
    assert_int_equal(rask_stream_wait(stream, &out, 1, 0), 1);
    assert_int_equal(out.user_data, 5);
    rask_release(forged.session, &out);
    assert_int_equal(rask_stream_take(stream, &out, 1), 0);
    rask_stream_close(stream);
    forged_stop();
}

/** While an emission waits for its segment, a message says that the worker is gone. */
static void test_lane_goes_while_an_emission_waits(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "any", (rask_upcall_fn)(void *)abort, NULL), 0);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    struct rk_side_slot *side = emission(lane, forged_take(lane), 1);
    side->length = 1000;
    side->payload.block = (struct rk_block_ref){.offset = RK_PAGE_BYTES, .segment = 1};
    rk_store_release(&side->sequence, 1);
    forged_die(lane, true);
    poll_once();
    assert_int_equal(state_of(stream).status, RASK_CRASHED);
    assert_int_equal(state_of(stream).ended, 1);
    rask_stream_close(stream);
    forged_stop();
}

/** 1: a loop that watches it is called within the time. */
static int readable(int fd, int timeout_ms)
{
    struct epoll_event event;
    int count;
    do count = epoll_wait(fd, &event, 1, timeout_ms);
    while (count < 0 && errno == EINTR); /* a ring of this thread has something to say */
    return count;
}

/** A caller's loop that sleeps whenever there is nothing: no answer is left lying where two streams are read in turn. */
static void test_loop_reads_two_streams(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    int fd = rask_fd(forged.session);
    assert_true(fd >= 0);
    struct rask_stream *one = stream_with(RASK_STREAM_BLOCK, 0), *two = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(one, "1", 1, 1, 0), 0);
    assert_int_equal(rask_stream_send(two, "2", 1, 2, 0), 0);
    poll_once();
    assert_int_equal(rask_stream_take(one, &out, 1), 0);
    for (unsigned i = 0; i < 4; i++)
        answer_kind(lane, forged_take(lane), i % 2 == 0 ? RK_RESPONSE_QUIET : RK_RESPONSE_REPLY);
    assert_int_equal(rask_stream_take(two, &out, 1), 1); /* brings in the answer of the other, too */
    rask_release(forged.session, &out);
    assert_int_equal(rask_stream_take(two, &out, 1), 0);
    assert_int_equal(state_of(one).waiting, 1);
    assert_int_equal(readable(fd, 0), 1); /* the loop must not sleep */
    poll_once();
    assert_int_equal(rask_stream_take(one, &out, 1), 1);
    rask_release(forged.session, &out);
    rask_stream_close(one);
    rask_stream_close(two);
    forged_stop();
}

/** The supervisor is gone, and the worker goes a moment later: a loop that sleeps hears of the end, with nothing in flight. */
static void test_loop_hears_of_a_late_death(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    int fd = rask_fd(forged.session);
    assert_true(fd >= 0);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "1", 1, 1, 0), 0);
    for (unsigned i = 0; i < 2; i++) answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    poll_once();
    assert_int_equal(rask_pending(forged.session), 0);
    assert_int_equal(readable(fd, 0), 0);
    close(forged.socket);
    forged.socket = -1;
    assert_int_equal(readable(fd, 1000), 1);
    poll_once();
    poll_once();
    assert_int_equal(state_of(stream).ended, 0);
    forged_die(lane, false);
    for (unsigned i = 0; i < 100 && !state_of(stream).ended; i++) {
        assert_int_equal(readable(fd, 1000), 1);
        poll_once();
        assert_int_equal(rask_stream_take(stream, &out, 1), 0);
    }
    assert_int_equal(state_of(stream).ended, 1);
    assert_int_equal(state_of(stream).processed, 1);
    rask_stream_close(stream);
    for (unsigned i = 0; i < 5; i++) poll_once();
    assert_int_equal(readable(fd, 100), 0); /* and then it sleeps */
    forged_stop();
}

static void test_item_is_not_waited_for_or_cancelled_by_number(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_request item;
    struct rask_completion out;
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_reserve(stream, 5, 0, &item), 0);
    assert_int_equal(rask_stream_submit(stream, &item, 5), 0);
    assert_int_equal(rask_wait(forged.session, item.ticket, rask_now_ns() + 100 * MS, &out), -EINVAL);
    assert_int_equal(rask_cancel(forged.session, item.ticket), -EINVAL);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    assert_int_equal(state_of(stream).processed, 1);
    rask_stream_close(stream);
    forged_stop();
}

/** What keeps the backlog full is in the caller's own hands: waiting would not help. */
static void test_own_reservations_are_not_waited_for(void **unused)
{
    (void)unused;
    forged_alone(NULL);
    struct rask_request item;
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 1);
    assert_int_equal(rask_stream_reserve(stream, 5, 0, &item), 0);
    assert_int_equal(rask_stream_send(stream, "x", 1, 0, rask_now_ns() + 100 * MS), -EAGAIN);
    rask_stream_close(stream);
    forged_stop();
}

static struct rask_stream *closed_by_callback;

static void closes_stream(const struct rask_completion *completion, void *user)
{
    (void)completion;
    (void)user;
    rask_stream_close(closed_by_callback);
    ran++;
}

/** A callback closes the stream that is waited for: the wait ends, and so does the stream's memory. */
static void test_callback_closes_the_stream(void **unused)
{
    (void)unused;
    for (unsigned how = 0; how < 3; how++) {
        struct forged_lane *lane = forged_alone(NULL);
        struct rask_completion out;
        struct rask_stream *stream = closed_by_callback = stream_with(RASK_STREAM_BLOCK, 1);
        ran = 0;
        assert_int_equal(rask_request(forged.session, 0, 0, NULL, closes_stream, NULL, NULL), 0);
        assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
        forged_reply(lane, forged_take(lane), RASK_OK);
        if (how == 0)
            assert_int_equal(rask_stream_wait(stream, &out, 1, rask_now_ns() + 1000 * MS), -EPIPE);
        else if (how == 1)
            assert_int_equal(rask_stream_take(stream, &out, 1), -EPIPE);
        else
            assert_int_equal(rask_stream_send(stream, "1", 1, 6, rask_now_ns() + 1000 * MS), -EPIPE);
        assert_int_equal(ran, 1);
        while (forged_has_request(lane)) {
            const struct rk_request_slot *slot = forged_take(lane);
            answer_kind(lane, slot, slot->cancel ? RK_RESPONSE_SKIPPED : RK_RESPONSE_QUIET);
            poll_once();
        }
        assert_null(forged.session->streams->all);
        forged_stop();
    }
}

/** A full ring of emissions is fine. */
static void test_as_many_emissions_as_there_is_room_for(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    const struct rk_request_slot *slot = forged_take(lane);
    for (uint64_t round = 0; round < 2; round++) {
        for (uint64_t i = 1; i <= RASK_EMITS_MAX; i++) {
            uint64_t sequence = round * RASK_EMITS_MAX + i;
            rk_store_release(&emission(lane, slot, sequence)->sequence, sequence);
        }
        poll_once();
        assert_int_equal(state_of(stream).waiting, (round + 1) * RASK_EMITS_MAX);
        assert_int_equal(page_of(lane)->emissions_taken, (round + 1) * RASK_EMITS_MAX);
        assert_false(forged.session->lanes[0].broken);
    }
    rask_stream_close(stream);
    forged_stop();
}

/** A reply of on_end is an answer, an empty one, too. */
static void test_empty_reply_at_the_end(void **unused)
{
    (void)unused;
    for (unsigned quiet = 0; quiet < 2; quiet++) {
        struct forged_lane *lane = forged_alone(NULL);
        struct rask_completion out;
        struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
        assert_int_equal(rask_stream_end(stream), 0);
        answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
        answer_kind(lane, forged_take(lane), quiet ? RK_RESPONSE_QUIET : RK_RESPONSE_REPLY);
        assert_int_equal(rask_stream_wait(stream, &out, 1, rask_now_ns() + 1000 * MS), quiet ? 0 : 1);
        if (!quiet) rask_release(forged.session, &out);
        assert_int_equal(state_of(stream).ended, 1);
        assert_int_equal(state_of(stream).status, RASK_OK);
        rask_stream_close(stream);
        forged_stop();
    }
}

/** Where the slab has only larger blocks left, what they take counts. */
static void test_larger_blocks_stay_within_the_limit(void **unused)
{
    (void)unused;
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_stream_options limits = RASK_STREAM_OPTIONS_INIT;
    struct rask_request request[64];
    struct rask_stream *stream;
    uint32_t count = 0;
    options.payload_bytes_max = 4096;
    options.slab_bytes = options.slab_bytes_max = RASK_SLAB_BYTES_MIN;
    forged_alone(&options);
    while (rask_reserve(forged.session, 1000, &request[count]) == 0 && request[count].capacity == 1024) count++;
    assert_true(count > 0 && request[count].capacity == 4096);
    assert_int_equal(rask_abandon(forged.session, &request[count]), 0);
    limits.queue_bytes_max = 2048;
    assert_int_equal(rask_stream_open(forged.session, 0, &limits, &stream), 0);
    uint32_t used = forged.session->slab.used, tickets = forged.session->tickets.used;
    assert_int_equal(rask_stream_send(stream, request, 1000, 0, 0), -EAGAIN);
    assert_int_equal(state_of(stream).backlog_bytes, 0);
    assert_int_equal(forged.session->slab.used, used);
    assert_int_equal(forged.session->tickets.used, tickets);
    assert_int_equal(rask_abandon(forged.session, &request[0]), 0);
    assert_int_equal(rask_stream_send(stream, request, 1000, 0, 0), 0);
    assert_int_equal(state_of(stream).backlog_bytes, 1024);
    rask_stream_close(stream);
    forged_stop();
}

/** Nobody waits for a worker that may wait for the memory of answers which lie here. */
static void test_large_answers_are_not_waited_with(void **unused)
{
    (void)unused;
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_completion out;
    options.payload_bytes_max = 65536;
    options.slab_bytes = RASK_SLAB_BYTES_MIN;
    options.slab_bytes_max = 2 * RASK_SLAB_BYTES_MIN;
    struct forged_lane *lane = forged_alone(&options);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 2);
    assert_int_equal(rask_stream_send(stream, "1", 1, 0, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    struct rk_response_slot *response = forged_response(lane, forged_take(lane));
    response->length = 60000;
    response->payload.block.offset = rk_response_slab_offset(&forged.params);
    forged_publish(lane, response);
    poll_once();
    for (unsigned i = 0; i < 2; i++) assert_int_equal(rask_stream_send(stream, "2", 1, 0, 0), 0);
    assert_int_equal(rask_stream_send(stream, "3", 1, 0, rask_now_ns() + 100 * MS), -EAGAIN);
    assert_int_equal(rask_stream_take(stream, &out, 1), 1);
    assert_int_equal(out.length, 60000);
    rask_release(forged.session, &out);
    assert_int_equal(rask_stream_send(stream, "3", 1, 0, rask_now_ns() + 100 * MS), -ETIMEDOUT);
    rask_stream_close(stream);
    forged_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_of_a_broken_pool),
        cmocka_unit_test(test_drop_that_the_worker_does),
        cmocka_unit_test(test_answers_outlive_the_attachment),
        cmocka_unit_test(test_lane_goes_while_an_emission_waits),
        cmocka_unit_test(test_loop_reads_two_streams),
        cmocka_unit_test(test_loop_hears_of_a_late_death),
        cmocka_unit_test(test_item_is_not_waited_for_or_cancelled_by_number),
        cmocka_unit_test(test_own_reservations_are_not_waited_for),
        cmocka_unit_test(test_callback_closes_the_stream),
        cmocka_unit_test(test_as_many_emissions_as_there_is_room_for),
        cmocka_unit_test(test_empty_reply_at_the_end),
        cmocka_unit_test(test_larger_blocks_stay_within_the_limit),
        cmocka_unit_test(test_large_answers_are_not_waited_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
