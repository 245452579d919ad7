/* SPDX-License-Identifier: MIT */
/* A request that kills every worker that gets it, among good ones: it runs twice, then it is refused, to everybody of its
 * user, until it is forgotten. */
#include "kit.h"
#include "stranger.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kit_server server;
static struct kit_ledger ledger;
static struct ledger_request deadly, other;

static struct rask *start(const char *option, const char *value)
{
    kit_ledger_open(&ledger);
    deadly = (struct ledger_request){.number = 500000, .argument = 1};
    other = (struct ledger_request){.number = 500000, .argument = 2};
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--crash-dir", "none", option, value,
              NULL);
    struct rask *s = kit_connect(&server, NULL);
    kit_call_ok(s, &ledger, 8);
    return s;
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

static void let_pass(struct rask *s, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        kit_pause_ms(1);
        assert_int_equal(rask_poll(s, NULL, 0), 0);
    }
}

static uint64_t send_one(struct rask *s, const char *method, const struct ledger_request *what, uint32_t retries)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.flags = retries > 0 ? RASK_REQUEST_IDEMPOTENT : 0;
    options.retries_max = retries;
    assert_int_equal(rask_reserve(s, sizeof(*what), &request), 0);
    memcpy(request.data, what, sizeof(*what));
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, method), sizeof(*what), &options), 0);
    return request.ticket;
}

static void expect(struct rask *s, uint64_t ticket, uint32_t status, uint32_t executed)
{
    struct rask_completion end;
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + 20 * KIT_S, &end), 0);
    assert_string_equal(rask_status_name(end.status), rask_status_name(status));
    assert_string_equal(rask_executed_name(end.executed), rask_executed_name(executed));
    rask_release(s, &end);
}

static void expect_crash(struct rask *s, const struct ledger_request *what)
{
    expect(s, send_one(s, "crash", what, 0), RASK_CRASHED, RASK_EXECUTED_MAYBE);
}

static void expect_poison(struct rask *s, const struct ledger_request *what)
{
    expect(s, send_one(s, "crash", what, 0), RASK_POISONED, RASK_EXECUTED_NO);
}

static const struct kit_result *poison(const char *command, const char *argument, const char *option)
{
    if (!argument) return kit_rask("poison", command, "--socket", server.socket, option, NULL);
    return kit_rask("poison", command, argument, "--socket", server.socket, option, NULL);
}

/** The first column of the line that says `state`. */
static const char *fingerprint(const char *state)
{
    static char text[17];
    const struct kit_result *list = poison("list", NULL, NULL);
    assert_int_equal(list->code, 0);
    const char *line = strstr(list->out, state);
    assert_non_null(line);
    while (line > list->out && line[-1] != '\n') line--;
    assert_int_equal(sscanf(line, "%16[0-9a-f]", text), 1);
    return text;
}

static void test_deadly_request_runs_twice_among_good_ones(void **state)
{
    (void)state;
    enum { ALL = 120 };
    uint64_t tickets[ALL];
    unsigned crashed = 0, poisoned = 0;
    struct rask *s = start("--workers", "2");
    for (unsigned i = 0; i < ALL; i++)
        tickets[i] = i % 3 == 0 ? send_one(s, "crash", &deadly, 0) : kit_submit(s, &ledger, "ok", 0, 8 + i, 0);
    for (unsigned i = 0; i < ALL; i++) {
        struct rask_completion end;
        assert_int_equal(rask_wait(s, tickets[i], rask_now_ns() + 20 * KIT_S, &end), 0);
        if (i % 3 != 0) assert_string_equal(rask_status_name(end.status), "OK");
        crashed += end.status == RASK_CRASHED;
        poisoned += end.status == RASK_POISONED && end.executed == RASK_EXECUTED_NO;
        rask_release(s, &end);
    }
    /* Two workers may be in it at once when the second death is heard of; one after the other it is two. */
    print_message("  crashed %u, poisoned %u, executed %u\n", crashed, poisoned, kit_started(&ledger, deadly.number));
    assert_in_range(crashed, 2, 3);
    assert_int_equal(crashed + poisoned, ALL / 3);
    assert_in_range(kit_started(&ledger, deadly.number), 2, 3);
    expect_poison(s, &deadly);
    assert_non_null(strstr(kit_log(&server), "is poisoned: it killed 2 workers"));
    stop(s);
}

static void test_two_deaths_two_restarts_and_no_more(void **state)
{
    (void)state;
    struct rask *s = start(NULL, NULL);
    for (unsigned i = 0; i < 2; i++) expect_crash(s, &deadly);
    for (unsigned i = 0; i < 20; i++) expect_poison(s, &deadly);
    expect_crash(s, &other);                                              /* the same method with other bytes */
    expect(s, send_one(s, "ok", &deadly, 0), RASK_OK, RASK_EXECUTED_YES); /* the same bytes to another method */
    const struct kit_result *stats = kit_rask("stats", "--socket", server.socket, "--json", NULL);
    assert_non_null(strstr(stats->out, "\"poisons\":1"));
    assert_non_null(strstr(stats->out, "\"restarts\":3"));
    stop(s);
}

