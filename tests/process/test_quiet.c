/* SPDX-License-Identifier: MIT */
/* What rask does not do: no system call and no reading of the clock per call while both sides are busy, no processor time when
 * there is nothing to do. And what it costs to be there: printed, not judged.
 *
 * Run with the argument `client` this program is a client that makes calls over a private supervisor whose parties all
 * spin; the tests run that under strace and with a counting clock, for few calls and for many, and compare. */
#include "clock.h"
#include "kit.h"
#include "ladder.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEW "2000"
#define MANY "12000"
#define MORE 10000u
/* On a busy machine a party waits for the other to get its processor back, and looks at the clock and its socket meanwhile.
 * What happens per call happens in every attempt. */
#define ATTEMPTS 5u

static struct kit_server server;
static char self[4096];

/* ---- the client ------------------------------------------------------------------------------------------------ */

/** Round trips of `bytes` bytes, each with a deadline or none. */
static int make_calls(uint64_t count, uint64_t bytes, bool deadline)
{
    static uint8_t data[4096];
    struct rask *s;
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    struct rask_options options = RASK_OPTIONS_INIT;
    spawn.plugin = "echo";
    spawn.wait_mode = options.wait_mode = RASK_WAIT_SPIN;
    if (rask_spawn(&s, &spawn, &options) != 0) return 1;
    int method = rask_method(s, "echo");
    for (uint64_t i = 0; i < count; i++) {
        struct rask_completion completion;
        if (rask_call(s, (uint32_t)method, data, bytes, deadline ? 60 * KIT_S : 0, &completion) != 0) return 2;
        rask_release(s, &completion);
    }
    rask_close(s);
    return 0;
}

/** The same with 64 in flight. */
static int make_pipelined_calls(uint64_t count)
{
    struct rask *s;
    struct rask_completion completion[64];
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    struct rask_options options = RASK_OPTIONS_INIT;
    spawn.plugin = "echo";
    spawn.wait_mode = options.wait_mode = RASK_WAIT_SPIN;
    if (rask_spawn(&s, &spawn, &options) != 0) return 1;
    uint32_t method = (uint32_t)rask_method(s, "echo");
    for (uint64_t sent = 0, taken = 0; taken < count;) {
        struct rask_request request;
        for (; sent < count && sent - taken < 64; sent++)
            if (rask_reserve(s, 32, &request) != 0 || rask_submit(s, &request, method, 32, NULL) != 0) return 2;
        int got = rask_wait_any(s, completion, 64, 0);
        if (got < 0) return 3;
        for (int i = 0; i < got; i++) rask_release(s, &completion[i]);
        taken += (uint64_t)got;
    }
    rask_close(s);
    return 0;
}

static int echo(struct rask_upcall *upcall, void *user)
{
    (void)user;
    void *room = rask_upcall_reserve(upcall, upcall->request_bytes);
    if (room == NULL) return ENOMEM;
    memcpy(room, upcall->request, upcall->request_bytes);
    return rask_upcall_reply(upcall, upcall->request_bytes);
}

static int send_items(struct rask *s, uint64_t count)
{
    struct rask_stream *stream;
    struct rask_completion answer;
    if (rask_stream_open(s, (uint32_t)rask_method(s, "count"), NULL, &stream) != 0) return 2;
    for (uint64_t i = 0; i < count; i++)
        if (rask_stream_send(stream, "0123456789abcdef", 16, 0, 0) != 0) return 3;
    if (rask_stream_end(stream) != 0 || rask_stream_wait(stream, &answer, 1, 0) != 1) return 4;
    return memcmp(answer.data, &count, sizeof count) == 0 ? 0 : 5;
}

