/* SPDX-License-Identifier: MIT */
/* Load and killers under the oracle; see oracle_load.h. */
#include "oracle_load.h"
#include "clock.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES_MAX 20000u

void oracle_load_open(struct oracle_load *load, struct oracle *o, const struct kit_server *server, unsigned sessions,
                      unsigned depth, uint64_t seed)
{
    static const uint32_t waits[ORACLE_SESSIONS_MAX] = {RASK_WAIT_HYBRID, RASK_WAIT_PARK, RASK_WAIT_HYBRID,
                                                        RASK_WAIT_PARK};
    assert_true(sessions <= ORACLE_SESSIONS_MAX);
    *load = (struct oracle_load){.o = o, .sessions = sessions, .depth = depth, .seed = seed};
    for (unsigned i = 0; i < sessions; i++) {
        struct rask_options options = RASK_OPTIONS_INIT;
        options.wait_mode = waits[i];
        load->session[i] = kit_connect(server, &options);
    }
}

void oracle_load_send(struct oracle_load *load, struct rask *s)
{
    static const char *const methods[] = {"ok", "ok", "ok", "ok", "ok", "ok", "slow", "stoppable"};
    uint64_t *seed = &load->seed, kind = kit_random(seed, 16);
    uint32_t bytes = 8 + (uint32_t)kit_random(seed, kind < 8 ? 25 : kind < 15 ? 3000 : BYTES_MAX);
    uint64_t deadline_ns = kit_random(seed, 10) == 0 ? rask_now_ns() + kit_random(seed, 5 * KIT_MS) : 0;
    uint64_t ticket =
        oracle_submit(load->o, s, methods[kit_random(seed, 8)], (uint32_t)kit_random(seed, 3), bytes, deadline_ns);
    if (kit_random(seed, 20) == 0) rask_cancel(s, ticket);
}

void oracle_load_turn(struct oracle_load *load)
{
    if (load->o->ledger.next > LEDGER_NUMBERS - ORACLE_SESSIONS_MAX * load->depth) {
        oracle_load_drain(load);
        oracle_check(load->o);
    }
    for (unsigned i = 0; i < load->sessions; i++) {
        struct rask *s = load->session[i];
        while (rask_pending(s) < load->depth) oracle_load_send(load, s);
        /* A thread with several sessions can sleep in one of them alone, and not for long. */
        uint64_t wait_ns = load->sessions == 1 ? ORACLE_PATIENCE_NS : KIT_MS / 2;
        oracle_take(load->o, s, kit_random(&load->seed, 8) == 0 ? wait_ns : 0);
    }
}

void oracle_load_drain(struct oracle_load *load)
{
    for (unsigned i = 0; i < load->sessions; i++)
        while (rask_pending(load->session[i]) > 0) oracle_take(load->o, load->session[i], ORACLE_PATIENCE_NS);
}

void oracle_load_close(struct oracle_load *load)
{
    oracle_load_drain(load);
    for (unsigned i = 0; i < load->sessions; i++) oracle_leave(load->o, load->session[i]);
}

void oracle_warm(struct oracle *o, struct rask *s, uint32_t lanes)
{
    struct rask_info info = {.size = sizeof(info)};
    for (unsigned i = 0; i < 200 && info.lanes_open < lanes; i++) {
        for (unsigned k = 0; k < 8; k++) oracle_submit(o, s, "slow", 2, 64, 0);
        while (rask_pending(s) > 0) oracle_take(o, s, ORACLE_PATIENCE_NS);
        rask_info(s, &info);
    }
    assert_int_equal(info.lanes_open, lanes);
}

/* In a thread: no asserts. */
static void *kill_workers(void *argument)
{
    struct oracle_killer *killer = argument;
    while (killer->kills > 0) {
        pid_t pids[64];
        uint64_t gap_us = killer->gap_us_min + kit_random(&killer->seed, killer->gap_us_max - killer->gap_us_min + 1);
        usleep((useconds_t)gap_us);
        unsigned count = kit_workers(killer->supervisor, pids, 64);
        if (count == 0) continue;
        pid_t victim = pids[kit_random(&killer->seed, count)];
        oracle_death(killer->o, victim);
        killer->kills -= kill(victim, SIGKILL) == 0;
    }
    __atomic_store_n(&killer->done, true, __ATOMIC_RELEASE);
    return NULL;
}

void oracle_killer_start(struct oracle_killer *killer)
{
    assert_int_equal(pthread_create(&killer->thread, NULL, kill_workers, killer), 0);
}

bool oracle_killer_done(const struct oracle_killer *killer)
{
    return __atomic_load_n(&killer->done, __ATOMIC_ACQUIRE);
}

void oracle_killer_join(struct oracle_killer *killer)
{
    pthread_join(killer->thread, NULL);
}

uint32_t oracle_scale(const char *variable, uint32_t usual, unsigned seconds)
{
    const char *wanted = getenv(variable);
    if (!wanted) return usual;
    uint32_t count = (uint32_t)strtoul(wanted, NULL, 10);
    assert_true(count > 0);
    alarm(seconds);
    print_message("%s=%u instead of %u\n", variable, count, usual);
    return count;
}
