/* SPDX-License-Identifier: MIT */
/* The serve loop: looks at every session's next slot, runs handlers, waits when there is nothing to do.
 *
 * Several sessions share a worker by time, not by count: deficit round robin (Shreedhar and Varghese, 1995) with time as the
 * unit. A turn lasts QUANTUM_NS; what a session uses beyond it is its debt, and it is passed over while it owes a
 * quantum and others have work. With one session attached no clock is read. */
#include "clock.h"
#include "error.h"
#include "status.h"
#include "worker_state.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUANTUM_NS 50000u
#define TURN_REQUESTS_MAX 256u
/** A sleeping worker looks by itself this often; what it finds then was a lost wake-up and is counted. */
#define RESCUE_NS 2000000000u
#define EXIT_FORKED 125

static bool serveable(const struct rk_served *served)
{
    return served->open && !served->stalled && rk_served_ready(served);
}

/** A private copy of the request, for handlers that do not cope with bytes that change. NULL: out of memory. */
static const void *snapshot(struct rk_worker *worker, const struct rk_taken *request)
{
    if (request->length > worker->snapshot_bytes) {
        uint8_t *bigger = realloc(worker->snapshot, request->length);
        if (bigger == NULL) return NULL;
        worker->snapshot = bigger;
        worker->snapshot_bytes = request->length;
    }
    return memcpy(worker->snapshot, request->data, request->length);
}

static void mark_running(struct rk_worker *worker, const struct rk_served *served, const struct rk_taken *request)
{
    struct rk_status_page *page = worker->page;
    rk_store_relaxed(&page->ticket, request->ticket);
    rk_store_relaxed(&page->session, served->id);
    rk_store_relaxed(&page->method, (uint32_t)request->method);
    /* SYNC R9 release: pairs with the readers of the status page */
    rk_store_release(&page->epoch, page->epoch + 1);
}

static void mark_done(struct rk_worker *worker, int code)
{
    struct rk_status_page *page = worker->page;
    rk_store_release(&page->epoch, page->epoch + 1);
    rk_store_relaxed(&page->requests, page->requests + 1);
    if (code != 0) rk_store_relaxed(&page->handler_errors, page->handler_errors + 1);
}

static uint32_t status_of(int code, const struct rk_handling *handling)
{
    if (RK_LIKELY(code == 0 && !handling->too_large)) return RASK_OK;
    if (handling->too_large) return RASK_REPLY_TOO_LARGE;
    return code == -ECANCELED && handling->asked_to_stop ? RASK_ABORTED : RASK_HANDLER_ERROR;
}

static void handle(struct rk_worker *worker, struct rk_served *served, const struct rk_taken *request)
{
    struct rk_handling handling = {
        .call =
            {
                .host = &worker->host.table,
                .state = worker->plugin_state,
                .request = request->data,
                .request_bytes = request->length,
                .deadline_ns = request->deadline_ns,
            },
        .served = served,
        .cancel = request->cancel,
        .block = RK_BLOCK_NONE,
    };
    mark_running(worker, served, request);
    int code = worker->plugin->methods[request->method].handle(&handling.call);
    if (RK_UNLIKELY(rk_load_relaxed(worker->fork_guard) == 0)) _exit(EXIT_FORKED); /* the handler's forked child */
    mark_done(worker, code);
    uint32_t status = status_of(code, &handling);
    rk_served_respond(served, request, status, status == RASK_HANDLER_ERROR ? code : 0, &handling);
}

/** Everything between taking a request and its response. */
static void serve(struct rk_worker *worker, struct rk_served *served, struct rk_taken *request)
{
    uint32_t refused = RASK_OK;
    if (RK_UNLIKELY(request->method >= worker->plugin->method_count))
        refused = RASK_NO_METHOD;
    else if (RK_UNLIKELY(request->deadline_ns != 0) && rask_now_ns() > request->deadline_ns)
        refused = RASK_EXPIRED;
    else if (request->data != request->bytes &&
             (served->snapshot || !(worker->plugin->flags & RASK_PLUGIN_SHARED_REQUEST))) {
        request->data = snapshot(worker, request);
        if (request->data == NULL) refused = RASK_OVERLOADED;
    }
    if (RK_LIKELY(refused == RASK_OK))
        handle(worker, served, request);
    else
        rk_served_respond(served, request, refused, 0, NULL);
}

/** One request of one session. False: nothing done, or the session is gone. */
static bool serve_next(struct rk_worker *worker, struct rk_served *served)
{
    struct rk_taken request;
    switch (rk_served_take(served, &request)) {
    case RK_TAKE_REQUEST:
        serve(worker, served, &request);
        return true;
    case RK_TAKE_SKIPPED:
        return true;
    case RK_TAKE_STALLED: /* sent before the request was published, so it is there or on its way */
        rk_worker_control(worker);
        return false;
    case RK_TAKE_BAD:
        rk_worker_reject(worker, served, rask_last_error());
        return false;
    case RK_TAKE_NONE:
        break;
    }
    return false;
}

