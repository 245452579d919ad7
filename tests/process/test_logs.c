/* SPDX-License-Identifier: MIT */
/* Log lines: levels, formats, the journal's prefixes; and standard error that takes nothing stops nobody. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <rask/plugin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kit_server server;

/** The kit's server with another standard error. */
static void start_with(int err_fd, const char *format, const char *workers)
{
    int pipes[2];
    char line[256] = "";
    kit_prepare(&server);
    const char *const arguments[] = {
        getenv("RASK_BIN"), "run",  "--socket",  server.socket, "--plugin", kit_plugin("logs"),
        "--log-format",     format, "--workers", workers,       NULL};
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    server.pid = kit_launch(arguments, pipes[1], err_fd);
    close(pipes[1]);
    FILE *ready = fdopen(pipes[0], "r");
    assert_non_null(fgets(line, sizeof(line), ready));
    assert_true(strncmp(line, "ready ", 6) == 0);
    fclose(ready);
}

static void stop(void)
{
    char path[160];
    kill(server.pid, SIGTERM);
    assert_int_equal(kit_wait(server.pid, 5000), 0);
    unlink(server.log);
    snprintf(path, sizeof(path), "%s.lock", server.socket);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rmdir(server.folder), 0);
    close(server.ready_fd);
    kit_forget(&server);
}

static void say(struct rask *s, unsigned lines, int level, const char *text)
{
    struct rask_completion completion;
    char request[300];
    request[0] = (char)lines;
    request[1] = (char)level;
    size_t bytes = strlen(text);
    memcpy(request + 2, text, bytes);
    rask_call(s, 0, request, bytes + 2, 5 * KIT_S, &completion);
    assert_int_equal(completion.status, RASK_OK);
    rask_release(s, &completion);
}

static void kill_worker(void)
{
    pid_t pids[4];
    assert_true(kit_workers(server.pid, pids, 4) >= 1);
    kill(pids[0], SIGKILL);
}

/** Read until a line holds `word`; lines end with '\n' and are returned without it. */
static const char *wait_line(int fd, const char *word)
{
    static char line[8192];
    size_t used = 0;
    for (;;) {
        char c;
        ssize_t bytes = read(fd, &c, 1);
        assert_true(bytes == 1);
        if (c == '\0') continue; /* what fill() wrote */
        if (c != '\n') {
            assert_true(used < sizeof(line) - 1);
            line[used++] = c;
            continue;
        }
        line[used] = '\0';
        used = 0;
        if (strstr(line, word)) return line;
    }
}

/* ---- what they look like --------------------------------------------------------------------------------------- */

static void test_text_lines_have_levels_and_debug_is_not_shown(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    start_with(pipes[1], "text", "1");
    struct rask *s = kit_connect(&server, NULL);
    say(s, 1, RASK_LOG_DEBUG, "hidden");
    say(s, 1, RASK_LOG_ERROR, "two\nlines\033[1m");
    assert_string_equal(wait_line(pipes[0], "line"), "rask worker 0: error: line 0: two lines [1m");
    say(s, 1, RASK_LOG_INFO, "plain");
    assert_string_equal(wait_line(pipes[0], "line"), "rask worker 0: line 0: plain");
    kill_worker();
    const char *line = wait_line(pipes[0], "died");
    assert_true(strncmp(line, "rask run: warning: worker 0 (pid ", 33) == 0);
    rask_close(s);
    stop();
    close(pipes[0]);
    close(pipes[1]);
}

static json_t *parse(const char *line)
{
    json_t *object = json_loads(line, 0, NULL);
    if (!object) fail_msg("not JSON: %s", line);
    return object;
}

static void expect_fields(const char *line, const char *level, const char *process, const char *event)
{
    json_t *object = parse(line);
    assert_string_equal(json_string_value(json_object_get(object, "level")), level);
    assert_string_equal(json_string_value(json_object_get(object, "process")), process);
    assert_string_equal(json_string_value(json_object_get(object, "event")), event);
    assert_int_equal(json_integer_value(json_object_get(object, "worker")), 0);
    assert_int_equal(strlen(json_string_value(json_object_get(object, "time"))), 27);
    assert_true(json_is_string(json_object_get(object, "message")));
    json_decref(object);
}

static void test_json_lines_are_objects_whatever_is_said(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    start_with(pipes[1], "json", "1");
    struct rask *s = kit_connect(&server, NULL);
    say(s, 1, RASK_LOG_WARNING, "quotes \" and \\, \xff\xfe and \x01\n");
    expect_fields(wait_line(pipes[0], "quotes"), "warning", "worker", "plugin");
    kill_worker();
    expect_fields(wait_line(pipes[0], "died"), "warning", "supervisor", "worker_died");
    rask_close(s);
    stop();
    close(pipes[0]);
    close(pipes[1]);
}

