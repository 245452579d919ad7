/* SPDX-License-Identifier: MIT */
/* Where something is forbidden (tests/under.c says what, in RASK_TEST_UNDER), rask says so once, says which barrier and engine
 * are in force, works, and is idle without using processor time. */
#include "clock.h"
#include "kit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kit_server server;

static bool under(const char *start)
{
    const char *condition = getenv("RASK_TEST_UNDER");
    return condition != NULL && strncmp(condition, start, strlen(start)) == 0;
}

static unsigned occurrences(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) count++;
    return count;
}

static void test_falls_back_and_says_so_once(void **state)
{
    (void)state;
    struct rask_info info = {.size = sizeof(info)};
    struct rask_completion completion;
    kit_start(&server, "--plugin", "echo", "--workers", "2", NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 300; i++) {
        if (i % 30 == 0) kit_pause_ms(5); /* everybody sleeps */
        assert_int_equal(rask_call(s, 0, "x", 1, 5 * KIT_S, &completion), 0);
        rask_release(s, &completion);
    }
    assert_int_equal(rask_info(s, &info), 0);
    bool classic = strcmp(info.engine, "classic") == 0;
    if (!under("memlock")) assert_int_equal(classic, under("uring")); /* kernels differ in what they count as locked */
    setenv("RASK_BARRIER", "fence-only", 1);                          /* too late for this session */
    assert_int_equal(rask_info(s, &info), 0);
    unsetenv("RASK_BARRIER");
    if (under("membarrier")) assert_string_equal(info.barrier, "fence");
    if (!under("membarrier")) assert_null(strstr(info.barrier, "fence-only"));
    if (!under("membarrier")) assert_string_not_equal(info.barrier, "fence");
    assert_int_equal(info.rescues, 0);
    rask_close(s);
    assert_int_equal(occurrences(kit_log(&server), "engine: "), classic);
    assert_int_equal(occurrences(kit_log(&server), "barrier: "), under("membarrier"));
    assert_int_equal(occurrences(kit_log(&server), "waiting: "), under("waitv") || (under("register") && !classic));
    kit_stop(&server);
}

/** The doctor sees it, too, and what works in its place. */
static void test_doctor_sees_what_is_forbidden(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("doctor", NULL);
    assert_int_equal(result->code, 0);
    assert_int_equal(strstr(result->out, "weak     futex_waitv") != NULL, under("waitv"));
    if (!under("memlock")) /* kernels differ in what they count as locked */
        assert_int_equal(strstr(result->out, "weak     io_uring_futex") != NULL, under("register") || under("uring"));
    assert_int_equal(strstr(result->out, "weak     barrier") != NULL, under("membarrier"));
}

static void test_sleeps_while_idle(void **state)
{
    (void)state;
    pid_t worker = 0;
    struct rask_completion completion;
    kit_start(&server, "--plugin", "echo", NULL);
    struct rask *s = kit_connect(&server, NULL);
    assert_int_equal(rask_call(s, 0, "x", 1, 5 * KIT_S, &completion), 0);
    rask_release(s, &completion);
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    kit_pause_ms(100);
    uint64_t before_ns = kit_cpu_ns(worker) + kit_cpu_ns(server.pid);
    kit_pause_ms(500);
    uint64_t used_ns = kit_cpu_ns(worker) + kit_cpu_ns(server.pid) - before_ns;
    print_message("idle for 500 ms with %.2f ms of processor time\n", (double)used_ns / 1e6);
    assert_true(used_ns < (under("waitv") ? 50 : 5) * KIT_MS); /* without futex_waitv it sleeps in short steps */
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_falls_back_and_says_so_once),
                                       KIT_TEST(test_doctor_sees_what_is_forbidden), KIT_TEST(test_sleeps_while_idle)};
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
