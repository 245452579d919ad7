/* SPDX-License-Identifier: MIT */
/* Handlers that go on past a deadline, past --request-timeout or after they were cancelled: asked, then ended with their
 * worker, never the next request, and at nobody else's expense. */
#include "clock.h"
#include "kit.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SLACK (kit_sanitized ? 10u : 3u) /* times what a calm machine needs */

static struct kit_server server;
static struct kit_ledger ledger;

static struct rask *start(const char *grace, const char *option, const char *value)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--kill-grace", grace, option, value,
              NULL);
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

static uint64_t running(struct rask *s, const char *method, uint32_t ms, uint64_t deadline_ns)
{
    uint64_t ticket = kit_submit(s, &ledger, method, ms, 64, deadline_ns);
    kit_wait_started(s, &ledger, ledger.next - 1);
    return ticket;
}

static unsigned kills(void)
{
    unsigned count = 0;
    for (const char *at = kit_log(&server); (at = strstr(at, "is past its time")); at++) count++;
    return count;
}

static void test_hung_handler_ends_after_its_grace(void **state)
{
    (void)state;
    static const char *const ways[] = {"hang", "spin"};
    unsigned in_time = 0; /* a machine that is busy with something else delays some of them */
    struct rask *s = start("50ms", "--restart-limit", "1/60");
    for (unsigned i = 0; i < 8; i++) { /* far more than the restart limit: these deaths are not counted */
        uint64_t start_ns = rask_now_ns();
        uint64_t ticket = running(s, ways[i % 2], 0, start_ns + 50 * KIT_MS);
        kit_expect(s, &ledger, ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
        uint64_t told_ns = rask_now_ns() - start_ns;
        kit_call_ok(s, &ledger, 64);
        uint64_t served_ns = rask_now_ns() - start_ns;
        assert_true(told_ns >= 50 * KIT_MS && served_ns >= 100 * KIT_MS);
        in_time += told_ns < 50 * KIT_MS + SLACK * 15 * KIT_MS && served_ns < 100 * KIT_MS + SLACK * 50 * KIT_MS;
        assert_int_equal(kills(), i + 1);
    }
    assert_in_range(in_time, 5, 8);
    assert_null(strstr(kit_log(&server), "starts again in"));
    stop(s);
}

static void test_hung_worker_costs_its_own_request_only(void **state)
{
    (void)state;
    enum { CALLS = 50 };
    uint64_t mine[CALLS], theirs[CALLS];
    struct rask *s = start("20ms", NULL, NULL), *other = kit_connect(&server, NULL);
    kit_call_ok(other, &ledger, 8);
    uint64_t ticket = running(s, "hang", 0, rask_now_ns() + 30 * KIT_MS);
    for (unsigned i = 0; i < CALLS; i++) {
        mine[i] = kit_submit(s, &ledger, "ok", 0, 8 + 50 * i, 0);
        theirs[i] = kit_submit(other, &ledger, "ok", 0, 8 + 50 * i, 0);
    }
    kit_expect(s, &ledger, ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
    for (unsigned i = 0; i < CALLS; i++) {
        kit_expect(s, &ledger, mine[i], RASK_OK, RASK_EXECUTED_YES);
        kit_expect(other, &ledger, theirs[i], RASK_OK, RASK_EXECUTED_YES);
    }
    rask_close(other);
    stop(s);
}

/* Sessions that use one lane only (--pin 0: one worker runs at a time) and have it with a worker that does not come round to it. */
static void test_newcomers_are_served_beside_hung_workers(void **state)
{
    (void)state;
    enum { HUNG = 2 };
    uint64_t ticket[HUNG];
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", "3", "--pin", "0", NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < HUNG; i++) {
        ticket[i] = running(s, "stoppable", 30000, 0);
        struct rask *other = kit_connect(&server, NULL);
        uint64_t start_ns = rask_now_ns();
        kit_call_ok(other, &ledger, 8);
        assert_true(rask_now_ns() - start_ns < SLACK * 300 * KIT_MS);
        rask_close(other);
    }
    for (unsigned i = 0; i < HUNG; i++) {
        assert_int_equal(rask_cancel(s, ticket[i]), 0);
        kit_expect(s, &ledger, ticket[i], RASK_ABORTED, RASK_EXECUTED_MAYBE);
    }
    stop(s);
}

static void test_request_timeout_caps_every_request(void **state)
{
    (void)state;
    struct rask *s = start("20ms", "--request-timeout", "100ms"), *other = kit_connect(&server, NULL);
    kit_expect(s, &ledger, kit_submit(s, &ledger, "slow", 50, 8, 0), RASK_OK, RASK_EXECUTED_YES);
    uint64_t start_ns = rask_now_ns();
    uint64_t willing = kit_submit(s, &ledger, "stoppable", 20000, 8, 0);
    kit_expect(s, &ledger, willing, RASK_ABORTED, RASK_EXECUTED_MAYBE); /* it looks whether it should stop */
    assert_in_range(rask_now_ns() - start_ns, 95 * KIT_MS, 100 * KIT_MS + SLACK * 20 * KIT_MS);
    assert_int_equal(kills(), 0);
    uint64_t deadlines[] = {0, rask_now_ns() + 60 * KIT_S};
    for (unsigned i = 0; i < 2; i++) {
        start_ns = rask_now_ns();
        uint64_t ticket = running(s, "hang", 0, deadlines[i]);
        uint64_t queued = kit_submit(other, &ledger, "ok", 0, 8, 0);
        kit_expect(s, &ledger, ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
        assert_in_range(rask_now_ns() - start_ns, 115 * KIT_MS, 120 * KIT_MS + SLACK * 50 * KIT_MS);
        kit_expect(other, &ledger, queued, RASK_OK, RASK_EXECUTED_YES);
        assert_int_equal(kills(), i + 1);
    }
    rask_close(other);
    stop(s);
}

static void test_cancelled_handler_has_a_grace(void **state)
{
    (void)state;
    struct rask *s = start("50ms", NULL, NULL);
    uint64_t ticket = running(s, "hang", 0, 0), start_ns = rask_now_ns();
    uint64_t queued = kit_submit(s, &ledger, "ok", 0, 8, 0);
    assert_int_equal(rask_cancel(s, ticket), 0);
    assert_int_equal(rask_cancel(s, ticket), 0); /* again: nothing more */
    kit_expect(s, &ledger, ticket, RASK_ABORTED, RASK_EXECUTED_MAYBE);
    assert_in_range(rask_now_ns() - start_ns, 50 * KIT_MS, 50 * KIT_MS + SLACK * 50 * KIT_MS);
    kit_expect(s, &ledger, queued, RASK_OK, RASK_EXECUTED_YES);
    assert_int_equal(kills(), 1);
    ticket = running(s, "slow", 20, 0); /* deaf, but done within the grace */
    assert_int_equal(rask_cancel(s, ticket), 0);
    kit_expect(s, &ledger, ticket, RASK_OK, RASK_EXECUTED_YES);
    kit_pause_ms(100);
    kit_call_ok(s, &ledger, 8);
    assert_int_equal(kills(), 1);
    stop(s);
}

/** Handlers that return just when they are to be killed, each with another request behind it: that one is never hit. */
static void test_next_request_is_never_killed(void **state)
{
    (void)state;
    enum { ROUNDS = 150 };

    uint64_t seed = kit_seed();
    struct rask *s = start("3ms", NULL, NULL), *other = kit_connect(&server, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct rask_completion end;
        uint64_t jitter_ns = kit_random(&seed, 1500000);
        uint64_t late_ns = rask_now_ns() + 2300000 + jitter_ns; /* with the grace: about 6 ms */
        uint64_t late = kit_submit(s, &ledger, "slow", 6, 64, late_ns);
        uint64_t behind = kit_submit(s, &ledger, "slow", 2, 64, 0);
        uint64_t others = kit_submit(other, &ledger, "slow", 2, 64, 0);
        kit_take(s, &ledger, late, &end);
        assert_true(end.status == RASK_TIMEOUT || end.status == RASK_OK || end.status == RASK_EXPIRED);
        rask_release(s, &end);
        kit_expect(s, &ledger, behind, RASK_OK, RASK_EXECUTED_YES);
        kit_expect(other, &ledger, others, RASK_OK, RASK_EXECUTED_YES);
    }
    print_message("  %u rounds, %u workers killed\n", ROUNDS, kills());
    assert_int_equal(kit_started(&ledger, ledger.next - 1), 1);
    rask_close(other);
    stop(s);
}

static void test_deadline_of_a_dead_client_counts(void **state)
{
    (void)state;
    int pipe_fds[2];
    struct rask *s = start("50ms", NULL, NULL);
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = kit_fork();
    if (child == 0) {
        struct rask *own = kit_connect(&server, NULL);
        running(own, "hang", 0, rask_now_ns() + 100 * KIT_MS);
        if (write(pipe_fds[1], "x", 1) == 1) pause();
        _exit(1);
    }
    char byte;
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    uint64_t start_ns = rask_now_ns();
    kill(child, SIGKILL);
    kit_wait(child, 1000);
    ledger.next += 10; /* the child's numbers */
    kit_call_ok(s, &ledger, 8);
    assert_in_range(rask_now_ns() - start_ns, 0, 150 * KIT_MS + SLACK * 60 * KIT_MS);
    assert_int_equal(kills(), 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    stop(s);
}

static void test_stopped_worker_is_replaced_when_its_request_is_late(void **state)
{
    (void)state;
    pid_t worker[2];
    struct rask *s = start("50ms", NULL, NULL);
    assert_int_equal(kit_children(server.pid, worker, 2), 1);
    uint64_t ticket = running(s, "slow", 100, rask_now_ns() + 100 * KIT_MS);
    kill(worker[0], SIGSTOP);
    kit_expect(s, &ledger, ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
    kit_call_ok(s, &ledger, 8);
    assert_int_equal(kills(), 1);
    stop(s);
}

static void test_late_handler_of_a_leaving_worker_ends(void **state)
{
    (void)state;
    struct rask *s = start("50ms", "--drain-timeout", "30s");
    uint64_t ticket = running(s, "hang", 0, rask_now_ns() + 300 * KIT_MS);
    const struct kit_result *result = kit_rask("reload", "--socket", server.socket, NULL);
    assert_int_equal(result->code, 0);
    assert_true(result->took_ns < 10 * KIT_S);
    kit_expect(s, &ledger, ticket, RASK_TIMEOUT, RASK_EXECUTED_MAYBE);
    kit_call_ok(s, &ledger, 8);
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_hung_handler_ends_after_its_grace),
        KIT_TEST(test_hung_worker_costs_its_own_request_only),
        KIT_TEST(test_newcomers_are_served_beside_hung_workers),
        KIT_TEST(test_request_timeout_caps_every_request),
        KIT_TEST(test_cancelled_handler_has_a_grace),
        KIT_TEST(test_next_request_is_never_killed),
        KIT_TEST(test_deadline_of_a_dead_client_counts),
        KIT_TEST(test_stopped_worker_is_replaced_when_its_request_is_late),
        KIT_TEST(test_late_handler_of_a_leaving_worker_ends),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
