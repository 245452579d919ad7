/* SPDX-License-Identifier: MIT */
/* Fault 27: everything at once, weighted: workers killed, workers and the supervisor stopped and continued, reloads, clients killed.
 * After each stretch all is let heal: within 5 s every session is served again, and the oracle looks at every request.
 * RASK_CHAOS says how many stretches (3, of 1 s each). Full size: ./dev soak chaos. */
#include "clock.h"
#include "oracle_load.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STRETCHES 3u
#define STRETCH_NS (1 * KIT_S)
#define SESSIONS 3u
#define WORKERS 3u
/* Requests of a killed client may still run a while: the next one uses other numbers, from a region of its own in the upper half. */
#define REGION_NUMBERS 20000u
#define REGIONS (LEDGER_NUMBERS / 2 / REGION_NUMBERS)

static struct kit_server server;

enum trouble { KILL_WORKER, STOP_WORKER, RELOAD, KILL_CLIENT, STOP_SUPERVISOR, TROUBLES };
static const unsigned weight[TROUBLES] = {10, 5, 1, 3, 1};
static const char *const names[TROUBLES] = {"workers killed", "workers stopped", "reloads", "clients killed",
                                            "stops of the supervisor"};

struct chaos {
    struct oracle *o;
    struct oracle_load load;
    uint64_t seed;
    pid_t client;
    unsigned clients; /* so far */
    pid_t stopped[2]; /* a worker, the supervisor; 0: none */
    uint64_t continue_ns[2];
    uint64_t count[TROUBLES];
};

static void new_client(struct chaos *chaos)
{
    uint64_t seed = kit_random(&chaos->seed, UINT64_MAX);
    struct oracle *o = chaos->o;
    uint32_t first = LEDGER_NUMBERS / 2 + chaos->clients++ % REGIONS * REGION_NUMBERS;
    memset(&o->ledger.book->started[first], 0, sizeof(uint32_t) * REGION_NUMBERS);
    chaos->client = kit_fork();
    if (chaos->client != 0) return;
    struct oracle_load load;
    o->ledger.next = first;
    oracle_load_open(&load, o, &server, 1, 32, seed);
    while (o->ledger.next < first + REGION_NUMBERS - 100) oracle_load_turn(&load);
    while (pause()) continue;
}

static void kill_client(struct chaos *chaos)
{
    kill(chaos->client, SIGKILL);
    int code = kit_wait(chaos->client, 5000);
    if (code != -SIGKILL) fail_msg("a client had ended by itself with %d: a rule was broken there", code);
    chaos->count[KILL_CLIENT]++;
}

static pid_t some_worker(struct chaos *chaos)
{
    pid_t pids[4 * WORKERS];
    unsigned count = kit_workers(server.pid, pids, 4 * WORKERS);
    return count > 0 ? pids[kit_random(&chaos->seed, count)] : 0;
}

static void stop(struct chaos *chaos, unsigned which, pid_t pid)
{
    if (pid == 0 || chaos->stopped[which] != 0 || kill(pid, SIGSTOP) != 0) return;
    chaos->stopped[which] = pid;
    chaos->continue_ns[which] = rask_now_ns() + kit_random(&chaos->seed, 60 * KIT_MS);
    chaos->count[which == 0 ? STOP_WORKER : STOP_SUPERVISOR]++;
}

/** Those whose time is over go on; `all`: everybody. A worker that was killed meanwhile is not there any more. */
static void go_on(struct chaos *chaos, bool all)
{
    for (unsigned i = 0; i < 2; i++) {
        if (chaos->stopped[i] == 0 || (!all && rask_now_ns() < chaos->continue_ns[i])) continue;
        kill(chaos->stopped[i], SIGCONT);
        chaos->stopped[i] = 0;
    }
}

static enum trouble some_trouble(struct chaos *chaos)
{
    unsigned sum = 0, which = 0;
    for (unsigned i = 0; i < TROUBLES; i++) sum += weight[i];
    unsigned at = (unsigned)kit_random(&chaos->seed, sum);
    while (at >= weight[which]) at -= weight[which++];
    return (enum trouble)which;
}

static void make_trouble(struct chaos *chaos)
{
    enum trouble trouble = some_trouble(chaos);
    pid_t worker = some_worker(chaos);
    if (trouble == KILL_WORKER && worker != 0) {
        oracle_death(chaos->o, worker);
        chaos->count[KILL_WORKER] += kill(worker, SIGKILL) == 0;
    } else if (trouble == STOP_WORKER) {
        stop(chaos, 0, worker);
    } else if (trouble == RELOAD) {
        chaos->count[RELOAD] += kill(server.pid, SIGHUP) == 0;
    } else if (trouble == KILL_CLIENT) {
        kill_client(chaos);
        new_client(chaos);
    } else if (trouble == STOP_SUPERVISOR) {
        stop(chaos, 1, server.pid);
    }
}

static void stretch(struct chaos *chaos)
{
    uint64_t end_ns = rask_now_ns() + STRETCH_NS, next_ns = 0;
    while (rask_now_ns() < end_ns) {
        oracle_load_turn(&chaos->load);
        go_on(chaos, false);
        if (rask_now_ns() < next_ns) continue;
        make_trouble(chaos);
        next_ns = rask_now_ns() + kit_random(&chaos->seed, 30 * KIT_MS);
    }
    go_on(chaos, true);
}

/** Everything that is in flight ends, and every session is served again. */
static void heal(struct chaos *chaos)
{
    uint64_t start_ns = rask_now_ns();
    oracle_load_drain(&chaos->load);
    for (unsigned i = 0; i < SESSIONS; i++) oracle_bystander(chaos->o, chaos->load.session[i], 3000);
    oracle_time(&chaos->o->recovered, rask_now_ns() - start_ns);
    if (!kit_sanitized) assert_in_range(rask_now_ns() - start_ns, 0, 5 * KIT_S);
    oracle_check(chaos->o);
}

static void test_everything_at_once_heals(void **state)
{
    (void)state;
    uint32_t stretches = oracle_scale("RASK_CHAOS", STRETCHES, 24 * 3600);
    static struct chaos chaos;
    chaos = (struct chaos){.o = oracle_create(), .seed = kit_seed()};
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", chaos.o->ledger.setting, "--workers", "3",
              "--restart-limit", "0", "--crash-dir", "none", NULL);
    kit_wait_children(server.pid, WORKERS);
    oracle_baseline(chaos.o, &server);
    oracle_load_open(&chaos.load, chaos.o, &server, SESSIONS, 32, kit_random(&chaos.seed, UINT64_MAX));
    for (uint32_t i = 0; i < stretches; i++) {
        new_client(&chaos);
        stretch(&chaos);
        kill_client(&chaos);
        heal(&chaos);
    }
    oracle_load_close(&chaos.load);
    kit_wait_children(server.pid, WORKERS);
    oracle_settled(chaos.o, &server);
    kit_stop(&server);
    /* A leak checker looks through a dying process from a child of it, which outlives it when that is killed. */
    unsigned orphans = kit_reap_orphans(1000);
    assert_true(orphans == 0 || kit_sanitized);
    for (unsigned i = 0; i < TROUBLES; i++)
        print_message("%llu %s%s", (unsigned long long)chaos.count[i], names[i], i + 1 < TROUBLES ? ", " : "\n");
    oracle_destroy(chaos.o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_everything_at_once_heals)};
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
