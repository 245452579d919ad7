/* SPDX-License-Identifier: MIT */
/* What a crash leaves: the file, what is in it, and its bounds. What is done with it is in test_replay.c. */
#include "crash_kit.h"
#include "exit_codes.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is in it --------------------------------------------------------------------------------------------- */

static void test_every_fatal_signal_leaves_a_file_with_signal_and_backtrace(void **state)
{
    static const struct {
        const char *method, *signal, *more;
    } deaths[] = {
        {"segv", "SIGSEGV", "fault-address: 0x0\n"},
        {"jump", "SIGSEGV", "pc: 0x0\n"},
#if defined(__x86_64__) /* elsewhere a division by zero is no fault, and a trap another signal */
        {"fpe", "SIGFPE", "signal-code: 1\n"},
        {"trap", "SIGILL", "fault-address: 0x"},
#endif
        {"abort", "SIGABRT", "signal-code: -6\n"},
        {"overflow", "SIGSEGV", "fault-address: 0x"},
    };
    (void)state;
    start(NULL, NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++) {
        struct rk_crash_file file;
        char line[64];
        crash(s, deaths[i].method, "abc", 3);
        open_told(s, &file);
        assert_string_equal(file.method, deaths[i].method);
        assert_string_equal(file.plugin, "crasher");
        assert_non_null(strstr(file.signal, deaths[i].signal));
        expect_line(&file, "record: yes\n");
        expect_line(&file, deaths[i].more);
        expect_line(&file, "crasher.so+0x"); /* a frame */
        expect_line(&file, "plugin-version: 1.2\n");
        snprintf(line, sizeof(line), "method-id: %d\n", rask_method(s, deaths[i].method));
        expect_line(&file, line);
        assert_true(file.maps_bytes > 1000);
        assert_int_equal(file.payload_bytes, 3);
        put_away(s, &file);
    }
    rask_close(s);
    stop();
}

/* addr2line is run somewhere else. */
static void test_frames_name_the_plugin_with_its_whole_path(void **state)
{
    (void)state;
    struct rk_crash_file file;
    char line[PATH_MAX + 8], plugins[PATH_MAX], here[PATH_MAX];
    snprintf(plugins, sizeof(plugins), "%s", kit_plugin("crasher"));
    *strrchr(plugins, '/') = '\0';
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(plugins), 0);
    start_with("./crasher.so", NULL, NULL);
    assert_int_equal(chdir(here), 0);
    struct rask *s = kit_connect(&server, NULL);
    crash(s, "segv", "abc", 3);
    open_told(s, &file);
    snprintf(line, sizeof(line), " %s+0x", file.plugin_path);
    assert_int_equal(file.plugin_path[0], '/');
    expect_line(&file, line);
    put_away(s, &file);
    rask_close(s);
    stop();
}

static void test_request_bytes_are_exact_at_every_size(void **state)
{
    static const size_t sizes[] = {0, 32, 33, 4096, 1 << 20};
    (void)state;
    uint8_t *data = malloc(1 << 20);
    assert_non_null(data);
    uint64_t seed = kit_seed();
    for (size_t i = 0; i < 1 << 20; i++) data[i] = (uint8_t)kit_random(&seed, 256);
    start(NULL, NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rk_crash_file file;
        crash(s, "segv", data, sizes[i]);
        open_told(s, &file);
        expect_payload(&file, data, sizes[i]);
        put_away(s, &file);
    }
    rask_close(s);
    free(data);
    stop();
}

/* SIGKILL leaves the worker no time: the child finds the request in the client's memory. */
static void kill_inside(struct rask *s, unsigned before, const uint8_t *data, size_t bytes)
{
    struct rask_request request;
    struct rask_completion completion;
    pid_t worker;
    struct rk_crash_file file;
    kit_wait_children(server.pid, 1);
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    move_on(s, before);
    assert_int_equal(rask_reserve(s, bytes, &request), 0);
    if (bytes > 0) memcpy(request.data, data, bytes);
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, "hang"), bytes, NULL), 0);
    for (unsigned i = 0; i < 50; i++) {
        rask_poll(s, &completion, 0);
        kit_pause_ms(1);
    }
    kill(worker, SIGKILL);
    assert_int_equal(rask_wait(s, request.ticket, rask_now_ns() + 5 * KIT_S, &completion), 0);
    assert_string_equal(rask_status_name(completion.status), "CRASHED");
    rask_release(s, &completion);
    open_told(s, &file);
    assert_string_equal(file.signal, "9 SIGKILL (Killed)");
    assert_string_equal(file.method, "hang");
    expect_line(&file, "record: no");
    expect_line(&file, bytes > 32 ? "the client may have used it again" : "before it was told of the death");
    expect_payload(&file, data, bytes);
    put_away(s, &file);
}

