/* SPDX-License-Identifier: MIT */
/* See caller.h. The ladder is the serve loop's: spin for the budget, then sleep; the argument that no ring is lost is in bell.h. */
#include "caller.h"
#include "clock.h"
#include "worker_state.h"
#include <errno.h>

/** A cancel mark is in the caller's memory and rings no bell: it is looked for this often. */
#define LOOK_NS 10000000u
/** Where the caller does not ring, at first and at most. */
#define PAUSE_NS_MIN 20000u
#define PAUSE_NS_MAX 1000000u
/** Mode spin: looks between two readings of the clock. */
#define LOOKS_PER_CLOCK 4096u

/** What ends the wait but the thing itself. 0: nothing yet. */
static int interrupted(struct rk_worker *worker, struct rk_handling *handling, uint64_t deadline_ns)
{
    struct rk_served *served = handling->served;
    if (rk_worker_called(worker)) {
        worker->in_handler = true; /* no session may go yet */
        rk_worker_control(worker);
        worker->in_handler = false;
    }
    if (served->gone) return -EPIPE;
    if (rk_handling_stops(handling)) return -ECANCELED;
    return rask_now_ns() >= deadline_ns ? -ETIMEDOUT : 0;
}

/** One sleep; the caller's ring ends it. */
static void park(struct rk_worker *worker, struct rk_handling *handling, rk_caller_ready ready, uint64_t until_ns)
{
    struct rk_served *served = handling->served;
    uint64_t *state = &served->response_header->worker.state;
    struct rk_wait_word words[] = {
        {(uint32_t *)(uintptr_t)worker->control_word, worker->control_seen},
        /* SYNC R10 acquire: read before the announcement and the second look */
        {served->own_bell, rk_load_acquire(served->own_bell)},
    };
    rk_nap_begin(&worker->nap);
    rk_nap_barrier(rk_nap_announce(&worker->nap, state));
    if (!ready(handling) && !rk_worker_called(worker)) rk_bell_wait(words, 2, until_ns);
    rk_park_withdraw(state);
}

/** Nobody rings: look again a little later. */
static void pause_for(const struct rk_worker *worker, uint64_t ns)
{
    struct rk_wait_word word = {(uint32_t *)(uintptr_t)worker->control_word, worker->control_seen};
    rk_bell_wait(&word, 1, rk_deadline_after(ns));
}

/** Look for a while. */
static bool spin(const struct rk_worker *worker, struct rk_handling *handling, rk_caller_ready ready, uint32_t looks)
{
    for (uint32_t i = 0; i < looks; i++) {
        if (ready(handling)) return true;
        if (rk_worker_called(worker)) break;
        rk_pause();
    }
    return false;
}

int rk_caller_wait(struct rk_handling *handling, rk_caller_ready ready, bool rings, uint64_t timeout_ns)
{
    struct rk_worker *worker = handling->worker;
    bool only_spins = worker->ladder.spins == UINT32_MAX;
    uint32_t looks = only_spins ? LOOKS_PER_CLOCK : rk_ladder_spins(&worker->ladder) ? worker->ladder.spins : 0;
    if (RK_LIKELY(spin(worker, handling, ready, looks))) return 0; /* the usual case reads no clock */
    uint64_t deadline_ns = rk_deadline_after(timeout_ns != 0 ? timeout_ns : worker->config.caller_timeout_ns);
    uint64_t pause_ns = PAUSE_NS_MIN;
    if (handling->call.deadline_ns != 0) deadline_ns = rk_earlier(deadline_ns, handling->call.deadline_ns);
    for (;;) {
        if (ready(handling)) return 0;
        int result = interrupted(worker, handling, deadline_ns);
        if (result != 0) return result;
        if (only_spins) {
            spin(worker, handling, ready, looks);
        } else if (rings) {
            park(worker, handling, ready, rk_earlier(deadline_ns, rk_deadline_after(LOOK_NS)));
        } else {
            pause_for(worker, pause_ns);
            pause_ns = pause_ns * 2 < PAUSE_NS_MAX ? pause_ns * 2 : PAUSE_NS_MAX;
        }
    }
}
