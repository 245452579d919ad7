/* SPDX-License-Identifier: MIT */
/* The plugins of workers/plugins, called with a host made of plain memory: what goes in, what comes out, what is
 * refused and with which code. No supervisor, no worker. */
#include "plugins/work.h"
#include <dlfcn.h>
#include <errno.h>
#include <rask/plugin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ROOM_BYTES 65536u

/* What the host remembers of one call. */
static struct {
    uint8_t room[ROOM_BYTES];
    size_t reserved;
    size_t replied;
    bool no_room;
    int looks_until_cancelled; /* 0: never */
    unsigned log_lines;
} seen;

static void *host_reserve(struct rask_call *call, size_t bytes)
{
    (void)call;
    if (seen.no_room || bytes > sizeof seen.room) return NULL;
    seen.reserved = bytes;
    return seen.room;
}

static int host_reply(struct rask_call *call, size_t bytes)
{
    (void)call;
    if (bytes > seen.reserved) return -EINVAL;
    seen.replied = bytes;
    return 0;
}

static int host_cancelled(struct rask_call *call)
{
    (void)call;
    return seen.looks_until_cancelled > 0 && --seen.looks_until_cancelled == 0;
}

__attribute__((format(printf, 3, 4))) static void host_log(const struct rask_host *host, int level, const char *format,
                                                           ...)
{
    (void)host;
    (void)level;
    (void)format;
    seen.log_lines++;
}

static uint64_t host_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct rask_host host = {
    .size = sizeof(struct rask_host),
    .abi = RASK_PLUGIN_ABI,
    .reserve = host_reserve,
    .reply = host_reply,
    .cancelled = host_cancelled,
    .log = host_log,
    .now_ns = host_now_ns,
};

static const struct rask_plugin *load(const char *name)
{
    const char *program = getenv("RASK_BIN");
    assert_non_null(program);
    char path[4096];
    int folder_bytes = (int)(strrchr(program, '/') - program);
    snprintf(path, sizeof path, "%.*s/plugins/%s.so", folder_bytes, program, name);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fail_msg("%s", dlerror());
    const struct rask_plugin *plugin = dlsym(handle, "rask_plugin");
    assert_non_null(plugin);
    assert_int_equal(plugin->abi, RASK_PLUGIN_ABI);
    return plugin;
}

/* Calls a method of a plugin. The request is a heap copy, so that a sanitizer sees a read past its end. */
static int call_method(const char *name, uint32_t method, const void *request, size_t bytes)
{
    const struct rask_plugin *plugin = load(name);
    assert_true(method < plugin->method_count);
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    if (bytes) memcpy(copy, request, bytes);
    seen.reserved = seen.replied = 0;
    seen.log_lines = 0;
    struct rask_call call = {.host = &host, .request = copy, .request_bytes = bytes};
    int code = plugin->methods[method].handle(&call);
    free(copy);
    return code;
}

static int call_plugin(const char *name, const void *request, size_t bytes)
{
    return call_method(name, 0, request, bytes);
}

static int reset(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    return 0;
}

static void expect_reply(const void *expected, size_t bytes)
{
    assert_int_equal(seen.replied, bytes);
    assert_memory_equal(seen.room, expected, bytes);
}

static void test_echo_answers_the_same_bytes(void **state)
{
    (void)state;
    static const char text[] = "bytes \0 with zero";
    assert_int_equal(call_plugin("echo", text, sizeof text), 0);
    expect_reply(text, sizeof text);
}

static void test_echo_answers_nothing_to_nothing(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("echo", NULL, 0), 0);
    assert_int_equal(seen.replied, 0);
}

static void test_hello_joins_two_strings(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("hello", "\005hello\005world", 12), 0);
    expect_reply("\013hello world", 12);
}

static void test_hello_joins_empty_strings(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("hello", "\0\0", 2), 0);
    expect_reply("\001 ", 2);
}

