/* SPDX-License-Identifier: MIT */
/* Workers that die: what their callers are told, what happens to what was queued behind, and what stays readable. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <liburing.h>
#include <rask/uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;

static struct rask *start(const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, NULL);
    return kit_connect(&server, NULL);
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static pid_t only_worker(void)
{
    pid_t pids[2];
    kit_wait_children(server.pid, 1);
    assert_int_equal(kit_workers(server.pid, pids, 2), 1);
    return pids[0];
}

static int call(struct rask *s, const char *method, struct rask_completion *completion)
{
    return rask_call(s, (uint32_t)rask_method(s, method), NULL, 0, 10 * KIT_S, completion);
}

static int32_t pid_of_worker(struct rask *s)
{
    struct rask_completion completion;
    int32_t pid = 0;
    assert_int_equal(call(s, "pid", &completion), 0);
    assert_int_equal(completion.length, sizeof(pid));
    memcpy(&pid, completion.data, sizeof(pid));
    rask_release(s, &completion);
    return pid;
}

static void test_next_call_after_a_crash_works(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        int code;
    } ways[] = {{"segv", SIGSEGV}, {"abort", SIGABRT}, {"exit", 0}};
    kit_start(&server, "--plugin", kit_plugin("handler_crashes"), NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 3; i++) {
        struct rask_completion completion;
        int32_t before = pid_of_worker(s);
        assert_true(call(s, ways[i].method, &completion) < 0);
        assert_string_equal(rask_status_name(completion.status), "CRASHED");
        assert_string_equal(rask_executed_name(completion.executed), "maybe");
        assert_int_equal(completion.code, ways[i].code);
        rask_release(s, &completion);
        assert_int_not_equal(pid_of_worker(s), before);
    }
    rask_close(s);
    kit_stop(&server);
}

/** How long after its worker's death a caller knows, asleep in a wait. */
static uint64_t kill_inside(struct rask *s)
{
    struct rask_completion completion;
    uint64_t ticket = kit_submit(s, &ledger, "hang", 0, 64, 0);
    kit_wait_started(s, &ledger, ledger.next - 1);
    pid_t killer = kit_fork(), victim = killer ? 0 : only_worker();
    if (killer == 0) {
        kit_pause_ms(20); /* the caller sleeps by now */
        _exit(kill(victim, SIGKILL) == 0 ? 0 : 1);
    }
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + 3 * KIT_S, &completion), 0);
    int status;
    uint64_t told_ns = rask_now_ns();
    assert_int_equal(waitpid(killer, &status, 0), killer);
    assert_string_equal(rask_status_name(completion.status), "CRASHED");
    assert_string_equal(rask_executed_name(completion.executed), "maybe");
    assert_int_equal(completion.code, SIGKILL);
    rask_release(s, &completion);
    return told_ns;
}

static void test_caller_is_told_of_a_killed_worker(void **state)
{
    (void)state;
    uint64_t worst_ns = 0;
    struct rask *s = start("1");
    for (unsigned i = 0; i < 5; i++) {
        uint64_t start_ns = rask_now_ns();
        uint64_t told_ns = kill_inside(s) - start_ns - 20 * KIT_MS;
        if (told_ns > worst_ns) worst_ns = told_ns;
        kit_call_ok(s, &ledger, 40);
    }
    print_message("told at most %.1f ms after the kill\n", (double)worst_ns / 1e6);
    assert_true(worst_ns < KIT_S);
    stop(s);
}

/** One that crashes, then many: all of these run exactly once, elsewhere or in the next incarnation. */
static void crash_in_front(const char *workers, unsigned crashers)
{
    enum { BEHIND = 120 };
    uint64_t bad[3], good[BEHIND];
    struct rask *s = start(workers);
    kit_call_ok(s, &ledger, 8);
    for (unsigned i = 0; i < crashers; i++) bad[i] = kit_submit(s, &ledger, "crash", 0, 8, 0);
    for (unsigned i = 0; i < BEHIND; i++) good[i] = kit_submit(s, &ledger, "ok", 0, 8 + i * 37, 0);
    for (unsigned i = 0; i < crashers; i++) kit_expect(s, &ledger, bad[i], RASK_CRASHED, RASK_EXECUTED_MAYBE);
    for (unsigned i = 0; i < BEHIND; i++) {
        struct rask_completion completion;
        kit_take(s, &ledger, good[i], &completion);
        assert_string_equal(rask_status_name(completion.status), "OK");
        kit_judge(&ledger, &completion, 8 + i * 37);
        rask_release(s, &completion);
    }
    for (uint32_t number = 0; number < ledger.next; number++) assert_int_equal(kit_started(&ledger, number), 1);
    stop(s);
}

static void test_requests_behind_a_crash_run_elsewhere(void **state)
{
    (void)state;
    crash_in_front("1", 1);
    crash_in_front("2", 1);
    crash_in_front("1", 3);
    crash_in_front("2", 3);
}

/* ---- views ----------------------------------------------------------------------------------------------------- */

static void expect_answer(const struct rask_completion *completion, uint32_t bytes)
{
    kit_judge(&ledger, completion, bytes);
    assert_string_equal(rask_status_name(completion->status), "OK");
}

