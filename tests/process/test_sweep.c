/* SPDX-License-Identifier: MIT */
/* Fault 3, the single-step sweep: a worker is stepped through one request and killed after k instructions, for k from 0 to the
 * number that a whole request takes. Every k in ./dev soak sweep, every so many in ./dev test. */
#include "clock.h"
#include "oracle_load.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define POINTS 24u
#define STEPS_MAX 400000u

static struct kit_server server;

static pid_t start(const struct oracle *o, struct rask **s)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    pid_t worker;
    options.wait_mode = RASK_WAIT_PARK;
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", o->ledger.setting, "--wait", "park", NULL);
    kit_wait_children(server.pid, 1);
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    *s = kit_connect(&server, &options);
    return worker;
}

/** False: not allowed here. */
static bool catch_worker(pid_t worker)
{
    int status;
    if (ptrace(PTRACE_SEIZE, worker, NULL, NULL) < 0) return false;
    assert_int_equal(ptrace(PTRACE_INTERRUPT, worker, NULL, NULL), 0);
    assert_int_equal(waitpid(worker, &status, __WALL), worker);
    assert_true(WIFSTOPPED(status));
    return true;
}

/** One instruction. */
static void step(pid_t worker)
{
    int status;
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, worker, NULL, NULL), 0);
    assert_int_equal(waitpid(worker, &status, __WALL), worker);
    assert_true(WIFSTOPPED(status));
}

static void end_worker(pid_t worker)
{
    int status;
    kill(worker, SIGKILL);
    assert_int_equal(waitpid(worker, &status, __WALL), worker);
    assert_true(WIFSIGNALED(status));
}

/** A request is made, the worker runs `k` instructions (UINT32_MAX: until the answer is there) and dies. Returns how many. */
static uint32_t sweep_once(struct oracle *o, uint32_t k)
{
    struct rask *s;
    uint32_t done = 0;
    pid_t worker = start(o, &s);
    oracle_bystander(o, s, 300);
    if (!catch_worker(worker)) {
        print_message("ptrace is not allowed here: the sweep is left out\n");
        skip();
    }
    oracle_submit(o, s, "ok", 0, 300, 0);
    while (done < k && rask_pending(s) > 0 && done < STEPS_MAX) {
        step(worker);
        done++;
        if (k == UINT32_MAX) oracle_take(o, s, 0);
    }
    oracle_death(o, worker);
    uint64_t death_ns = rask_now_ns();
    end_worker(worker);
    while (rask_pending(s) > 0) oracle_take(o, s, ORACLE_PATIENCE_NS);
    oracle_time(&o->recovered, rask_now_ns() - death_ns);
    oracle_bystander(o, s, 300);
    oracle_leave(o, s);
    kit_stop(&server);
    return done;
}

static void test_worker_killed_after_every_so_many_instructions(void **state)
{
    (void)state;
    struct oracle *o = oracle_create();
    uint32_t whole = sweep_once(o, UINT32_MAX);
    uint32_t points = oracle_scale("RASK_SWEEP_POINTS", kit_sanitized ? POINTS / 4 : POINTS, 7200);
    assert_true(whole > 50 && whole < STEPS_MAX);
    uint32_t stride = points >= whole ? 1 : whole / points;
    for (uint32_t k = 0; k <= whole + stride; k += stride) sweep_once(o, k);
    print_message("%u instructions for one request, killed after every %u\n", whole, stride);
    assert_true(o->by_status[RASK_CRASHED] > 0 && o->by_status[RASK_OK] > 0);
    if (!kit_sanitized) assert_true(oracle_quantile(&o->recovered, 90) < 200 * KIT_MS);
    oracle_destroy(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_worker_killed_after_every_so_many_instructions),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