static void test_hello_refuses_what_is_cut_short(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("hello", NULL, 0), 1);
    assert_int_equal(call_plugin("hello", "\005hello", 6), 1);
    assert_int_equal(call_plugin("hello", "\005hello\005worl", 11), 1);
    assert_int_equal(call_plugin("hello", "\377", 1), 1);
    assert_int_equal(seen.log_lines, 1);
    assert_int_equal(seen.replied, 0);
}

static void test_hello_refuses_trailing_bytes(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("hello", "\001a\001b!", 5), 2);
}

static void test_hello_refuses_bytes_over_127(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("hello", "\001a\001\200", 4), 3);
}

static void test_hello_answers_up_to_255_bytes_and_no_more(void **state)
{
    (void)state;
    uint8_t request[2 + 255];
    memset(request, 'x', sizeof request);
    request[0] = 127;
    request[128] = 127; /* 127 + 1 + 127 = 255 */
    assert_int_equal(call_plugin("hello", request, 2 + 254), 0);
    assert_int_equal(seen.replied, 256);
    assert_int_equal(seen.room[0], 255);
    request[128] = 128;
    assert_int_equal(call_plugin("hello", request, 2 + 255), 4);
}

static void test_add_adds_modulo_256(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("add", "\050\002", 2), 0);
    expect_reply("\052", 1);
    assert_int_equal(call_plugin("add", "\377\002", 2), 0);
    expect_reply("\001", 1);
}

static void test_add_refuses_other_lengths(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 5; bytes++) {
        if (bytes != 2) assert_int_equal(call_plugin("add", "\1\2\3\4", bytes), 1);
    }
}

static void test_sum_of_nothing_is_zero(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("sum", NULL, 0), 0);
    expect_reply("\0\0\0\0\0\0\0\0", 8);
}

static void test_sum_is_little_endian_and_wraps(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("sum", "\0\1\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 16), 0);
    expect_reply("\2\1\0\0\0\0\0\0", 8);
    assert_int_equal(call_plugin("sum", "\377\377\377\377\377\377\377\377\2\0\0\0\0\0\0\0", 16), 0);
    expect_reply("\1\0\0\0\0\0\0\0", 8);
}

static void test_sum_refuses_a_part_of_a_number(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("sum", "\1\2\3\4\5\6\7", 7), 1);
    assert_int_equal(call_plugin("sum", "\1\2\3\4\5\6\7\10\11", 9), 1);
}

static void test_sleep_lasts_as_long_as_asked(void **state)
{
    (void)state;
    uint64_t start_ns = host_now_ns();
    assert_int_equal(call_plugin("sleep", "20\n", 3), 0);
    assert_true(host_now_ns() - start_ns >= 20000000u);
    assert_int_equal(seen.replied, 0);
    assert_int_equal(call_plugin("sleep", "0", 1), 0);
}

static void test_sleep_stops_when_cancelled(void **state)
{
    (void)state;
    seen.looks_until_cancelled = 3;
    assert_int_equal(call_plugin("sleep", "3600000", 7), -ECANCELED);
}

static void test_sleep_refuses_what_is_no_number(void **state)
{
    (void)state;
    static const char *const junk[] = {"", "\n", "1\n\n", " 1", "1ms", "-1", "1.5", "0x10"};
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        assert_int_equal(call_plugin("sleep", junk[i], strlen(junk[i])), 1);
    assert_int_equal(call_plugin("sleep", "1\0", 2), 1);
}

static void test_sleep_refuses_more_than_an_hour(void **state)
{
    (void)state;
    assert_int_equal(call_plugin("sleep", "3600001", 7), 2);
    assert_int_equal(call_plugin("sleep", "99999999999999999999999999", 26), 2);
    assert_int_equal(call_plugin("sleep", "99999999999999999999999999x", 27), 1);
}

