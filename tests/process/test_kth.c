/* SPDX-License-Identifier: MIT */
/* The machine refuses something, once, at every place where it is asked: the k-th mapping, memfd, process, descriptor, message,
 * allocation, for every k. Either nobody notices, or it is said in words with the right exit code, and what runs afterwards runs
 * as ever. No process dies of a signal and nothing is left behind. RASK_KTH=1 tries every k; else the first ones and a few more. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST 6u  /* every one of these */
#define STRIDE 7u /* and from there on one in so many */
#define CALLS_MAX 5000u

static const char *const functions[] = {
    "mmap",          "memfd_create", "ftruncate",  "posix_fallocate", "fork",   "eventfd",
    "epoll_create1", "socketpair",   "pidfd_open", "sendmsg",         "calloc", "io_uring_queue_init",
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static char folder[64], count_path[96];

static void write_count(uint64_t value)
{
    int fd = open(count_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &value, sizeof(value)), sizeof(value));
    close(fd);
}

static uint64_t read_count(void)
{
    uint64_t value = 0;
    int fd = open(count_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
    close(fd);
    return value;
}

/** What is started from now on counts, and fails once. */
static void arm(const char *function, uint64_t call)
{
    char number[32];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)call);
    write_count(0);
    setenv("KTH_FUNCTION", function, 1);
    setenv("KTH_CALL", number, 1);
    setenv("KTH_COUNT", count_path, 1);
    setenv("LD_PRELOAD", getenv("RASK_TEST_KTH"), 1);
}

static void disarm(void)
{
    unsetenv("LD_PRELOAD");
    unsetenv("KTH_FUNCTION");
}

typedef uint64_t (*scenario)(const char *function, uint64_t call);

/** One k after the other, up to how many calls there are when none fails. */
static void try_all(scenario run)
{
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        unsigned tried = 0;
        uint64_t calls = run(functions[i], 0);
        assert_in_range(calls, 0, CALLS_MAX);
        for (uint64_t call = 1; call <= calls; call += getenv("RASK_KTH") || call < FIRST ? 1 : STRIDE) {
            alarm(60);
            run(functions[i], call);
            tried++;
        }
        print_message("%s: %u of %llu calls failed, one at a time\n", functions[i], tried, (unsigned long long)calls);
    }
}

#define NEEDS_PRELOADING()                                                            \
    do {                                                                              \
        if (kit_sanitized || !getenv("RASK_TEST_KTH")) {                              \
            print_message("skipped: a sanitizer has to come before all libraries\n"); \
            skip();                                                                   \
        }                                                                             \
    } while (0)

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/rask-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(count_path, sizeof(count_path), "%s/count", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    disarm();
    unlink(count_path);
    return rmdir(folder);
}

/** Exit codes that a program may have when the machine refuses it something; with words, unless all went well. */
static void judge(const char *what, const char *function, uint64_t call, int code, const char *said)
{
    static const int fine[] = {0, 65, 69, 75, 78, 125}; /* 65: a worker has no memory for the answer */
    static const char *const crashes[] = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"};
    bool known = false;
    for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) known |= code == fine[i];
    for (unsigned i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        known &= strstr(said, crashes[i]) == NULL; /* a worker: it is not our child */
    if (!known || (code != 0 && said[0] == '\0'))
        fail_msg("%s, %s no. %llu fails: %d, \"%s\"", what, function, (unsigned long long)call, code, said);
}

/* ---- the supervisor and its workers ------------------------------------------------------------------------------ */

static struct kit_server server;

/** One of 200 KB: with segments that were not there before. */
static int call_once(const char *data, size_t bytes)
{
    kit_input(data, bytes);
    return kit_rask("call", "echo", "-", "--socket", server.socket, "--timeout", "3s", NULL)->code;
}

