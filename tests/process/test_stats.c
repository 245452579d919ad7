/* SPDX-License-Identifier: MIT */
/* rask stats: its figures are what a client did, and it needs nobody's help and trusts nobody's page. */
#include "clock.h"
#include "kit.h"
#include "layout.h"
#include "segment.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;

static void start_ledger(const char *workers)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", workers, NULL);
}

static void stop_ledger(void)
{
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static json_t *stats(void)
{
    const struct kit_result *result = kit_rask("stats", "--socket", server.socket, "--json", NULL);
    if (result->code != 0) fail_msg("exit code %d: %s", result->code, result->err);
    json_t *object = json_loads(result->out, 0, NULL);
    assert_non_null(object);
    return object;
}

static json_int_t figure(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value)) fail_msg("%s is not an integer", name);
    return json_integer_value(value);
}

static json_int_t pool_figure(const char *name)
{
    json_t *object = stats();
    json_int_t value = figure(json_object_get(object, "pool"), name);
    json_decref(object);
    return value;
}

/** Figures that arrive on their own: a worker's last step is behind its answer. */
static void expect_pool(const char *name, json_int_t wanted)
{
    json_int_t seen = -1;
    for (unsigned i = 0; i < 100 && seen != wanted; i++) {
        if (i > 0) kit_pause_ms(10);
        seen = pool_figure(name);
    }
    if (seen != wanted) fail_msg("%s is %lld instead of %lld", name, (long long)seen, (long long)wanted);
}

static const json_t *worker_of(const json_t *object, size_t index)
{
    return json_array_get(json_object_get(object, "workers"), index);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "(none)";
}

/* ---- what a client did ----------------------------------------------------------------------------------------- */

static void call_with_error(struct rask *s)
{
    struct rask_completion completion;
    int method = rask_method(s, "ok");
    assert_true(method >= 0);
    rask_call(s, (uint32_t)method, "x", 1, 5 * KIT_S, &completion); /* too short: the handler says EINVAL */
    assert_int_equal(completion.status, RASK_HANDLER_ERROR);
    rask_release(s, &completion);
}

static void test_counters_equal_what_a_client_did(void **state)
{
    (void)state;
    start_ledger("2");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 300; i++) kit_call_ok(s, &ledger, 8);
    for (unsigned i = 0; i < 7; i++) call_with_error(s);
    expect_pool("requests", 307);
    expect_pool("errors", 7);
    expect_pool("sessions", 1);
    expect_pool("restarts", 0);
    expect_pool("rescues", 0);
    expect_pool("poisons", 0);
    json_t *object = stats();
    const json_t *service = json_object_get(json_object_get(object, "pool"), "service");
    json_int_t every = figure(service, "sample_every"), samples = figure(service, "samples"), sum = 0;
    assert_true(every > 1);
    assert_in_range(samples, 307 / every, 307 / every + 4); /* each worker times its first two */
    const json_t *bucket;
    size_t i;
    json_array_foreach(json_object_get(service, "buckets"), i, bucket) sum += figure(bucket, "count");
    assert_int_equal(sum, samples);
    json_decref(object);
    rask_close(s);
    expect_pool("sessions", 0);
    expect_pool("sessions_made", 1);
    stop_ledger();
}

static void test_counters_survive_restarts(void **state)
{
    (void)state;
    start_ledger("1");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 10; i++) kit_call_ok(s, &ledger, 8);
        uint64_t ticket = kit_submit(s, &ledger, "crash", 0, 8, 0);
        kit_expect(s, &ledger, ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE);
        expect_pool("deaths", round);
        expect_pool("restarts", round);
        expect_pool("requests", round * 11);
    }
    json_t *object = stats();
    assert_int_equal(figure(worker_of(object, 0), "generation"), 4);
    json_decref(object);
    rask_close(s);
    stop_ledger();
}

/* A worker that is replaced was well: that is no restart, and what it did still counts, from the moment it leaves. */
static void test_replacements_are_no_restarts(void **state)
{
    (void)state;
    start_ledger("2");
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 20; i++) kit_call_ok(s, &ledger, 8);
        expect_pool("requests", 20 * round);
        assert_int_equal(kit_rask("reload", "--socket", server.socket, NULL)->code, 0);
        assert_int_equal(pool_figure("requests"), 20 * round);
        expect_pool("replacements", 2 * round);
        expect_pool("restarts", 0);
        expect_pool("deaths", 0);
    }
    uint64_t ticket = kit_submit(s, &ledger, "crash", 0, 8, 0);
    kit_expect(s, &ledger, ticket, RASK_CRASHED, RASK_EXECUTED_MAYBE);
    expect_pool("restarts", 1);
    expect_pool("deaths", 1);
    expect_pool("requests", 61);
    json_t *object = stats();
    json_int_t generations = 0;
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(text_of(worker_of(object, i), "state"), "serving");
        generations += figure(worker_of(object, i), "generation");
    }
    assert_int_equal(generations, 4 + 5);
    json_decref(object);
    rask_close(s);
    stop_ledger();
}

