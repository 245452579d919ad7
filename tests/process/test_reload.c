/* SPDX-License-Identifier: MIT */
/* A new plugin file under load: nobody sees an error, a bad file changes nothing, and what happens to the file after it was
 * read harms nobody. RASK_RELOADS says how many reloads the storm has (20). */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_FLIGHT 64u

static struct kit_server server;
static struct kit_ledger ledger;
static char file[160];

/* A copy of a test plugin in the server's folder, written over what is there, in place. */
static void write_file(const char *plugin)
{
    static char buffer[1 << 20];
    int from = open(kit_plugin(plugin), O_RDONLY | O_CLOEXEC);
    int to = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(from >= 0 && to >= 0);
    for (ssize_t bytes; (bytes = read(from, buffer, sizeof(buffer))) > 0;)
        assert_int_equal(write(to, buffer, (size_t)bytes), bytes);
    close(from);
    close(to);
}

static void start_with_file(const char *plugin, const char *workers, const char *option, const char *value)
{
    kit_prepare(&server);
    snprintf(file, sizeof(file), "%s/plugin.so", server.folder);
    write_file(plugin);
    const char *const arguments[] = {getenv("RASK_BIN"), "run",   "--socket", server.socket, "--plugin", file,
                                     "--workers",        workers, option,     value,         NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
}

static void stop(void)
{
    unlink(file);
    kit_stop(&server);
}

static char version_now(void)
{
    const struct kit_result *result = kit_rask("call", "version", "--socket", server.socket, NULL);
    if (result->code != 0) fail_msg("call: %d, %s", result->code, result->err);
    assert_int_equal(result->out_bytes, 1);
    return result->out[0];
}

static const struct kit_result *reload(const char *plugin)
{
    if (!plugin) return kit_rask("reload", "--socket", server.socket, NULL);
    return kit_rask("reload", "--socket", server.socket, "--plugin", plugin, NULL);
}

static void reload_fine(const char *plugin)
{
    const struct kit_result *result = reload(plugin);
    if (result->code != 0) fail_msg("reload: %d, %s", result->code, result->err);
    assert_non_null(strstr(result->out, "reloaded "));
}

/* ---- the storm ------------------------------------------------------------------------------------------------- */

struct load {
    struct rask *s;
    uint64_t seed;
    uint32_t in_flight;
    uint32_t bytes[LEDGER_NUMBERS];
    uint8_t ends[LEDGER_NUMBERS];
};
static struct load load;

static void send_one(void)
{
    static const char *const methods[] = {"ok", "ok", "ok", "slow"};
    uint32_t kind = (uint32_t)kit_random(&load.seed, 8);
    uint32_t bytes = 8 + (uint32_t)kit_random(&load.seed, kind == 0 ? 60000 : kind < 4 ? 3000 : 24);
    load.bytes[ledger.next] = bytes;
    kit_submit(load.s, &ledger, methods[kit_random(&load.seed, 4)], (uint32_t)kit_random(&load.seed, 3), bytes, 0);
    load.in_flight++;
}

static void take_some(void)
{
    struct rask_completion completions[16];
    int count = kit_random(&load.seed, 2) ? rask_poll(load.s, completions, 16)
                                          : rask_wait_any(load.s, completions, 16, rask_now_ns() + 10 * KIT_S);
    if (count < 0) fail_msg("%u in flight, none came: %s", load.in_flight, rask_last_error());
    for (int i = 0; i < count; i++) {
        uint32_t number = (uint32_t)completions[i].user_data;
        if (completions[i].status != RASK_OK)
            fail_msg("request %u: %s, executed %s", number, rask_status_name(completions[i].status),
                     rask_executed_name(completions[i].executed));
        assert_int_equal(++load.ends[number], 1);
        kit_judge(&ledger, &completions[i], load.bytes[number]);
        rask_release(load.s, &completions[i]);
        load.in_flight--;
    }
}

static void load_until_ended(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        while (load.in_flight < IN_FLIGHT && ledger.next < LEDGER_NUMBERS) send_one();
        if (ledger.next == LEDGER_NUMBERS) { /* the book is full: begin a new one */
            while (load.in_flight > 0) take_some();
            for (uint32_t i = 0; i < ledger.next; i++) assert_int_equal(kit_started(&ledger, i), 1);
            memset(ledger.book, 0, sizeof(*ledger.book));
            memset(load.ends, 0, sizeof(load.ends));
            ledger.next = 0;
        }
        if (load.in_flight > 0) take_some();
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("a reload failed: %s", kit_log(&server));
}

static void storm(const char *workers, unsigned reloads)
{
    memset(&load, 0, sizeof(load));
    load.seed = kit_seed();
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, NULL);
    load.s = kit_connect(&server, NULL);
    const char *const arguments[] = {getenv("RASK_BIN"), "reload", "--socket", server.socket, NULL};
    for (unsigned i = 0; i < reloads; i++) load_until_ended(kit_launch(arguments, -1, -1));
    while (load.in_flight > 0) take_some();
    for (uint32_t i = 0; i < ledger.next; i++) assert_int_equal(kit_started(&ledger, i), 1);
    struct rask_info info = {.size = sizeof(info)};
    rask_info(load.s, &info);
    assert_int_equal(info.rescues, 0);
    rask_close(load.s);
    kit_wait_children(server.pid, (unsigned)atoi(workers));
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static void test_reloads_under_load_fail_no_call(void **state)
{
    (void)state;
    const char *wanted = getenv("RASK_RELOADS");
    unsigned reloads = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 20;
    if (wanted) alarm(reloads + 60);
    storm("1", reloads / 2);
    storm("3", reloads - reloads / 2);
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static void test_new_file_serves_after_the_reload(void **state)
{
    (void)state;
    start_with_file("version_1", "2", NULL, NULL);
    assert_int_equal(version_now(), '1');
    write_file("version_2");
    assert_int_equal(version_now(), '1'); /* until somebody asks for it */
    reload_fine(NULL);
    assert_int_equal(version_now(), '2');
    reload_fine(kit_plugin("version_2"));
    write_file("version_1"); /* another path is in force now */
    reload_fine(NULL);
    assert_int_equal(version_now(), '2');
    stop();
}

static void test_hang_up_signal_reloads(void **state)
{
    (void)state;
    start_with_file("version_1", "1", NULL, NULL);
    write_file("version_2");
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    uint64_t end_ns = rask_now_ns() + 5 * KIT_S;
    while (version_now() != '2') assert_true(rask_now_ns() < end_ns);
    stop();
}

static void test_running_workers_do_not_need_the_file(void **state)
{
    (void)state;
    pid_t before[2], after[2];
    start_with_file("version_1", "1", NULL, NULL);
    assert_int_equal(version_now(), '1');
    assert_int_equal(truncate(file, 0), 0);
    assert_int_equal(version_now(), '1'); /* a mapped file would end in SIGBUS */
    assert_int_equal(kit_workers(server.pid, before, 2), 1);
    kill(before[0], SIGKILL);
    kit_wait_children(server.pid, 1);
    do kit_pause_ms(1);
    while (kit_workers(server.pid, after, 2) != 1 || after[0] == before[0]);
    assert_int_equal(version_now(), '1'); /* a new worker from the same bytes */
    assert_int_equal(unlink(file), 0);
    assert_int_equal(kit_rask("call", "crash", "--socket", server.socket, NULL)->code, 125);
    assert_int_equal(version_now(), '1');
    stop();
}

static void test_bad_files_are_rolled_back(void **state)
{
    (void)state;
    static const struct {
        const char *plugin, *check;
    } bad[] = {
        {"no_symbol", "check symbol"},       {"wrong_abi", "check abi"},      {"constructor_aborts", "check crash"},
        {"open_fails", "check open"},        {"open_crashes", "check crash"}, {"open_hangs", "check hang"},
        {"constructor_hangs", "check hang"}, {"bad_name", "check table"},
    };
    pid_t before[2], after[2];
    start_with_file("version_1", "2", "--start-timeout", "700ms");
    kit_wait_children(server.pid, 2);
    assert_int_equal(kit_workers(server.pid, before, 2), 2);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct kit_result *result = reload(kit_plugin(bad[i].plugin));
        assert_int_equal(result->code, 78);
        if (!strstr(result->err, bad[i].check)) fail_msg("%s: %s", bad[i].plugin, result->err);
        assert_non_null(strstr(result->err, "rolled back"));
        assert_int_equal(version_now(), '1');
    }
    assert_int_equal(truncate(file, 1000), 0);
    assert_int_equal(reload(NULL)->code, 78);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(reload(NULL)->code, 78);
    assert_int_equal(kit_workers(server.pid, after, 2), 2);
    assert_memory_equal(before, after, sizeof(before)); /* the same processes all the time */
    struct rask_completion completion;
    assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "version"), NULL, 0, 5 * KIT_S, &completion), 0);
    assert_int_equal(completion.status, RASK_OK);
    rask_release(s, &completion);
    rask_close(s);
    stop();
}

