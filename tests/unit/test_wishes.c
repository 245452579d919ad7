/* SPDX-License-Identifier: MIT */
/* What a request may wish: to be sent again after a crash, to stay with others of its key; and requests that nobody should
 * send again. The worker and the supervisor are the test itself. */
#include "forged_worker.h"
#include "poison.h"

static int tear_down(void **state)
{
    (void)state;
    forged_stop();
    return 0;
}

static uint64_t wish(uint8_t fill, uint64_t key, uint32_t flags, uint32_t retries)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.key = key;
    options.flags = flags;
    options.retries_max = retries;
    assert_int_equal(rask_reserve(forged.session, 1, &request), 0);
    *(uint8_t *)request.data = fill;
    int result = rask_submit(forged.session, &request, 0, 1, &options);
    if (result != 0) rask_abandon(forged.session, &request);
    return result == 0 ? request.ticket : 0;
}

static uint64_t keyed(uint8_t fill, uint64_t key)
{
    uint64_t ticket = wish(fill, key, 0, 0);
    assert_int_not_equal(ticket, 0);
    return ticket;
}

static void poll_nothing(void)
{
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
}

/* Takes the next request, which has this first byte, and answers it. */
static void serve(struct forged_lane *lane, uint8_t fill)
{
    const struct rk_request_slot *slot = forged_take(lane);
    assert_int_equal(slot->payload.bytes[0], fill);
    forged_reply(lane, slot, RASK_OK);
}

static struct forged_lane *die_inside(struct forged_lane *lane, int signal, enum rk_gone_cause cause)
{
    forged_take(lane);
    forged_die_of(lane, signal, cause);
    poll_nothing();
    forged_end_lane(lane);
    forged_serving(1);
    poll_nothing();
    return NULL;
}

/* --- sent again --- */

static void test_idempotent_request_is_sent_again_after_a_crash(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = wish(7, 0, RASK_REQUEST_IDEMPOTENT, 0);
    die_inside(lane, 11, RK_GONE_CRASHED);
    assert_int_equal(rask_pending(forged.session), 1);
    serve(forged_open_lane(), 7);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
}

static void test_retries_come_to_an_end(void **state)
{
    struct rask_completion done;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = wish(7, 0, RASK_REQUEST_IDEMPOTENT, 3);
    for (unsigned i = 0; i < 3; i++) { /* from outside: no poison */
        die_inside(lane, 9, RK_GONE_KILLED);
        assert_int_equal(rask_pending(forged.session), 1);
        lane = forged_open_lane();
    }
    die_inside(lane, 9, RK_GONE_KILLED);
    ends_as(ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE, &done);
    assert_int_equal(done.code, 9);
    rask_release(forged.session, &done);
}

static void test_request_sent_again_never_ends_as_not_executed(void **state)
{
    struct rk_message shutdown;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = wish(7, 0, RASK_REQUEST_IDEMPOTENT, 3);
    die_inside(lane, 9, RK_GONE_KILLED);
    forged_open_lane(); /* it waits there, retracted by the shutdown */
    forged_send(&shutdown, RK_SHUTDOWN, sizeof shutdown, NULL, 0);
    ends_as(ticket, RASK_SHUTDOWN, RASK_EXECUTED_MAYBE, NULL);
}

static void test_other_requests_are_sent_once(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = wish(7, 0, 0, 0);
    die_inside(lane, 9, RK_GONE_KILLED);
    ends_as(ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
}

static void test_late_death_is_a_timeout_and_not_sent_again(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = wish(7, 0, RASK_REQUEST_IDEMPOTENT, 3);
    die_inside(lane, 9, RK_GONE_LATE);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, NULL);
}

static void test_bad_wishes_are_refused(void **state)
{
    (void)state;
    forged_alone(NULL);
    assert_int_equal(wish(1, 0, 0, 1), 0); /* retries of a request that is not idempotent */
    assert_int_equal(wish(1, 0, RASK_REQUEST_IDEMPOTENT, RASK_RETRIES_MAX + 1), 0);
    assert_int_equal(wish(1, 0, 0x80, 0), 0);
}

/* --- keys --- */

static struct forged_lane *lane_two(struct forged_lane **first)
{
    forged_start(2, NULL);
    *first = forged_open_lane();
    uint64_t tickets[5];
    for (unsigned i = 0; i < 5; i++) tickets[i] = submit(1, (uint8_t)i, 0, NULL); /* over the window: another lane */
    struct forged_lane *second = forged_open_lane();
    poll_nothing();
    for (unsigned i = 0; i < 5; i++) serve(forged_has_request(*first) ? *first : second, (uint8_t)i);
    for (unsigned i = 0; i < 5; i++) ends_as(tickets[i], RASK_OK, RASK_EXECUTED_YES, NULL);
    return second;
}