static void test_a_killed_worker_leaves_the_request_from_the_clients_memory(void **state)
{
    static const size_t sizes[] = {0, 32, 33, 4096, 1 << 20};
    static const unsigned before[] = {67, 200, 1, 300, 16};
    static uint8_t data[1 << 20];
    (void)state;
    for (size_t i = 0; i < 1 << 20; i++) data[i] = (uint8_t)(i * 7 + i / 251);
    start(NULL, NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) kill_inside(s, before[i], data, sizes[i]);
    rask_close(s);
    stop();
}

static void test_exit_in_a_handler_leaves_a_file(void **state)
{
    (void)state;
    struct rk_crash_file file;
    start(NULL, NULL);
    struct rask *s = kit_connect(&server, NULL);
    crash(s, "leave", "x", 1);
    open_told(s, &file);
    expect_line(&file, "exit-code: 3\n");
    assert_string_equal(file.signal, "");
    put_away(s, &file);
    rask_close(s);
    stop();
}

/* ---- what it must not do --------------------------------------------------------------------------------------- */

static void test_a_plugins_own_handler_and_forked_children_are_left_alone(void **state)
{
    (void)state;
    struct rk_crash_file file;
    struct rask_completion completion;
    start("--set", "own=1");
    struct rask *s = kit_connect(&server, NULL);
    crash(s, "segv", "x", 1);
    open_told(s, &file);
    expect_line(&file, "record: no");
    rk_crash_file_close(&file);
    assert_non_null(strstr(kit_log(&server), "the plugin's own handler"));
    settle(s);
    rask_close(s);
    stop();

    start(NULL, NULL);
    s = kit_connect(&server, NULL);
    assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "fork"), NULL, 0, 5 * KIT_S, &completion), 0);
    assert_int_equal(*(const int *)completion.data, SIGSEGV); /* the true death */
    rask_release(s, &completion);
    crash(s, "abort", NULL, 0);
    open_told(s, &file);
    assert_string_equal(file.signal, "6 SIGABRT (Aborted)");
    expect_line(&file, "record: yes");
    expect_line(&file, "signal-code: -6\n"); /* of the abort, not of the child before */
    put_away(s, &file);
    assert_int_equal(files(NULL, 0), 1);
    rask_close(s);
    stop();
}

static void test_off_by_one_option_leaves_nothing(void **state)
{
    (void)state;
    const struct kit_result *result =
        kit_rask("call", "segv", "--plugin", kit_plugin("crasher"), "--crash-dir", "none", NULL);
    assert_int_equal(result->code, RK_EXIT_USAGE); /* an option of the supervisor */
    start("--crash-dir", "none");                  /* the later one counts */
    struct rask *s = kit_connect(&server, NULL);
    crash(s, "segv", "x", 1);
    assert_string_equal(rask_crash_file(s), "");
    kit_wait_children(server.pid, 1);
    assert_int_equal(files(NULL, 0), 0);
    rask_close(s);
    stop();
}

static void test_no_payload_is_stored_when_told_so(void **state)
{
    (void)state;
    struct rk_crash_file file;
    start("--crash-payload", "0");
    struct rask *s = kit_connect(&server, NULL);
    crash(s, "segv", "very secret", 11);
    open_told(s, &file);
    assert_int_equal(file.payload_bytes, 0);
    assert_int_equal(file.request_bytes, 11);
    expect_line(&file, "payload-source: none, --crash-payload 0\n");
    const struct kit_result *result = kit_rask("replay", rask_crash_file(s), NULL);
    assert_int_equal(result->code, RK_EXIT_TOO_LARGE);
    assert_non_null(strstr(result->err, "--crash-payload"));
    put_away(s, &file);
    rask_close(s);
    stop();
}

/* ---- bounds ---------------------------------------------------------------------------------------------------- */

