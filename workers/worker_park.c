/* SPDX-License-Identifier: MIT */
/* How a worker sleeps: announced to every session, on all their bells and the supervisor's word at once. */
#include "clock.h"
#include "log.h"
#include "worker_state.h"
#include <errno.h>

/** A sleeping worker looks by itself this often; what it finds then was a lost wake-up and is counted. */
#define RESCUE_NS 2000000000u
/** A worker of one session that woke up twice within this time sleeps on that session's bell alone first, for as long. */
#define BRISK_NS 4000000u

/** Nothing to do is the time to say what went unsaid. */
static void before_sleep(struct rk_worker *worker)
{
    rk_store_relaxed(&worker->page->parks, worker->page->parks + 1);
    if (worker->page->queue_depth != 0) rk_store_relaxed(&worker->page->queue_depth, 0);
    worker->counted_ns = 0;
    if (worker->page->streams != 0) rk_streams_look(worker);
    if (rk_log_owes()) rk_log_settle();
    rk_store_relaxed(&worker->page->log_dropped, rk_log_dropped());
}

/** Announce on every open session and note its bell. Returns how many words there are; `*heavy`: which barrier. */
static uint32_t announce(struct rk_worker *worker, bool *heavy)
{
    struct rk_wait_word *words = worker->words;
    uint32_t count = 0;
    *heavy = false;
    words[count++] = (struct rk_wait_word){(uint32_t *)(uintptr_t)worker->control_word, worker->control_seen};
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct rk_served *served = worker->sessions[i];
        if (!served->open) continue;
        /* SYNC R10 acquire: read before the announcement and the second look */
        words[count++] = (struct rk_wait_word){served->own_bell, rk_load_acquire(served->own_bell)};
        *heavy |= rk_nap_announce(&worker->nap, &served->response_header->worker.state);
    }
    return count;
}

/** One system call for the supervisor's word, every session's bell and the time limit. The limit is set once per RESCUE_NS
 * and not per sleep, so that falling asleep needs no clock.
 *
 * A sleep on one word costs the kernel a quarter less than one on two, of which this process may not write the first. So where
 * the next request is likely to come soon, the supervisor's messages wait for it, or for BRISK_NS. */
static int sleep_on(struct rk_worker *worker, uint32_t count)
{
    if (count == 2 && worker->brisk) {
        int result = rk_bell_wait(&worker->words[1], 1, worker->woke_ns + BRISK_NS);
        if (result != -ETIMEDOUT) return result;
    }
    if (worker->rescue_ns == 0) worker->rescue_ns = rk_deadline_after(RESCUE_NS);
    int result = count <= RK_WAIT_WORDS_MAX ? rk_bell_wait(worker->words, count, worker->rescue_ns)
                                            : rk_crowd_wait(worker->crowd, worker->words, count, worker->rescue_ns);
    if (result == -ETIMEDOUT) worker->rescue_ns = 0;
    return result;
}

/** Nothing rang although something is there: a moment later still not? Then a wake-up was lost. */
static void look_after_timeout(struct rk_worker *worker, uint32_t count)
{
    if (!rk_worker_anything(worker)) return;
    uint32_t first = count < RK_WAIT_WORDS_MAX ? count : RK_WAIT_WORDS_MAX;
    if (rk_bell_lost(worker->words, first)) rk_store_relaxed(&worker->page->rescues, worker->page->rescues + 1);
}

void rk_worker_park(struct rk_worker *worker, bool first)
{
    bool heavy;
    rk_nap_begin(&worker->nap);
    uint32_t count = announce(worker, &heavy);
    RK_STEP(WORKER_PARKED);
    rk_nap_barrier(heavy);
    RK_STEP(WORKER_BARRIER);
    if (!rk_worker_anything(worker)) {
        uint64_t start_ns = first && rk_ladder_times(&worker->ladder) ? rask_now_ns() : 0;
        before_sleep(worker);
        int result = sleep_on(worker, count);
        uint64_t woke_before_ns = worker->woke_ns, woke_ns = rk_worker_woke(worker);
        worker->brisk = woke_ns - woke_before_ns < BRISK_NS;
        if (first) rk_ladder_slept(&worker->ladder, start_ns != 0 ? woke_ns - start_ns : 0);
        if (result == -ETIMEDOUT) look_after_timeout(worker, count);
    }
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (worker->sessions[i]->open) rk_park_withdraw(&worker->sessions[i]->response_header->worker.state);
    RK_STEP(WORKER_AWAKE);
}