static void test_journal_lines_have_priorities(void **state)
{
    (void)state;
    int pair[2];
    struct stat facts;
    char stream[64];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fstat(pair[1], &facts), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)facts.st_dev, (unsigned long long)facts.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    start_with(pair[1], "text", "1");
    struct rask *s = kit_connect(&server, NULL);
    say(s, 1, RASK_LOG_ERROR, "bad");
    assert_string_equal(wait_line(pair[0], "line"), "<3>rask worker 0: error: line 0: bad");
    kill_worker();
    assert_true(strncmp(wait_line(pair[0], "died"), "<4>rask run: ", 13) == 0);
    rask_close(s);
    stop();
    setenv("JOURNAL_STREAM", "1:1", 1); /* another stream: standard error was redirected */
    start_with(pair[1], "text", "1");
    kill_worker();
    assert_true(strncmp(wait_line(pair[0], "died"), "rask run: ", 10) == 0);
    stop();
    unsetenv("JOURNAL_STREAM");
    close(pair[0]);
    close(pair[1]);
}

/* ---- nobody reads ---------------------------------------------------------------------------------------------- */

static json_int_t dropped(void)
{
    const struct kit_result *result = kit_rask("stats", "--socket", server.socket, "--json", NULL);
    assert_int_equal(result->code, 0);
    json_t *object = parse(result->out);
    json_int_t count = json_integer_value(json_object_get(json_object_get(object, "pool"), "log_lines_dropped"));
    json_decref(object);
    return count;
}

static void fill(int fd)
{
    static const char bytes[4096];
    int flags = fcntl(fd, F_GETFL);
    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while (write(fd, bytes, sizeof(bytes)) > 0) continue;
    while (write(fd, bytes, 1) > 0) continue;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

static void expect_dropped_at_least(json_int_t wanted)
{
    json_int_t count = 0;
    for (unsigned i = 0; i < 200 && count < wanted; i++) {
        kit_pause_ms(10);
        count = dropped();
    }
    assert_in_range(count, wanted, wanted + 1);
}

/** Everything goes on while nothing is read, and what was lost is told as soon as there is room. */
static void nobody_reads(int read_end, int write_end)
{
    start_with(write_end, "text", "1");
    struct rask *s = kit_connect(&server, NULL);
    say(s, 1, RASK_LOG_INFO, "first");
    wait_line(read_end, "first");
    fill(write_end);
    int flags = fcntl(write_end, F_GETFL);
    assert_int_equal(flags & O_NONBLOCK, 0); /* ours, and shared: nobody has changed it */
    say(s, 100, RASK_LOG_INFO, "lost");
    expect_dropped_at_least(100);
    kill_worker(); /* one line of the supervisor's is lost, too */
    kit_wait_children(server.pid, 1);
    say(s, 0, RASK_LOG_INFO, "");
    expect_dropped_at_least(101);
    assert_int_equal(fcntl(write_end, F_GETFL), flags);
    const char *line = wait_line(read_end, "dropped");
    assert_non_null(strstr(line, "rask run: warning: 1 log lines were dropped"));
    say(s, 1, RASK_LOG_INFO, "again");
    wait_line(read_end, "again");
    rask_close(s);
    stop();
    close(read_end);
    close(write_end);
}

static void test_full_pipe_blocks_nobody_and_drops_are_counted(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    nobody_reads(pipes[0], pipes[1]);
}

static void test_full_socket_blocks_nobody_and_drops_are_counted(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    nobody_reads(pair[0], pair[1]);
}

static void test_full_disk_disturbs_nobody(void **state)
{
    (void)state;
    char folder[] = "/tmp/rask-test-XXXXXX", path[64];
    static const char bytes[4096];
    assert_non_null(mkdtemp(folder));
    if (mount("tmpfs", folder, "tmpfs", 0, "size=64k") < 0) {
        int error = errno;
        rmdir(folder);
        print_message("cannot mount a small tmpfs: %s\n", strerror(error));
        skip();
    }
    snprintf(path, sizeof(path), "%s/log", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    start_with(fd, "text", "1");
    struct rask *s = kit_connect(&server, NULL);
    while (write(fd, bytes, sizeof(bytes)) > 0) continue;
    assert_int_equal(errno, ENOSPC);
    say(s, 50, RASK_LOG_ERROR, "lost");
    expect_dropped_at_least(50);
    kill_worker();
    kit_wait_children(server.pid, 1);
    for (unsigned i = 0; i < 20; i++) say(s, 1, RASK_LOG_ERROR, "lost");
    expect_dropped_at_least(71);
    rask_close(s);
    stop();
    close(fd);
    unlink(path);
    assert_int_equal(umount(folder), 0);
    rmdir(folder);
}

static void test_bad_log_options_are_named(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("run", "--plugin", "echo", "--log-level", "loud", NULL);
    assert_int_equal(result->code, 64);
    assert_non_null(strstr(result->err, "loud: use error, warning, info or debug"));
    result = kit_rask("run", "--plugin", "echo", "--log-format", "xml", NULL);
    assert_int_equal(result->code, 64);
    assert_non_null(strstr(result->err, "xml: use text or json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_text_lines_have_levels_and_debug_is_not_shown),
        KIT_TEST(test_json_lines_are_objects_whatever_is_said),
        KIT_TEST(test_journal_lines_have_priorities),
        KIT_TEST(test_full_pipe_blocks_nobody_and_drops_are_counted),
        KIT_TEST(test_full_socket_blocks_nobody_and_drops_are_counted),
        KIT_TEST(test_full_disk_disturbs_nobody),
        KIT_TEST(test_bad_log_options_are_named),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
