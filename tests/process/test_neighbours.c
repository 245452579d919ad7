/* SPDX-License-Identifier: MIT */
/* Sessions that share workers: one that is slow, greedy, silent, stopped or killed costs the others at most time. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;

static struct rask *start(const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, NULL);
    kit_wait_children(server.pid, (unsigned)atoi(workers));
    return kit_connect(&server, NULL);
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

/** Lanes to both workers, so that what follows does not wait for one. */
static void open_lanes(struct rask *s, uint32_t lanes)
{
    struct rask_info info = {.size = sizeof(info)};
    for (unsigned i = 0; i < 100 && info.lanes_open < lanes; i++) {
        uint64_t tickets[8];
        for (unsigned k = 0; k < 8; k++) tickets[k] = kit_submit(s, &ledger, "slow", 2, 64, 0);
        for (unsigned k = 0; k < 8; k++) kit_expect(s, &ledger, tickets[k], RASK_OK, RASK_EXECUTED_YES);
        rask_info(s, &info);
    }
    assert_int_equal(info.lanes_open, lanes);
}

static void test_slow_request_does_not_block_others(void **state)
{
    (void)state;
    enum { BEHIND = 60 };
    uint64_t behind[BEHIND];
    struct rask *s = start("2");
    open_lanes(s, 2);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t start_ns = rask_now_ns();
        uint64_t slow = kit_submit(s, &ledger, "slow", 600, 64, 0);
        for (unsigned i = 0; i < BEHIND; i++) behind[i] = kit_submit(s, &ledger, "ok", 0, 8 + 40 * i, 0);
        for (unsigned i = 0; i < BEHIND; i++) kit_expect(s, &ledger, behind[i], RASK_OK, RASK_EXECUTED_YES);
        for (unsigned i = 0; i < BEHIND; i++) kit_call_ok(s, &ledger, 64);
        assert_true(rask_now_ns() - start_ns < 500 * KIT_MS);
        kit_expect(s, &ledger, slow, RASK_OK, RASK_EXECUTED_YES);
    }
    stop(s);
}

/** A session that comes while a worker is inside another's request cannot have a lane to that worker: the idle one serves it. */
static void test_newcomer_does_not_wait_for_a_busy_worker(void **state)
{
    (void)state;
    enum { COMERS = 4 };

    struct rask *s = start("2"), *comer[COMERS];
    uint64_t slow = kit_submit(s, &ledger, "slow", 4000, 64, 0);
    kit_wait_started(s, &ledger, ledger.next - 1);
    for (unsigned i = 0; i < COMERS; i++) {
        comer[i] = kit_connect(&server, NULL);
        uint64_t start_ns = rask_now_ns();
        kit_expect(comer[i], &ledger, kit_submit(comer[i], &ledger, "ok", 0, 64, 0), RASK_OK, RASK_EXECUTED_YES);
        uint64_t took_ns = rask_now_ns() - start_ns;
        print_message("answered after %.1f ms\n", (double)took_ns / 1e6);
        assert_true(took_ns < 500 * KIT_MS);
    }
    for (unsigned i = 0; i < COMERS; i++) rask_close(comer[i]);
    kit_expect(s, &ledger, slow, RASK_OK, RASK_EXECUTED_YES);
    stop(s);
}

/* ---- one that does not read, one that is greedy ---------------------------------------------------------------- */

static uint32_t worker_of(uint64_t number)
{
    return __atomic_load_n(&ledger.book->worker[number], __ATOMIC_SEQ_CST);
}

/** One request of 1 ms; returns which worker ran it. */
static uint32_t run_one(struct rask *s)
{
    uint32_t number = ledger.next;
    kit_expect(s, &ledger, kit_submit(s, &ledger, "slow", 1, 64, 0), RASK_OK, RASK_EXECUTED_YES);
    return worker_of(number);
}

/** Where requests take long, a session knows which worker is busy with another's, and does not even try it. */
static void test_worker_inside_another_sessions_request_is_avoided(void **state)
{
    (void)state;
    struct rask *s = start("2"), *other = kit_connect(&server, NULL);
    struct rask_info info = {.size = sizeof(info)};
    open_lanes(s, 2);
    open_lanes(other, 2);
    uint32_t wanted = run_one(s), number;
    uint64_t long_one;
    for (;;) { /* the other session's long request has to be where this one went last */
        number = ledger.next;
        long_one = kit_submit(other, &ledger, "slow", 400, 64, 0);
        kit_wait_started(other, &ledger, number);
        if (worker_of(number) == wanted) break;
        kit_expect(other, &ledger, long_one, RASK_OK, RASK_EXECUTED_YES);
        while (run_one(other) != wanted) continue;
        wanted = run_one(s);
    }
    rask_info(s, &info);
    uint64_t moved = info.moved;
    for (unsigned i = 0; i < 20; i++) assert_int_not_equal(run_one(s), wanted);
    rask_info(s, &info);
    assert_in_range(info.moved - moved, 0, 9); /* it would be 20; a worker may lose its processor, too */
    kit_expect(other, &ledger, long_one, RASK_OK, RASK_EXECUTED_YES);
    rask_close(other);
    stop(s);
}