static void test_files_are_private_and_the_oldest_make_room(void **state)
{
    (void)state;
    char first[256], paths[8][512];
    struct stat facts;
    start("--crash-files", "3");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 5; i++) {
        crash(s, "segv", "x", 1);
        settle(s);
        if (i == 1) snprintf(first, sizeof(first), "%s", rask_crash_file(s));
        assert_int_equal(files(paths, 8), i < 3 ? i + 1 : 3);
    }
    assert_string_equal(paths[2], rask_crash_file(s)); /* the newest is the last */
    assert_int_equal(access(first, F_OK), -1);
    assert_int_equal(stat(dir, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
    assert_int_equal(stat(paths[0], &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    const struct kit_result *list = kit_rask("crashes", "--dir", dir, NULL);
    assert_int_equal(list->code, 0);
    for (unsigned i = 0; i < 3; i++) assert_non_null(strstr(list->out, paths[i]));
    rask_close(s);
    stop();
}

static void test_bytes_are_bounded(void **state)
{
    (void)state;
    char paths[8][512];
    static uint8_t data[600000];
    start("--crash-bytes", "1M");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 3; i++) {
        crash(s, "segv", data, sizeof(data));
        settle(s);
        assert_int_equal(files(paths, 8), 1); /* two do not fit */
        assert_string_equal(paths[0], rask_crash_file(s));
    }
    rask_close(s);
    stop();
}

/* Crashes faster than they can be written: one child at a time, the others are counted; nothing is left behind. */
static void test_a_storm_of_crashes_keeps_to_one_child(void **state)
{
    enum { ROUNDS = 5, TOGETHER = 8 }; /* more, and restarts wait */
    (void)state;
    uint64_t ticket[TOGETHER];
    unsigned most = 0;
    start("--workers", "4");
    kit_wait_children(server.pid, 4);
    struct rask *s = kit_connect(&server, NULL);
    unsigned before = kit_descriptors(server.pid);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < TOGETHER; i++) {
            struct rask_request request;
            assert_int_equal(rask_reserve(s, 8, &request), 0);
            assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, i % 2 ? "echo" : "segv"), 8, NULL), 0);
            ticket[i] = request.ticket;
        }
        for (unsigned i = 0; i < TOGETHER; i++) {
            struct rask_completion completion;
            pid_t pids[64];
            assert_int_equal(rask_wait(s, ticket[i], rask_now_ns() + 15 * KIT_S, &completion), 0);
            assert_string_equal(rask_status_name(completion.status), i % 2 ? "OK" : "CRASHED");
            rask_release(s, &completion);
            unsigned children = kit_children(server.pid, pids, 64);
            if (children > most) most = children;
        }
    }
    print_message("at most %u children of a pool of 4\n", most);
    assert_in_range(most, 1, 5);
    for (unsigned i = 0; i < 3000 && kit_children(server.pid, (pid_t[16]){0}, 16) > 4; i++) kit_pause_ms(1);
    char paths[32][512];
    unsigned count = files(paths, 32);
    assert_in_range(count, 1, 20);
    for (unsigned i = 0; i < count; i++) assert_non_null(strstr(paths[i], ".crash"));
    rask_close(s);
    kit_wait_children(server.pid, 4);
    for (unsigned i = 0; i < 2000 && kit_descriptors(server.pid) > before; i++) kit_pause_ms(1);
    assert_true(kit_descriptors(server.pid) <= before);
    stop();
}

static void test_a_full_disk_disturbs_nobody(void **state)
{
    (void)state;
    struct rask_completion completion;
    snprintf(folder, sizeof(folder), "/tmp/rask-crash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(dir, sizeof(dir), "%s/crashes", folder);
    assert_int_equal(mkdir(dir, 0700), 0);
    if (mount("none", dir, "tmpfs", 0, "size=16k,mode=0700") < 0) {
        rmdir(dir);
        rmdir(folder);
        print_message("no full disk: mount: %s\n", strerror(errno));
        skip();
    }
    kit_start(&server, "--plugin", kit_plugin("crasher"), "--poison-ttl", "0", "--crash-dir", dir, NULL);
    struct rask *s = kit_connect(&server, NULL);
    static uint8_t data[100000];
    for (unsigned i = 0; i < 3; i++) {
        crash(s, "segv", data, sizeof(data));
        kit_pause_ms(20);
        kit_wait_children(server.pid, 1);
        assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "echo"), "x", 1, 5 * KIT_S, &completion), 0);
        rask_release(s, &completion);
        assert_int_equal(files(NULL, 0), 0);
    }
    assert_non_null(strstr(kit_log(&server), "could not be saved"));
    rask_close(s);
    kit_stop(&server);
    assert_int_equal(umount(dir), 0);
    rmdir(dir);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_every_fatal_signal_leaves_a_file_with_signal_and_backtrace),
        KIT_TEST(test_frames_name_the_plugin_with_its_whole_path),
        KIT_TEST(test_request_bytes_are_exact_at_every_size),
        KIT_TEST(test_a_killed_worker_leaves_the_request_from_the_clients_memory),
        KIT_TEST(test_exit_in_a_handler_leaves_a_file),
        KIT_TEST(test_a_plugins_own_handler_and_forked_children_are_left_alone),
        KIT_TEST(test_off_by_one_option_leaves_nothing),
        KIT_TEST(test_no_payload_is_stored_when_told_so),
        KIT_TEST(test_files_are_private_and_the_oldest_make_room),
        KIT_TEST(test_bytes_are_bounded),
        KIT_TEST(test_a_storm_of_crashes_keeps_to_one_child),
        KIT_TEST(test_a_full_disk_disturbs_nobody),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