static void test_all_sessions_of_the_user_know(void **state)
{
    (void)state;
    struct rask *s = start(NULL, NULL), *before = kit_connect(&server, NULL);
    kit_call_ok(before, &ledger, 8);
    expect_crash(s, &deadly);
    expect_crash(before, &deadly); /* the second death may be another session's */
    expect_poison(before, &deadly);
    let_pass(s, 200); /* it is told */
    expect_poison(s, &deadly);
    struct rask *after = kit_connect(&server, NULL);
    expect_poison(after, &deadly);
    assert_int_equal(kit_started(&ledger, deadly.number), 2);
    rask_close(after);
    rask_close(before);
    stop(s);
}

static void test_idempotent_does_not_help_a_deadly_request(void **state)
{
    (void)state;
    struct rask *s = start(NULL, NULL);
    expect(s, send_one(s, "crash", &deadly, 9), RASK_POISONED, RASK_EXECUTED_MAYBE);
    assert_int_equal(kit_started(&ledger, deadly.number), 2);
    stop(s);
}

static void test_deaths_from_outside_and_late_ones_are_no_poison(void **state)
{
    (void)state;
    pid_t worker[2];
    struct rask *s = start("--kill-grace", "20ms");
    for (unsigned i = 1; i <= 4; i++) {
        uint64_t ticket = send_one(s, "hang", &deadly, 0);
        while (kit_started(&ledger, deadly.number) < i) let_pass(s, 1);
        assert_int_equal(kit_children(server.pid, worker, 2), 1);
        if (i % 2)
            kill(worker[0], SIGKILL);
        else
            rask_cancel(s, ticket);
        expect(s, ticket, i % 2 ? RASK_CRASHED : RASK_ABORTED, RASK_EXECUTED_MAYBE);
    }
    assert_string_equal(poison("list", NULL, NULL)->out, "");
    stop(s);
}

static void test_list_and_clear(void **state)
{
    (void)state;
    char first[17];
    struct rask *s = start(NULL, NULL);
    for (unsigned i = 0; i < 2; i++) expect_crash(s, &deadly);
    expect_crash(s, &other);
    const struct kit_result *list = poison("list", NULL, "--json");
    assert_int_equal(list->code, 0);
    assert_non_null(strstr(list->out, "\"poisoned\":true"));
    assert_non_null(strstr(list->out, "\"poisoned\":false"));
    snprintf(first, sizeof(first), "%s", fingerprint("poisoned"));
    assert_string_not_equal(first, fingerprint("suspect"));
    expect_poison(s, &deadly);
    assert_int_equal(poison("clear", "0123456789abcdef", NULL)->code, 1); /* no such one */
    assert_int_equal(poison("clear", first, NULL)->code, 0);
    let_pass(s, 200);
    for (unsigned i = 0; i < 2; i++) expect_crash(s, &deadly); /* two more, and no fewer */
    expect_poison(s, &deadly);
    assert_non_null(strstr(poison("clear", NULL, NULL)->out, "2 forgotten"));
    assert_string_equal(poison("list", NULL, NULL)->out, "");
    static const char *const bad[] = {"0", "x", "12345678901234567", "-1"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(poison("clear", bad[i], NULL)->code, 64);
    assert_int_equal(kit_rask("poison", "forget", NULL)->code, 64);
    assert_int_equal(kit_rask("poison", "list", "--socket", "/tmp/rask-test-nobody", NULL)->code, 69);
    stop(s);
}

static void test_poison_is_forgotten_in_time(void **state)
{
    (void)state;
    struct rask *s = start("--poison-ttl", "1s");
    for (unsigned i = 0; i < 2; i++) expect_crash(s, &deadly);
    expect_poison(s, &deadly);
    let_pass(s, 1500);
    assert_string_equal(poison("list", NULL, NULL)->out, "");
    expect_crash(s, &deadly);
    stop(s);
}

static void test_reload_forgets_poisons(void **state)
{
    (void)state;
    struct rask *s = start(NULL, NULL);
    for (unsigned i = 0; i < 2; i++) expect_crash(s, &deadly);
    expect_poison(s, &deadly);
    assert_int_equal(kit_rask("reload", "--socket", server.socket, NULL)->code, 0);
    let_pass(s, 200);
    expect_crash(s, &deadly);
    stop(s);
}

/* ---- of whom ---------------------------------------------------------------------------------------------------- */

/** As another user: the deadly request runs twice, whatever it has done to others, and then no more. 0, or the step. */
static int die_as(uid_t uid)
{
    static const uint32_t wanted[] = {RASK_CRASHED, RASK_CRASHED, RASK_POISONED};
    pid_t pid = fork_as(uid, uid);
    if (pid != 0) return kit_wait(pid, 20000);
    struct rask *s;
    if (rask_connect(&s, server.socket, NULL) != 0) _exit(10);
    for (int i = 0; i < 3; i++) {
        struct rask_completion end;
        rask_call(s, (uint32_t)rask_method(s, "crash"), &deadly, sizeof(deadly), 10 * KIT_S, &end);
        if (end.status != wanted[i]) _exit(20 + i);
        rask_release(s, &end);
    }
    rask_close(s);
    _exit(0);
}

static void test_poison_of_one_user_is_none_of_another(void **state)
{
    (void)state;
    NEEDS_ROOT();
    struct rask *s = start("--allow-uid", "65534");
    for (unsigned i = 0; i < 2; i++) expect_crash(s, &deadly);
    expect_poison(s, &deadly);
    int step = die_as(STRANGER);
    if (step != 0) fail_msg("the other user: step %d", step);
    assert_int_equal(kit_started(&ledger, deadly.number), 4);
    const char *list = poison("list", NULL, NULL)->out;
    assert_non_null(strstr(list, "       65534  ")); /* the column of the user */
    assert_non_null(strstr(list, "           0  "));
    stop(s);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

#define GROUP_BYTES "268435456"

static bool write_text(const char *folder, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return written;
}

/** Make a memory group, of version 1 or 2, with a limit. False: this machine does not let us. */
static bool make_group(char *folder, size_t bytes)
{
    snprintf(folder, bytes, "/sys/fs/cgroup/memory/rask-test-%d", (int)getpid());
    if (mkdir(folder, 0755) == 0 && write_text(folder, "memory.limit_in_bytes", GROUP_BYTES)) return true;
    rmdir(folder);
    write_text("/sys/fs/cgroup", "cgroup.subtree_control", "+memory");
    snprintf(folder, bytes, "/sys/fs/cgroup/rask-test-%d", (int)getpid());
    if (mkdir(folder, 0755) == 0 && write_text(folder, "memory.max", GROUP_BYTES)) return true;
    rmdir(folder);
    return false;
}

/** A supervisor whose workers get as much memory as the group has, and no more. */
static struct rask *start_in_group(const char *folder)
{
    char parent[256];
    snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(folder, '/') - folder), folder);
    if (!write_text(folder, "cgroup.procs", "0")) return NULL;
    struct rask *s = start(NULL, NULL);
    assert_true(write_text(parent, "cgroup.procs", "0"));
    return s;
}

