/* SPDX-License-Identifier: MIT */
/* Fault 21 and the figure for bystanders: thousands in flight while the supervisor drains, once and twice told, and while workers
 * are killed; and one session whose requests crash workers beside one whose requests do not. */
#include "clock.h"
#include "oracle_load.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_FLIGHT 3000u

static struct kit_server server;

static struct rask *start(struct oracle *o, const char *drain_timeout)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.queue_max = IN_FLIGHT + 100;
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", o->ledger.setting, "--workers", "2",
              "--drain-timeout", drain_timeout, NULL);
    kit_wait_children(server.pid, 2);
    struct rask *s = kit_connect(&server, &options);
    oracle_warm(o, s, 2);
    return s;
}

/** Most answer at once, some take 20 ms, a few half a second: A holds for all of them. */
static void fill_queue(struct oracle *o, struct rask *s, uint64_t *seed)
{
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
        uint32_t kind = (uint32_t)kit_random(seed, 1000);
        oracle_submit(o, s, "slow", kind == 0 ? 500 : kind < 20 ? 20 : 1, 8 + (uint32_t)kit_random(seed, 500), 0);
    }
}

static void end_all(struct oracle *o, struct rask *s, int code)
{
    struct stat facts;
    while (rask_pending(s) > 0) oracle_take(o, s, ORACLE_PATIENCE_NS);
    oracle_leave(o, s);
    char socket[96];
    snprintf(socket, sizeof(socket), "%s", server.socket);
    int got = kit_ended(&server, 8000);
    assert_int_equal(got, code);
    assert_true(stat(socket, &facts) < 0); /* removed */
    kit_reap_orphans(1000);
}

static void test_drain_with_thousands_in_flight(void **state)
{
    (void)state;
    uint64_t seed = kit_seed();
    struct oracle *o = oracle_create();
    struct rask *s = start(o, "5s");
    fill_queue(o, s, &seed);
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    end_all(o, s, 0);
    print_message("drained in %.0f ms\n", (double)(rask_now_ns() - start_ns) / 1e6);
    assert_true(o->by_status[RASK_SHUTDOWN] > IN_FLIGHT / 2); /* what had not begun */
    assert_int_equal(o->by_status[RASK_OK] + o->by_status[RASK_SHUTDOWN], o->submitted);
    oracle_destroy(o);
}

static void test_second_signal_with_thousands_in_flight(void **state)
{
    (void)state;
    uint64_t seed = kit_seed();
    struct oracle *o = oracle_create();
    struct rask *s = start(o, "30s");
    for (unsigned i = 0; i < 2; i++) oracle_submit(o, s, "hang", 0, 64, 0);
    kit_wait_started(s, &o->ledger, o->ledger.next - 1);
    fill_queue(o, s, &seed);
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    kit_pause_ms(100); /* closer ones count as one */
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    end_all(o, s, 1);
    assert_true(o->by_status[RASK_CRASHED] >= 2);
    oracle_destroy(o);
}

static void test_workers_killed_during_a_drain(void **state)
{
    (void)state;
    pid_t workers[4];
    uint64_t seed = kit_seed();
    struct oracle *o = oracle_create();
    struct rask *s = start(o, "5s");
    for (unsigned i = 0; i < 2; i++) oracle_submit(o, s, "hang", 0, 64, 0);
    kit_wait_started(s, &o->ledger, o->ledger.next - 1);
    fill_queue(o, s, &seed);
    assert_int_equal(kit_workers(server.pid, workers, 4), 2);
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    kit_pause_ms(20);
    for (unsigned i = 0; i < 2; i++) kill(workers[i], SIGKILL);
    end_all(o, s, 0);
    oracle_destroy(o);
}

/* ---- bystanders -------------------------------------------------------------------------------------------------- */

#define CRASH_GAP_NS (25 * KIT_MS)

/** Each call has a number of its own, and they must last for both whiles: so many at most by now. */
static bool ahead(uint64_t first, uint64_t next, uint64_t start_ns, uint64_t ns)
{
    uint64_t allowed = (uint64_t)LEDGER_NUMBERS * 2 / 5;
    return (double)(next - first) > (double)allowed * (double)(rask_now_ns() - start_ns) / (double)ns;
}

/** Calls for a while, with now and then one of `bad` that crashes its worker. The p99 of the bystander's. */
static uint64_t bystander_p99(struct oracle *o, struct rask *s, struct rask *bad, uint64_t ns, uint32_t *crashes)
{
    static struct oracle_times times;
    uint64_t start_ns = rask_now_ns(), last_ns = start_ns, first = o->ledger.next;
    times.count = 0;
    while (rask_now_ns() < start_ns + ns) {
        if (ahead(first, o->ledger.next, start_ns, ns)) continue;
        oracle_time(&times, oracle_bystander(o, s, 64));
        oracle_take(o, bad, 0);
        if (times.count % 10 != 0 || rask_pending(bad) > 3) continue;
        bool crashes_now = crashes && rask_now_ns() - last_ns > CRASH_GAP_NS;
        oracle_submit(o, bad, crashes_now ? "crash" : "ok", 0, 64, 0);
        if (!crashes_now) continue;
        last_ns = rask_now_ns();
        ++*crashes;
    }
    while (rask_pending(bad) > 0) oracle_take(o, bad, ORACLE_PATIENCE_NS);
    return oracle_quantile(&times, 99);
}

static void test_crashes_of_one_session_are_no_errors_of_another(void **state)
{
    (void)state;
    uint32_t ms = oracle_scale("RASK_BYSTANDER_MS", 800, 3600), crashes = 0;
    struct oracle *o = oracle_create();
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", o->ledger.setting, "--workers", "2",
              "--restart-limit", "0", NULL);
    kit_wait_children(server.pid, 2);
    struct rask *s = kit_connect(&server, NULL), *bad = kit_connect(&server, NULL);
    oracle_warm(o, s, 2);
    uint64_t calm_ns = bystander_p99(o, s, bad, ms * KIT_MS, NULL);
    uint64_t storm_ns = bystander_p99(o, s, bad, ms * KIT_MS, &crashes);
    print_message("p99 of a bystander's calls: %.1f us calm, %.1f us with %u crashes beside it\n",
                  (double)calm_ns / 1e3, (double)storm_ns / 1e3, crashes);
    assert_true(crashes > (kit_sanitized ? 1 : 5));
    if (ms > 5000) assert_true(storm_ns <= 2 * calm_ns); /* a soak: alone on the machine */
    oracle_leave(o, bad);
    oracle_leave(o, s);
    kit_stop(&server);
    oracle_destroy(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_drain_with_thousands_in_flight),
        KIT_TEST(test_second_signal_with_thousands_in_flight),
        KIT_TEST(test_workers_killed_during_a_drain),
        KIT_TEST(test_crashes_of_one_session_are_no_errors_of_another),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
