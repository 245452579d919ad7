/* SPDX-License-Identifier: MIT */
/* How requests end that are cancelled, late, stopped or given up, and whether what is said about their execution is true. */
#include "clock.h"
#include "kit.h"
#include "session.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;

static struct rask *start(const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, "--kill-grace",
              "10s", NULL);
    struct rask *s = kit_connect(&server, NULL);
    kit_call_ok(s, &ledger, 8);
    return s;
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

/** One that keeps the only worker busy; returns when it runs. */
static uint64_t occupy(struct rask *s, const char *method, uint32_t ms)
{
    uint64_t ticket = kit_submit(s, &ledger, method, ms, 100, 0);
    kit_wait_started(s, &ledger, ledger.next - 1);
    return ticket;
}

static uint32_t number_of(unsigned back)
{
    return ledger.next - back;
}

static void test_cancel_in_the_queue_says_not_executed(void **state)
{
    (void)state;
    enum { QUEUED = 40 };
    uint64_t queued[QUEUED];
    struct rask *s = start("1");
    uint64_t busy = occupy(s, "slow", 200);
    for (unsigned i = 0; i < QUEUED; i++) queued[i] = kit_submit(s, &ledger, "ok", 0, 8 + i * 20, 0);
    uint64_t start_ns = rask_now_ns();
    for (unsigned i = 0; i < QUEUED; i += 2) assert_int_equal(rask_cancel(s, queued[i]), 0);
    for (unsigned i = 0; i < QUEUED; i += 2) kit_expect(s, &ledger, queued[i], RASK_CANCELLED, RASK_EXECUTED_NO);
    assert_true(rask_now_ns() - start_ns < 150 * KIT_MS); /* without waiting for the busy one */
    assert_int_equal(rask_cancel(s, queued[0]), -EINVAL);
    kit_expect(s, &ledger, busy, RASK_OK, RASK_EXECUTED_YES);
    for (unsigned i = 1; i < QUEUED; i += 2) kit_expect(s, &ledger, queued[i], RASK_OK, RASK_EXECUTED_YES);
    for (unsigned i = 0; i < QUEUED; i++) assert_int_equal(kit_started(&ledger, number_of(QUEUED - i)), i % 2);
    stop(s);
}