static void test_refused_sessions_are_counted(void **state)
{
    (void)state;
    start_ledger("1");
    int fd = kit_dial(server.socket);
    assert_true(send(fd, "nonsense", 8, MSG_NOSIGNAL) == 8);
    expect_pool("sessions_refused", 1);
    close(fd);
    stop_ledger();
}

/* ---- what hangs ------------------------------------------------------------------------------------------------ */

static void test_stats_of_a_hung_supervisor_and_a_hung_worker(void **state)
{
    (void)state;
    start_ledger("1");
    struct rask *s = kit_connect(&server, NULL);
    kit_call_ok(s, &ledger, 8);
    kit_pause_ms(50); /* so that the worker sleeps, and looks at the clock when it wakes */
    uint32_t number = ledger.next;
    uint64_t before_ns = rask_now_ns();
    kit_submit(s, &ledger, "hang", 0, 8, 0);
    kit_wait_started(s, &ledger, number);
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    kit_pause_ms(300);
    json_t *object = stats();
    uint64_t most_ns = rask_now_ns() - before_ns;
    const json_t *worker = worker_of(object, 0), *request = json_object_get(worker, "request");
    assert_string_equal(text_of(json_object_get(object, "supervisor"), "process"), "stopped");
    assert_string_equal(text_of(worker, "state"), "serving");
    assert_true(json_is_true(json_object_get(worker, "busy")));
    assert_in_range(figure(request, "busy_for_min_ns"), 299 * KIT_MS, most_ns);
    assert_in_range(figure(request, "busy_for_max_ns"), 300 * KIT_MS, most_ns + KIT_MS);
    assert_int_equal(figure(request, "method"), rask_method(s, "hang"));
    json_decref(object);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    rask_close(s);
    kill(server.pid, SIGKILL);
    kit_ended(&server, 2000);
    kit_reap_orphans(2000);
    kit_ledger_close(&ledger);
}

static void test_table_fits_120_columns_and_watch_prints_lines(void **state)
{
    (void)state;
    start_ledger("3");
    const struct kit_result *result = kit_rask("stats", "--socket", server.socket, NULL);
    for (unsigned i = 0; i < 100 && !strstr(result->out, "3 of 3 workers serve"); i++) {
        kit_pause_ms(20);
        result = kit_rask("stats", "--socket", server.socket, NULL);
    }
    assert_int_equal(result->code, 0);
    assert_non_null(strstr(result->out, "3 of 3 workers serve"));
    for (const char *line = result->out; *line; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 120);
    int pipes[2];
    char line[512];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const char *const arguments[] = {getenv("RASK_BIN"), "stats", "--socket", server.socket, "--watch", "50ms", NULL};
    pid_t pid = kit_launch(arguments, pipes[1], -1);
    close(pipes[1]);
    FILE *lines = fdopen(pipes[0], "r");
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(fgets(line, sizeof(line), lines));
        assert_non_null(strstr(line, "serving 3/3"));
    }
    stop_ledger();
    assert_int_equal(kit_wait(pid, 2000), 69); /* it ends with the supervisor */
    fclose(lines);
}

/* ---- who is not there ------------------------------------------------------------------------------------------ */

static void expect_unavailable(const char *word)
{
    const struct kit_result *result = kit_rask("stats", "--socket", server.socket, NULL);
    assert_int_equal(result->code, 69);
    assert_string_equal(result->out, "");
    if (!strstr(result->err, word)) fail_msg("\"%s\" does not say \"%s\"", result->err, word);
}

static void write_lock(const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s.lock", server.socket);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_dead_and_missing_supervisors_are_told_apart(void **state)
{
    (void)state;
    char text[32];
    kit_start(&server, "--plugin", "echo", NULL);
    kill(server.pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)server.pid, &info, WEXITED | WNOWAIT), 0);
    expect_unavailable("is dead"); /* a zombie */
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    write_lock(text); /* the number was given to somebody else */
    expect_unavailable("is dead");
    write_lock("");
    expect_unavailable("does not hold the pid");
    write_lock("99999999999999999999\n");
    expect_unavailable("does not hold the pid");
    kit_ended(&server, 2000);
    kit_reap_orphans(2000);
    expect_unavailable("no supervisor listens");
}

/** A pid that another supervisor got: it is not the one of this socket. */
static void test_another_supervisor_with_the_same_pid_is_not_shown(void **state)
{
    (void)state;
    char text[32];
    struct kit_server other = {0};
    kit_start(&server, "--plugin", "echo", NULL);
    kit_start(&other, "--plugin", "echo", NULL);
    snprintf(text, sizeof(text), "%d\n", (int)other.pid);
    write_lock(text);
    expect_unavailable("is dead");
    kit_stop(&other);
    kit_stop(&server);
}