static void test_request_that_eats_all_memory_is_poison(void **state)
{
    (void)state;
    char folder[128];
    if (kit_sanitized || geteuid() != 0 || !make_group(folder, sizeof(folder))) {
        print_message("skipped: it takes root and a memory group with a limit, and no sanitizer that needs memory\n");
        skip();
    }
    struct rask *s = start_in_group(folder);
    assert_non_null(s);
    for (unsigned i = 0; i < 2; i++) {
        expect(s, send_one(s, "hog", &deadly, 0), RASK_CRASHED, RASK_EXECUTED_MAYBE);
        kit_call_ok(s, &ledger, 50);
    }
    expect(s, send_one(s, "hog", &deadly, 0), RASK_POISONED, RASK_EXECUTED_NO);
    assert_int_equal(kit_started(&ledger, deadly.number), 2);
    assert_non_null(strstr(kit_log(&server), "died of SIGKILL (Killed), because memory ran out,"));
    stop(s);
    assert_int_equal(rmdir(folder), 0);
}

static void test_call_says_poisoned(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("crasher"), NULL);
    for (unsigned i = 0; i < 3; i++) {
        const struct kit_result *result = kit_rask("call", "segv", "x", "--socket", server.socket, "--json", NULL);
        assert_int_equal(result->code, 125);
        assert_non_null(strstr(result->out, i < 2 ? "CRASHED" : "POISONED"));
        assert_non_null(strstr(result->out, i < 2 ? "\"maybe\"" : "\"no\""));
    }
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_deadly_request_runs_twice_among_good_ones),
        KIT_TEST(test_two_deaths_two_restarts_and_no_more),
        KIT_TEST(test_all_sessions_of_the_user_know),
        KIT_TEST(test_idempotent_does_not_help_a_deadly_request),
        KIT_TEST(test_deaths_from_outside_and_late_ones_are_no_poison),
        KIT_TEST(test_list_and_clear),
        KIT_TEST(test_poison_is_forgotten_in_time),
        KIT_TEST(test_reload_forgets_poisons),
        KIT_TEST(test_poison_of_one_user_is_none_of_another),
        KIT_TEST(test_request_that_eats_all_memory_is_poison),
        KIT_TEST(test_call_says_poisoned),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
