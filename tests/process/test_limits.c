/* SPDX-License-Identifier: MIT */
/* Workers that have done their share or come near to a limit are replaced and nobody sees it; what a worker may not do it
 * is refused. */
#include "clock.h"
#include "kit.h"
#include "sandbox.h"
#include "stranger.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct kit_server server;

/* The number that a method of the plugin `greedy` answers with. */
static int ask(struct rask *s, const char *method, const char *data)
{
    struct rask_completion completion;
    char text[16] = "";
    int result = rask_call(s, (uint32_t)rask_method(s, method), data, strlen(data), 5 * KIT_S, &completion);
    if (result != 0 || completion.length > 12)
        fail_msg("%s: %s; %s", method, rask_status_name(completion.status), kit_log(&server));
    memcpy(text, completion.data, completion.length);
    rask_release(s, &completion);
    return atoi(text);
}

static void start(const char *option, const char *value)
{
    kit_start(&server, "--plugin", kit_plugin("greedy"), option, value, NULL);
}

/* Calls until the worker has been another one `count` times; no call may fail. */
static void call_until_replaced(const char *method, unsigned count, unsigned pause_ms)
{
    struct rask *s = kit_connect(&server, NULL);
    int pid = ask(s, "process", "");
    uint64_t end_ns = rask_now_ns() + 15 * KIT_S * (kit_sanitized ? 2 : 1);
    for (unsigned seen = 0; seen < count;) {
        assert_int_equal(ask(s, method, ""), 0);
        int now = ask(s, "process", "");
        seen += now != pid;
        pid = now;
        if (rask_now_ns() > end_ns) fail_msg("replaced %u times of %u: %s", seen, count, kit_log(&server));
        if (pause_ms > 0) kit_pause_ms(pause_ms);
    }
    rask_close(s);
    kit_wait_children(server.pid, 1);
    assert_null(strstr(kit_log(&server), "died"));
    kit_stop(&server);
}

static void test_worker_is_replaced_after_its_requests(void **state)
{
    (void)state;
    start("--max-requests", "10");
    call_until_replaced("leak_file", 3, 1); /* without pause a busy machine is out of descriptors first */
}

static void test_worker_that_leaks_memory_is_replaced_unseen(void **state)
{
    (void)state;
    start("--max-rss", kit_sanitized ? "192M" : "64M");
    call_until_replaced("leak_memory", 2, 10);
}

static void test_worker_that_leaks_descriptors_is_replaced_unseen(void **state)
{
    (void)state;
    start("--limit-nofile", "400");
    call_until_replaced("leak_file", 2, kit_sanitized ? 10 : 3);
}

static void test_worker_near_its_address_space_is_replaced(void **state)
{
    (void)state;
    if (kit_sanitized) {
        print_message("a sanitizer needs more address space than any limit\n");
        skip();
    }
    start("--limit-as", "256M");
    call_until_replaced("leak_memory", 2, 10);
}

static void test_old_worker_is_replaced(void **state)
{
    (void)state;
    start("--max-age", "200ms");
    call_until_replaced("leak_file", 3, 2);
}

static void test_worker_near_its_processor_time_is_replaced(void **state)
{
    (void)state;
    start("--limit-cpu", "2"); /* half a second of it to start the other one */
    call_until_replaced("burn", 1, 0);
}

static void test_request_over_the_processor_time_says_so(void **state)
{
    (void)state;
    struct rask_completion completion;
    start("--limit-cpu", "1");
    struct rask *s = kit_connect(&server, NULL);
    assert_int_not_equal(rask_call(s, (uint32_t)rask_method(s, "burn"), "5000", 4, 20 * KIT_S, &completion), 0);
    assert_string_equal(rask_status_name(completion.status), "CRASHED");
    assert_int_equal(completion.code, SIGXCPU);
    assert_int_equal(ask(s, "burn", ""), 0);
    rask_release(s, &completion);
    rask_close(s);
    kit_stop(&server);
}

/** In a process of an ordinary user with a hard limit of 5 s. */
static void test_processor_time_may_be_as_much_as_there_is(void **state)
{
    (void)state;
    const struct rlimit hard = {.rlim_cur = 5, .rlim_max = 5};
    const struct rk_worker_limits limits = {.cpu_s = 5};
    struct rlimit now;
    char why[256];
    pid_t pid = kit_fork();
    if (pid == 0) {
        if (setrlimit(RLIMIT_CPU, &hard) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)) _exit(1);
        if (rk_worker_confine(&limits, why, sizeof(why)) < 0) _exit(2);
        _exit(getrlimit(RLIMIT_CPU, &now) == 0 && now.rlim_cur == 5 ? 0 : 3);
    }
    assert_int_equal(kit_wait(pid, 5000), 0);
}

static void test_no_new_privileges_ever(void **state)
{
    (void)state;
    start("--workers", "1");
    struct rask *s = kit_connect(&server, NULL);
    assert_int_equal(ask(s, "privileges", ""), 1);
    assert_int_equal(ask(s, "program", ""), 0); /* no sandbox: as before */
    rask_close(s);
    kit_stop(&server);
}

static void test_workers_run_as_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root, to become somebody else\n");
        skip();
    }
    start("--user", "65534");
    struct rask *s = kit_connect(&server, NULL);
    assert_int_equal(ask(s, "user", ""), 65534);
    rask_close(s);
    kit_stop(&server);
    const struct kit_result *result = kit_rask("run", "--plugin", "echo", "--user", "nobody-of-this-name", NULL);
    assert_int_equal(result->code, 64);
    assert_non_null(strstr(result->err, "no such user"));
}