/** Items of a stream, calls whose handler asks back, or calls that are leased and released. */
static int make_flow(const char *kind, uint64_t count)
{
    static uint8_t data[1024];
    struct rask *s;
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    struct rask_options options = RASK_OPTIONS_INIT;
    spawn.plugin = "work";
    spawn.wait_mode = options.wait_mode = RASK_WAIT_SPIN;
    if (rask_spawn(&s, &spawn, &options) != 0 || rask_on_upcall(s, "echo", echo, NULL) != 0) return 1;
    const char *method = strcmp(kind, "leases") == 0 ? "keep" : "ask";
    int failed = strcmp(kind, "items") == 0 ? send_items(s, count) : 0;
    for (uint64_t i = 0; i < count && !failed && strcmp(kind, "items") != 0; i++) {
        struct rask_completion completion;
        failed = rask_call(s, (uint32_t)rask_method(s, method), data, sizeof data, 0, &completion) != 0;
        rask_release(s, &completion);
    }
    rask_close(s);
    return failed;
}

static int client(char **argv)
{
    uint64_t count = strtoull(argv[1], NULL, 10);
    if (strcmp(argv[0], "small") == 0) return make_calls(count, 32, false);
    if (strcmp(argv[0], "large") == 0) return make_calls(count, 1024, false);
    if (strcmp(argv[0], "deadline") == 0) return make_calls(count, 32, true);
    if (strcmp(argv[0], "pipelined") == 0) return make_pipelined_calls(count);
    return make_flow(argv[0], count);
}

/** Parties that spin on one processor only wait for the scheduler. */
static void needs_two_processors(void)
{
    if (rk_cpus_usable() >= 2) return;
    print_message("needs two processors\n");
    skip();
}

/** Does what is counted grow by less than `allowed` with MORE calls, in one attempt at least? */
static bool grows_less(uint64_t (*count)(const char *, const char *), const char *kind, uint64_t allowed)
{
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        uint64_t few = count(kind, FEW), many = count(kind, MANY);
        print_message("%s: %llu for " FEW " calls, %llu for " MANY "\n", kind, (unsigned long long)few,
                      (unsigned long long)many);
        assert_true(few > 10); /* the start alone */
        if (many < few + allowed) return true;
    }
    return false;
}

/* ---- system calls ---------------------------------------------------------------------------------------------- */

/** The table of strace -c: % time, seconds, usecs/call, calls, errors, name. Returns the sum of calls. */
static uint64_t sum_of_calls(FILE *file)
{
    char line[256], name[64];
    unsigned long long calls, sum = 0, errors;
    while (fgets(line, sizeof(line), file)) {
        int fields = sscanf(line, "%*f %*f %*u %llu %llu %63s", &calls, &errors, name);
        if (fields != 3 && sscanf(line, "%*f %*f %*u %llu %63s", &calls, name) != 2) continue;
        if (strcmp(name, "total") != 0) sum += calls;
    }
    return sum;
}

/** System calls of client, supervisor and worker together; 0 where strace cannot work. */
static uint64_t count_system_calls(const char *kind, const char *count)
{
    char path[] = "/tmp/rask-test-strace-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char *const arguments[] = {"strace", "-f", "-c", "-o", path, self, "client", kind, count, NULL};
    const char *const environment[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
    int code = kit_program(arguments, environment)->code;
    FILE *file = fdopen(fd, "r");
    uint64_t sum = code == 0 ? sum_of_calls(file) : 0;
    fclose(file);
    unlink(path);
    return sum;
}

static void test_busy_calls_make_no_system_call(void **state)
{
    (void)state;
    static const char *const kinds[] = {"small", "large", "pipelined", "items", "upcalls", "leases"};
    needs_two_processors();
    if (count_system_calls("small", "1") == 0) {
        print_message("strace is missing or not allowed here\n");
        skip();
    }
    for (unsigned i = 0; i < 6; i++) assert_true(grows_less(count_system_calls, kinds[i], MORE / 20));
}

/* ---- the clock ------------------------------------------------------------------------------------------------- */

static uint64_t count_readings(const char *kind, const char *count)
{
    char preload[4200], counter[64];
    uint64_t readings = 0;
    int fd = memfd_create("readings", MFD_CLOEXEC);
    assert_true(fd >= 0 && ftruncate(fd, sizeof(readings)) == 0);
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", kit_plugin("count_clock"));
    snprintf(counter, sizeof(counter), "RASK_TEST_CLOCK=/proc/%d/fd/%d", (int)getpid(), fd);
    const char *const arguments[] = {self, "client", kind, count, NULL};
    const char *const environment[] = {preload, counter, NULL};
    const struct kit_result *result = kit_program(arguments, environment);
    if (result->code != 0) fail_msg("exit code %d: %s", result->code, result->err);
    assert_int_equal(pread(fd, &readings, sizeof(readings), 0), sizeof(readings));
    close(fd);
    return readings;
}

static void test_calls_without_deadline_read_no_clock(void **state)
{
    (void)state;
    static const char *const kinds[] = {"small", "large", "pipelined"};
    needs_two_processors();
    if (kit_sanitized) {
        print_message("a sanitizer has its own clock_gettime\n");
        skip();
    }
    for (unsigned i = 0; i < 3; i++) assert_true(grows_less(count_readings, kinds[i], MORE / 2));
    uint64_t many = count_readings("deadline", MANY);
    print_message("deadline: %llu readings for " MANY " calls\n", (unsigned long long)many);
    assert_true(many > strtoull(MANY, NULL, 10)); /* the counting works */
}

/* ---- idle ------------------------------------------------------------------------------------------------------ */

struct idle {
    struct kit_server server;
    struct rask *s;
    pid_t pids[18];
    unsigned count;
    uint64_t before_ns[18];
    uint64_t before_ticks;
};

static uint64_t ticks_of(const struct idle *idle)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < idle->count; i++) {
        char path[64];
        unsigned long long user, system;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)idle->pids[i]);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        assert_int_equal(
            fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system), 2);
        fclose(file);
        sum += user + system;
    }
    return sum;
}

