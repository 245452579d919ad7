/* SPDX-License-Identifier: MIT */
/* The rask command as a user meets it: exit codes, bytes in and out, JSON, and what every bad plugin leads to. */
#include "kit.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CRASHES kit_plugin("handler_crashes")

static void expect(const struct kit_result *result, int code, const char *said)
{
    if (result->code != code) fail_msg("exit code %d instead of %d: %s", result->code, code, result->err);
    if (said && !strstr(result->err, said)) fail_msg("\"%s\" is not in: %s", said, result->err);
}

static void expect_bytes(const struct kit_result *result, const void *bytes, size_t count)
{
    expect(result, 0, NULL);
    assert_string_equal(result->err, "");
    assert_int_equal(result->out_bytes, count);
    assert_memory_equal(result->out, bytes, count);
}

static json_t *parse(const struct kit_result *result)
{
    json_error_t error;
    json_t *object = json_loads(result->out, 0, &error);
    if (!object) fail_msg("not JSON: %s: %s%s", error.text, result->out, result->err);
    return object;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text) fail_msg("no text \"%s\"", key);
    return text;
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static void test_call_is_byte_exact(void **state)
{
    (void)state;
    enum { BYTES = 70000 };
    static uint8_t data[BYTES];
    for (size_t i = 0; i < BYTES; i++) data[i] = (uint8_t)(i * 31 / 7); /* zeros among them */
    static const size_t sizes[] = {1, 32, 33, 256, 4096, BYTES};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        kit_input(data, sizes[i]);
        expect_bytes(kit_rask("call", "echo", "-", "--plugin", "echo", NULL), data, sizes[i]);
    }
    expect_bytes(kit_rask("call", "echo", "two words\n", "--plugin", "echo", NULL), "two words\n", 10);
    kit_input("\5hello\5world", 12);
    expect_bytes(kit_rask("call", "join", "-", "--plugin", "hello", NULL), "\13hello world", 12);
}

static void test_empty_requests_and_responses_are_valid(void **state)
{
    (void)state;
    expect_bytes(kit_rask("call", "echo", "--plugin", "echo", NULL), "", 0);
    expect_bytes(kit_rask("call", "echo", "", "--plugin", "echo", NULL), "", 0);
    expect_bytes(kit_rask("call", "echo", "-", "--plugin", "echo", NULL), "", 0);
    expect_bytes(kit_rask("call", "sleep", "0", "--plugin", "sleep", NULL), "", 0);
    expect_bytes(kit_rask("call", "sum", "--plugin", "sum", NULL), "\0\0\0\0\0\0\0\0", 8);
}

static void test_settings_reach_the_plugin(void **state)
{
    (void)state;
    const char *settings = kit_plugin("settings");
    expect_bytes(kit_rask("call", "get", "colour", "--plugin", settings, "--set", "colour=a=b c", NULL), "a=b c", 5);
    expect(kit_rask("call", "get", "colour", "--plugin", settings, NULL), 1, "code 1");
    expect(kit_rask("call", "get", "colour", "--plugin", settings, "--set", "size=1", NULL), 78, "size");
    expect(kit_rask("call", "get", "colour", "--plugin", settings, "--set", "colour", NULL), 64, NULL);
}

/* ---- exit codes ------------------------------------------------------------------------------------------------ */

static void test_bad_usage_is_64(void **state)
{
    (void)state;
    expect(kit_rask("call", NULL), 64, "METHOD");
    expect(kit_rask("cal", NULL), 64, "call");
    expect(kit_rask("call", "echo", "--plugin", "echo", "--nonsense", NULL), 64, "nonsense");
    expect(kit_rask("call", "echo", "a", "b", "--plugin", "echo", NULL), 64, NULL);
    expect(kit_rask("call", "echo", "--plugin", "echo", "--timeout", "5x", NULL), 64, "5x");
    expect(kit_rask("call", "echo", "--plugin", "echo", "--workers", "1000000", NULL), 64, "1000000");
    expect(kit_rask("run", NULL), 64, "--plugin");
    expect(kit_rask("run", "--plugin", "echo", "--workers", "0", NULL), 64, NULL);
    expect(kit_rask("bench", "--count", "99999999999999999999", NULL), 64, "99999999999999999999");
    expect(kit_rask("bench", "--inflight", "0", NULL), 64, NULL);
    expect(kit_rask("call", "echo", "--plugin", "echo", "--wait", "often", NULL), 64, "often");
}