static void test_workers_of_another_user_die_with_their_supervisor(void **state)
{
    (void)state;
    pid_t worker[2];
    if (geteuid() != 0) {
        print_message("needs root, to become somebody else\n");
        skip();
    }
    start("--user", "65534");
    kit_wait_children(server.pid, 1);
    assert_int_equal(kit_workers(server.pid, worker, 2), 1);
    kill(server.pid, 9);
    assert_int_equal(kit_ended(&server, 3000), -9);
    assert_int_equal(kit_reap_orphans(1000), 1);
}

static void test_sandbox_refuses_what_a_handler_does_not_need(void **state)
{
    (void)state;
    char inside[160], outside[160];
    kit_prepare(&server);
    const char *const arguments[] = {getenv("RASK_BIN"),   "run",       "--socket",        server.socket, "--plugin",
                                     kit_plugin("greedy"), "--sandbox", "--sandbox-write", server.folder, NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    struct rask *s = kit_connect(&server, NULL);
    static const char *const refused[] = {"network", "pair", "trace", "signal", "owner", "limit", "time", "ring"};
    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (ask(s, refused[i], "") != EPERM) fail_msg("%s is not refused", refused[i]);
    assert_int_equal(ask(s, "own_time", ""), 0);
    int error = ask(s, "program", "");
    assert_true(error == EPERM || error == EACCES);
    snprintf(inside, sizeof(inside), "%s/inside", server.folder);
    snprintf(outside, sizeof(outside), "%s-outside", server.folder);
    assert_int_equal(ask(s, "write_file", inside), 0);
    assert_int_equal(ask(s, "mode", inside), EPERM);
    assert_int_equal(ask(s, "attributes", inside), EPERM);
    assert_int_equal(unlink(inside), 0);
    assert_int_equal(ask(s, "write_file", outside), EACCES);
    assert_int_not_equal(access(outside, F_OK), 0);
    assert_int_equal(ask(s, "write_file", "/dev/null"), 0);
    assert_int_equal(ask(s, "read_file", "/etc/passwd"), 0);
    rask_close(s);
    kit_stop(&server);
    const struct kit_result *result = kit_rask("run", "--plugin", "echo", "--sandbox-write", "/tmp", NULL);
    assert_int_equal(result->code, 64);
}

static void test_limits_that_cannot_be_had_are_no_fault_of_the_plugin(void **state)
{
    (void)state;
    char hidden[128];
    NEEDS_ROOT();
    kit_prepare(&server);
    assert_int_equal(chmod(server.folder, 0700), 0);
    snprintf(hidden, sizeof(hidden), "%s/hidden", server.folder);
    assert_int_equal(mkdir(hidden, 0700), 0);
    const struct kit_result *result = kit_rask("run", "--socket", server.socket, "--plugin", "echo", "--user", "65534",
                                               "--sandbox", "--sandbox-write", hidden, NULL);
    assert_int_equal(result->code, 78);
    if (!strstr(result->err, "check limits: --sandbox-write")) fail_msg("%s", result->err);
    assert_int_equal(rmdir(hidden), 0);
    assert_int_equal(rmdir(server.folder), 0);
    kit_forget(&server);
}

/* What a child inside the sandbox of an older kernel is told when it truncates the file in four ways: bit i, way i was refused. */
static int refused_truncations(long version, const char *path)
{
    const struct rk_worker_limits limits = {.sandbox = true};
    static const int flags[] = {O_RDONLY | O_TRUNC, O_ACCMODE | O_TRUNC, O_WRONLY};
    char why[256];
    pid_t pid = kit_fork();
    if (pid != 0) return kit_wait(pid, 5000);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || rk_sandbox_enter_with(&limits, version, why, sizeof(why)) < 0)
        _exit(64);
    int refused = truncate(path, 0) < 0;
    for (int i = 0; i < 3; i++) refused |= (open(path, flags[i] | O_CLOEXEC) < 0) << (i + 1);
    _exit(open(path, O_RDONLY | O_CLOEXEC) < 0 ? 128 : refused);
}

static void test_sandbox_of_older_kernels_refuses_truncation(void **state)
{
    (void)state;
    struct stat now;
    char path[] = "/tmp/rask-truncated-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "kept", 4), 4);
    long here = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    for (long version = 0; version <= 3 && (version == 0 || version <= here); version++)
        assert_int_equal(refused_truncations(version, path), 15);
    assert_int_equal(fstat(fd, &now), 0);
    assert_int_equal(now.st_size, 4);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_worker_is_replaced_after_its_requests),
        KIT_TEST(test_worker_that_leaks_memory_is_replaced_unseen),
        KIT_TEST(test_worker_that_leaks_descriptors_is_replaced_unseen),
        KIT_TEST(test_worker_near_its_address_space_is_replaced),
        KIT_TEST(test_old_worker_is_replaced),
        KIT_TEST(test_worker_near_its_processor_time_is_replaced),
        KIT_TEST(test_request_over_the_processor_time_says_so),
        KIT_TEST(test_processor_time_may_be_as_much_as_there_is),
        KIT_TEST(test_no_new_privileges_ever),
        KIT_TEST(test_workers_run_as_another_user),
        KIT_TEST(test_workers_of_another_user_die_with_their_supervisor),
        KIT_TEST(test_sandbox_refuses_what_a_handler_does_not_need),
        KIT_TEST(test_limits_that_cannot_be_had_are_no_fault_of_the_plugin),
        KIT_TEST(test_sandbox_of_older_kernels_refuses_truncation),
    };
    kit_ignore_leaks(); /* workers leak here on purpose */
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
