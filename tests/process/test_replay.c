/* SPDX-License-Identifier: MIT */
/* What is done with a crash file: shown, listed, run again in a worker, in one process, and under gdb. */
#include "exit_codes.h"
#include "kit.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;
static char folder[64], dir[96];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/rask-crash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(dir, sizeof(dir), "%s/crashes", folder);
}

/* How many `rask crashes` lists. */
static unsigned crashes(void)
{
    unsigned count = 0;
    const struct kit_result *list = kit_rask("crashes", "--dir", dir, NULL);
    assert_int_equal(list->code, 0);
    for (const char *c = list->out; *c; c++) count += *c == '\n';
    return count;
}

static void test_replay_reproduces_shows_and_writes_the_request(void **state)
{
    (void)state;
    char path[256];
    make_folder();
    kit_start(&server, "--plugin", kit_plugin("crasher"), "--crash-dir", dir, NULL);
    const struct kit_result *result = kit_rask("call", "segv", "some bytes", "--socket", server.socket, NULL);
    assert_int_equal(result->code, RK_EXIT_CRASHED);
    const char *hint = strstr(result->err, "rask replay ");
    assert_non_null(hint);
    assert_int_equal(sscanf(hint, "rask replay %255s --gdb", path), 1);
    result = kit_rask("replay", path, NULL);
    assert_int_equal(result->code, RK_EXIT_CRASHED);
    assert_non_null(strstr(result->err, "rask replay: the worker crashed with SIGSEGV"));
    assert_int_equal(crashes(), 1); /* the replay's crash is not saved again */
    result = kit_rask("replay", path, "--plugin", kit_plugin("settings"), NULL);
    assert_int_equal(result->code, RK_EXIT_USAGE); /* it has no such method */
    result = kit_rask("replay", path, "--show", NULL);
    assert_int_equal(result->code, 0);
    assert_non_null(strstr(result->out, "method: segv\n"));
    assert_non_null(strstr(result->out, "some bytes"));
    result = kit_rask("replay", path, "--payload", NULL);
    assert_string_equal(result->out, "some bytes");
    assert_int_equal(kit_rask("replay", path, "--in-process", NULL)->code, -SIGSEGV);
    assert_int_equal(kit_rask("replay", "/nowhere.crash", NULL)->code, RK_EXIT_NO_INPUT);
    assert_int_equal(truncate(path, 2000), 0);
    result = kit_rask("replay", path, NULL);
    assert_int_equal(result->code, RK_EXIT_NO_INPUT);
    assert_non_null(strstr(result->err, "cut short"));
    kit_wait_children(server.pid, 1);
    kit_stop(&server);
    unlink(path);
    rmdir(dir);
    assert_int_equal(rmdir(folder), 0);
}

/* From "125 worker crashed" to the faulty line in two commands, as the README says. */
static void skip_without_gdb(void)
{
    if (kit_sanitized) {
        print_message("gdb and sanitizers do not go together\n");
        skip();
    }
    if (system("gdb -nx -batch -ex run -ex 'info line' --args true >/dev/null 2>&1") != 0) {
        print_message("gdb is missing or may not debug here (Debian package gdb)\n");
        skip();
    }
}

static void test_two_commands_lead_to_the_faulty_line(void **state)
{
    (void)state;
    char path[512], source[96], plugin[96], include[4096];
#if !defined(__x86_64__)
    print_message("a division by zero is no fault on this machine\n");
    skip();
#endif
    skip_without_gdb();
    make_folder();
    snprintf(source, sizeof(source), "%s/mean.c", folder);
    snprintf(plugin, sizeof(plugin), "%s/mean.so", folder);
    snprintf(include, sizeof(include), "cc -g -shared -fPIC -I%s/include %s/workers/examples/mean.c -o %s",
             getenv("RASK_TEST_SOURCE"), getenv("RASK_TEST_SOURCE"), plugin);
    assert_int_equal(system(include), 0);
    snprintf(include, sizeof(include), "RASK_CRASH_DIR=%s", dir);
    const char *const environment[] = {include, NULL};
    const char *const call[] = {getenv("RASK_BIN"), "call", "mean", "--plugin", plugin, NULL};
    const struct kit_result *result = kit_program(call, environment);
    assert_int_equal(result->code, RK_EXIT_CRASHED);
    const char *hint = strstr(result->err, "rask replay ");
    assert_non_null(hint);
    assert_int_equal(sscanf(hint, "rask replay %511s --gdb", path), 1);
    result = kit_rask("replay", path, "--plugin", plugin, "--gdb", NULL);
    if (!strstr(result->out, "mean.c:13")) fail_msg("no line in:\n%s\n%s", result->out, result->err);
    assert_non_null(strstr(result->out, "SIGFPE"));
    unlink(path);
    unlink(plugin);
    rmdir(dir);
    assert_int_equal(rmdir(folder), 0);
}

/* No signal, so gdb has to be told where to stop. */
static void test_two_commands_lead_to_the_exit_in_a_handler(void **state)
{
    (void)state;
    char path[512], setting[128];
    skip_without_gdb();
    make_folder();
    snprintf(setting, sizeof(setting), "RASK_CRASH_DIR=%s", dir);
    const char *const environment[] = {setting, NULL};
    const char *const call[] = {getenv("RASK_BIN"), "call", "leave", "--plugin", kit_plugin("crasher"), NULL};
    const struct kit_result *result = kit_program(call, environment);
    assert_int_equal(result->code, RK_EXIT_CRASHED);
    const char *hint = strstr(result->err, "to see where: rask replay ");
    if (!hint) fail_msg("no file in:\n%s", result->err);
    assert_int_equal(sscanf(hint, "to see where: rask replay %511s --gdb", path), 1);
    result = kit_rask("replay", path, "--gdb", NULL);
    if (!strstr(result->out, " leave (")) fail_msg("no handler in:\n%s\n%s", result->out, result->err);
    unlink(path);
    rmdir(dir);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_replay_reproduces_shows_and_writes_the_request),
        KIT_TEST(test_two_commands_lead_to_the_faulty_line),
        KIT_TEST(test_two_commands_lead_to_the_exit_in_a_handler),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
