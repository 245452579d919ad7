/* SPDX-License-Identifier: MIT */
/* A supervisor that is short of descriptors: newcomers and those that want more hear why, and whatever runs goes on. */
#include "clock.h"
#include "kit.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILES = 64, SESSIONS_TRIED = 40 };

static struct kit_server server;
static struct kit_ledger ledger;
static pid_t workers[2];

/** With a limit of FILES from the start. */
static void start(void)
{
    char limit[16];
    snprintf(limit, sizeof(limit), "%d", FILES);
    kit_ledger_open(&ledger);
    kit_prepare(&server);
    const char *const arguments[] = {
        "sh",          "-c",       "ulimit -n $0 && exec \"$@\"", limit,   getenv("RASK_BIN"), "run",       "--socket",
        server.socket, "--plugin", kit_plugin("ledger"),          "--set", ledger.setting,     "--workers", "2",
        NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    kit_wait_children(server.pid, 2);
    assert_int_equal(kit_workers(server.pid, workers, 2), 2);
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static void expect_same_workers(void)
{
    pid_t now[2];
    assert_int_equal(kit_workers(server.pid, now, 2), 2);
    assert_memory_equal(now, workers, sizeof(now));
}

/** Lowest descriptor that the supervisor does not have. */
static unsigned lowest_free(void)
{
    char path[64];
    bool used[FILES] = {false};
    unsigned lowest = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)server.pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) < FILES) used[atoi(entry->d_name)] = true;
    closedir(folder);
    while (lowest < FILES && used[lowest]) lowest++;
    return lowest;
}

static void set_limit(unsigned files, struct rlimit *before)
{
    const struct rlimit limit = {.rlim_cur = files, .rlim_max = FILES};
    assert_int_equal(prlimit(server.pid, RLIMIT_NOFILE, &limit, before), 0);
}

static unsigned connect_until_refused(struct rask **sessions)
{
    unsigned count = 0;
    int error = 0;
    while (error == 0 && count < SESSIONS_TRIED) {
        error = rask_connect(&sessions[count], server.socket, NULL);
        if (error == 0) count++;
    }
    print_message("%u sessions, then: %s\n", count, rask_last_error());
    assert_int_equal(error, -EBUSY);
    assert_non_null(strstr(rask_last_error(), "descriptors"));
    assert_non_null(strstr(rask_last_error(), "ulimit -n"));
    return count;
}

static void call_many(struct rask *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) kit_call_ok(s, &ledger, 64 + i % 500);
}

/** Keeps both workers busy, so that the session opens a lane to each. */
static void spread(struct rask *s)
{
    uint64_t tickets[8];
    for (unsigned i = 0; i < 8; i++) tickets[i] = kit_submit(s, &ledger, "slow", 2, 64, 0);
    for (unsigned i = 0; i < 8; i++) kit_expect(s, &ledger, tickets[i], RASK_OK, RASK_EXECUTED_YES);
}

/** One request that keeps a worker busy for a while; fails once the session has ended. */
static int try_slow(struct rask *s)
{
    struct rask_request request;
    int error = rask_reserve(s, 64, &request);
    if (error < 0) return error;
    const struct ledger_request head = {.number = ledger.next++, .argument = 20};
    memset(request.data, 0, 64);
    memcpy(request.data, &head, sizeof(head));
    int method = rask_method(s, "slow");
    error = rask_submit(s, &request, (uint32_t)method, 64, NULL);
    if (error < 0) rask_abandon(s, &request);
    return error;
}

/** Asks for a second lane by keeping the first one busy, until the session is ended for it. */
static void spread_until_ended(struct rask *s)
{
    struct rask_completion completions[8];
    uint64_t end_ns = rask_now_ns() + 5 * KIT_S;
    int error = 0;
    while (error != -ENOTCONN) {
        assert_true(rask_now_ns() < end_ns);
        for (unsigned i = 0; i < 4 && error == 0; i++) error = try_slow(s);
        kit_pause_ms(5);
        int count = rask_poll(s, completions, 8);
        for (int i = 0; i < count; i++) rask_release(s, &completions[i]);
        if (error == -EAGAIN) error = 0;
    }
    if (!strstr(rask_last_error(), "ulimit -n")) fail_msg("not said why: %s", rask_last_error());
}

