/* SPDX-License-Identifier: MIT */
/* Shares of users and sessions: what is over is refused in words, and what a session had is back when it is gone. */
#include "quota.h"
#include "stranger.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIED_MAX = 80 };

static struct kit_server server;
static struct kit_ledger ledger;

static void start(const char *option, const char *value, const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, option, value,
              "--restart-limit", "0", STRANGERS, NULL);
    kit_wait_children(server.pid, (unsigned)atoi(workers));
}

static void stop(void)
{
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

/** Sessions until one is refused, with an error that says `said`. */
static unsigned fill(struct rask **sessions, int expected, const char *said)
{
    unsigned count = 0;
    int error = 0;
    while (count < TRIED_MAX && (error = rask_connect(&sessions[count], server.socket, NULL)) == 0) count++;
    assert_int_equal(error, expected);
    if (!strstr(rask_last_error(), said)) fail_msg("\"%s\" is not in: %s", said, rask_last_error());
    return count;
}

static void close_all(struct rask **sessions, unsigned count)
{
    while (count > 0) rask_close(sessions[--count]);
}

/** A closed session is gone for the supervisor a moment later. */
static void wait_descriptors(unsigned count)
{
    for (unsigned ms = 0; kit_descriptors(server.pid) != count; ms++) {
        if (ms > 3000) fail_msg("%u descriptors instead of %u", kit_descriptors(server.pid), count);
        kit_pause_ms(1);
    }
}

/** Once everything that belongs to the start is over. */
static unsigned descriptors_at_rest(void)
{
    rask_close(kit_connect(&server, NULL));
    kit_pause_ms(100);
    return kit_descriptors(server.pid);
}

static void test_sessions_of_a_user_are_counted(void **state)
{
    (void)state;
    struct rask *sessions[TRIED_MAX];
    start("--uid-sessions", "3", "1");
    unsigned before = descriptors_at_rest();
    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(fill(sessions, -EBUSY, "--uid-sessions"), 3);
        close_all(sessions, 3);
        wait_descriptors(before);
    }
    const struct kit_result *result;
    assert_int_equal(fill(sessions, -EBUSY, "limit of 3 sessions"), 3);
    result = kit_rask("call", "ok", "x", "--socket", server.socket, NULL);
    assert_int_equal(result->code, 75);
    close_all(sessions, 3);
    stop();
}

static void test_sessions_of_all_users_are_counted(void **state)
{
    (void)state;
    struct rask *sessions[TRIED_MAX];
    start("--sessions", "4", "1");
    assert_int_equal(fill(sessions, -EBUSY, "limit of 4 sessions"), 4);
    close_all(sessions, 4);
    stop();
}

/** In a child: a session of this user that holds all it can, until it is killed. */
static void hold(struct kit_ledger *book, int tell)
{
    struct rask *s = NULL;
    struct rask_request request;
    if (rask_connect(&s, server.socket, NULL) != 0) _exit(1);
    for (unsigned i = 0; i < 3; i++)
        if (rask_reserve(s, 500000, &request) != 0) _exit(2);
    (void)book;
    if (write(tell, "x", 1) != 1) _exit(3);
    pause();
    _exit(4);
}

/** Clients die with everything they had, extra segments and lanes included: the next one gets exactly as much. */
static void test_bytes_come_back_to_the_last_one(void **state)
{
    (void)state;
    struct rask *sessions[TRIED_MAX];
    start("--uid-bytes", "8M", "2");
    unsigned before = descriptors_at_rest(), at_first = 0;
    for (unsigned round = 0; round < 6; round++) {
        int tell[2];
        char byte;
        assert_int_equal(pipe(tell), 0);
        pid_t pid = kit_fork();
        if (pid == 0) hold(&ledger, tell[1]);
        assert_int_equal(read(tell[0], &byte, 1), 1);
        unsigned beside = fill(sessions, -EBUSY, "--uid-bytes");
        for (unsigned i = 0; i < beside; i++) kit_call_ok(sessions[i], &ledger, 5000); /* everyone has a lane */
        kill(pid, SIGKILL);
        kit_wait(pid, 1000);
        close_all(sessions, beside);
        wait_descriptors(before);
        unsigned count = fill(sessions, -EBUSY, "--uid-bytes");
        close_all(sessions, count);
        wait_descriptors(before);
        if (round == 0) at_first = count;
        assert_int_equal(count, at_first);
        assert_in_range(beside, 1, at_first - 2);
        close(tell[0]);
        close(tell[1]);
    }
    print_message("%u sessions fit into 8 MiB\n", at_first);
    stop();
}

