/* SPDX-License-Identifier: MIT */
/* The kill storm: workers are killed at random moments under pipelined load, and every request is compared with the ledger.
 *
 * Restarts are immediate for the first five deaths of a worker within ten seconds, so the storm comes in rounds, each with a
 * fresh supervisor, and a round kills each worker five times at most. A thread does the killing: the client is hit by
 * what follows at any point. */
#include "clock.h"
#include "kit.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KILLS_PER_WORKER 5u
#define IN_FLIGHT 96u
#define STORM_NS (3 * KIT_S)
#define BYTES_MAX 20000u

static struct kit_server server;
static struct kit_ledger ledger;

/** What the load has to account for. */
struct load {
    struct rask *s;
    uint64_t seed;
    uint32_t in_flight;
    uint8_t ends[LEDGER_NUMBERS]; /* completions per request number */
    uint32_t bytes[LEDGER_NUMBERS];
    uint8_t never[LEDGER_NUMBERS]; /* said not to have run */
    uint64_t by_status[RASK_STATUS_COUNT];
    uint64_t last_end_ns;
    uint64_t longest_silence_ns;
};
static struct load load;

struct storm {
    pid_t supervisor;
    uint32_t workers;
    uint64_t seed;
    uint32_t kills;
    bool done;
};

static void *kill_workers(void *argument)
{
    struct storm *storm = argument;
    for (uint32_t left = KILLS_PER_WORKER * storm->workers; left > 0; left--) {
        pid_t pids[8];
        usleep((useconds_t)(500 + kit_random(&storm->seed, 6000)));
        unsigned count = kit_children(storm->supervisor, pids, 8);
        if (count == 0) continue;
        storm->kills += kill(pids[kit_random(&storm->seed, count)], SIGKILL) == 0;
    }
    __atomic_store_n(&storm->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void send_one(void)
{
    static const char *const methods[] = {"ok", "ok", "ok", "ok", "ok", "ok", "slow", "stoppable"};
    uint64_t kind = kit_random(&load.seed, 16);
    uint32_t bytes = kind < 8 ? 8 + (uint32_t)kit_random(&load.seed, 25) : 8 + (uint32_t)kit_random(&load.seed, 3000);
    if (kind == 15) bytes = 8 + (uint32_t)kit_random(&load.seed, BYTES_MAX);
    uint64_t deadline_ns = kit_random(&load.seed, 10) == 0 ? rask_now_ns() + kit_random(&load.seed, 5 * KIT_MS) : 0;
    load.bytes[ledger.next] = bytes;
    uint64_t ticket = kit_submit(load.s, &ledger, methods[kit_random(&load.seed, 8)],
                                 (uint32_t)kit_random(&load.seed, 3), bytes, deadline_ns);
    load.in_flight++;
    if (kit_random(&load.seed, 20) == 0) rask_cancel(load.s, ticket);
}

static void account(struct rask_completion *completion)
{
    uint32_t number = (uint32_t)completion->user_data;
    uint64_t now_ns = rask_now_ns();
    assert_true(number < ledger.next);
    if (++load.ends[number] != 1) fail_msg("request %u ended %u times", number, load.ends[number]);
    load.never[number] = completion->executed == RASK_EXECUTED_NO;
    kit_judge(&ledger, completion, load.bytes[number]);
    assert_true(completion->status < RASK_STATUS_COUNT && completion->status != RASK_HANDLER_ERROR);
    load.by_status[completion->status]++;
    if (now_ns - load.last_end_ns > load.longest_silence_ns) load.longest_silence_ns = now_ns - load.last_end_ns;
    load.last_end_ns = now_ns;
    load.in_flight--;
    rask_release(load.s, completion);
}

static void take_some(void)
{
    struct rask_completion completions[16];
    int count = kit_random(&load.seed, 2) ? rask_poll(load.s, completions, 16)
                                          : rask_wait_any(load.s, completions, 16, rask_now_ns() + 5 * KIT_S);
    if (count < 0) fail_msg("%u in flight, none came: %s", load.in_flight, rask_last_error());
    for (int i = 0; i < count; i++) account(&completions[i]);
}

static uint32_t round_of(uint32_t workers, const char *wait)
{
    char count[8];
    pthread_t thread;
    struct storm storm = {.workers = workers, .seed = load.seed};
    snprintf(count, sizeof(count), "%u", workers);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", count, "--wait", wait,
              NULL);
    storm.supervisor = server.pid;
    load.s = kit_connect(&server, NULL);
    load.last_end_ns = rask_now_ns();
    assert_int_equal(pthread_create(&thread, NULL, kill_workers, &storm), 0);
    while (!__atomic_load_n(&storm.done, __ATOMIC_ACQUIRE) && ledger.next < LEDGER_NUMBERS - IN_FLIGHT) {
        while (load.in_flight < IN_FLIGHT) send_one();
        take_some();
    }
    pthread_join(thread, NULL);
    while (load.in_flight > 0) take_some();
    kit_call_ok(load.s, &ledger, 1000);
    load.ends[ledger.next - 1] = 1;
    rask_close(load.s);
    kit_stop(&server);
    return storm.kills;
}

static void test_kill_storm_loses_and_doubles_nothing(void **state)
{
    (void)state;
    static const char *const waits[] = {"hybrid", "park"};
    uint32_t kills = 0, rounds = 0;
    memset(&load, 0, sizeof(load));
    load.seed = kit_seed();
    kit_ledger_open(&ledger);
    uint64_t end_ns = rask_now_ns() + STORM_NS;
    for (; rask_now_ns() < end_ns && ledger.next < LEDGER_NUMBERS / 2; rounds++)
        kills += round_of(2 + rounds % 3, waits[rounds / 3 % 2]);
    uint32_t never = 0;
    for (uint32_t i = 0; i < ledger.next; i++) {
        assert_int_equal(load.ends[i], 1);
        if (load.never[i]) assert_int_equal(kit_started(&ledger, i), 0); /* also later than when it was said */
        never += load.never[i];
    }
    print_message("%u rounds, %u kills, %u requests, %u of them not executed; longest silence %.1f ms\n", rounds, kills,
                  ledger.next, never, (double)load.longest_silence_ns / 1e6);
    for (uint32_t i = 0; i < RASK_STATUS_COUNT; i++)
        if (load.by_status[i])
            print_message("  %-10s %llu\n", rask_status_name(i), (unsigned long long)load.by_status[i]);
    assert_true(kills > 20);
    assert_true(load.by_status[RASK_OK] > 100);
    kit_ledger_close(&ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_kill_storm_loses_and_doubles_nothing),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
