/* SPDX-License-Identifier: MIT */
/* Fault 2, kill at every step: one side is killed right behind each store of a request's life (lib/step.h), and what the
 * caller, the ledger and the bystanders see makes one row of a table. The table must be the one in docs/kill-steps.md.
 *
 *   test_steps TABLE           compares
 *   test_steps TABLE --write   writes it
 *
 * Both sides sleep between messages, so that every step is passed: the handler takes a few milliseconds. */
#include "../process/oracle.h"
#include "clock.h"
#include "page.h"
#include "step.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HANDLER_MS 5u
#define BUSY_MS 40u
#define BYTES 1500u          /* behind the slots of the pair */
#define BYTES_IN_BLOCK 3000u /* releasing it is a step */
#define OTHER_NUMBERS 1000u  /* a client that dies has numbers of its own */
#define TABLE_BYTES 16384u

enum side { CLIENT, WORKER, BOTH };

static const struct {
    const char *name;
    enum side side;
    const char *what;
} steps[RK_STEP_COUNT] = {
#define AS_ROW(name, side, what) {#name, side, what},
    RK_STEPS(AS_ROW)};

static struct kit_server server;
static struct step_page *page;
static char table[2][TABLE_BYTES]; /* by side */

static void put(enum side side, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(enum side side, const char *format, ...)
{
    size_t used = strlen(table[side]);
    va_list list;
    va_start(list, format);
    int bytes = vsnprintf(table[side] + used, TABLE_BYTES - used, format, list);
    va_end(list);
    assert_true(bytes > 0 && used + (size_t)bytes < TABLE_BYTES);
}

static void arm(enum rk_step step, pid_t victim)
{
    __atomic_store_n(&page->reached, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&page->victim, (uint32_t)victim, __ATOMIC_SEQ_CST);
    __atomic_store_n(&page->armed, (uint32_t)step + 1, __ATOMIC_SEQ_CST);
}

static void disarm(void)
{
    __atomic_store_n(&page->armed, 0, __ATOMIC_SEQ_CST);
}

static bool about_cancelling(enum rk_step step)
{
    return step == RK_STEP_MARKED || step == RK_STEP_MARK_BARRIER || step == RK_STEP_RETRACTED ||
           step == RK_STEP_SKIPPED;
}

static struct rask *start(struct oracle *o)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_PARK;
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", o->ledger.setting, "--wait", "park", NULL);
    kit_wait_children(server.pid, 1);
    struct rask *s = kit_connect(&server, &options);
    for (unsigned i = 0; i < 3; i++) oracle_bystander(o, s, BYTES);
    oracle_baseline(o, &server);
    return s;
}

static void stop(struct oracle *o, struct rask *s)
{
    oracle_leave(o, s);
    kit_stop(&server);
}

/* ---- the worker dies ------------------------------------------------------------------------------------------- */

static void wait_reached(enum rk_step step)
{
    for (unsigned ms = 0; __atomic_load_n(&page->reached, __ATOMIC_SEQ_CST) == 0; ms++) {
        if (ms > 3000) fail_msg("step %s was never reached", steps[step].name);
        kit_pause_ms(1);
    }
}

/** Submits, and cancels if the step is about that. The ticket whose end is looked at. */
static uint64_t request(struct oracle *o, struct rask *s, enum rk_step step, uint64_t *busy)
{
    uint32_t bytes = step == RK_STEP_RELEASED ? BYTES_IN_BLOCK : BYTES;
    *busy = 0;
    if (!about_cancelling(step)) return oracle_submit(o, s, "slow", HANDLER_MS, bytes, 0);
    *busy = oracle_submit(o, s, "slow", BUSY_MS, BYTES, 0);
    kit_wait_started(s, &o->ledger, o->ledger.next - 1);
    uint64_t ticket = oracle_submit(o, s, "ok", 0, BYTES, 0);
    rask_cancel(s, ticket);
    return ticket;
}

static void end_one(struct oracle *o, struct rask *s, uint64_t ticket, struct rask_completion *completion)
{
    int error = rask_wait(s, ticket, rask_now_ns() + ORACLE_PATIENCE_NS, completion);
    if (error) fail_msg("A: no end: %s", rask_last_error());
    struct rask_completion copy = *completion;
    oracle_end(o, s, &copy);
}

static void kill_worker(struct oracle *o, enum rk_step step)
{
    struct rask_completion end, other;
    struct rask *s = start(o);
    pid_t worker;
    uint64_t busy;
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    arm(step, worker);
    uint64_t ticket = request(o, s, step, &busy);
    uint32_t number = o->ledger.next - 1;
    end_one(o, s, ticket, &end);
    if (busy) end_one(o, s, busy, &other);
    wait_reached(step);
    disarm();
    oracle_bystander(o, s, BYTES);
    oracle_settled(o, &server);
    put(WORKER, "| %s | %s | %s | %s | %u | OK |\n", steps[step].name, steps[step].what, rask_status_name(end.status),
        rask_executed_name(end.executed), kit_started(&o->ledger, number));
    stop(o, s);
}