static void test_cancel_inside_asks_the_handler(void **state)
{
    (void)state;
    struct rask *s = start("1");
    uint64_t willing = occupy(s, "stoppable", 5000);
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(rask_cancel(s, willing), 0);
    kit_expect(s, &ledger, willing, RASK_ABORTED, RASK_EXECUTED_MAYBE);
    assert_true(rask_now_ns() - start_ns < KIT_S);
    uint64_t deaf = occupy(s, "slow", 100);
    assert_int_equal(rask_cancel(s, deaf), 0);
    kit_expect(s, &ledger, deaf, RASK_OK, RASK_EXECUTED_YES);
    stop(s);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------- */

static void test_deadline_in_the_queue_expires_unexecuted(void **state)
{
    (void)state;
    enum { QUEUED = 30 };
    uint64_t queued[QUEUED];
    struct rask *s = start("1");
    uint64_t busy = occupy(s, "slow", 300), start_ns = rask_now_ns();
    for (unsigned i = 0; i < QUEUED; i++)
        queued[i] = kit_submit(s, &ledger, "ok", 0, 8 + 50 * i, start_ns + 50 * KIT_MS);
    for (unsigned i = 0; i < QUEUED; i++) kit_expect(s, &ledger, queued[i], RASK_EXPIRED, RASK_EXECUTED_NO);
    assert_in_range(rask_now_ns() - start_ns, 50 * KIT_MS, 250 * KIT_MS);
    kit_expect(s, &ledger, busy, RASK_OK, RASK_EXECUTED_YES);
    kit_call_ok(s, &ledger, 100);
    for (unsigned i = 0; i < QUEUED; i++) assert_int_equal(kit_started(&ledger, number_of(QUEUED + 1 - i)), 0);
    uint64_t late = kit_submit(s, &ledger, "ok", 0, 8, rask_now_ns() - 1); /* over before it began */
    kit_expect(s, &ledger, late, RASK_EXPIRED, RASK_EXECUTED_NO);
    stop(s);
}

static void test_deadline_inside_times_out_and_the_late_answer_is_never_seen(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {16, 1000, 200000};
    struct rask *s = start("1");
    for (unsigned i = 0; i < 3; i++) {
        uint64_t start_ns = rask_now_ns();
        uint64_t ticket = kit_submit(s, &ledger, "slow", 150, sizes[i], start_ns + 50 * KIT_MS);
        kit_expect(s, &ledger, ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
        assert_in_range(rask_now_ns() - start_ns, 50 * KIT_MS, 140 * KIT_MS);
        struct rask_completion none;
        assert_int_equal(rask_wait(s, ticket, 0, &none), -EINVAL);
        for (unsigned k = 0; k < 20; k++) kit_call_ok(s, &ledger, sizes[i] + k); /* the late one comes before these */
        assert_int_equal(rask_poll(s, &none, 1), 0);
        assert_int_equal(rask_pending(s), 0);
    }
    uint64_t willing = kit_submit(s, &ledger, "stoppable", 5000, 8, rask_now_ns() + 50 * KIT_MS);
    struct rask_completion end;
    kit_take(s, &ledger, willing, &end);
    assert_true(end.status == RASK_TIMEOUT || end.status == RASK_ABORTED);
    assert_int_equal(end.executed, RASK_EXECUTED_MAYBE);
    rask_release(s, &end);
    kit_call_ok(s, &ledger, 8); /* it did stop */
    stop(s);
}

/** Deadlines and cancels that come about when the worker enters the request: whoever is first, both agree. */
static void race_with_the_worker(const char *workers)
{
    enum { IN_FLIGHT = 64 };
    uint64_t seed = kit_seed(), by_status[RASK_STATUS_COUNT] = {0};
    struct rask_completion completion[IN_FLIGHT];
    struct rask *s = start(workers);
    uint64_t end_ns = rask_now_ns() + 700 * KIT_MS;
    uint32_t in_flight = 0;
    while (in_flight > 0 || rask_now_ns() < end_ns) {
        while (in_flight < IN_FLIGHT && rask_now_ns() < end_ns && ledger.next < LEDGER_NUMBERS - 1) {
            uint64_t soon_ns = rask_now_ns() + 1 + kit_random(&seed, 300000);
            uint64_t deadline_ns = kit_random(&seed, 2) ? soon_ns : 0;
            uint32_t bytes = 8 + (uint32_t)kit_random(&seed, kit_random(&seed, 3) ? 24 : 900);
            uint64_t ticket = kit_submit(s, &ledger, "ok", 0, bytes, deadline_ns);
            if (kit_random(&seed, 4) == 0) rask_cancel(s, ticket);
            in_flight++;
        }
        if (in_flight == 0) break; /* the time is over just now, or the ledger is full */
        int count = rask_wait_any(s, completion, IN_FLIGHT, rask_now_ns() + 3 * KIT_S);
        if (count < 0) fail_msg("%u in flight: %s", in_flight, rask_last_error());
        for (int i = 0; i < count; i++) {
            kit_judge(&ledger, &completion[i], completion[i].length);
            by_status[completion[i].status]++;
            rask_release(s, &completion[i]);
        }
        in_flight -= (uint32_t)count;
    }
    for (uint32_t i = 0; i < RASK_STATUS_COUNT; i++)
        if (by_status[i]) print_message("  %-10s %llu\n", rask_status_name(i), (unsigned long long)by_status[i]);
    assert_int_equal(by_status[RASK_UNAVAILABLE], 0);
    assert_true(by_status[RASK_OK] > 0 && by_status[RASK_EXPIRED] > 0 && by_status[RASK_CANCELLED] > 0);
    kit_call_ok(s, &ledger, 100);
    stop(s);
}

static void test_deadlines_and_cancels_race_with_the_worker(void **state)
{
    (void)state;
    race_with_the_worker("1");
    race_with_the_worker("2");
}

/* ---- may have run ---------------------------------------------------------------------------------------------- */

/** However the story of a request goes on after its handler was entered: never "not executed". */
static void test_maybe_stays_maybe(void **state)
{
    (void)state;
    pid_t worker[2];
    struct rask *s = start("1");
    uint64_t ticket = occupy(s, "hang", 0);
    rask_cancel(s, ticket); /* cancelled, then dead */
    assert_int_equal(kit_workers(server.pid, worker, 2), 1);
    kill(worker[0], SIGKILL);
    kit_expect(s, &ledger, ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    kit_call_ok(s, &ledger, 8);

    ticket = occupy(s, "hang", 0); /* the supervisor is gone, then its worker */
    uint64_t queued = kit_submit(s, &ledger, "ok", 0, 8, 0);
    kill(server.pid, SIGKILL);
    kit_expect(s, &ledger, ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    kit_expect(s, &ledger, queued, RASK_UNAVAILABLE, RASK_EXECUTED_NO);
    rask_close(s);
    kit_ended(&server, 1000);
    kit_reap_orphans(1000);
    kit_ledger_close(&ledger);
}

/** The supervisor ends a session while its worker lives: what was entered may have run, the rest never does. */
static void test_ended_session_tells_started_from_queued(void **state)
{
    (void)state;
    enum { QUEUED = 20 };
    uint64_t queued[QUEUED];
    struct rask *s = start("1"), *other = kit_connect(&server, NULL);
    uint64_t running = occupy(s, "slow", 200);
    uint32_t first = ledger.next;
    for (unsigned i = 0; i < QUEUED; i++) queued[i] = kit_submit(s, &ledger, "ok", 0, 8 + i * 30, 0);
    assert_int_equal(send(s->socket, "nonsense", 8, MSG_NOSIGNAL), 8);
    kit_expect(s, &ledger, running, RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE);
    for (unsigned i = 0; i < QUEUED; i++) kit_expect(s, &ledger, queued[i], RASK_UNAVAILABLE, RASK_EXECUTED_NO);
    struct rask_request request;
    assert_int_equal(rask_reserve(s, 1, &request), -ENOTCONN);
    kit_call_ok(other, &ledger, 100); /* behind everything the worker had */
    for (uint32_t i = 0; i < QUEUED; i++) assert_int_equal(kit_started(&ledger, first + i), 0);
    assert_int_equal(rask_reconnect(s), 0);
    kit_call_ok(s, &ledger, 100);
    rask_close(other);
    stop(s);
}

/* ---- stopped processes ----------------------------------------------------------------------------------------- */

static void stop_process(pid_t pid)
{
    assert_int_equal(kill(pid, SIGSTOP), 0);
    kit_pause_ms(20);
}

static void test_stopped_worker_costs_one_timeout(void **state)
{
    (void)state;
    pid_t worker[2];
    struct rask *s = start("1");
    assert_int_equal(kit_workers(server.pid, worker, 2), 1);
    uint64_t inside = kit_submit(s, &ledger, "slow", 50, 3000, rask_now_ns() + 200 * KIT_MS);
    kit_wait_started(s, &ledger, ledger.next - 1);
    stop_process(worker[0]);
    uint64_t queued = kit_submit(s, &ledger, "ok", 0, 3000, rask_now_ns() + 200 * KIT_MS);
    kit_expect(s, &ledger, inside, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
    kit_expect(s, &ledger, queued, RASK_EXPIRED, RASK_EXECUTED_NO);
    uint32_t number = ledger.next - 1;
    kill(worker[0], SIGCONT);
    for (unsigned i = 0; i < 20; i++) kit_call_ok(s, &ledger, 3000);
    assert_int_equal(kit_started(&ledger, number), 0);
    assert_int_equal(rask_pending(s), 0);
    stop(s);
}

/** What a stopped worker had not begun goes to the other one, also what was bound to it. */
static void test_requests_of_a_stopped_worker_move(void **state)
{
    (void)state;
    enum { CALLS = 100 };
    uint64_t tickets[CALLS];
    pid_t worker[2];
    struct rask_completion completion;
    struct rask *s = start("2");
    kit_wait_children(server.pid, 2);
    assert_int_equal(kit_workers(server.pid, worker, 2), 2);
    for (unsigned i = 0; i < CALLS; i++) tickets[i] = kit_submit(s, &ledger, "slow", 1, 40, 0);
    for (unsigned i = 0; i < CALLS; i++) { /* both lanes are open and in use by now */
        kit_take(s, &ledger, tickets[i], &completion);
        rask_release(s, &completion);
    }
    stop_process(worker[0]);
    for (unsigned i = 0; i < CALLS; i++) tickets[i] = kit_submit(s, &ledger, "ok", 0, 40, 0);
    unsigned ended = 0;
    uint64_t end_ns = rask_now_ns() + 2 * KIT_S;
    while (ended < CALLS - 1 && rask_wait_any(s, &completion, 1, end_ns) == 1) {
        assert_string_equal(rask_status_name(completion.status), "OK");
        kit_judge(&ledger, &completion, 40);
        rask_release(s, &completion);
        ended++;
    }
    kill(worker[0], SIGCONT);
    assert_true(ended >= CALLS - 1); /* one it may have entered */
    while (rask_pending(s) > 0) {
        assert_int_equal(rask_wait_any(s, &completion, 1, rask_now_ns() + 2 * KIT_S), 1);
        kit_judge(&ledger, &completion, 40);
        rask_release(s, &completion);
    }
    for (uint32_t i = ledger.next - CALLS; i < ledger.next; i++) assert_int_equal(kit_started(&ledger, i), 1);
    stop(s);
}

static void test_data_path_goes_on_without_the_supervisor(void **state)
{
    (void)state;
    struct rask *s = start("1");
    stop_process(server.pid);
    for (unsigned i = 0; i < 500; i++) kit_call_ok(s, &ledger, 8 + i % 1000);
    kill(server.pid, SIGCONT);
    for (unsigned i = 0; i < 20; i++) kit_call_ok(s, &ledger, 500000); /* more slab, through the supervisor */
    stop(s);
}

/** A poll takes what is there, also in the middle of a deep pipeline, and none is there when it took less than was asked for. */
static void test_poll_takes_all_that_is_there(void **state)
{
    (void)state;
    enum { IN_FLIGHT = 120 };
    struct rask_completion completion[IN_FLIGHT + 1];
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_SPIN;
    rask_close(start("1"));
    struct rask *s = kit_connect(&server, &options);
    for (unsigned answered = 1; answered < IN_FLIGHT; answered += 7) {
        kit_call_ok(s, &ledger, 8);
        for (unsigned i = 0; i < answered; i++) kit_submit(s, &ledger, "ok", 0, 8, 0);
        for (unsigned i = answered; i < IN_FLIGHT; i++) kit_submit(s, &ledger, "slow", i == answered ? 50 : 0, 8, 0);
        while (kit_started(&ledger, number_of(IN_FLIGHT - answered)) == 0) continue;
        int count = rask_poll(s, completion, IN_FLIGHT + 1);
        for (int i = 0; i < count; i++) rask_release(s, &completion[i]);
        assert_int_equal(count, answered);
        while (rask_pending(s) > 0) {
            assert_true(rask_wait_any(s, completion, 1, rask_now_ns() + 5 * KIT_S) == 1);
            rask_release(s, &completion[0]);
        }
    }
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_cancel_in_the_queue_says_not_executed),
        KIT_TEST(test_cancel_inside_asks_the_handler),
        KIT_TEST(test_deadline_in_the_queue_expires_unexecuted),
        KIT_TEST(test_deadline_inside_times_out_and_the_late_answer_is_never_seen),
        KIT_TEST(test_deadlines_and_cancels_race_with_the_worker),
        KIT_TEST(test_maybe_stays_maybe),
        KIT_TEST(test_ended_session_tells_started_from_queued),
        KIT_TEST(test_stopped_worker_costs_one_timeout),
        KIT_TEST(test_requests_of_a_stopped_worker_move),
        KIT_TEST(test_poll_takes_all_that_is_there),
        KIT_TEST(test_data_path_goes_on_without_the_supervisor),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