static void test_unknown_method_is_64_and_lists_the_known_ones(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("call", "nothing", "--plugin", CRASHES, NULL);
    expect(result, 64, "nothing");
    static const char *const known[] = {"segv", "abort", "exit", "loop", "fork", "fail", "pid"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) expect(result, 64, known[i]);
    assert_int_equal(result->out_bytes, 0);
}

static void test_handler_error_is_1_with_its_code(void **state)
{
    (void)state;
    expect(kit_rask("call", "fail", "--plugin", CRASHES, NULL), 1, "42");
}

static void test_crash_is_125_with_the_signal(void **state)
{
    (void)state;
    expect(kit_rask("call", "segv", "--plugin", CRASHES, NULL), 125, "SIGSEGV");
    expect(kit_rask("call", "abort", "--plugin", CRASHES, NULL), 125, "SIGABRT");
    expect(kit_rask("call", "exit", "--plugin", CRASHES, NULL), 125, "died");
}

static void test_too_large_is_65(void **state)
{
    (void)state;
    static char data[4097];
    struct kit_ledger ledger;
    uint32_t wanted[2] = {0, 5000};
    kit_ledger_open(&ledger);
    kit_input(data, sizeof(data));
    expect(kit_rask("call", "echo", "-", "--plugin", "echo", "--max-payload", "4096", NULL), 65, "--max-payload");
    kit_input(data, 4096);
    expect_bytes(kit_rask("call", "echo", "-", "--plugin", "echo", "--max-payload", "4096", NULL), data, 4096);
    kit_input(wanted, sizeof(wanted));
    const char *plugin = kit_plugin("ledger");
    expect(kit_rask("call", "large", "-", "--plugin", plugin, "--set", ledger.setting, "--max-payload", "4K", NULL), 65,
           "--max-payload");
    kit_ledger_close(&ledger);
}

static void test_no_supervisor_is_69(void **state)
{
    (void)state;
    expect(kit_rask("call", "echo", "--socket", "/tmp/rask-test-nobody/s", NULL), 69, "/tmp/rask-test-nobody/s");
    expect(kit_rask("methods", "--socket", "/tmp/rask-test-nobody/s", NULL), 69, "rask run");
}

static void test_full_supervisor_is_75(void **state)
{
    (void)state;
    struct kit_server server;
    static struct rask *sessions[RASK_SESSIONS_MAX_CLASSIC];
    struct rask_options options = RASK_OPTIONS_INIT;
    options.ring_slots = RASK_RING_SLOTS_MIN;
    options.slab_bytes = RASK_SLAB_BYTES_MIN;
    kit_start(&server, "--plugin", "echo", "--engine", "classic", NULL);
    for (unsigned i = 0; i < RASK_SESSIONS_MAX_CLASSIC; i++) sessions[i] = kit_connect(&server, &options);
    expect(kit_rask("call", "echo", "x", "--socket", server.socket, NULL), 75, "127");
    rask_close(sessions[0]);
    expect_bytes(kit_rask("call", "echo", "x", "--socket", server.socket, NULL), "x", 1);
    for (unsigned i = 1; i < RASK_SESSIONS_MAX_CLASSIC; i++) rask_close(sessions[i]);
    kit_stop(&server);
}

static void test_timeout_is_124_in_every_unit(void **state)
{
    (void)state;
    static const char *const units[] = {"50000000ns", "50000us", "50ms", "0.05s", "50"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        const struct kit_result *result =
            kit_rask("call", "sleep", "10000", "--plugin", "sleep", "--timeout", units[i], NULL);
        expect(result, 124, "executed: ");
        assert_in_range(result->took_ns, 50 * KIT_MS, 5 * KIT_S);
        kit_reap_orphans(1000); /* the command does not wait for its private supervisor then */
    }
}