static void make_idle(struct idle *idle, const char *wait)
{
    enum { WORKERS = 16, CALLS = 64 };
    struct rask_completion completion;
    kit_start(&idle->server, "--plugin", "sleep", "--workers", "16", "--wait", wait, NULL);
    kit_wait_children(idle->server.pid, WORKERS);
    idle->s = kit_connect(&idle->server, NULL);
    for (unsigned i = 0; i < CALLS; i++) { /* wakes all of them */
        struct rask_request request;
        assert_int_equal(rask_reserve(idle->s, 1, &request), 0);
        *(char *)request.data = '5';
        assert_int_equal(rask_submit(idle->s, &request, 0, 1, NULL), 0);
    }
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(rask_wait_any(idle->s, &completion, 1, rask_now_ns() + 5 * KIT_S), 1);
        assert_int_equal(completion.status, RASK_OK);
        rask_release(idle->s, &completion);
    }
    idle->count = kit_workers(idle->server.pid, idle->pids, 17);
    assert_int_equal(idle->count, WORKERS);
    idle->pids[idle->count++] = idle->server.pid;
}

/** How often a process has gone to sleep so far. */
static unsigned sleeps_of(pid_t pid)
{
    static const char field[] = "\nvoluntary_ctxt_switches:";
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    const char *at = strstr(text, field);
    assert_non_null(at);
    return (unsigned)strtoul(at + sizeof(field) - 1, NULL, 10);
}

static void test_idle_pool_uses_no_processor_time(void **state)
{
    (void)state;
    static const char *const waits[] = {"hybrid", "park"};
    static struct idle idle[2];
    unsigned sleeps[2];
    for (unsigned i = 0; i < 2; i++) make_idle(&idle[i], waits[i]);
    kit_pause_ms(300);
    for (unsigned i = 0; i < 2; i++) {
        idle[i].before_ticks = ticks_of(&idle[i]);
        for (unsigned k = 0; k < idle[i].count; k++) idle[i].before_ns[k] = kit_cpu_ns(idle[i].pids[k]);
    }
    for (unsigned i = 0; i < 2; i++) sleeps[i] = sleeps_of(idle[i].server.pid);
    kit_pause_ms(2000);
    for (unsigned i = 0; i < 2; i++) {
        assert_in_range(sleeps_of(idle[i].server.pid) - sleeps[i], 0, 4); /* a look every 2 s, and a straggler */
        uint64_t used_ns = 0, ticks = ticks_of(&idle[i]) - idle[i].before_ticks;
        for (unsigned k = 0; k < idle[i].count; k++) used_ns += kit_cpu_ns(idle[i].pids[k]) - idle[i].before_ns[k];
        print_message("%s: 16 workers and their supervisor used %.3f ms in 2 s, %llu ticks\n", waits[i],
                      (double)used_ns / 1e6, (unsigned long long)ticks);
        assert_true(used_ns < 10 * KIT_MS * (kit_sanitized ? 3 : 1)); /* one wake-up each, to look after itself */
        assert_true(ticks < 5); /* 0.0 s: each process may cross the border of a tick with next to nothing */
        rask_close(idle[i].s);
        kit_stop(&idle[i].server);
    }
}