static void test_file_that_fails_in_the_second_worker_is_rolled_back(void **state)
{
    (void)state;
    char once[160], setting[176];
    kit_prepare(&server);
    snprintf(once, sizeof(once), "%s/once", server.folder);
    snprintf(setting, sizeof(setting), "once=%s", once);
    const char *const arguments[] = {
        getenv("RASK_BIN"), "run", "--socket", server.socket, "--plugin", kit_plugin("version_1"),
        "--workers",        "3",   "--set",    setting,       NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    const struct kit_result *result = reload(kit_plugin("version_5"));
    assert_int_equal(result->code, 78);
    assert_non_null(strstr(result->err, "check open"));
    assert_int_equal(version_now(), '1');
    kit_wait_children(server.pid, 3);
    assert_int_equal(unlink(once), 0); /* it had come that far */
    kit_stop(&server);
}

static void test_methods_keep_their_numbers(void **state)
{
    (void)state;
    start_with_file("version_1", "1", NULL, NULL);
    const struct kit_result *result = reload(kit_plugin("version_3"));
    assert_int_equal(result->code, 78);
    assert_non_null(strstr(result->err, "method version is number 1 in the new file and 0"));
    result = reload(kit_plugin("version_4"));
    assert_int_equal(result->code, 78);
    assert_non_null(strstr(result->err, "method version is missing"));
    assert_int_equal(version_now(), '1');
    reload_fine(kit_plugin("version_2")); /* one more at the end */
    assert_int_equal(kit_rask("call", "other", "--socket", server.socket, NULL)->code, 0);
    stop();
}

static void test_libraries_beside_the_file_are_found(void **state)
{
    (void)state;
    const char *path = kit_plugin("has_beside");
    const char *const arguments[] = {getenv("RASK_BIN"), "call", "where", "--plugin", path, NULL};
    const char *const environment[] = {"LD_LIBRARY_PATH=", NULL};
    const struct kit_result *result = kit_program(arguments, environment);
    if (result->code != 0) fail_msg("%s", result->err);
    assert_string_equal(result->out, path); /* and not the name of the copy */
}

/* ---- who is busy, who may ------------------------------------------------------------------------------------- */

static void test_slow_request_holds_nobody_up(void **state)
{
    (void)state;
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint64_t slow = kit_submit(s, &ledger, "slow", 1500, 100, 0);
    kit_wait_started(s, &ledger, 0);
    uint64_t waiting = kit_submit(s, &ledger, "ok", 0, 100, 0); /* bound behind the slow one */
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    uint64_t start_ns = rask_now_ns();
    kit_expect(s, &ledger, waiting, RASK_OK, RASK_EXECUTED_YES);
    kit_call_ok(s, &ledger, 50);
    assert_true(kit_sanitized || rask_now_ns() - start_ns < 1000 * KIT_MS);
    kit_expect(s, &ledger, slow, RASK_OK, RASK_EXECUTED_YES);
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static void test_straggler_is_killed_after_the_drain_timeout(void **state)
{
    (void)state;
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--drain-timeout",
              kit_sanitized ? "1500ms" : "300ms", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint64_t hung = kit_submit(s, &ledger, "hang", 0, 100, 0);
    kit_wait_started(s, &ledger, 0);
    const struct kit_result *result = reload(NULL);
    assert_int_equal(result->code, 0);
    assert_non_null(strstr(result->out, "1 of the old did not finish in time: killed"));
    kit_expect(s, &ledger, hung, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    kit_call_ok(s, &ledger, 50);
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static void test_straggler_in_a_drain_is_forced(void **state)
{
    (void)state;
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--drain-timeout", "1s", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint64_t hung = kit_submit(s, &ledger, "hang", 0, 100, 0);
    kit_wait_started(s, &ledger, 0);
    const char *const arguments[] = {getenv("RASK_BIN"), "reload", "--socket", server.socket, NULL};
    pid_t reloading = kit_launch(arguments, -1, -1);
    kit_wait_children(server.pid, 2);
    kit_pause_ms(300);
    kill(server.pid, SIGTERM);
    kit_expect(s, &ledger, hung, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    assert_int_equal(kit_wait(reloading, 5000), 69);
    assert_int_equal(kit_ended(&server, 5000), 1);
    rask_close(s);
    kit_ledger_close(&ledger);
}

static void test_reloads_at_once_take_turns(void **state)
{
    (void)state;
    pid_t pids[8];
    start_with_file("version_1", "2", NULL, NULL);
    const char *const arguments[] = {getenv("RASK_BIN"), "reload", "--socket", server.socket, NULL};
    for (unsigned i = 0; i < 8; i++) pids[i] = kit_launch(arguments, -1, -1);
    kill(server.pid, SIGHUP);
    kill(pids[3], SIGKILL); /* one loses interest */
    for (unsigned i = 0; i < 8; i++) {
        int code = kit_wait(pids[i], 10000);
        assert_true(code == 0 || (i == 3 && code == -SIGKILL));
    }
    assert_int_equal(version_now(), '1');
    stop();
}

static void test_drain_in_the_middle_of_a_reload(void **state)
{
    (void)state;
    start_with_file("version_1", "2", "--start-timeout", "5s");
    const char *const arguments[] = {getenv("RASK_BIN"),       "reload", "--socket", server.socket, "--plugin",
                                     kit_plugin("open_hangs"), NULL};
    pid_t pid = kit_launch(arguments, -1, -1);
    uint64_t end_ns = rask_now_ns() + 5 * KIT_S;
    pid_t children[8];
    while (kit_workers(server.pid, children, 8) != 3) assert_true(rask_now_ns() < end_ns);
    stop();
    assert_int_equal(kit_wait(pid, 3000), 69);
}

static void test_another_user_may_not_reload(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root, to be somebody else\n");
        skip();
    }
    start_with_file("version_1", "1", NULL, NULL);
    assert_int_equal(chmod(server.folder, 0755), 0);
    assert_int_equal(chmod(server.socket, 0777), 0);
    const char *const arguments[] = {"setpriv", "--reuid=65534", "--clear-groups", getenv("RASK_BIN"),
                                     "reload",  "--socket",      server.socket,    NULL};
    const struct kit_result *result = kit_program(arguments, NULL);
    if (result->code == 99 || result->code == 126 || result->code == 127) {
        stop();
        print_message("another user cannot run %s\n", getenv("RASK_BIN"));
        skip();
    }
    assert_int_equal(result->code, 69);
    assert_null(strstr(kit_log(&server), "reloaded"));
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_new_file_serves_after_the_reload),
        KIT_TEST(test_hang_up_signal_reloads),
        KIT_TEST(test_running_workers_do_not_need_the_file),
        KIT_TEST(test_bad_files_are_rolled_back),
        KIT_TEST(test_file_that_fails_in_the_second_worker_is_rolled_back),
        KIT_TEST(test_methods_keep_their_numbers),
        KIT_TEST(test_libraries_beside_the_file_are_found),
        KIT_TEST(test_slow_request_holds_nobody_up),
        KIT_TEST(test_straggler_is_killed_after_the_drain_timeout),
        KIT_TEST(test_straggler_in_a_drain_is_forced),
        KIT_TEST(test_reloads_at_once_take_turns),
        KIT_TEST(test_drain_in_the_middle_of_a_reload),
        KIT_TEST(test_another_user_may_not_reload),
        KIT_TEST(test_reloads_under_load_fail_no_call),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