/** Calls, a death, calls: each may fail in words, and then the next ones do not. */
static void live_through(const char *function, uint64_t call)
{
    static char large[200000];
    pid_t workers[2];
    for (unsigned round = 0; round < 2; round++) {
        judge("call", function, call, call_once("x", 1), "any");
        judge("large call", function, call, call_once(large, sizeof(large)), "any");
        if (round == 0 && kit_workers(server.pid, workers, 2) > 0) kill(workers[0], SIGKILL);
    }
    uint64_t end_ns = rask_now_ns() + 5 * KIT_S;
    while (call_once(large, sizeof(large)) != 0)
        if (rask_now_ns() > end_ns)
            fail_msg("%s no. %llu fails: no call works any more: %s", function, (unsigned long long)call,
                     kit_log(&server));
}

/** Its ready line, or its end. */
static bool gets_ready(void)
{
    char line[160] = "";
    struct pollfd ready = {.fd = server.ready_fd, .events = POLLIN};
    if (poll(&ready, 1, 10000) != 1) fail_msg("neither ready nor ended: %s", kit_log(&server));
    return read(server.ready_fd, line, sizeof(line) - 1) > 0;
}

static uint64_t run_once(const char *function, uint64_t call)
{
    kit_prepare(&server);
    const char *const arguments[] = {getenv("RASK_BIN"), "run", "--socket",    server.socket, "--plugin", "echo",
                                     "--workers",        "2",   "--crash-dir", "none",        NULL};
    arm(function, call);
    kit_start_prepared(&server, arguments);
    disarm();
    if (gets_ready()) {
        live_through(function, call);
        kill(server.pid, SIGTERM);
    }
    int code = kit_wait(server.pid, 8000);
    server.pid = -1;
    judge("supervisor", function, call, code == 1 ? 69 : code, kit_log(&server)); /* 1: a worker had to be killed */
    kit_reap_orphans(2000);
    unlink(server.log);
    assert_int_equal(rmdir(server.folder), 0); /* no socket, no lock */
    kit_forget(&server);
    return read_count();
}

static void test_supervisor_and_workers(void **state)
{
    (void)state;
    NEEDS_PRELOADING();
    try_all(run_once);
}

/* ---- the client --------------------------------------------------------------------------------------------------- */

static uint64_t client_once(const char *function, uint64_t call)
{
    static char large[200000];
    kit_input(large, sizeof(large));
    arm(function, call);
    const struct kit_result *result = kit_rask("call", "echo", "-", "--socket", server.socket, "--timeout", "3s", NULL);
    disarm();
    judge("client", function, call, result->code, result->err);
    if (result->code == 0) assert_int_equal(result->out_bytes, sizeof(large));
    uint64_t calls = read_count();
    assert_int_equal(call_once(large, sizeof(large)), 0); /* the others notice nothing */
    return calls;
}

static void test_client(void **state)
{
    (void)state;
    NEEDS_PRELOADING();
    kit_start(&server, "--plugin", "echo", NULL);
    assert_int_equal(call_once("x", 1), 0);
    unsigned descriptors = kit_descriptors(server.pid);
    try_all(client_once);
    for (unsigned ms = 0; ms < 1000 && kit_descriptors(server.pid) != descriptors; ms++) kit_pause_ms(1);
    assert_int_equal(kit_descriptors(server.pid), descriptors);
    kit_stop(&server);
}

/** A program that starts its own supervisor: everything of the three together. */
static uint64_t private_once(const char *function, uint64_t call)
{
    arm(function, call);
    const struct kit_result *result = kit_rask("call", "echo", "x", "--plugin", "echo", "--timeout", "3s", NULL);
    disarm();
    judge("private supervisor", function, call, result->code, result->err);
    if (result->code == 0) assert_string_equal(result->out, "x");
    kit_reap_orphans(2000);
    return read_count();
}

static void test_private_supervisor(void **state)
{
    (void)state;
    NEEDS_PRELOADING();
    try_all(private_once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_supervisor_and_workers),
        KIT_TEST(test_client),
        KIT_TEST(test_private_supervisor),
    };
    kit_init();
    return cmocka_run_group_tests(tests, begin, end) != 0;
}
