/* SPDX-License-Identifier: MIT */
/* Workers that die again and again: back-off, the breaker that refuses requests meanwhile, and no busy supervisor. */
#include "clock.h"
#include "kit.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;

static int call(const char *method, const char *timeout)
{
    return kit_rask("call", method, "--socket", server.socket, "--timeout", timeout, NULL)->code;
}

static void test_crash_loop_is_refused_in_words_and_costs_nothing(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("version_1"), "--workers", "2", "--restart-limit", "1/60", "--poison-ttl",
              "0", NULL);
    for (unsigned i = 0; i < 60 && !strstr(kit_log(&server), "UNAVAILABLE"); i++) call("crash", "5s");
    assert_non_null(strstr(kit_log(&server), "every worker died too often"));
    while (!strstr(kit_log(&server), "starts again in 6.")) { /* 100 ms, doubled six times, and up to a quarter */
        int code = call("crash", "5s");
        assert_true(code == 125 || code == 69);
        if (code == 69) kit_pause_ms(20);
        if (strstr(kit_log(&server), "starts again in 1.")) break;
    }
    const struct kit_result *result = kit_rask("call", "version", "--socket", server.socket, "--json", NULL);
    if (result->code != 0) { /* both wait */
        assert_int_equal(result->code, 69);
        assert_non_null(strstr(result->out, "UNAVAILABLE"));
        assert_non_null(strstr(result->out, "\"no\""));
        assert_non_null(strstr(result->err, "died too often"));
        assert_true(result->took_ns < 2 * KIT_S);
    }
    uint64_t before_ns = kit_cpu_ns(server.pid);
    kit_pause_ms(300);
    assert_true(kit_cpu_ns(server.pid) - before_ns < 30 * KIT_MS * (kit_sanitized ? 10 : 1));
    kit_stop(&server);
}

static void test_breaker_ends_what_waits_and_closes_again(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("version_1"), "--restart-limit", "1/60", "--poison-ttl", "0", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint32_t crash = (uint32_t)rask_method(s, "crash"), version = (uint32_t)rask_method(s, "version");
    uint32_t refused = 0, served = 0;
    for (unsigned round = 0; round < 3; round++) {
        struct rask_completion completion;
        rask_call(s, crash, NULL, 0, 5 * KIT_S, &completion);
        assert_int_equal(completion.status, RASK_CRASHED);
        rask_release(s, &completion);
        uint64_t end_ns = rask_now_ns() + 3 * KIT_S;
        do { /* refused while it waits, served when it has started */
            uint64_t start_ns = rask_now_ns();
            assert_true(start_ns < end_ns);
            rask_call(s, version, NULL, 0, 5 * KIT_S, &completion);
            if (completion.status == RASK_UNAVAILABLE) {
                assert_int_equal(completion.executed, RASK_EXECUTED_NO);
                assert_true(kit_sanitized || rask_now_ns() - start_ns < 90 * KIT_MS); /* told, not waited for */
                refused++;
                kit_pause_ms(5);
            } else {
                assert_int_equal(completion.status, RASK_OK);
                served++;
            }
            rask_release(s, &completion);
        } while (completion.status != RASK_OK);
    }
    assert_true(refused >= 2 && served == 3);
    rask_close(s);
    kit_stop(&server);
}

static void test_without_a_limit_every_restart_is_immediate(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("version_1"), "--restart-limit", "0", "--poison-ttl", "0", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint32_t crash = (uint32_t)rask_method(s, "crash");
    for (unsigned i = 0; i < 30; i++) {
        struct rask_completion completion;
        rask_call(s, crash, NULL, 0, 5 * KIT_S, &completion);
        assert_int_equal(completion.status, RASK_CRASHED);
        rask_release(s, &completion);
    }
    assert_null(strstr(kit_log(&server), "starts again in"));
    rask_close(s);
    kit_stop(&server);
}

static void test_reload_repairs_a_crash_loop_at_once(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("version_1"), "--restart-limit", "1/60", "--poison-ttl", "0", NULL);
    for (unsigned i = 0; i < 60 && !strstr(kit_log(&server), "starts again in 1."); i++) {
        if (call("crash", "5s") == 69) kit_pause_ms(50);
    }
    const struct kit_result *result =
        kit_rask("reload", "--socket", server.socket, "--plugin", kit_plugin("version_2"), NULL);
    assert_int_equal(result->code, 0);
    assert_true(kit_sanitized || result->took_ns < 5 * KIT_S);
    assert_int_equal(call("version", "5s"), 0);
    kit_stop(&server);
}

static void test_bad_limits_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"5", "5/", "/10", "257/10", "5/0", "5/86401", "x/10", "5/1x", "-1/10"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct kit_result *result = kit_rask("run", "--plugin", "echo", "--restart-limit", bad[i], NULL);
        assert_int_equal(result->code, 64);
        assert_non_null(strstr(result->err, bad[i]));
        assert_non_null(strstr(result->err, "N/SECONDS"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_crash_loop_is_refused_in_words_and_costs_nothing),
        KIT_TEST(test_breaker_ends_what_waits_and_closes_again),
        KIT_TEST(test_without_a_limit_every_restart_is_immediate),
        KIT_TEST(test_reload_repairs_a_crash_loop_at_once),
        KIT_TEST(test_bad_limits_are_refused),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