/** The lane that attaching may have asked for: let it come, so that the supervisor holds nothing of it any more. */
static void let_a_lane_come(struct rask *s)
{
    struct rask_info info = {.size = sizeof(info)};
    struct rask_completion none;
    for (unsigned ms = 0; info.lanes_open == 0 && ms < 200; ms++) {
        kit_pause_ms(1);
        rask_poll(s, &none, 1);
        rask_info(s, &info);
    }
    assert_true(info.lanes_open <= 1);
}

/** Fault 10. */
static void test_attach_until_refused_leaves_running_traffic_alone(void **state)
{
    (void)state;
    struct rask *sessions[SESSIONS_TRIED];
    start();
    struct rask *s = kit_connect(&server, NULL);
    spread(s);
    unsigned count = connect_until_refused(sessions);
    assert_true(count > 3);
    uint64_t cpu_ns = kit_cpu_ns(server.pid);
    kit_pause_ms(300);
    assert_true(kit_cpu_ns(server.pid) - cpu_ns < 100 * KIT_MS);
    assert_true(kit_descriptors(server.pid) <= FILES - FILES / 4); /* what is kept back is there */
    call_many(s, 1000);
    for (unsigned i = 0; i < count; i++) call_many(sessions[i], 5);
    expect_same_workers();
    while (count > 0) rask_close(sessions[--count]);
    stop(s);
}

/** What is kept back is for this: a worker dies, is replaced, and every session gets its lane. */
static void test_worker_is_replaced_when_newcomers_are_refused(void **state)
{
    (void)state;
    struct rask *sessions[SESSIONS_TRIED];
    start();
    unsigned count = connect_until_refused(sessions);
    for (unsigned round = 0; round < 3; round++) {
        while (kit_workers(server.pid, workers, 2) < 2) kit_pause_ms(1); /* calls go on while one of them is replaced */
        assert_int_equal(kill(workers[0], SIGKILL), 0);
        assert_int_equal(kill(workers[1], SIGKILL), 0);
        for (unsigned i = 0; i < count; i++) call_many(sessions[i], 20);
    }
    while (count > 1) rask_close(sessions[--count]);
    stop(sessions[0]);
}

/** Memory of one session that takes the last descriptors: it is ended with the reason, its neighbour runs on. */
static void test_session_that_wants_more_memory_is_told_why(void **state)
{
    (void)state;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.slab_bytes = 65536;
    options.slab_bytes_max = 256u << 20;
    options.payload_bytes_max = 1u << 20;
    start();
    struct rask *s = kit_connect(&server, NULL), *greedy = kit_connect(&server, &options);
    struct rask_request requests[FILES * 2];
    call_many(s, 10);
    int error = 0;
    unsigned count = 0;
    for (; error == 0 && count < FILES * 2; count++) {
        struct rask_completion none;
        error = rask_reserve(greedy, 1u << 20, &requests[count]); /* each one is a segment or more */
        kit_pause_ms(1);
        rask_poll(greedy, &none, 1); /* what the supervisor says is read here */
    }
    assert_int_equal(error, -ENOTCONN);
    if (!strstr(rask_last_error(), "ulimit -n")) fail_msg("not said why: %s", rask_last_error());
    call_many(s, 500);
    expect_same_workers();
    rask_close(greedy);
    rask_close(kit_connect(&server, NULL)); /* what the greedy one had is free */
    stop(s);
}

/** Not one is left, and a worker's lane does not fit: the session ends, the worker and its other session do not. */
static void test_lane_that_does_not_fit_ends_only_its_session(void **state)
{
    (void)state;
    struct rlimit before;
    start();
    struct rask *s = kit_connect(&server, NULL), *unlucky = kit_connect(&server, NULL);
    spread(s);
    let_a_lane_come(unlucky);
    set_limit(lowest_free(), &before);
    call_many(s, 200);
    spread_until_ended(unlucky);
    call_many(s, 200);
    expect_same_workers();
    set_limit((unsigned)before.rlim_cur, NULL);
    if (strstr(kit_log(&server), "killed")) fail_msg("a worker was killed: %s", kit_log(&server));
    rask_close(unlucky);
    rask_close(kit_connect(&server, NULL));
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_attach_until_refused_leaves_running_traffic_alone),
        KIT_TEST(test_worker_is_replaced_when_newcomers_are_refused),
        KIT_TEST(test_session_that_wants_more_memory_is_told_why),
        KIT_TEST(test_lane_that_does_not_fit_ends_only_its_session),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