static bool turn_alone(struct rk_worker *worker, struct rk_served *served)
{
    bool served_any = false;
    for (uint32_t i = 0; i < TURN_REQUESTS_MAX && serve_next(worker, served); i++) {
        served_any = true;
        if (rk_worker_called(worker)) break;
    }
    return served_any;
}

/** A turn in company: until the quantum is used up. The clock is read after 1, 2, 4 ... requests. */
static bool turn_shared(struct rk_worker *worker, struct rk_served *served)
{
    uint32_t id = served->id;
    uint64_t start_ns = rask_now_ns();
    uint64_t used_ns = 0;
    uint32_t done = 0, next_look = 1;
    while (done < TURN_REQUESTS_MAX && serve_next(worker, served)) {
        if (++done < next_look) continue;
        next_look *= 2;
        used_ns = rask_now_ns() - start_ns;
        if (used_ns >= QUANTUM_NS || rk_worker_called(worker)) break;
    }
    if (used_ns <= QUANTUM_NS) return done > 0;
    for (uint32_t i = 0; i < worker->session_count; i++) /* it may have been rejected meanwhile */
        if (worker->sessions[i]->id == id) worker->sessions[i]->debt_ns += used_ns - QUANTUM_NS;
    return true;
}

/** One look at every session. True if a request was served. */
static bool round_of_turns(struct rk_worker *worker)
{
    if (worker->session_count == 1) return serveable(worker->sessions[0]) && turn_alone(worker, worker->sessions[0]);
    bool served_any = false, passed_over = false;
    uint32_t count = worker->session_count;
    uint32_t start = count > 0 ? worker->first++ % count : 0;
    for (uint32_t i = 0; i < count && worker->session_count == count; i++) {
        struct rk_served *served = worker->sessions[(start + i) % count];
        if (!serveable(served)) continue;
        if (served->debt_ns >= QUANTUM_NS) {
            served->debt_ns -= QUANTUM_NS;
            passed_over = true;
            continue;
        }
        served_any |= turn_shared(worker, served);
    }
    if (passed_over && !served_any) /* nobody else wants the time */
        for (uint32_t i = 0; i < worker->session_count; i++) worker->sessions[i]->debt_ns = 0;
    return served_any || passed_over;
}

static bool anything(const struct rk_worker *worker)
{
    if (rk_worker_called(worker)) return true;
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (serveable(worker->sessions[i])) return true;
    return false;
}

/** Sleep until a client or the supervisor rings; the argument that no ring is lost is in bell.h. */
static void park(struct rk_worker *worker)
{
    struct rk_wait_word words[RK_WAIT_WORDS_MAX];
    uint32_t count = 0;
    words[count++] = (struct rk_wait_word){(uint32_t *)(uintptr_t)worker->control_word, worker->control_seen};
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct rk_served *served = worker->sessions[i];
        if (!served->open) continue;
        /* SYNC R10 acquire: read before the announcement and the second look */
        words[count++] = (struct rk_wait_word){served->own_bell, rk_load_acquire(served->own_bell)};
        rk_park_announce(&served->response_header->worker.state);
    }
    rk_park_barrier();
    int result = 0;
    if (!anything(worker)) {
        rk_store_relaxed(&worker->page->parks, worker->page->parks + 1);
        result = rk_bell_wait(words, count, rk_deadline_after(RESCUE_NS));
    }
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (worker->sessions[i]->open) rk_park_withdraw(&worker->sessions[i]->response_header->worker.state);
    if (result == -ETIMEDOUT && anything(worker)) rk_store_relaxed(&worker->page->rescues, worker->page->rescues + 1);
}

int rk_worker_serve(struct rk_worker *worker)
{
    const struct rk_ladder *ladder = &worker->ladder;
    uint32_t looks = 0;
    rk_worker_stage(worker, RK_STAGE_SERVING);
    for (;;) {
        if (RK_UNLIKELY(rk_worker_called(worker))) rk_worker_control(worker);
        if (RK_UNLIKELY(worker->stopping)) break;
        if (round_of_turns(worker)) {
            looks = 0;
        } else if (looks < ladder->spins) {
            looks += ladder->spins != UINT32_MAX;
            rk_pause();
        } else if (looks < ladder->spins + ladder->yields) {
            looks++;
            sched_yield();
        } else {
            park(worker);
            looks = 0;
        }
    }
    rk_worker_stage(worker, RK_STAGE_DRAINING);
    if (worker->plugin->drain != NULL) worker->plugin->drain(worker->plugin_state);
    if (worker->plugin->close != NULL) worker->plugin->close(worker->plugin_state);
    rk_worker_stage(worker, RK_STAGE_STOPPED);
    return 0;
}