/** Dead workers' lanes are paid for until they are settled, and not longer. */
static void test_bytes_of_dead_workers_come_back(void **state)
{
    (void)state;
    struct rask *sessions[TRIED_MAX];
    pid_t workers[2];
    start("--uid-bytes", "1500K", "1");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned round = 0; round < 8; round++) {
        kit_call_ok(s, &ledger, 5000);
        assert_int_equal(kit_workers(server.pid, workers, 2), 1);
        kill(workers[0], SIGKILL);
        kit_wait_children(server.pid, 1);
    }
    kit_call_ok(s, &ledger, 5000);
    unsigned count = fill(sessions, -EBUSY, "--uid-bytes");
    assert_int_equal(count, 1);
    close_all(sessions, count);
    rask_close(s);
    stop();
}

/** Keeps every lane busy, so that the session asks for another one. */
static uint32_t lanes_of(struct rask *s)
{
    struct rask_info info = {.size = sizeof(info)};
    uint64_t tickets[8];
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 8; i++) tickets[i] = kit_submit(s, &ledger, "slow", 2, 64, 0);
        for (unsigned i = 0; i < 8; i++) kit_expect(s, &ledger, tickets[i], RASK_OK, RASK_EXECUTED_YES);
    }
    rask_info(s, &info);
    return info.lanes_open;
}

/** A session that could use more workers than its user has bytes for goes on with those that it has, and gets the others once
 * bytes come back. */
static void test_lanes_wait_for_bytes(void **state)
{
    (void)state;
    start("--uid-bytes", "1700K", "4");
    struct rask *s = kit_connect(&server, NULL), *other = kit_connect(&server, NULL);
    uint32_t few = lanes_of(s);
    assert_in_range(few, 1, 3);
    kit_call_ok(other, &ledger, 64);
    if (!strstr(kit_log(&server), "--uid-bytes")) fail_msg("not said: %s", kit_log(&server));
    rask_close(other);
    uint32_t more = few;
    for (unsigned i = 0; i < 50 && more == few; i++) more = lanes_of(s);
    print_message("%u lanes beside another session, %u alone\n", few, more);
    assert_true(more > few);
    rask_close(s);
    stop();
}

/** The client is told what it may have, and says so instead of running into the end. */
static void test_session_keeps_to_its_bytes(void **state)
{
    (void)state;
    struct rask_options large = RASK_OPTIONS_INIT;
    struct rask_request requests[64];
    struct rask *s = NULL;
    unsigned count = 0;
    large.slab_bytes = 8u << 20;
    start("--session-bytes", "4M", "1");
    assert_int_equal(rask_connect(&s, server.socket, &large), -ENOMEM);
    assert_non_null(strstr(rask_last_error(), "--session-bytes"));
    s = kit_connect(&server, NULL);
    int error = 0;
    while (count < 64 && (error = rask_reserve(s, 200000, &requests[count])) == 0) count++;
    assert_int_equal(error, -EAGAIN);
    assert_in_range(count, 3, 20);
    while (count > 0) rask_abandon(s, &requests[--count]);
    kit_call_ok(s, &ledger, 200);
    rask_close(s);
    stop();
}

/* ---- connections without a session --------------------------------------------------------------------------------- */

