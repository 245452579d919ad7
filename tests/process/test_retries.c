/* SPDX-License-Identifier: MIT */
/* Requests that may be sent again, and requests that stay together, while their workers are killed. */
#include "kit.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;

static struct rask *start(const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers,
              "--restart-limit", "0", "--crash-dir", "none", NULL);
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

static uint64_t submit(struct rask *s, const char *method, uint32_t argument, uint64_t key, uint32_t retries)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.key = key;
    options.flags = retries > 0 ? RASK_REQUEST_IDEMPOTENT : 0;
    options.retries_max = retries;
    assert_int_equal(rask_reserve(s, 40, &request), 0);
    kit_fill(request.data, ledger.next, argument, 40);
    request.user_data = ledger.next++;
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, method), 40, &options), 0);
    return request.ticket;
}

static void kill_a_worker(unsigned which)
{
    pid_t workers[16];
    unsigned count = kit_children(server.pid, workers, 16);
    if (count > 0) kill(workers[which % count], SIGKILL);
}

static void test_idempotent_request_survives_the_death_of_its_worker(void **state)
{
    (void)state;
    struct rask_completion end;
    struct rask *s = start("1");
    uint64_t ticket = submit(s, "slow", 100, 0, 3);
    uint32_t number = ledger.next - 1;
    for (unsigned i = 1; i <= 3; i++) {
        while (kit_started(&ledger, number) < i) assert_int_equal(rask_poll(s, NULL, 0), 0);
        kill_a_worker(0);
    }
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + 20 * KIT_S, &end), 0);
    assert_string_equal(rask_status_name(end.status), "OK");
    rask_release(s, &end);
    assert_int_equal(kit_started(&ledger, number), 4);

    ticket = submit(s, "slow", 100, 0, 1);
    for (unsigned i = 1; i <= 2; i++) {
        while (kit_started(&ledger, ledger.next - 1) < i) assert_int_equal(rask_poll(s, NULL, 0), 0);
        kill_a_worker(0);
    }
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + 20 * KIT_S, &end), 0);
    assert_string_equal(rask_status_name(end.status), "CRASHED");
    assert_int_equal(end.executed, RASK_EXECUTED_MAYBE);
    rask_release(s, &end);
    stop(s);
}

static void test_request_sent_again_never_says_not_executed(void **state)
{
    (void)state;
    struct rask_completion end;
    struct rask *s = start("1");
    uint64_t ticket = submit(s, "hang", 0, 0, 3);
    kit_wait_started(s, &ledger, ledger.next - 1);
    kill(server.pid, SIGSTOP); /* no replacement comes */
    kill_a_worker(0);
    for (unsigned i = 0; i < 300; i++) {
        kit_pause_ms(1);
        assert_int_equal(rask_poll(s, NULL, 0), 0);
    }
    assert_int_equal(rask_cancel(s, ticket), 0);
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + 20 * KIT_S, &end), 0);
    assert_string_equal(rask_status_name(end.status), "CANCELLED"); /* it waited, but it had been started before */
    assert_int_equal(end.executed, RASK_EXECUTED_MAYBE);
    rask_release(s, &end);
    kill(server.pid, SIGCONT);
    stop(s);
}

