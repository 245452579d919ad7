/* SPDX-License-Identifier: MIT */
/* The request of --canary: a file that loads and cannot do its work does not start, or is rolled back, whatever its handler
 * does with it. */
#include "kit.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kit_server server;
static char request[128], canary[160], tries[128], setting[160];

static const struct {
    const char *plugin, *why;
} bad[] = {
    {"tried_fails", "work returned error code 7"},
    {"tried_crashes", "died of SIGABRT (Aborted) while trying the canary; repair it, or the request"},
    {"tried_hangs", "still trying the canary"},
};
/* Enough for a worker to come as far as its canary on a machine that is busy. */
#define HANGS_FOR "1500ms"
#define BADS (sizeof(bad) / sizeof(bad[0]))

/* The request has a zero byte, so it comes from a file. */
static void prepare(void)
{
    kit_prepare(&server);
    snprintf(request, sizeof(request), "%s/request", server.folder);
    snprintf(canary, sizeof(canary), "work=@%s", request);
    snprintf(tries, sizeof(tries), "%s/tries", server.folder);
    snprintf(setting, sizeof(setting), "tries=%s", tries);
    int fd = open(request, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "can\0ary", 7), 7);
    close(fd);
}

static void start(const char *workers)
{
    prepare();
    const char *const arguments[] = {getenv("RASK_BIN"),       "run",       "--socket", server.socket, "--plugin",
                                     kit_plugin("tried_fine"), "--workers", workers,    "--set",       setting,
                                     "--start-timeout",        HANGS_FOR,   "--canary", canary,        NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    kit_wait_children(server.pid, (unsigned)atoi(workers));
}

static void stop(void)
{
    unlink(request);
    unlink(tries);
    kit_stop(&server);
}

static off_t tried(void)
{
    struct stat status;
    return stat(tries, &status) == 0 ? status.st_size : 0;
}

static void expect_service(void)
{
    const struct kit_result *result = kit_rask("call", "work", "--socket", server.socket, NULL);
    if (result->code != 0) fail_msg("call: %d, %s", result->code, result->err);
    assert_string_equal(result->out, "w");
}

static void test_file_that_fails_its_canary_does_not_start(void **state)
{
    (void)state;
    prepare();
    for (unsigned i = 0; i < BADS; i++) {
        const struct kit_result *result =
            kit_rask("run", "--socket", server.socket, "--plugin", kit_plugin(bad[i].plugin), "--start-timeout",
                     HANGS_FOR, "--canary", canary, NULL);
        assert_int_equal(result->code, 78);
        if (!strstr(result->err, bad[i].why)) fail_msg("%s: %s", bad[i].plugin, result->err);
        assert_int_equal(result->out_bytes, 0); /* never ready */
    }
    unlink(request);
    assert_int_equal(rmdir(server.folder), 0); /* no socket, no lock */
    kit_forget(&server);
}

static void test_file_that_fails_its_canary_is_rolled_back(void **state)
{
    (void)state;
    pid_t before[2], after[2];
    start("2");
    assert_int_equal(kit_workers(server.pid, before, 2), 2);
    for (unsigned i = 0; i < BADS; i++) {
        const struct kit_result *result =
            kit_rask("reload", "--socket", server.socket, "--plugin", kit_plugin(bad[i].plugin), NULL);
        assert_int_equal(result->code, 78);
        assert_non_null(strstr(result->err, "rolled back, check canary"));
        if (!strstr(result->err, bad[i].why)) fail_msg("%s: %s", bad[i].plugin, result->err);
        expect_service();
    }
    kit_wait_children(server.pid, 2);
    assert_int_equal(kit_workers(server.pid, after, 2), 2);
    assert_memory_equal(before, after, sizeof(before)); /* the same processes all the time */
    stop();
}

static void test_one_worker_of_a_new_file_tries_it(void **state)
{
    (void)state;
    pid_t workers[3];
    start("3");
    for (unsigned ms = 0; tried() < 3 && ms < 5000; ms++) kit_pause_ms(1);
    assert_int_equal(tried(), 3); /* they start together */
    const struct kit_result *result = kit_rask("reload", "--socket", server.socket, NULL);
    if (result->code != 0) fail_msg("reload: %d, %s", result->code, result->err);
    assert_int_equal(tried(), 4);
    kit_wait_children(server.pid, 3);
    assert_int_equal(kit_workers(server.pid, workers, 3), 3);
    kill(workers[0], SIGKILL);
    for (unsigned i = 0; i < 10; i++) expect_service();
    kit_wait_children(server.pid, 3);
    assert_int_equal(tried(), 4); /* a file that was found good stays so */
    stop();
}

static void test_mistakes_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *canary, *why;
        int code;
    } mistakes[] = {
        {"", "is empty: give a value", 64},
        {"=x", "use METHOD, METHOD=DATA or METHOD=@FILE", 64},
        {"work=@/nowhere/at/all", "cannot read /nowhere/at/all: No such file", 78},
        {"play", "has no method \"play\" for --canary: it has work, only_data", 78},
        {"only_data=a=@", "only_data returned error code 9", 78},
    };
    kit_prepare(&server);
    for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const struct kit_result *result = kit_rask("run", "--socket", server.socket, "--plugin",
                                                   kit_plugin("tried_fine"), "--canary", mistakes[i].canary, NULL);
        if (result->code != mistakes[i].code || !strstr(result->err, mistakes[i].why))
            fail_msg("%s: %d, %s", mistakes[i].canary, result->code, result->err);
    }
    assert_int_equal(rmdir(server.folder), 0); /* no socket, no lock */
    kit_forget(&server);
}

static void test_data_may_be_an_argument(void **state)
{
    (void)state;
    static const char *const fillers[] = {"-", "--", "---", "----", "-----", "------", "-------", "--------"};
    for (unsigned i = 0; i < 8; i++) { /* wherever the argument happens to be, the handler's request is aligned */
        char set[32];
        snprintf(set, sizeof(set), "tries=%s", fillers[i]);
        kit_start(&server, "--plugin", kit_plugin("tried_fine"), "--canary", "only_data=a=@b", "--set", set, NULL);
        expect_service();
        kit_stop(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_file_that_fails_its_canary_does_not_start),
        KIT_TEST(test_file_that_fails_its_canary_is_rolled_back),
        KIT_TEST(test_one_worker_of_a_new_file_tries_it),
        KIT_TEST(test_mistakes_are_explained),
        KIT_TEST(test_data_may_be_an_argument),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
