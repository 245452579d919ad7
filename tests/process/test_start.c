/* SPDX-License-Identifier: MIT */
/* The first moments of a supervisor: a caller that is faster than its socket, a plugin that does not come up, and what it
 * inherits. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    while ((text = strstr(text, word))) {
        text += strlen(word);
        count++;
    }
    return count;
}

/** `rask run ... &` and at once `rask call`. */
static void test_call_started_with_its_supervisor_finds_the_socket(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        kit_start_only(&server, "--plugin", "echo", NULL);
        const struct kit_result *result = kit_rask("call", "echo", "early", "--socket", server.socket, NULL);
        if (result->code != 0) fail_msg("exit code %d: %s", result->code, result->err);
        assert_string_equal(result->out, "early");
        kit_wait_ready(&server);
        kit_stop(&server);
    }
}

static void test_nobody_listens_is_said_after_a_short_grace(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("call", "echo", "--socket", "/tmp/rask-test-nobody", NULL);
    assert_int_equal(result->code, 69);
    assert_non_null(strstr(result->err, "rask run"));
    assert_true(result->took_ns >= 200 * KIT_MS);
    result = kit_rask("call", "echo", "--socket", "/tmp/rask-test-nobody", "--timeout", "20ms", NULL);
    assert_int_equal(result->code, 69);
    assert_true(result->took_ns < 200 * KIT_MS * (kit_sanitized ? 4 : 1)); /* within the call's own time */
}

/** Its supervisor is nobody the user knows: the call says what was wrong, and it alone. */
static void test_plugin_of_a_private_supervisor_fails_with_one_message(void **state)
{
    (void)state;
    const struct {
        const char *plugin, *said;
    } bad[] = {{"open_fails", "open() returned"}, {"open_crashes", "SIGSEGV"}, {"no_symbol", "exports no symbol"}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct kit_result *result = kit_rask("call", "any", "--plugin", kit_plugin(bad[i].plugin), NULL);
        assert_int_equal(result->code, 78);
        if (count_of(result->err, bad[i].said) != 1) fail_msg("not said once: %s", result->err);
        assert_null(strstr(result->err, "rask run"));
    }
    const struct kit_result *result = kit_rask("call", "any", "--plugin", "nowhere", NULL);
    assert_int_equal(result->code, 78);
    assert_int_equal(count_of(result->err, "no plugin named"), 1);
}

static void test_hanging_open_of_a_private_supervisor_is_a_bad_plugin(void **state)
{
    (void)state;
    struct rask *s = NULL;
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    options.connect_timeout_ns = KIT_S * (kit_sanitized ? 3 : 1);
    spawn.plugin = kit_plugin("open_hangs");
    assert_int_equal(rask_spawn(&s, &spawn, &options), -ENOEXEC);
    assert_null(s);
    if (!strstr(rask_last_error(), "the plugin's open()")) fail_msg("not said where: %s", rask_last_error());
}

/** What a careless parent leaves open is not the supervisor's to keep. */
static void test_inherited_descriptors_are_closed(void **state)
{
    (void)state;
    char target[64], path[64];
    kit_prepare(&server);
    const char *const arguments[] = {"sh",
                                     "-c",
                                     "exec 5<$0 7<$0 && exec \"$@\"",
                                     "/proc/self/status",
                                     getenv("RASK_BIN"),
                                     "run",
                                     "--socket",
                                     server.socket,
                                     "--plugin",
                                     "echo",
                                     NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    for (unsigned fd = 3; fd < 16; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)server.pid, fd);
        ssize_t bytes = readlink(path, target, sizeof(target) - 1);
        target[bytes > 0 ? bytes : 0] = '\0';
        assert_null(strstr(target, "/status"));
    }
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_call_started_with_its_supervisor_finds_the_socket),
        KIT_TEST(test_nobody_listens_is_said_after_a_short_grace),
        KIT_TEST(test_plugin_of_a_private_supervisor_fails_with_one_message),
        KIT_TEST(test_hanging_open_of_a_private_supervisor_is_a_bad_plugin),
        KIT_TEST(test_inherited_descriptors_are_closed),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