static void test_storm_keeps_to_the_allowed_executions(void **state)
{
    (void)state;
    enum { IN_FLIGHT = 32, RETRIES = 2 };
    struct rask_completion end[IN_FLIGHT];
    uint64_t seed = kit_seed(), stop_ns, kill_ns;
    uint32_t in_flight = 0, first = 0, again = 0, by_status[RASK_STATUS_COUNT] = {0};
    struct rask *s = start("2");
    first = ledger.next;
    stop_ns = rask_now_ns() + 2 * KIT_S;
    kill_ns = rask_now_ns() + 50 * KIT_MS;
    while (in_flight > 0 || rask_now_ns() < stop_ns) {
        uint64_t now_ns = rask_now_ns();
        while (in_flight < IN_FLIGHT && now_ns < stop_ns) {
            submit(s, "slow", (uint32_t)kit_random(&seed, 3), 0, kit_random(&seed, 2) ? RETRIES : 0);
            in_flight++;
        }
        if (now_ns >= kill_ns && now_ns < stop_ns) {
            kill_a_worker((unsigned)kit_random(&seed, 2));
            kill_ns = now_ns + 30 * KIT_MS + kit_random(&seed, 60 * KIT_MS);
        }
        int count = rask_wait_any(s, end, IN_FLIGHT, rask_now_ns() + 2 * KIT_MS);
        for (int i = 0; i < count; i++) {
            uint32_t runs = kit_started(&ledger, (uint32_t)end[i].user_data);
            by_status[end[i].status]++;
            assert_in_range(runs, 0, 1 + RETRIES);
            if (end[i].executed == RASK_EXECUTED_NO) assert_int_equal(runs, 0);
            again += runs > 1;
            if (end[i].status == RASK_OK) assert_in_range(runs, 1, 1 + RETRIES);
            rask_release(s, &end[i]);
        }
        if (count > 0) in_flight -= (uint32_t)count;
        assert_true(rask_now_ns() < stop_ns + 20 * KIT_S);
    }
    print_message("  %u requests: %u OK, %u CRASHED, %u ran more than once\n", ledger.next - first, by_status[RASK_OK],
                  by_status[RASK_CRASHED], again);
    assert_int_equal(by_status[RASK_OK] + by_status[RASK_CRASHED], ledger.next - first);
    assert_true(by_status[RASK_OK] > 0 && again > 0);
    stop(s);
}

static void test_requests_of_a_key_run_in_order_while_workers_die(void **state)
{
    (void)state;
    enum { IN_FLIGHT = 64, KEYS = 5 };
    struct rask_completion end[IN_FLIGHT];
    uint64_t seed = kit_seed(), stop_ns, kill_ns;
    uint32_t in_flight = 0, ok = 0, crashed = 0;
    struct rask *s = start("3");
    stop_ns = rask_now_ns() + KIT_S;
    kill_ns = rask_now_ns() + 50 * KIT_MS;
    while (in_flight > 0 || rask_now_ns() < stop_ns) {
        uint64_t now_ns = rask_now_ns();
        while (in_flight < IN_FLIGHT && now_ns < stop_ns && ledger.next < LEDGER_NUMBERS) {
            uint32_t key = (uint32_t)kit_random(&seed, KEYS);
            submit(s, "ordered", key, key + 1, 0);
            in_flight++;
        }
        if (now_ns >= kill_ns && now_ns < stop_ns) {
            kill_a_worker((unsigned)kit_random(&seed, 3));
            kill_ns = now_ns + 20 * KIT_MS + kit_random(&seed, 20 * KIT_MS);
        }
        int count = rask_wait_any(s, end, IN_FLIGHT, rask_now_ns() + 2 * KIT_MS);
        for (int i = 0; i < count; i++) {
            if (end[i].status != RASK_CRASHED) kit_judge(&ledger, &end[i], 40);
            ok += end[i].status == RASK_OK; /* HANDLER_ERROR: out of order */
            crashed += end[i].status == RASK_CRASHED;
            if (end[i].status != RASK_OK && end[i].status != RASK_CRASHED)
                fail_msg("%s, executed %u, code %d", rask_status_name(end[i].status), end[i].executed, end[i].code);
            rask_release(s, &end[i]);
        }
        if (count > 0) in_flight -= (uint32_t)count;
        assert_true(rask_now_ns() < stop_ns + 20 * KIT_S);
    }
    print_message("  %u OK, %u CRASHED\n", ok, crashed);
    stop(s);
}

static void test_call_sends_again_what_may_run_twice(void **state)
{
    (void)state;
    const struct kit_result *result;
    result = kit_rask("call", "echo", "x", "--plugin", "echo", "--idempotent", "--retries", "3", "--key", "7", NULL);
    assert_int_equal(result->code, 0);
    assert_string_equal(result->out, "x");
    result = kit_rask("call", "echo", "x", "--plugin", "echo", "--retries", "3", NULL);
    assert_int_equal(result->code, 64);
    assert_non_null(strstr(result->err, "--idempotent"));
    assert_int_equal(kit_rask("call", "echo", "x", "--plugin", "echo", "--idempotent", "--retries", "17", NULL)->code,
                     64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_idempotent_request_survives_the_death_of_its_worker),
        KIT_TEST(test_request_sent_again_never_says_not_executed),
        KIT_TEST(test_storm_keeps_to_the_allowed_executions),
        KIT_TEST(test_requests_of_a_key_run_in_order_while_workers_die),
        KIT_TEST(test_call_sends_again_what_may_run_twice),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
