/* SPDX-License-Identifier: MIT */
/* Upcalls of a worker that is the test itself (forged_flows.h), one step at a time. */
#include "forged_flows.h"
#include "upcall.h"

static int answers_shortly(struct rask_upcall *asked, void *user)
{
    (void)user;
    uint8_t *room = rask_upcall_reserve(asked, 1000);
    assert_non_null(room);
    memcpy(room, "short", 5);
    assert_int_equal(rask_upcall_reply(asked, 5), 0);
    ran++;
    return 0;
}

/** An answer that needs no block travels in its slot, and the block is free again. */
static void test_short_answer_from_a_large_room(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    uint32_t used = forged.session->slab.used;
    assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    upcall(lane, slot, "f", 0);
    poll_once();
    assert_int_equal(lane->pair->answer.sequence, 1);
    assert_int_equal(lane->pair->answer.length, 5);
    assert_memory_equal(lane->pair->answer.payload.bytes, "short", 5);
    assert_int_equal(forged.session->slab.used, used);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

/** The bytes of an upcall that no function sees are given back, too. */
static void test_bytes_of_unknown_and_late_upcalls_come_back(void **unused)
{
    (void)unused;
    for (unsigned late = 0; late < 2; late++) {
        struct forged_lane *lane = forged_alone(NULL);
        assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
        uint64_t ticket = submit(5, 1, 0, NULL);
        const struct rk_request_slot *slot = forged_take(lane);
        ran = 0;
        upcall(lane, slot, late ? "f" : "g", 1000);
        if (late) forged_reply(lane, slot, RASK_OK);
        poll_once();
        poll_once();
        assert_int_equal(lane->pair->answer.sequence, 1);
        assert_int_equal(lane->pair->answer.failed, 1);
        assert_int_equal(page_of(lane)->released[7], 1);
        assert_int_equal(ran, 0);
        if (!late) forged_reply(lane, slot, RASK_OK);
        ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
        forged_stop();
    }
}

/** The caller forgot its last name while a handler that may ask for it runs: it is told so at once. */
static void test_last_name_is_forgotten(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    assert_int_equal(rask_on_upcall(forged.session, "f", NULL, NULL), 0);
    upcall(lane, slot, "f", 0);
    poll_once();
    assert_int_equal(lane->pair->answer.sequence, 1);
    assert_int_equal(lane->pair->answer.code, -ENOSYS);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

/** All that waits for the only worker, which waits for this function. */
static int waits_for_everything(struct rask_upcall *asked, void *user)
{
    struct rask_completion out;
    uint64_t soon_ns = rask_now_ns() + 300 * MS;
    (void)user;
    uint64_t ticket = submit(5, 2, 0, NULL);
    assert_int_equal(rask_wait(asked->session, ticket, soon_ns, &out), -EDEADLK);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 1);
    assert_int_equal(rask_stream_send(stream, "x", 1, 0, soon_ns), 0);
    assert_int_equal(rask_stream_wait(stream, &out, 1, soon_ns), -EDEADLK);
    assert_int_equal(rask_stream_send(stream, "x", 1, 0, soon_ns), -EDEADLK);
    rask_stream_close(stream);
    assert_int_equal(rask_cancel(asked->session, ticket), 0);
    assert_int_equal(rask_wait(asked->session, ticket, soon_ns, &out), 0);
    rask_release(asked->session, &out);
    ran++;
    return 0;
}

static void test_waits_that_only_this_worker_could_end(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "f", waits_for_everything, NULL), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    poll_once();
    assert_int_equal(ran, 1);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

static uint64_t submit_key(void)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.key = 7;
    assert_int_equal(rask_reserve(forged.session, 5, &request), 0);
    assert_int_equal(rask_submit(forged.session, &request, 0, 5, &options), 0);
    return request.ticket;
}

/** Another worker is there, but the key's requests are with the one that waits. */
static int waits_for_key(struct rask_upcall *asked, void *user)
{
    struct rask_completion out;
    (void)user;
    uint64_t ticket = submit_key();
    assert_int_equal(rask_wait(asked->session, ticket, rask_now_ns() + 300 * MS, &out), -EDEADLK);
    assert_int_equal(rask_cancel(asked->session, ticket), 0);
    ran++;
    return 0;
}