/* ---- what it costs to be there --------------------------------------------------------------------------------- */

static void test_attach_and_start_times(void **state)
{
    (void)state;
    uint64_t attach_ns = UINT64_MAX, spawn_ns = UINT64_MAX;
    struct rask_completion completion;
    kit_start(&server, "--plugin", "echo", NULL);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t start_ns = rask_now_ns();
        struct rask *s = kit_connect(&server, NULL);
        uint64_t took_ns = rask_now_ns() - start_ns;
        if (took_ns < attach_ns) attach_ns = took_ns;
        rask_close(s);
    }
    kit_stop(&server);
    for (unsigned i = 0; i < 5; i++) {
        struct rask_spawn_options options = RASK_SPAWN_OPTIONS_INIT;
        struct rask *s;
        options.plugin = "echo";
        uint64_t start_ns = rask_now_ns();
        assert_int_equal(rask_spawn(&s, &options, NULL), 0);
        assert_int_equal(rask_call(s, 0, "first", 5, 5 * KIT_S, &completion), 0);
        uint64_t took_ns = rask_now_ns() - start_ns;
        if (took_ns < spawn_ns) spawn_ns = took_ns;
        rask_release(s, &completion);
        rask_close(s);
    }
    print_message("attach %.2f ms, spawn to first answer %.1f ms (best of several)\n", (double)attach_ns / 1e6,
                  (double)spawn_ns / 1e6);
    assert_true(attach_ns < 200 * KIT_MS && spawn_ns < 2 * KIT_S);
}

static void test_sessions_and_lanes_fit_in_memory(void **state)
{
    (void)state;
    enum { CALLS = 512 };
    struct rask_info info = {.size = sizeof(info)};
    struct rask_completion completion;
    kit_start(&server, "--plugin", "sleep", "--workers", "64", "--wait", "park", "--drain-timeout",
              kit_sanitized ? "30s" : "5s", NULL);
    kit_wait_children(server.pid, 64);
    struct rask *s = kit_connect(&server, NULL);
    rask_info(s, &info);
    uint64_t bare_bytes = info.bytes_mapped;
    for (unsigned round = 0; round < 200 && info.lanes_open < 64; round++) {
        for (unsigned i = 0; i < CALLS; i++) {
            struct rask_request request;
            assert_int_equal(rask_reserve(s, 1, &request), 0);
            *(char *)request.data = '2';
            assert_int_equal(rask_submit(s, &request, 0, 1, NULL), 0);
        }
        while (rask_pending(s) > 0) {
            assert_int_equal(rask_wait_any(s, &completion, 1, rask_now_ns() + 5 * KIT_S), 1);
            rask_release(s, &completion);
        }
        rask_info(s, &info);
    }
    print_message("a session with 64 workers: %.2f MiB at attach, %.2f MiB with %u lanes open; 64 of them %.0f MiB\n",
                  (double)bare_bytes / 1048576, (double)info.bytes_mapped / 1048576, info.lanes_open,
                  (double)info.bytes_mapped * 64 / 1048576);
    assert_int_equal(info.lanes_open, 64);
    assert_true(info.bytes_mapped * 64 < 2ull << 30);
    rask_close(s);
    kit_stop(&server);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_busy_calls_make_no_system_call),   KIT_TEST(test_calls_without_deadline_read_no_clock),
        KIT_TEST(test_idle_pool_uses_no_processor_time), KIT_TEST(test_attach_and_start_times),
        KIT_TEST(test_sessions_and_lanes_fit_in_memory),
    };
    if (argc == 4 && strcmp(argv[1], "client") == 0) return client(argv + 2);
    kit_init();
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