static void test_requests_of_a_key_share_a_lane_in_order(void **state)
{
    struct forged_lane *first, *other;
    uint64_t tickets[12];
    (void)state;
    struct forged_lane *second = lane_two(&first);
    for (unsigned i = 0; i < 12; i++) tickets[i] = keyed((uint8_t)(100 + i), 5);
    struct forged_lane *home = forged_has_request(first) ? first : second;
    other = home == first ? second : first;
    for (unsigned i = 0; i < 12; i++) {
        assert_false(forged_has_request(other));
        if (!forged_has_request(home)) rask_poll(forged.session, NULL, 0);
        serve(home, (uint8_t)(100 + i));
        ends_as(tickets[i], RASK_OK, RASK_EXECUTED_YES, NULL);
    }
    uint64_t again = keyed(50, 5); /* it prefers the worker it had */
    serve(home, 50);
    ends_as(again, RASK_OK, RASK_EXECUTED_YES, NULL);
}

static void test_other_requests_pass_those_that_wait_for_their_lane(void **state)
{
    struct forged_lane *first;
    uint64_t tickets[12];
    (void)state;
    struct forged_lane *second = lane_two(&first);
    for (unsigned i = 0; i < 12; i++) tickets[i] = keyed((uint8_t)(100 + i), 5);
    struct forged_lane *home = forged_has_request(first) ? first : second;
    struct forged_lane *other = home == first ? second : first;
    uint64_t plain = submit(1, 1, 0, NULL);
    serve(other, 1);
    ends_as(plain, RASK_OK, RASK_EXECUTED_YES, NULL);
    assert_int_equal(rask_cancel(forged.session, tickets[11]), 0); /* one that waits */
    ends_as(tickets[11], RASK_CANCELLED, RASK_EXECUTED_NO, NULL);
    for (unsigned i = 0; i < 11; i++) {
        if (!forged_has_request(home)) poll_nothing();
        serve(home, (uint8_t)(100 + i));
        ends_as(tickets[i], RASK_OK, RASK_EXECUTED_YES, NULL);
    }
}

static void test_key_moves_only_when_nothing_of_it_may_run(void **state)
{
    struct forged_lane *first;
    (void)state;
    struct forged_lane *second = lane_two(&first);
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.key = 9;
    options.deadline_ns = rask_now_ns() + 2 * MS;
    assert_int_equal(rask_reserve(forged.session, 1, &request), 0);
    *(uint8_t *)request.data = 1;
    assert_int_equal(rask_submit(forged.session, &request, 0, 1, &options), 0);
    struct forged_lane *home = forged_has_request(first) ? first : second;
    struct forged_lane *other = home == first ? second : first;
    const struct rk_request_slot *slot = forged_take(home);
    ends_as(request.ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, NULL); /* but it may still run */
    uint64_t next = keyed(2, 9);
    struct rask_completion none;
    for (unsigned i = 0; i < 40; i++) /* long enough for what waits to be taken back */
        assert_int_equal(rask_wait(forged.session, next, rask_now_ns() + MS, &none), -ETIMEDOUT);
    assert_false(forged_has_request(other));
    forged_reply(home, slot, RASK_OK);
    poll_nothing();
    struct forged_lane *now = NULL;
    for (unsigned i = 0; i < 2 * SLOTS && now == NULL; i++) {
        if (forged_has_request(other)) now = other;
        if (now == NULL && forged_has_request(home)) {
            slot = forged_take(home);
            if (slot->cancel != 0) { /* what was taken back meanwhile */
                struct rk_response_slot *response = forged_response(home, slot);
                response->kind = RK_RESPONSE_SKIPPED;
                forged_publish(home, response);
            } else {
                now = home;
                forged_reply(home, slot, RASK_OK);
            }
        }
        poll_nothing();
    }
    assert_non_null(now);
    if (now == other) serve(other, 2);
    ends_as(next, RASK_OK, RASK_EXECUTED_YES, NULL);
}

static void test_keyed_requests_keep_their_order_when_their_worker_dies(void **state)
{
    uint64_t tickets[10];
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < 10; i++) tickets[i] = wish((uint8_t)(100 + i), 5, i == 0 ? RASK_REQUEST_IDEMPOTENT : 0, 0);
    die_inside(lane, 9, RK_GONE_KILLED);
    lane = forged_open_lane();
    for (unsigned i = 0; i < 10; i++) {
        if (!forged_has_request(lane)) poll_nothing();
        serve(lane, (uint8_t)(100 + i));
        ends_as(tickets[i], RASK_OK, RASK_EXECUTED_YES, NULL);
    }
}

