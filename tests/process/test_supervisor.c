/* SPDX-License-Identifier: MIT */
/* The supervisor from start to end: its socket, its ready line, how it drains and how it dies. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;

static void start_ledger(const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, NULL);
}

/* ---- the socket ------------------------------------------------------------------------------------------------ */

static void test_call_before_the_first_worker_waits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        kit_start_only(&server, "--plugin", "echo", NULL);
        while (access(server.socket, F_OK) != 0) kit_pause_ms(1);
        const struct kit_result *result = kit_rask("call", "echo", "early", "--socket", server.socket, NULL);
        if (result->code == 69) { /* between bind and listen */
            kit_wait_ready(&server);
        } else {
            assert_int_equal(result->code, 0);
            assert_string_equal(result->out, "early");
            kit_wait_ready(&server);
        }
        kit_stop(&server);
    }
}

static void test_call_waits_only_as_long_as_its_timeout(void **state)
{
    (void)state;
    kit_start_only(&server, "--plugin", kit_plugin("open_hangs"), "--start-timeout", "2s", NULL);
    while (access(server.socket, F_OK) != 0) kit_pause_ms(1);
    kit_pause_ms(20);
    const struct kit_result *result =
        kit_rask("call", "any", "--socket", server.socket, "--timeout", "100ms", "--json", NULL);
    assert_int_equal(result->code, 124);
    assert_non_null(strstr(result->out, "\"no\""));
    assert_true(result->took_ns < 1500 * KIT_MS);
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    kit_ended(&server, 3000);
}