static void test_silent_peers_are_let_go(void **state)
{
    (void)state;
    struct raw silent = RAW_INIT, half = RAW_INIT, quarter = RAW_INIT;
    kit_start(&server, "--plugin", "echo", "--handshake-timeout", "300ms", NULL);
    unsigned before = descriptors_at_rest();
    silent.socket = raw_dial(server.socket);
    quarter.socket = raw_dial(server.socket);
    assert_true(raw_welcome(&half, server.socket)); /* and no ATTACH */
    assert_int_equal(send(quarter.socket, "RASK", 4, 0), 4);
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(raw_next(&silent, 5 * KIT_S), RK_REFUSED);
    assert_non_null(strstr(silent.in.text.text, "HELLO"));
    assert_int_equal(raw_next(&half, 5 * KIT_S), RK_REFUSED);
    assert_non_null(strstr(half.in.text.text, "ATTACH"));
    assert_int_equal(raw_next(&quarter, 5 * KIT_S), RK_REFUSED);
    assert_true(rask_now_ns() - start_ns < 3 * KIT_S);
    wait_descriptors(before); /* although the peers have not closed */
    raw_close(&silent);
    raw_close(&half);
    raw_close(&quarter);
    kit_stop(&server);
}

/** In a child: connect without a word until refused; then hold them all. Exit codes are steps. */
static void flood(int tell)
{
    enum { MAX = 400 };
    static struct raw raw[MAX];
    unsigned count = 0, refused = 0;
    for (; count < MAX && refused == 0; count++) {
        if ((raw[count].socket = raw_dial(server.socket)) < 0) _exit(1);
        if (raw_next(&raw[count], count < 60 ? 0 : 20 * KIT_MS) == RK_REFUSED) refused++;
    }
    if (refused == 0 || count < 60 || count > 70) _exit(2);
    if (raw[count - 1].in.text.reason != RK_REFUSED_BUSY) _exit(3);
    if (write(tell, "x", 1) != 1) _exit(4);
    pause();
    _exit(5);
}

static void test_flood_of_handshakes_is_capped(void **state)
{
    (void)state;
    NEEDS_ROOT();
    int tell[2];
    char byte;
    kit_start(&server, "--plugin", "echo", STRANGERS, NULL);
    unsigned before = descriptors_at_rest();
    assert_int_equal(pipe(tell), 0);
    pid_t pid = fork_as(STRANGER, STRANGER);
    if (pid == 0) flood(tell[1]);
    close(tell[1]);
    if (read(tell[0], &byte, 1) != 1) fail_msg("the flood ended with %d", kit_wait(pid, 1000));
    wait_descriptors(before + RK_PENDING_PER_USER_MAX);
    pid_t other = fork_as(SECOND_STRANGER, SECOND_STRANGER);
    if (other == 0) {
        struct rask *s = NULL;
        int error = rask_connect(&s, server.socket, NULL);
        rask_close(s);
        _exit(-error);
    }
    assert_int_equal(kit_wait(other, 5000), 0);
    rask_close(kit_connect(&server, NULL));
    kill(pid, SIGKILL);
    kit_wait(pid, 1000);
    wait_descriptors(before);
    close(tell[0]);
    kit_stop(&server);
}

/** Descriptors on their way count against the supervisor: the second message with some waits for the ACK of the first. */
static void test_one_unacknowledged_descriptor_message(void **state)
{
    (void)state;
    struct raw raw = RAW_INIT;
    kit_start(&server, "--plugin", "echo", "--workers", "3", NULL);
    kit_wait_children(server.pid, 3);
    assert_true(raw_attach(&raw, server.socket));
    for (uint32_t lane = 0; lane < 3; lane++) assert_int_equal(raw_send_lane(&raw, RK_OPEN_LANE, lane, lane), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(raw_expect(&raw, RK_LANE));
        while (raw_next(&raw, 200 * KIT_MS) != 0) assert_int_not_equal(raw.in.head.type, RK_LANE);
        assert_int_equal(raw_send(&raw, RK_ACK, NULL, 0), 0);
    }
    assert_int_equal(raw_send(&raw, RK_ACK, NULL, 0), 0); /* for nothing */
    assert_true(raw_expect(&raw, RK_ENDED));
    raw_close(&raw);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_sessions_of_a_user_are_counted),
        KIT_TEST(test_sessions_of_all_users_are_counted),
        KIT_TEST(test_bytes_come_back_to_the_last_one),
        KIT_TEST(test_bytes_of_dead_workers_come_back),
        KIT_TEST(test_lanes_wait_for_bytes),
        KIT_TEST(test_session_keeps_to_its_bytes),
        KIT_TEST(test_silent_peers_are_let_go),
        KIT_TEST(test_flood_of_handshakes_is_capped),
        KIT_TEST(test_one_unacknowledged_descriptor_message),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