static void test_other_users_may_not_look(void **state)
{
    (void)state;
    char pid[16];
    kit_start(&server, "--plugin", "echo", NULL);
    snprintf(pid, sizeof(pid), "%d", (int)server.pid);
    const char *const arguments[] = {
        "setpriv", "--reuid=65534", "--clear-groups", getenv("RASK_BIN"), "stats", "--pid", pid, NULL};
    const struct kit_result *result = geteuid() == 0 ? kit_program(arguments, NULL) : NULL;
    int code = result ? result->code : 126;
    bool said = result && strstr(result->err, "its user and by root");
    kit_stop(&server);
    if (code == 99 || code == 126 || code == 127) {
        print_message("needs root, and a place where another user can run rask\n");
        skip();
    }
    assert_int_equal(code, 69);
    assert_true(said);
}

/* ---- garbage --------------------------------------------------------------------------------------------------- */

/** A process whose descriptors look like a supervisor's: page and size as the caller made them. */
static pid_t impostor(int fd)
{
    pid_t pid = kit_fork();
    if (pid != 0) return pid;
    dup(fd);
    pause();
    _exit(0);
}

static int board_of(const void *bytes, size_t used, off_t size, bool sealed)
{
    int fd = memfd_create("rask-pool", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(posix_fallocate(fd, 0, size), 0);
    assert_int_equal(pwrite(fd, bytes, used, 0), used);
    if (sealed)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);
    return fd;
}

static int look_at(int fd)
{
    char text[16];
    pid_t pid = impostor(fd);
    snprintf(text, sizeof(text), "%d", (int)pid);
    const struct kit_result *result = kit_rask("stats", "--pid", text, "--json", NULL);
    int code = result->code;
    if (code != 0) assert_string_equal(result->out, "");
    if (code != 0) assert_true(strlen(result->err) > 20);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    return code;
}

static void test_garbage_boards_are_refused(void **state)
{
    (void)state;
    uint64_t random = kit_seed();
    union {
        struct rk_pool_page page;
        uint8_t bytes[RK_PAGE_BYTES];
        uint64_t words[RK_PAGE_BYTES / 8];
    } board = {0};
    assert_int_equal(look_at(board_of(&board, sizeof(board), RK_PAGE_BYTES, true)), 76); /* no magic */
    rk_segment_header_init(&board, RK_SEGMENT_POOL, RK_PAGE_BYTES);
    board.page.workers = 2;
    assert_int_equal(look_at(board_of(&board, sizeof(board), RK_PAGE_BYTES, false)), 76); /* not sealed */
    assert_int_equal(look_at(board_of(&board, 100, 100, true)), 76);
    assert_int_equal(look_at(board_of(&board, sizeof(board), 1 << 20, true)), 76);
    assert_int_equal(look_at(board_of(&board, sizeof(board), RK_PAGE_BYTES, true)), 0);
    board.page.workers = UINT32_MAX;
    assert_int_equal(look_at(board_of(&board, sizeof(board), RK_PAGE_BYTES, true)), 76);
    board.page.header.fingerprint++;
    assert_int_equal(look_at(board_of(&board, sizeof(board), RK_PAGE_BYTES, true)), 76);
    for (unsigned round = 0; round < 20; round++) { /* valid, with anything in it */
        rk_segment_header_init(&board, RK_SEGMENT_POOL, RK_PAGE_BYTES);
        for (unsigned i = 8; i < RK_PAGE_BYTES / 8; i++) board.words[i] = kit_random(&random, UINT64_MAX);
        for (unsigned i = 0; i < 20; i++) board.page.member[i].status_fd = (uint32_t)kit_random(&random, 12);
        board.page.workers = 2 + (uint32_t)kit_random(&random, 28);
        assert_int_equal(look_at(board_of(&board, sizeof(board), RK_PAGE_BYTES, true)), 0);
    }
}

/** A worker that writes nonsense into its own page: shown or not, the tool and the supervisor go on. */
static void test_garbage_status_pages_do_no_harm(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("scribble"), "--workers", "2", NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 20; i++) {
        struct rask_completion completion;
        rask_call(s, 0, &i, sizeof(i), 5 * KIT_S, &completion);
        assert_int_equal(completion.status, RASK_OK);
        rask_release(s, &completion);
        json_decref(stats());
        assert_int_equal(kit_rask("stats", "--socket", server.socket, NULL)->code, 0);
    }
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_counters_equal_what_a_client_did),
        KIT_TEST(test_counters_survive_restarts),
        KIT_TEST(test_replacements_are_no_restarts),
        KIT_TEST(test_refused_sessions_are_counted),
        KIT_TEST(test_stats_of_a_hung_supervisor_and_a_hung_worker),
        KIT_TEST(test_table_fits_120_columns_and_watch_prints_lines),
        KIT_TEST(test_dead_and_missing_supervisors_are_told_apart),
        KIT_TEST(test_another_supervisor_with_the_same_pid_is_not_shown),
        KIT_TEST(test_other_users_may_not_look),
        KIT_TEST(test_garbage_boards_are_refused),
        KIT_TEST(test_garbage_status_pages_do_no_harm),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