static void test_worker_killed_at_every_step(void **state)
{
    (void)state;
    struct oracle *o = oracle_create();
    for (enum rk_step step = 0; step < RK_FLOW_STEPS_FIRST; step++)
        if (steps[step].side != CLIENT) kill_worker(o, step);
    oracle_destroy(o);
}

/* ---- the client dies ------------------------------------------------------------------------------------------- */

/** In a child: the same request, until death. No asserts. */
static int be_client(struct oracle *o, enum rk_step step)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_completion completion;
    struct rask *s;
    uint64_t busy;
    options.wait_mode = RASK_WAIT_PARK;
    o->ledger.next += OTHER_NUMBERS;
    if (rask_connect(&s, server.socket, &options) != 0) return 1;
    for (unsigned i = 0; i < 3; i++) oracle_bystander(o, s, BYTES);
    kit_pause_ms(20); /* the worker sleeps */
    arm(step, getpid());
    uint64_t ticket = request(o, s, step, &busy);
    if (rask_wait(s, ticket, rask_now_ns() + KIT_S, &completion) != 0) return 2;
    rask_release(s, &completion);
    return 3;
}

/** What the ledger may say of a request whose client died there. */
static const char *runs(enum rk_step step)
{
    if (step <= RK_STEP_REQUEST_FIELDS || about_cancelling(step)) return "0";
    return step == RK_STEP_RESPONSE_COPIED || step == RK_STEP_RESPONSE_PASSED || step == RK_STEP_RELEASED ? "1"
                                                                                                          : "0 or 1";
}

static void kill_client(struct oracle *o, enum rk_step step)
{
    struct rask *s = start(o);
    uint32_t number = o->ledger.next + OTHER_NUMBERS + 3 + (about_cancelling(step) ? 1 : 0);
    pid_t client = kit_fork();
    if (client == 0) _exit(be_client(o, step));
    int code = kit_wait(client, 5000);
    if (code != -SIGKILL) fail_msg("step %s was never reached: the client ended with %d", steps[step].name, code);
    disarm();
    for (unsigned i = 0; i < 5; i++) oracle_bystander(o, s, BYTES);
    oracle_settled(o, &server);
    uint32_t started = kit_started(&o->ledger, number);
    const char *allowed = runs(step);
    if (!strchr(allowed, '0' + (int)started) || started > 1)
        fail_msg("client killed at %s: the request ran %u times, allowed: %s", steps[step].name, started, allowed);
    put(CLIENT, "| %s | %s | %s | OK |\n", steps[step].name, steps[step].what, allowed);
    stop(o, s);
}

static void test_client_killed_at_every_step(void **state)
{
    (void)state;
    struct oracle *o = oracle_create();
    for (enum rk_step step = 0; step < RK_FLOW_STEPS_FIRST; step++)
        if (steps[step].side != WORKER) kill_client(o, step);
    oracle_destroy(o);
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

static const char *path;
static bool writing;

static const char head[] =
    "# Killed at every step\n\n"
    "Written by `tests/steps/test_steps.c`, which runs in `./dev test` on both engines and fails when a run says "
    "anything "
    "else.\nOne process is killed right behind each store of a request's life (`lib/step.h`); both sides sleep between "
    "messages, so that\nevery step is passed. After each kill the next call of another session is OK, and descriptors, "
    "mappings and processes are\nwhat they were before.\n\n";
static const char worker_head[] =
    "## The worker is killed\n\n"
    "*runs*: how often the handler was entered, by the ledger that the handler writes.\n\n"
    "| step | what has just happened | request ends as | executed | runs | next call |\n"
    "|---|---|---|---|---|---|\n";
static const char client_head[] = "\n## The client is killed\n\n"
                                  "Nobody is left to be told; the request runs at most once, and never if it was not "
                                  "published or was taken back.\n\n"
                                  "| step | what has just happened | runs | call of another session |\n"
                                  "|---|---|---|---|\n";

static void test_table_is_the_one_in_the_documents(void **state)
{
    (void)state;
    static char wanted[2 * TABLE_BYTES + 4096], found[sizeof(wanted)];
    snprintf(wanted, sizeof(wanted), "%s%s%s%s%s", head, worker_head, table[WORKER], client_head, table[CLIENT]);
    FILE *file = fopen(path, writing ? "we" : "re");
    if (!file) fail_msg("%s: %s", path, strerror(errno));
    if (writing)
        fputs(wanted, file);
    else
        found[fread(found, 1, sizeof(found) - 1, file)] = '\0';
    fclose(file);
    if (writing) return;
    if (strcmp(wanted, found) != 0) print_message("%s\n", wanted);
    assert_string_equal(wanted, found);
}

static void open_page(void)
{
    static char name[64];
    int fd = memfd_create("steps", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*page)), 0);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(page != MAP_FAILED);
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)getpid(), fd);
    setenv("RASK_STEP_PAGE", name, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_worker_killed_at_every_step),
        KIT_TEST(test_client_killed_at_every_step),
        KIT_TEST(test_table_is_the_one_in_the_documents),
    };
    if (argc < 2) return 64;
    path = argv[1];
    writing = argc > 2 && strcmp(argv[2], "--write") == 0;
    kit_init();
    open_page();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