static void test_stale_socket_is_replaced(void **state)
{
    (void)state;
    kit_prepare(&server);
    close(kit_listen(server.socket)); /* the file stays, nobody listens */
    const char *const arguments[] = {getenv("RASK_BIN"), "run", "--socket", server.socket, "--plugin", "echo", NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    rask_close(kit_connect(&server, NULL));
    kit_stop(&server);
}

static void test_live_socket_is_refused(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    const struct kit_result *result = kit_rask("run", "--socket", server.socket, "--plugin", "echo", NULL);
    assert_int_equal(result->code, 78);
    assert_non_null(strstr(result->err, server.socket));
    rask_close(kit_connect(&server, NULL)); /* the first one is as it was */
    kit_stop(&server);

    kit_prepare(&server);
    int fd = kit_listen(server.socket); /* another program's */
    result = kit_rask("run", "--socket", server.socket, "--plugin", "echo", NULL);
    assert_int_equal(result->code, 78);
    assert_int_equal(access(server.socket, F_OK), 0);
    close(fd);
    unlink(server.socket);
    assert_int_equal(rmdir(server.folder), 0);
    kit_forget(&server);
}

/** As another user, because root has /run/rask. The plugin fails after the folder was looked at: every run ends. */
static const char *run_with_default_socket(const char *runtime_folder)
{
    char variable[160];
    const char *const environment[] = {variable, NULL};
    const char *const arguments[] = {"setpriv", "--reuid=65534", "--clear-groups",         getenv("RASK_BIN"),
                                     "run",     "--plugin",      kit_plugin("open_fails"), NULL};
    snprintf(variable, sizeof(variable), "XDG_RUNTIME_DIR=%s", runtime_folder);
    const struct kit_result *result = kit_program(arguments, environment);
    if (result->code == 99 || result->code == 126 || result->code == 127) return NULL;
    assert_int_equal(result->code, 78);
    return result->err;
}

static void test_default_folder_is_private_or_refused(void **state)
{
    (void)state;
    char folder[] = "/tmp/rask-test-XXXXXX", inner[64];
    struct stat facts;
    if (geteuid() != 0) {
        print_message("needs root, to be somebody else\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    snprintf(inner, sizeof(inner), "%s/rask", folder);
    assert_int_equal(chown(folder, 65534, 65534), 0);
    const char *said = run_with_default_socket(folder);
    if (!said) {
        rmdir(folder);
        print_message("another user cannot run %s\n", getenv("RASK_BIN"));
        skip();
    }
    assert_null(strstr(said, "folder"));
    assert_int_equal(stat(inner, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
    assert_int_equal(chown(inner, 0, 0), 0);
    assert_non_null(strstr(run_with_default_socket(folder), "belongs to user 0"));
    assert_int_equal(chown(inner, 65534, 65534), 0);
    assert_int_equal(chmod(inner, 0777), 0);
    assert_non_null(strstr(run_with_default_socket(folder), "777"));
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

static void test_term_drains_and_leaves_nothing_behind(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (unsigned i = 0; i < 2; i++) { /* idle, with a session attached */
        kit_start(&server, "--plugin", "echo", "--workers", "2", NULL);
        struct rask *s = kit_connect(&server, NULL);
        kill(server.pid, signals[i]);
        assert_int_equal(kit_wait(server.pid, 3000), 0);
        assert_int_not_equal(access(server.socket, F_OK), 0);
        rask_close(s);
        unlink(server.log);
        assert_int_equal(rmdir(server.folder), 0);
        kit_forget(&server);
    }
}

static void test_drain_finishes_what_runs_and_ends_what_waits(void **state)
{
    (void)state;
    uint64_t tickets[8];
    start_ledger("1");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 8; i++) tickets[i] = kit_submit(s, &ledger, "slow", 300, 100, 0);
    kit_wait_started(s, &ledger, 0);
    uint64_t start_ns = rask_now_ns();
    kill(server.pid, SIGTERM);
    kit_expect(s, &ledger, tickets[0], RASK_OK, RASK_EXECUTED_YES);
    for (unsigned i = 1; i < 8; i++) kit_expect(s, &ledger, tickets[i], RASK_SHUTDOWN, RASK_EXECUTED_NO);
    struct rask_request request;
    int error = rask_reserve(s, 1, &request);
    assert_true(error == -ESHUTDOWN || error == -ENOTCONN);
    assert_int_equal(kit_ended(&server, 3000), 0);
    assert_true(rask_now_ns() - start_ns < 2 * KIT_S);
    for (uint32_t i = 1; i < 8; i++) assert_int_equal(kit_started(&ledger, i), 0);
    rask_close(s);
    kit_ledger_close(&ledger);
}

static void test_second_signal_forces_the_end(void **state)
{
    (void)state;
    start_ledger("1");
    struct rask *s = kit_connect(&server, NULL);
    uint64_t ticket = kit_submit(s, &ledger, "hang", 0, 8, 0);
    kit_wait_started(s, &ledger, 0);
    kill(server.pid, SIGTERM);
    kit_pause_ms(100);
    kill(server.pid, SIGTERM);
    assert_int_equal(kit_ended(&server, 2000), 1);
    kit_expect(s, &ledger, ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    rask_close(s);
    kit_ledger_close(&ledger);
}

static void test_drain_timeout_forces_the_end(void **state)
{
    (void)state;
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--drain-timeout", "200ms", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint64_t ticket = kit_submit(s, &ledger, "hang", 0, 8, 0);
    kit_wait_started(s, &ledger, 0);
    kill(server.pid, SIGTERM);
    assert_int_equal(kit_ended(&server, 2000), 1);
    kit_expect(s, &ledger, ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    rask_close(s);
    kit_ledger_close(&ledger);
}

/* ---- private supervisors --------------------------------------------------------------------------------------- */

static int spawn_private(struct rask **s)
{
    struct rask_spawn_options options = RASK_SPAWN_OPTIONS_INIT;
    options.plugin = kit_plugin("handler_crashes");
    options.workers = 2;
    return rask_spawn(s, &options, NULL);
}

/** A client that says its supervisor's pid, then waits to be killed, in the middle of a call. */
static int private_client(int out)
{
    struct rask *s;
    struct rask_info info = {.size = sizeof(info)};
    struct rask_completion completion;
    if (spawn_private(&s) != 0 || rask_info(s, &info) != 0) return 1;
    int32_t pid = (int32_t)info.supervisor_pid;
    if (write(out, &pid, sizeof(pid)) != sizeof(pid)) return 2;
    rask_call(s, (uint32_t)rask_method(s, "loop"), NULL, 0, 0, &completion);
    return 3;
}

static void test_private_supervisor_ends_with_its_client(void **state)
{
    (void)state;
    struct rask *s = NULL, *clone = NULL;
    struct rask_info info = {.size = sizeof(info)};
    assert_int_equal(spawn_private(&s), 0);
    assert_int_equal(rask_clone(s, &clone), 0);
    rask_info(s, &info);
    rask_close(s);
    assert_int_equal(kill((pid_t)info.supervisor_pid, 0), 0); /* the other session has it */
    rask_close(clone);
    assert_int_equal(kill((pid_t)info.supervisor_pid, 0), -1);

    int out[2];
    int32_t supervisor = 0;
    assert_int_equal(pipe(out), 0);
    pid_t client = kit_fork();
    if (client == 0) _exit(private_client(out[1]));
    close(out[1]);
    assert_int_equal(read(out[0], &supervisor, sizeof(supervisor)), sizeof(supervisor));
    close(out[0]);
    kit_pause_ms(50);
    kill(client, SIGKILL);
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(kit_wait(client, 1000), -SIGKILL);
    kit_reap_orphans(1000);
    print_message("all gone %.1f ms after the client\n", (double)(rask_now_ns() - start_ns) / 1e6);
}

/* ---- the supervisor dies --------------------------------------------------------------------------------------- */

static void end_all(struct rask *s, unsigned count)
{
    for (unsigned i = 0; i < count;) {
        struct rask_completion completion[16];
        int got = rask_wait_any(s, completion, 16, rask_now_ns() + 3 * KIT_S);
        if (got < 0) fail_msg("only %u of %u calls ended: %s", i, count, rask_last_error());
        for (int k = 0; k < got; k++) {
            kit_judge(&ledger, &completion[k], 0);
            rask_release(s, &completion[k]);
        }
        i += (unsigned)got;
    }
}

static uint64_t kill_supervisor_under_load(struct rask *s)
{
    enum { CALLS = 200 };
    uint64_t end_ns = rask_now_ns() + 20 * KIT_MS;
    for (unsigned i = 0; i < CALLS; i++)
        kit_submit(s, &ledger, i == 3 ? "hang" : i % 10 == 0 ? "slow" : "ok", 5, 8 + i * 11, 0);
    unsigned taken = 0;
    while (rask_now_ns() < end_ns) {
        struct rask_completion completion;
        if (rask_poll(s, &completion, 1) != 1) continue;
        taken++;
        kit_judge(&ledger, &completion, 0);
        rask_release(s, &completion);
    }
    kill(server.pid, SIGKILL);
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(kit_wait(server.pid, 1000), -SIGKILL);
    kit_reap_orphans(1000);
    uint64_t gone_ns = rask_now_ns() - start_ns;
    end_all(s, CALLS - taken);
    return gone_ns;
}

static void restart(void)
{
    const char *const arguments[] = {
        getenv("RASK_BIN"), "run",       "--socket", server.socket, "--plugin", kit_plugin("ledger"), "--set",
        ledger.setting,     "--workers", "2",        NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
}

static void test_kill_of_the_supervisor_ends_every_call(void **state)
{
    (void)state;
    enum { ROUNDS = 5 };
    uint64_t fastest_ns = UINT64_MAX;
    struct rask_request request;
    start_ledger("2");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t gone_ns = kill_supervisor_under_load(s);
        print_message("workers gone %.1f ms after their supervisor\n", (double)gone_ns / 1e6);
        if (gone_ns < fastest_ns) fastest_ns = gone_ns;
        assert_int_equal(rask_reserve(s, 1, &request), -ENOTCONN);
        int error = rask_reconnect(s);
        assert_true(error == -ECONNREFUSED || error == -ENOENT);
        restart(); /* binds at once */
        assert_int_equal(rask_reconnect(s), 0);
        assert_int_equal(rask_reconnect(s), -EALREADY);
        kit_call_ok(s, &ledger, 5000);
    }
    assert_true(fastest_ns < 100 * KIT_MS);
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_call_before_the_first_worker_waits),
        KIT_TEST(test_call_waits_only_as_long_as_its_timeout),
        KIT_TEST(test_stale_socket_is_replaced),
        KIT_TEST(test_live_socket_is_refused),
        KIT_TEST(test_default_folder_is_private_or_refused),
        KIT_TEST(test_term_drains_and_leaves_nothing_behind),
        KIT_TEST(test_drain_finishes_what_runs_and_ends_what_waits),
        KIT_TEST(test_second_signal_forces_the_end),
        KIT_TEST(test_drain_timeout_forces_the_end),
        KIT_TEST(test_private_supervisor_ends_with_its_client),
        KIT_TEST(test_kill_of_the_supervisor_ends_every_call),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