static void test_too_many_keys_say_again(void **state)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    for (unsigned i = 0; i < RASK_KEYS_MAX; i++) keyed((uint8_t)i, i + 1);
    options.key = RASK_KEYS_MAX + 1;
    assert_int_equal(rask_reserve(forged.session, 1, &request), 0);
    assert_int_equal(rask_submit(forged.session, &request, 0, 1, &options), -EAGAIN);
    options.key = 3; /* one that is there */
    assert_int_equal(rask_submit(forged.session, &request, 0, 1, &options), 0);
    serve(lane, 0);
    struct rask_completion done;
    assert_int_equal(rask_poll(forged.session, &done, 1), 1);
    rask_release(forged.session, &done);
    keyed(1, RASK_KEYS_MAX + 1); /* in the place of the first, which is idle */
}

/* --- poison --- */

static void test_second_death_poisons_a_request(void **state)
{
    union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    struct rask_request early;
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_reserve(forged.session, 1, &early), 0); /* before anything is known */
    *(uint8_t *)early.data = 66;
    uint64_t ticket = submit(1, 66, 0, NULL);
    die_inside(lane, 11, RK_GONE_CRASHED);
    ends_as(ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
    for (;;) {
        unsigned count;
        assert_int_equal(rk_control_receive(forged.socket, &message, fds, &count), 0);
        if (message.head.type == RK_DEATH) break;
    }
    uint8_t payload = 66;
    assert_int_equal(message.death.fingerprint, rk_fingerprint(0, &payload, 1));
    ticket = submit(1, 66, 0, NULL);
    uint64_t same = submit(1, 66, 0, NULL), other = submit(1, 67, 0, NULL);
    lane = forged_open_lane();
    poll_nothing();
    die_inside(lane, 11, RK_GONE_CRASHED);
    ends_as(ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
    ends_as(same, RASK_POISONED, RASK_EXECUTED_NO, NULL); /* it waited behind */
    assert_int_equal(rask_submit(forged.session, &early, 0, 1, NULL), 0);
    ends_as(early.ticket, RASK_POISONED, RASK_EXECUTED_NO, NULL);
    ends_as(submit(1, 66, 0, NULL), RASK_POISONED, RASK_EXECUTED_NO, NULL);
    lane = forged_open_lane();
    poll_nothing();
    serve(lane, 67);
    ends_as(other, RASK_OK, RASK_EXECUTED_YES, NULL);
}

static void test_poisonous_idempotent_request_kills_two_workers(void **state)
{
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t ticket = wish(66, 0, RASK_REQUEST_IDEMPOTENT, 9);
    die_inside(lane, 11, RK_GONE_CRASHED);
    assert_int_equal(rask_pending(forged.session), 1);
    die_inside(forged_open_lane(), 11, RK_GONE_CRASHED);
    ends_as(ticket, RASK_POISONED, RASK_EXECUTED_MAYBE, NULL);
}

static void test_supervisors_table_replaces_ours(void **state)
{
    uint8_t payload = 66;
    struct rk_message_poisons poisons = {.count = 1,
                                         .entry = {{.fingerprint = rk_fingerprint(0, &payload, 1), .deaths = 2}}};
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t waiting = submit(1, 66, 0, NULL);
    forged_send(&poisons, RK_POISONS, sizeof poisons, NULL, 0);
    ends_as(waiting, RASK_POISONED, RASK_EXECUTED_NO, NULL);
    poisons.reports = 1; /* of a session that has reported something since: not ours */
    poisons.count = 0;
    forged_send(&poisons, RK_POISONS, sizeof poisons, NULL, 0);
    poll_nothing();
    ends_as(submit(1, 66, 0, NULL), RASK_POISONED, RASK_EXECUTED_NO, NULL);
    poisons.reports = 0;
    forged_send(&poisons, RK_POISONS, sizeof poisons, NULL, 0);
    poll_nothing();
    uint64_t ticket = submit(1, 66, 0, NULL);
    assert_int_not_equal(forged_take(lane)->cancel, 0); /* the one that was retracted */
    struct rk_response_slot *response = forged_response(lane, &lane->requests[0]);
    response->kind = RK_RESPONSE_SKIPPED;
    forged_publish(lane, response);
    poll_nothing();
    die_inside(lane, 9, RK_GONE_KILLED);
    ends_as(ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE, NULL);
}

static void test_fingerprints_tell_requests_apart(void **state)
{
    uint8_t bytes[64] = {0};
    (void)state;
    for (size_t length = 0; length < sizeof bytes; length++) {
        uint64_t plain = rk_fingerprint(1, bytes, length);
        assert_int_equal(plain, rk_fingerprint(1, bytes, length));
        assert_int_not_equal(plain, rk_fingerprint(2, bytes, length));
        assert_int_not_equal(plain, rk_fingerprint(1, bytes, length + 1));
        for (size_t at = 0; at < length; at++) {
            bytes[at] ^= 0x10;
            assert_int_not_equal(plain, rk_fingerprint(1, bytes, length));
            bytes[at] ^= 0x10;
        }
    }
}

/* --- deadlines --- */

static void test_supervisor_is_told_of_a_late_handler(void **state)
{
    union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    (void)state;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t deadline_ns = rask_now_ns() + 2 * MS;
    uint64_t first = submit(1, 1, 0, NULL), ticket = submit(1, 1, deadline_ns, NULL);
    serve(lane, 1);
    const struct rk_request_slot *slot = forged_take(lane);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    ends_as(ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE, NULL);
    unsigned count;
    do assert_int_equal(rk_control_receive(forged.socket, &message, fds, &count), 0);
    while (message.head.type != RK_LATE);
    assert_int_equal(message.late.deadline_ns, deadline_ns);
    assert_int_equal(message.late.position, 1);
    assert_int_equal(message.late.ticket, slot->ticket);
    assert_int_equal(message.late.lane, lane->number);
}

/* A worker that skips several requests answers for them one by one, after those behind them were taken back. */
static void test_requests_of_a_key_come_back_in_their_turn(void **state)
{
    (void)state;
    static const unsigned orders[][4] = {{2, 3, 0, 1}, {3, 2, 1, 0}, {1, 0, 3, 2}, {0, 1, 2, 3}};
    struct rk_ticket *ticket[4];
    forged_start(2, NULL); /* no lane opens: they wait */
    struct rask *s = forged.session;
    for (unsigned i = 0; i < 4; i++) ticket[i] = &s->tickets.table[(uint32_t)keyed((uint8_t)('a' + i), 7)];
    uint32_t key = ticket[0]->key;
    for (unsigned k = 0; k < sizeof orders / sizeof orders[0]; k++) {
        for (unsigned i = 0; i < 4; i++) rk_key_unwait(s, ticket[i]);
        assert_null(rk_key_first(s, key));
        for (unsigned i = 0; i < 4; i++) rk_key_wait(s, ticket[orders[k][i]]);
        for (unsigned i = 0; i < 4; i++) {
            assert_ptr_equal(rk_key_first(s, key), ticket[i]);
            rk_key_unwait(s, ticket[i]);
        }
        for (unsigned i = 0; i < 4; i++) rk_key_wait(s, ticket[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_requests_of_a_key_come_back_in_their_turn, tear_down),
        cmocka_unit_test_teardown(test_idempotent_request_is_sent_again_after_a_crash, tear_down),
        cmocka_unit_test_teardown(test_retries_come_to_an_end, tear_down),
        cmocka_unit_test_teardown(test_request_sent_again_never_ends_as_not_executed, tear_down),
        cmocka_unit_test_teardown(test_other_requests_are_sent_once, tear_down),
        cmocka_unit_test_teardown(test_late_death_is_a_timeout_and_not_sent_again, tear_down),
        cmocka_unit_test_teardown(test_bad_wishes_are_refused, tear_down),
        cmocka_unit_test_teardown(test_requests_of_a_key_share_a_lane_in_order, tear_down),
        cmocka_unit_test_teardown(test_other_requests_pass_those_that_wait_for_their_lane, tear_down),
        cmocka_unit_test_teardown(test_key_moves_only_when_nothing_of_it_may_run, tear_down),
        cmocka_unit_test_teardown(test_keyed_requests_keep_their_order_when_their_worker_dies, tear_down),
        cmocka_unit_test_teardown(test_too_many_keys_say_again, tear_down),
        cmocka_unit_test_teardown(test_second_death_poisons_a_request, tear_down),
        cmocka_unit_test_teardown(test_poisonous_idempotent_request_kills_two_workers, tear_down),
        cmocka_unit_test_teardown(test_supervisors_table_replaces_ours, tear_down),
        cmocka_unit_test(test_fingerprints_tell_requests_apart),
        cmocka_unit_test_teardown(test_supervisor_is_told_of_a_late_handler, tear_down),
    };
    rk_membarrier_register();
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
