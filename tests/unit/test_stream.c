/* SPDX-License-Identifier: MIT */
/* What a stream counts, where the order of steps matters; the worker is the test itself. */
#include "forged_worker.h"
#include "stream.h"

static int tear_down(void **state)
{
    (void)state;
    forged_stop();
    return 0;
}

static struct rask_stream_state state_of(const struct rask_stream *stream)
{
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(stream, &state), 0);
    return state;
}

/* An item that policy takes back at the moment in which its worker takes it: both have seen the other, and it is skipped. */
static void test_item_dropped_too_late_is_counted_when_it_was_skipped(void **state)
{
    struct rask_stream *stream;
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    struct rask_request item;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    options.policy = RASK_STREAM_DROP_OLDEST;
    assert_int_equal(rask_stream_open(forged.session, 0, &options, &stream), 0);
    assert_int_equal(rask_stream_reserve(stream, 8, 0, &item), 0);
    uint64_t ticket = item.ticket;
    assert_int_equal(rask_stream_submit(stream, &item, 8), 0);
    forged_reply(lane, forged_take(lane), RASK_OK); /* it is open */
    const struct rk_request_slot *slot = forged_take(lane);
    assert_false(
        rk_settle_retract(forged.session, rk_ticket_find(&forged.session->tickets, ticket), RK_CANCEL_RETRACT));
    assert_int_not_equal(slot->cancel, 0);
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = RK_RESPONSE_SKIPPED;
    forged_publish(lane, response);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(state_of(stream).sent, 1);
    assert_int_equal(state_of(stream).backlog, 0);
    assert_int_equal(state_of(stream).processed, 0);
    assert_int_equal(state_of(stream).dropped, 1);
    assert_int_equal(forged.session->header->sent[0], 0); /* what its worker takes for the backlog */

    assert_int_equal(rask_stream_end(stream), 0);
    forged_reply(lane, forged_take(lane), RASK_OK);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(state_of(stream).ended, 1);
    assert_int_equal(state_of(stream).status, RASK_OK);
    rask_stream_close(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_item_dropped_too_late_is_counted_when_it_was_skipped, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