static void test_work_takes_as_long_as_asked(void **state)
{
    (void)state;
    const struct rk_work_order burns = {.rounds = 300000}, sleeps = {.sleep_ns = 3000000};
    struct rk_work_stamps stamps;
    uint64_t before_ns = host_now_ns();
    assert_int_equal(call_method("work", 0, &burns, sizeof burns), 0);
    assert_int_equal(seen.replied, sizeof stamps);
    memcpy(&stamps, seen.room, sizeof stamps);
    assert_true(stamps.begin_ns >= before_ns && stamps.end_ns <= host_now_ns());
    assert_true(stamps.end_ns - stamps.begin_ns > 30000); /* no processor makes a round in a tenth of a ns */
    assert_int_equal(call_method("work", 0, &sleeps, sizeof sleeps), 0);
    memcpy(&stamps, seen.room, sizeof stamps);
    assert_true(stamps.end_ns - stamps.begin_ns >= sleeps.sleep_ns);
    assert_int_equal(call_method("work", 0, &sleeps, sizeof sleeps - 1), 1);
}

static void test_work_weighs_and_sums(void **state)
{
    (void)state;
    uint64_t words[11], sum = 0, bytes = sizeof words;
    for (uint64_t i = 0; i < 11; i++) sum += words[i] = (i + 1) * 0x0101010101010101u;
    assert_int_equal(call_method("work", 1, words, sizeof words), 0);
    expect_reply(&bytes, sizeof bytes);
    assert_int_equal(call_method("work", 2, words, sizeof words), 0);
    expect_reply(&sum, sizeof sum);
    assert_int_equal(call_method("work", 2, words, sizeof words - 1), 0); /* the last word is not whole */
    sum -= words[10];
    expect_reply(&sum, sizeof sum);
}

static void test_every_plugin_says_so_when_there_is_no_room(void **state)
{
    (void)state;
    seen.no_room = true;
    assert_int_not_equal(call_plugin("echo", "x", 1), 0);
    assert_int_not_equal(call_plugin("hello", "\001a\001b", 4), 0);
    assert_int_not_equal(call_plugin("add", "\1\2", 2), 0);
    assert_int_not_equal(call_plugin("sum", NULL, 0), 0);
    assert_int_not_equal(call_method("work", 1, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_echo_answers_the_same_bytes, reset),
        cmocka_unit_test_setup(test_echo_answers_nothing_to_nothing, reset),
        cmocka_unit_test_setup(test_hello_joins_two_strings, reset),
        cmocka_unit_test_setup(test_hello_joins_empty_strings, reset),
        cmocka_unit_test_setup(test_hello_refuses_what_is_cut_short, reset),
        cmocka_unit_test_setup(test_hello_refuses_trailing_bytes, reset),
        cmocka_unit_test_setup(test_hello_refuses_bytes_over_127, reset),
        cmocka_unit_test_setup(test_hello_answers_up_to_255_bytes_and_no_more, reset),
        cmocka_unit_test_setup(test_add_adds_modulo_256, reset),
        cmocka_unit_test_setup(test_add_refuses_other_lengths, reset),
        cmocka_unit_test_setup(test_sum_of_nothing_is_zero, reset),
        cmocka_unit_test_setup(test_sum_is_little_endian_and_wraps, reset),
        cmocka_unit_test_setup(test_sum_refuses_a_part_of_a_number, reset),
        cmocka_unit_test_setup(test_sleep_lasts_as_long_as_asked, reset),
        cmocka_unit_test_setup(test_sleep_stops_when_cancelled, reset),
        cmocka_unit_test_setup(test_sleep_refuses_what_is_no_number, reset),
        cmocka_unit_test_setup(test_sleep_refuses_more_than_an_hour, reset),
        cmocka_unit_test_setup(test_work_takes_as_long_as_asked, reset),
        cmocka_unit_test_setup(test_work_weighs_and_sums, reset),
        cmocka_unit_test_setup(test_every_plugin_says_so_when_there_is_no_room, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