static void test_client_that_does_not_poll_leaves_others_alone(void **state)
{
    (void)state;
    enum { UNREAD = 2000 };
    static uint64_t tickets[UNREAD];
    struct rask *s = start("1"), *silent = kit_connect(&server, NULL);
    open_lanes(silent, 1);
    for (unsigned i = 0; i < UNREAD; i++) tickets[i] = kit_submit(silent, &ledger, "ok", 0, 8 + i % 600, 0);
    uint64_t start_ns = rask_now_ns();
    for (unsigned i = 0; i < 500; i++) kit_call_ok(s, &ledger, 8 + i);
    assert_true(rask_now_ns() - start_ns < 2 * KIT_S);
    for (unsigned i = 0; i < UNREAD; i++) {
        struct rask_completion completion;
        kit_take(silent, &ledger, tickets[i], &completion);
        assert_string_equal(rask_status_name(completion.status), "OK");
        kit_judge(&ledger, &completion, 8 + i % 600);
        rask_release(silent, &completion);
    }
    rask_close(silent);
    stop(s);
}

struct greedy {
    struct rask *s;
    uint32_t method;
    uint64_t calls;
    bool stop;
};

/** As much as there is room for, all the time; a millisecond each. Numbers from the far end of the ledger. */
static void *be_greedy(void *argument)
{
    struct greedy *greedy = argument;
    struct rask_completion completion[32];
    uint8_t data[64];
    uint32_t number = LEDGER_NUMBERS / 2;
    for (;;) {
        struct rask_request request;
        bool over = __atomic_load_n(&greedy->stop, __ATOMIC_ACQUIRE);
        while (!over && rask_pending(greedy->s) < 64 && rask_reserve(greedy->s, sizeof(data), &request) == 0) {
            kit_fill(request.data, number++, 1, sizeof(data));
            rask_submit(greedy->s, &request, greedy->method, sizeof(data), NULL);
        }
        if (rask_pending(greedy->s) == 0) return NULL;
        int count = rask_wait_any(greedy->s, completion, 32, rask_now_ns() + 3 * KIT_S);
        if (count < 0) return greedy;
        for (int i = 0; i < count; i++) rask_release(greedy->s, &completion[i]);
        greedy->calls += (uint64_t)count;
    }
}

static void test_greedy_session_does_not_starve_another(void **state)
{
    (void)state;
    pthread_t thread;
    void *failed;
    uint64_t calls = 0, worst_ns = 0;
    struct rask *s = start("1");
    struct greedy greedy = {.s = kit_connect(&server, NULL)};
    greedy.method = (uint32_t)rask_method(greedy.s, "slow");
    assert_int_equal(pthread_create(&thread, NULL, be_greedy, &greedy), 0);
    kit_pause_ms(50);
    uint64_t end_ns = rask_now_ns() + KIT_S;
    for (uint64_t before = rask_now_ns(), now; before < end_ns; before = now, calls++) {
        kit_call_ok(s, &ledger, 64);
        now = rask_now_ns();
        if (now - before > worst_ns) worst_ns = now - before;
    }
    __atomic_store_n(&greedy.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, &failed);
    print_message("in 1 s: %llu calls beside %llu of 1 ms, the slowest took %.1f ms\n", (unsigned long long)calls,
                  (unsigned long long)greedy.calls, (double)worst_ns / 1e6);
    assert_null(failed);
    assert_true(calls > 100); /* in turn with the other: some 800 of 1 ms fit */
    assert_true(greedy.calls > 100);
    rask_close(greedy.s);
    stop(s);
}

/* ---- clients that die or stop ---------------------------------------------------------------------------------- */

/** Load until killed. In a child: no asserts. Every call must be OK. */
static int run_load(uint32_t bytes_max)
{
    struct rask *s;
    struct rask_completion completion[16];
    uint32_t number = LEDGER_NUMBERS / 2;
    if (rask_connect(&s, server.socket, NULL) != 0) return 1;
    uint32_t method = (uint32_t)rask_method(s, "ok");
    for (;;) {
        struct rask_request request;
        uint32_t bytes = 8 + number * 7919 % bytes_max;
        while (rask_pending(s) < 50 && rask_reserve(s, bytes, &request) == 0) {
            kit_fill(request.data, number++ % (LEDGER_NUMBERS / 2) + LEDGER_NUMBERS / 2, 0, bytes);
            if (rask_submit(s, &request, method, bytes, NULL) != 0) return 2;
        }
        int count = rask_wait_any(s, completion, 16, rask_now_ns() + 3 * KIT_S);
        if (count < 0) return 3;
        for (int i = 0; i < count; i++) {
            if (completion[i].status != RASK_OK) return 4;
            rask_release(s, &completion[i]);
        }
    }
}