/** Who has no time for a supervisor to start was too impatient, and its plugin is not to blame. */
static void test_shortest_timeouts_are_124(void **state)
{
    (void)state;
    static const char *const timeouts[] = {"1ns", "9ns", "1us", "10us", "100us"};
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        expect(kit_rask("call", "sleep", "10000", "--plugin", "sleep", "--timeout", timeouts[i], NULL), 124, "in time");
        kit_reap_orphans(1000);
    }
}

static void test_signal_is_130(void **state)
{
    (void)state;
    struct kit_server server;
    kit_start(&server, "--plugin", "sleep", NULL);
    static const int signals[] = {SIGINT, SIGTERM};
    for (unsigned i = 0; i < 2; i++) {
        const char *const arguments[] = {getenv("RASK_BIN"), "call", "sleep", "10000", "--socket", server.socket, NULL};
        pid_t pid = kit_launch(arguments, -1, -1);
        kit_pause_ms(200);
        kill(pid, signals[i]);
        assert_int_equal(kit_wait(pid, 3000), 130);
    }
    expect(kit_rask("call", "sleep", "0", "--socket", server.socket, NULL), 0, NULL);
    kit_stop(&server);
}

/* ---- JSON and lists -------------------------------------------------------------------------------------------- */

static void expect_call_json(const struct kit_result *result, int code, const char *status, const char *executed,
                             const char *base64)
{
    expect(result, code, NULL);
    json_t *object = parse(result);
    assert_string_equal(text_of(object, "status"), status);
    assert_string_equal(text_of(object, "executed"), executed);
    assert_string_equal(text_of(object, "response_base64"), base64);
    assert_true(json_is_integer(json_object_get(object, "code")));
    assert_true(json_is_integer(json_object_get(object, "latency_ns")));
    json_decref(object);
}

static void test_call_json_has_its_fields(void **state)
{
    (void)state;
    kit_input("a\0b", 3);
    expect_call_json(kit_rask("call", "echo", "-", "--plugin", "echo", "--json", NULL), 0, "OK", "yes", "YQBi");
    expect_call_json(kit_rask("call", "echo", "--plugin", "echo", "--json", NULL), 0, "OK", "yes", "");
    const struct kit_result *result = kit_rask("call", "segv", "--plugin", CRASHES, "--json", NULL);
    expect_call_json(result, 125, "CRASHED", "maybe", "");
    json_t *object = parse(result);
    assert_int_equal(json_integer_value(json_object_get(object, "code")), SIGSEGV);
    json_decref(object);
    expect_call_json(kit_rask("call", "fail", "--plugin", CRASHES, "--json", NULL), 1, "HANDLER_ERROR", "yes", "");
}

static void test_methods_lists_names_and_summaries(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("methods", "--plugin", "hello", NULL);
    expect(result, 0, NULL);
    assert_non_null(strstr(result->out, "join"));
    result = kit_rask("methods", "--plugin", CRASHES, "--json", NULL);
    expect(result, 0, NULL);
    json_t *object = parse(result);
    assert_string_equal(text_of(object, "plugin"), "handler_crashes");
    assert_int_equal(json_array_size(json_object_get(object, "methods")), 7);
    json_decref(object);
}

static void test_version_and_doctor(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("--version", NULL);
    expect(result, 0, NULL);
    assert_memory_equal(result->out, "rask " RASK_VERSION, strlen("rask " RASK_VERSION));
    result = kit_rask("doctor", "--json", NULL);
    expect(result, 0, NULL);
    json_t *object = parse(result);
    assert_true(json_object_size(object) > 0);
    json_decref(object);
    assert_non_null(strstr(result->out, getenv("RASK_ENGINE")));
}

static void test_bench_json_has_its_fields(void **state)
{
    (void)state;
    static const char *const numbers[] = {"p50_ns",   "p90_ns",    "max_ns", "calls_per_s", "floor_p50_ns",
                                          "inflight", "ratio_p50", "size",   "workers"};
    static const char *const present[] = {"p99_ns", "p99_9_ns", "p99_999_ns", "wait", "engine"};
    const struct kit_result *result = kit_rask("bench", "--count", "4000", "--size", "0", "--json", NULL);
    expect(result, 0, NULL);
    json_t *object = parse(result);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (!json_is_number(json_object_get(object, numbers[i]))) fail_msg("no number \"%s\"", numbers[i]);
    for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++)
        assert_non_null(json_object_get(object, present[i]));
    assert_string_equal(text_of(object, "engine"), getenv("RASK_ENGINE"));
    assert_int_equal(json_integer_value(json_object_get(object, "size")), 0);
    json_decref(object);
}