static void test_key_that_only_this_worker_could_serve(void **unused)
{
    (void)unused;
    forged_start(2, NULL);
    struct forged_lane *lane = forged_open_lane();
    assert_int_equal(rask_on_upcall(forged.session, "f", waits_for_key, NULL), 0);
    uint64_t ticket = submit_key();
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    assert_int_equal(ran, 1);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

/** The supervisor dies, and the function wants to be attached again before it returns. */
static int reconnects(struct rask_upcall *asked, void *user)
{
    (void)user;
    asked->session->path = strdup("/nonexistent/rask.sock");
    close(forged.socket);
    forged.socket = -1;
    rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
    assert_int_equal(rask_poll(asked->session, NULL, 0), 0);
    assert_int_equal(rask_reconnect(asked->session), -EBUSY);
    ran++;
    return 0;
}

static void test_reconnecting_inside(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "f", reconnects, NULL), 0);
    submit(5, 1, 0, NULL);
    ran = 0;
    upcall(lane, forged_take(lane), "f", 0);
    poll_once();
    assert_int_equal(ran, 1);
    assert_int_equal(rask_reconnect(forged.session), -ENOENT);
    forged_stop();
}

/** A handler that asks without a pause does not keep its caller from the call's deadline. */
static int asks_again(struct rask_upcall *asked, void *user)
{
    struct forged_lane *lane = user;
    (void)asked;
    ran++;
    rk_store_release(&lane->pair->upcall.sequence, lane->pair->upcall.sequence + 1);
    return 0;
}

static void test_deadline_between_upcalls(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    assert_int_equal(rask_on_upcall(forged.session, "f", asks_again, lane), 0);
    uint64_t ticket = submit(5, 1, rask_now_ns() + 100 * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    uint64_t most_ns = rask_now_ns() + 5000 * MS; /* only so that a failure ends */
    assert_int_equal(rask_wait(forged.session, ticket, most_ns, &out), 0);
    assert_int_equal(out.status, RASK_TIMEOUT);
    assert_true(ran > 10);
    rask_release(forged.session, &out);
    forged_stop();
}

/** Its worker asks again although it was not answered, and the function polls. */
static int polls(struct rask_upcall *asked, void *user)
{
    struct forged_lane *lane = user;
    assert_non_null(rask_upcall_reserve(asked, 1000));
    assert_int_equal(rask_upcall_reply(asked, 1000), 0);
    if (ran++ > 0) return 0;
    rk_store_release(&lane->pair->upcall.sequence, lane->pair->upcall.sequence + 1);
    assert_int_equal(rask_poll(asked->session, NULL, 0), 0);
    assert_int_equal(ran, 1);
    return 0;
}

static void test_worker_that_does_not_wait_for_its_answer(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    uint32_t used = forged.session->slab.used;
    assert_int_equal(rask_on_upcall(forged.session, "f", polls, lane), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    poll_once();
    poll_once();
    assert_int_equal(ran, 2);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    assert_int_equal(forged.session->slab.used, used);
    forged_stop();
}

/** Inside as many functions as may be one inside the other, another upcall waits: not every wait is for nothing meanwhile. */
static void test_upcall_that_has_to_wait(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
    uint64_t ticket = submit(5, 1, rask_now_ns() + 50 * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    rk_upcall_look(forged.session, &forged.session->lanes[0]); /* it is due already */
    forged.session->upcalls->depth = RK_UPCALL_DEPTH_MAX;
    assert_int_equal(rask_wait(forged.session, ticket, rask_now_ns() + 1000 * MS, &out), 0);
    assert_int_equal(out.status, RASK_TIMEOUT);
    rask_release(forged.session, &out);
    assert_int_equal(ran, 0);
    forged.session->upcalls->depth = 0;
    poll_once();
    assert_int_equal(ran, 1);
    forged_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_answer_from_a_large_room),
        cmocka_unit_test(test_bytes_of_unknown_and_late_upcalls_come_back),
        cmocka_unit_test(test_last_name_is_forgotten),
        cmocka_unit_test(test_waits_that_only_this_worker_could_end),
        cmocka_unit_test(test_key_that_only_this_worker_could_serve),
        cmocka_unit_test(test_reconnecting_inside),
        cmocka_unit_test(test_deadline_between_upcalls),
        cmocka_unit_test(test_worker_that_does_not_wait_for_its_answer),
        cmocka_unit_test(test_upcall_that_has_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