struct footprint {
    unsigned descriptors;
    unsigned mappings;
};

static struct footprint footprint(void)
{
    pid_t pids[8];
    unsigned count = kit_workers(server.pid, pids, 8);
    struct footprint sum = {kit_descriptors(server.pid), kit_mappings(server.pid)};
    for (unsigned i = 0; i < count; i++) {
        sum.descriptors += kit_descriptors(pids[i]);
        sum.mappings += kit_mappings(pids[i]);
    }
    return sum;
}

/** Supervisor and workers have as many descriptors and mappings as before, within 1 s. Returns when. */
static uint64_t wait_footprint(const struct footprint *before)
{
    uint64_t start_ns = rask_now_ns();
    for (;;) {
        struct footprint now = footprint();
        uint64_t after_ns = rask_now_ns() - start_ns;
        if (now.descriptors == before->descriptors && now.mappings == before->mappings) return after_ns;
        if (after_ns > (kit_sanitized ? 4 : 1) * KIT_S)
            fail_msg("%u descriptors instead of %u, %u mappings instead of %u", now.descriptors, before->descriptors,
                     now.mappings, before->mappings);
        kit_pause_ms(1);
    }
}

static void test_killed_clients_leave_nothing_and_disturb_nobody(void **state)
{
    (void)state;
    enum { ROUNDS = 12, CLIENTS = 3 };
    uint64_t seed = kit_seed(), worst_ns = 0;
    struct rask *s = start("2");
    open_lanes(s, 2);
    struct footprint before = footprint();
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t clients[CLIENTS];
        for (unsigned i = 0; i < CLIENTS; i++) {
            clients[i] = kit_fork();
            if (clients[i] == 0) _exit(run_load(i == 0 ? 300000 : 2000));
        }
        uint64_t end_ns = rask_now_ns() + kit_random(&seed, 60 * KIT_MS);
        do kit_call_ok(s, &ledger, 8 + (uint32_t)kit_random(&seed, 3000));
        while (rask_now_ns() < end_ns);
        for (unsigned i = 0; i < CLIENTS; i++) kill(clients[i], SIGKILL);
        for (unsigned i = 0; i < CLIENTS; i++) assert_int_equal(kit_wait(clients[i], 1000), -SIGKILL);
        uint64_t after_ns = wait_footprint(&before);
        if (after_ns > worst_ns) worst_ns = after_ns;
    }
    print_message("memory and descriptors back at most %.1f ms after the kills\n", (double)worst_ns / 1e6);
    stop(s);
}

static void test_stopped_client_goes_on_where_it_was(void **state)
{
    (void)state;
    struct rask *s = start("1");
    open_lanes(s, 1);
    struct footprint before = footprint();
    pid_t client = kit_fork();
    if (client == 0) _exit(run_load(2000));
    kit_pause_ms(100);
    for (unsigned i = 0; i < 5; i++) {
        kill(client, SIGSTOP);
        kit_pause_ms(50);
        for (unsigned k = 0; k < 100; k++) kit_call_ok(s, &ledger, 8 + k * 20);
        kill(client, SIGCONT);
        kit_pause_ms(20);
    }
    assert_int_equal(kill(client, 0), 0);
    kill(client, SIGKILL);
    assert_int_equal(kit_wait(client, 1000), -SIGKILL); /* and not an exit code: no call of its failed */
    wait_footprint(&before);
    stop(s);
}

static void test_open_and_close_leaves_nothing(void **state)
{
    (void)state;
    struct rask *s = start("2");
    open_lanes(s, 2);
    struct footprint before = footprint();
    for (unsigned i = 0; i < 30; i++) {
        struct rask *other = kit_connect(&server, NULL);
        if (i % 3 > 0) kit_call_ok(other, &ledger, i % 3 == 1 ? 100 : 400000);
        if (i % 5 == 0) kit_submit(other, &ledger, "slow", 5, 3000, 0); /* closed with a call under way */
        rask_close(other);
    }
    wait_footprint(&before);
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_slow_request_does_not_block_others),
        KIT_TEST(test_newcomer_does_not_wait_for_a_busy_worker),
        KIT_TEST(test_worker_inside_another_sessions_request_is_avoided),
        KIT_TEST(test_client_that_does_not_poll_leaves_others_alone),
        KIT_TEST(test_greedy_session_does_not_starve_another),
        KIT_TEST(test_killed_clients_leave_nothing_and_disturb_nobody),
        KIT_TEST(test_stopped_client_goes_on_where_it_was),
        KIT_TEST(test_open_and_close_leaves_nothing),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