/* ---- plugins that do not load ---------------------------------------------------------------------------------- */

static const struct bad {
    const char *name;
    const char *check; /* of rask check */
} bad[] = {
    {"no_symbol", "symbol"},  {"wrong_abi", "abi"},           {"no_methods", "table"},
    {"bad_name", "table"},    {"constructor_aborts", "load"}, {"open_fails", "open"},
    {"open_crashes", "open"}, {"constructor_hangs", "load"},  {"open_hangs", "open"},
};
#define BAD_COUNT (sizeof(bad) / sizeof(bad[0]))

static void test_check_names_what_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < BAD_COUNT; i++) {
        char named[64];
        snprintf(named, sizeof(named), "check \"%s\" failed", bad[i].check);
        const struct kit_result *result = kit_rask("check", kit_plugin(bad[i].name), "--timeout", "300ms", NULL);
        expect(result, 78, named);
        expect(result, 78, bad[i].name);
    }
    expect(kit_rask("check", "/tmp/rask-test-nothing.so", NULL), 78, "/tmp/rask-test-nothing.so");
    expect(kit_rask("check", getenv("RASK_BIN"), NULL), 78, NULL);
    expect(kit_rask("check", "/etc/passwd", NULL), 78, "check \"");
    expect(kit_rask("check", "echo", NULL), 0, NULL);
    expect(kit_rask("check", CRASHES, NULL), 0, NULL);
}

static void test_run_refuses_plugins_that_do_not_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < BAD_COUNT; i++) {
        struct kit_server server;
        kit_start_only(&server, "--plugin", kit_plugin(bad[i].name), "--workers", "2", "--start-timeout", "300ms",
                       NULL);
        int code = kit_wait(server.pid, 5000);
        if (code != 78 || !strstr(kit_log(&server), bad[i].name))
            fail_msg("%s: exit code %d, %s", bad[i].name, code, kit_log(&server));
        unlink(server.log);
        assert_int_equal(rmdir(server.folder), 0);
        kit_forget(&server);
    }
}

static void test_call_with_a_plugin_that_does_not_load_is_78(void **state)
{
    (void)state;
    for (size_t i = 0; i < BAD_COUNT; i++) {
        const char *patience = strstr(bad[i].name, "hangs") ? (kit_sanitized ? "3s" : "1s") : "5s";
        const struct kit_result *result =
            kit_rask("call", "any", "--plugin", kit_plugin(bad[i].name), "--timeout", patience, NULL);
        expect(result, 78, bad[i].name);
        assert_int_equal(result->out_bytes, 0);
    }
    expect(kit_rask("call", "any", "--plugin", "nothing-of-that-name", NULL), 78, "nothing-of-that-name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_call_is_byte_exact),
        KIT_TEST(test_empty_requests_and_responses_are_valid),
        KIT_TEST(test_settings_reach_the_plugin),
        KIT_TEST(test_bad_usage_is_64),
        KIT_TEST(test_unknown_method_is_64_and_lists_the_known_ones),
        KIT_TEST(test_handler_error_is_1_with_its_code),
        KIT_TEST(test_crash_is_125_with_the_signal),
        KIT_TEST(test_too_large_is_65),
        KIT_TEST(test_no_supervisor_is_69),
        KIT_TEST(test_full_supervisor_is_75),
        KIT_TEST(test_timeout_is_124_in_every_unit),
        KIT_TEST(test_shortest_timeouts_are_124),
        KIT_TEST(test_signal_is_130),
        KIT_TEST(test_call_json_has_its_fields),
        KIT_TEST(test_methods_lists_names_and_summaries),
        KIT_TEST(test_version_and_doctor),
        KIT_TEST(test_bench_json_has_its_fields),
        KIT_TEST(test_check_names_what_fails),
        KIT_TEST(test_run_refuses_plugins_that_do_not_load),
        KIT_TEST(test_call_with_a_plugin_that_does_not_load_is_78),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