static void test_views_of_a_dead_worker_stay_readable(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {8, 32, 33, 5000, 300000, 2000000};
    enum { VIEWS = sizeof(sizes) / sizeof(sizes[0]) };
    struct rask_completion view[VIEWS];
    struct rask *s = start("1");
    for (unsigned i = 0; i < VIEWS; i++) kit_take(s, &ledger, kit_submit(s, &ledger, "ok", 0, sizes[i], 0), &view[i]);
    kill(only_worker(), SIGKILL);
    for (unsigned i = 0; i < 50; i++) kit_call_ok(s, &ledger, 3000 + i);
    for (unsigned i = 0; i < VIEWS; i++) expect_answer(&view[i], sizes[i]);
    kill(server.pid, SIGKILL);
    kit_ended(&server, 1000);
    kit_reap_orphans(1000);
    for (unsigned i = 0; i < VIEWS; i++) expect_answer(&view[i], sizes[i]);
    assert_true(rask_reconnect(s) < 0);
    for (unsigned i = 0; i < VIEWS; i++) {
        expect_answer(&view[i], sizes[i]);
        rask_release(s, &view[i]);
    }
    rask_close(s);
    kit_ledger_close(&ledger);
}

/* ---- fork ------------------------------------------------------------------------------------------------------ */

static int64_t no_bytes(void *buffer, size_t capacity, void *user)
{
    (void)buffer, (void)capacity, (void)user;
    return 0;
}

static void no_answer(const struct rask_completion *completion, void *user)
{
    (void)completion, (void)user;
}

static int use_in_child(struct rask *s, struct rask_request *reserved, uint64_t ticket)
{
    struct rask_completion completion = {.ticket = ticket};
    struct rask_request request;
    struct rask_info info = {.size = sizeof info};
    struct io_uring_sqe sqe;
    struct rask *clone;
    if (rask_reserve(s, 1, &request) != -EOWNERDEAD) return 1;
    if (rask_submit(s, reserved, 0, 8, NULL) != -EOWNERDEAD) return 2;
    if (rask_abandon(s, reserved) != -EOWNERDEAD) return 3;
    if (rask_poll(s, &completion, 1) != -EOWNERDEAD) return 4;
    if (rask_wait_any(s, &completion, 1, 0) != -EOWNERDEAD) return 5;
    if (rask_wait(s, ticket, 0, &completion) != -EOWNERDEAD) return 6;
    if (rask_cancel(s, ticket) != -EOWNERDEAD) return 7;
    if (rask_call(s, 0, NULL, 0, 0, &completion) != -EOWNERDEAD) return 8;
    if (rask_clone(s, &clone) != -EOWNERDEAD) return 9;
    if (rask_reconnect(s) != -EOWNERDEAD) return 10;
    if (rask_flush(s) != -EOWNERDEAD) return 11;
    if (rask_fd(s) != -EOWNERDEAD) return 12;
    if (rask_prep_wait(s, &sqe) != -EOWNERDEAD) return 13;
    if (rask_next_deadline_ns(s) != 0) return 14;
    if (rask_request(s, 0, 8, no_bytes, no_answer, NULL, NULL) != -EOWNERDEAD) return 15;
    if (rask_request(s, 0, 8, no_bytes, NULL, NULL, NULL) != -EOWNERDEAD) return 15;
    if (rask_info(s, &info) != -EOWNERDEAD) return 16;
    if (rask_method(s, "ok") != -EOWNERDEAD) return 17;
    if (rask_leased(s, ticket) != -EOWNERDEAD) return 18;
    completion.ticket = ticket;
    rask_release(s, &completion);
    rask_close(s);
    return 0;
}

static void use_after_fork(struct rask *s, uint32_t method)
{
    struct rask_request reserved;
    struct rask_completion completion;
    assert_int_equal(rask_reserve(s, 100, &reserved), 0);
    memset(reserved.data, 'p', 100);
    pid_t child = kit_fork();
    if (child == 0) _exit(use_in_child(s, &reserved, reserved.ticket));
    assert_int_equal(kit_wait(child, 3000), 0);
    uint64_t ticket = reserved.ticket;
    assert_int_equal(rask_submit(s, &reserved, method, 100, NULL), 0);
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + 3 * KIT_S, &completion), 0);
    assert_string_equal(rask_status_name(completion.status), "OK");
    rask_release(s, &completion);
}

static void test_forked_child_cannot_use_the_session(void **state)
{
    (void)state;
    struct rask *s;
    kit_start(&server, "--plugin", "echo", NULL);
    s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 3; i++) use_after_fork(s, 0);
    rask_close(s);
    kit_stop(&server);
    struct rask_spawn_options options = RASK_SPAWN_OPTIONS_INIT;
    options.plugin = "echo";
    assert_int_equal(rask_spawn(&s, &options, NULL), 0);
    for (unsigned i = 0; i < 3; i++) use_after_fork(s, 0);
    rask_close(s);
}

static void test_handler_that_forks_answers_once(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("handler_crashes"), NULL);
    struct rask *s = kit_connect(&server, NULL);
    int32_t worker = pid_of_worker(s), child = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct rask_completion completion, more;
        assert_int_equal(call(s, "fork", &completion), 0);
        memcpy(&child, completion.data, sizeof(child));
        assert_int_not_equal(child, worker);
        assert_true(kill(child, 0) < 0); /* the handler waited for it */
        rask_release(s, &completion);
        assert_int_equal(rask_poll(s, &more, 1), 0);
        assert_int_equal(rask_pending(s), 0);
    }
    assert_int_equal(pid_of_worker(s), worker);
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_next_call_after_a_crash_works),         KIT_TEST(test_caller_is_told_of_a_killed_worker),
        KIT_TEST(test_requests_behind_a_crash_run_elsewhere), KIT_TEST(test_views_of_a_dead_worker_stay_readable),
        KIT_TEST(test_forked_child_cannot_use_the_session),   KIT_TEST(test_handler_that_forks_answers_once),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
