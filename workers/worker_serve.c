/* SPDX-License-Identifier: MIT */
/* The serve loop: looks at every session's next slot, runs handlers, waits when there is nothing to do.
 *
 * Several sessions share a worker by time, not by count: deficit round robin (Shreedhar and Varghese, 1995) with time as the
 * unit. A turn lasts QUANTUM_NS; what a session uses beyond it is its debt, and it is passed over while it owes a
 * quantum and others have work. With one session attached no clock is read. */
#include "clock.h"
#include "error.h"
#include "log.h"
#include "spread.h"
#include "worker_state.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUANTUM_NS 50000u
#define TURN_REQUESTS_MAX 256u
/** When it stops: how long it waits for a segment that was announced, and how often it looks. */
#define FINISH_NS 1000000000u
#define FINISH_LOOK_NS 10000000u
/** The bell of a sleeping client is held back at most this long, and only where requests take less than that:
 * RK_HOLD_SERVICE_NS. */
#define HOLD_NS 20000u
#define EXIT_FORKED 125
#define SNAPSHOT_BYTES_MIN 4096u

/** A private copy of the request, for handlers that do not cope with bytes that change. NULL: out of memory. */
static const void *snapshot(struct rk_worker *worker, const struct rask_call *call)
{
    if (worker->snapshot == NULL || call->request_bytes > worker->snapshot_bytes) {
        size_t bytes = call->request_bytes > SNAPSHOT_BYTES_MIN ? call->request_bytes : SNAPSHOT_BYTES_MIN;
        uint8_t *bigger = realloc(worker->snapshot, bytes);
        if (bigger == NULL) return NULL;
        worker->snapshot = bigger;
        worker->snapshot_bytes = bytes;
    }
    return memcpy(worker->snapshot, call->request, call->request_bytes);
}

static uint32_t status_of(int code, const struct rk_handling *handling)
{
    if (handling->too_large) return RASK_REPLY_TOO_LARGE;
    if (code == 0) return RASK_OK;
    return code == -ECANCELED && handling->asked_to_stop ? RASK_ABORTED : RASK_HANDLER_ERROR;
}

/** Other sessions choose other workers meanwhile, where that is worth it (lib/spread.h). `since_ns` 0: over. */
static void tell_others(struct rk_worker *worker, const struct rk_served *served, uint64_t since_ns)
{
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct rk_served *other = worker->sessions[i];
        if (other != served && other->open) rk_store_relaxed(&other->response_header->others_since_ns, since_ns);
    }
}

/** Run the handler between two steps of the epoch: odd means inside. */
static void handle(struct rk_worker *worker, struct rk_served *served)
{
    struct rk_handling *handling = &worker->handling;
    struct rk_status_page *page = worker->page;
    uint64_t epoch = worker->epoch;
    page->session = served->id;
    page->method = handling->method;
    page->deadline_ns = handling->call.deadline_ns;
    page->ticket = served->position << 32 | handling->ticket; /* where crash capture finds the request */
    RK_STEP(STATUS_PAGE);
    /* SYNC R9 release: pairs with the readers of the status page */
    rk_store_release(&page->epoch, epoch + 1);
    RK_STEP(EPOCH_ODD);
    bool tells = RK_UNLIKELY(worker->service_ns >= RK_LATE_NS) && worker->session_count > 1;
    if (RK_UNLIKELY(tells)) tell_others(worker, served, rask_now_ns());
    int code = RK_LIKELY(--worker->until_sample != 0) ? rk_worker_run(worker) : rk_worker_sample(worker);
    RK_STEP(HANDLED);
    if (RK_UNLIKELY(rk_load_relaxed(worker->fork_guard) == 0)) _exit(EXIT_FORKED); /* the handler's forked child */
    if (RK_UNLIKELY(tells)) tell_others(worker, served, 0);
    if (RK_UNLIKELY(handling->asks)) rk_asking_reset(handling); /* the room is of this session */
    if (RK_UNLIKELY(handling->kind != RK_REQUEST_CALL)) rk_streams_ran(worker, served, code);
    uint32_t status = RK_LIKELY(code == 0 && !handling->too_large) ? RASK_OK : status_of(code, handling);
    rk_served_reply(served, handling, status, status == RASK_HANDLER_ERROR ? code : 0);
    worker->epoch = epoch + 2;
    rk_store_release(&page->epoch, epoch + 2);
    RK_STEP(EPOCH_EVEN);
    if (RK_UNLIKELY(status != RASK_OK)) rk_store_relaxed(&page->handler_errors, page->handler_errors + 1);
}

/** Reasons not to run the handler; RASK_OK: none; RASK_STATUS_COUNT: the client broke the rules. */
static uint32_t refusal(struct rk_worker *worker, struct rk_served *served)
{
    struct rk_handling *handling = &worker->handling;
    if (RK_UNLIKELY(handling->method >= worker->plugin->method_count)) return RASK_NO_METHOD;
    uint32_t refused = RK_UNLIKELY(handling->kind != RK_REQUEST_CALL) ? rk_streams_enter(worker, served) : RASK_OK;
    if (RK_UNLIKELY(refused != RASK_OK)) return refused;
    if (RK_UNLIKELY(handling->call.deadline_ns != 0) && rask_now_ns() > handling->call.deadline_ns) return RASK_EXPIRED;
    if (RK_LIKELY(!served->snapshot && worker->shares_requests)) return RASK_OK;
    handling->call.request = snapshot(worker, &handling->call);
    return handling->call.request != NULL ? RASK_OK : RASK_OVERLOADED;
}

static void refuse(struct rk_worker *worker, struct rk_served *served, uint32_t status)
{
    rk_store_relaxed(&worker->page->refused, worker->page->refused + 1);
    rk_served_refuse(served, &worker->handling, status);
}

/** Has the clock ticked since this was asked last? Then what was handled meanwhile may have taken long, whatever is usual. */
static bool ticked(struct rk_worker *worker)
{
    uint64_t before_ns = worker->tick_ns;
    worker->tick_ns = rk_tick_ns();
    return worker->tick_ns != before_ns;
}

/** A response is there, and its client may sleep. Where requests are quick and more of its own are here, one wake is enough for
 * all of them; a wake, and the switch of processes that often follows, is dearer than many requests. */
static void ring_or_hold(struct rk_worker *worker, struct rk_served *served)
{
    bool quick = worker->service_ns > 0 && worker->service_ns < RK_HOLD_SERVICE_NS;
    if (quick && rk_served_ready(served) && !ticked(worker) && rk_served_hold(served, HOLD_NS)) return;
    rk_served_ring(served);
}

/** The next request of a session, if there is one. False: nothing done, or the session is gone. */
static bool serve_next(struct rk_worker *worker, struct rk_served *served)
{
    if (!rk_served_ready(served)) return false;
    enum rk_take taken = rk_served_take(served, &worker->handling);
    if (RK_LIKELY(taken == RK_TAKE_REQUEST)) {
        uint32_t refused = refusal(worker, served);
        if (RK_LIKELY(refused == RASK_OK))
            handle(worker, served);
        else if (refused == RASK_STATUS_COUNT)
            rk_worker_reject(worker, served, rask_last_error());
        else
            refuse(worker, served, refused);
        if (RK_UNLIKELY(refused == RASK_STATUS_COUNT)) return false;
        if (RK_UNLIKELY(worker->drops) && !rk_worker_drop_gone(worker, served)) return false;
    } else if (RK_UNLIKELY(taken == RK_TAKE_SKIPPED && worker->handling.kind == RK_REQUEST_OPEN)) {
        if (!rk_streams_skipped(served, &worker->handling)) {
            rk_worker_reject(worker, served, rask_last_error());
            return false;
        }
    } else if (taken == RK_TAKE_STALLED) { /* sent before the request was published, so it is there or on its way */
        rk_served_ring(served);
        rk_worker_control(worker);
        return false;
    } else if (taken == RK_TAKE_BAD) {
        rk_worker_reject(worker, served, rask_last_error());
        return false;
    }
    if (RK_UNLIKELY(served->ring_due)) ring_or_hold(worker, served);
    RK_STEP(RESPONSE_RUNG);
    return true;
}

static bool turn_alone(struct rk_worker *worker, struct rk_served *served)
{
    served->apart = rk_ladder_meets(&worker->ladder);
    for (uint32_t i = 0; i < TURN_REQUESTS_MAX; i++) {
        if (!serve_next(worker, served)) return i > 0;
        if (rk_worker_called(worker)) break;
        if (served->apart && rk_run_over(&served->run, served->position, rk_served_unread(served))) break;
    }
    rk_served_ring(served);
    return true;
}

/** A turn in company: until the quantum is used up. The clock is read after 1, 2, 4 ... requests. */
static bool turn_shared(struct rk_worker *worker, struct rk_served *served)
{
    uint64_t start_ns = rask_now_ns(), used_ns = 0;
    uint32_t next_look = 1;
    served->apart = rk_ladder_meets(&worker->ladder);
    for (uint32_t i = 0; i < TURN_REQUESTS_MAX; i++) {
        if (!serve_next(worker, served)) return i > 0; /* the session may be gone */
        if (i + 1 < next_look) continue;
        next_look *= 2;
        used_ns = rask_now_ns() - start_ns;
        if (used_ns >= QUANTUM_NS || rk_worker_called(worker)) break;
    }
    rk_served_ring(served);
    if (used_ns > QUANTUM_NS) served->debt_ns += used_ns - QUANTUM_NS;
    return true;
}

/** One look at every session. True if a request was served. */
static bool round_of_turns(struct rk_worker *worker)
{
    if (worker->session_count == 1)
        return rk_served_serveable(worker->sessions[0]) && turn_alone(worker, worker->sessions[0]);
    bool served_any = false, passed_over = false;
    uint32_t count = worker->session_count;
    uint32_t start = count > 0 ? worker->first++ % count : 0;
    for (uint32_t i = 0; i < count && worker->session_count == count; i++) {
        struct rk_served *served = worker->sessions[(start + i) % count];
        if (!rk_served_serveable(served)) continue;
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

/** Busy for long: clients need not fence any more, but for those that must for good. */
static void lighten(struct rk_worker *worker)
{
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct rk_served *served = worker->sessions[i];
        if (served->open && !served->fenced) rk_park_lighten(&served->response_header->worker.state);
    }
}

/** A wait ended without a sleep. */
static inline void note_awake(struct rk_worker *worker, bool spun, bool yielded)
{
    if (spun) rk_ladder_found(&worker->ladder, yielded);
    if (rk_nap_awake(&worker->nap)) lighten(worker);
}

/** Its client has enough to read: let it write some requests before they are looked at. */
static void gather(struct rk_served *served)
{
    uint64_t unread = rk_served_unread(served);
    if (RK_LIKELY(unread < RK_RUN_DEEP) || !served->apart || !served->open || served->stalled) return;
    struct rk_reading at = rk_served_reading(served);
    if (served->run.sure <= at.position) rk_run_gather(&served->run, &at, unread);
}

/** Look at most `looks` times whether there is something to do. */
static void spin(const struct rk_worker *worker, uint32_t looks)
{
    if (worker->session_count == 1) gather(worker->sessions[0]);
    for (uint32_t i = 0; i < looks && !rk_worker_anything(worker); i++) rk_pause();
}

/** Was its next request entered, and waits for its segment, or for its turn since that came? */
static bool entered(const struct rk_served *served)
{
    return served->open && rk_load_relaxed(&served->response_header->taken) > served->position;
}

/** Wait a little for the segment of a session. False: it has not come, or the sessions are others now. */
static bool await_segment(struct rk_worker *worker, uint32_t place)
{
    const struct rk_served *served = worker->sessions[place];
    struct rk_wait_word word = {(uint32_t *)(uintptr_t)worker->control_word, worker->control_seen};
    if (!served->stalled) return true;
    rk_bell_wait(&word, 1, rk_deadline_after(FINISH_LOOK_NS));
    rk_worker_control(worker);
    return place < worker->session_count && worker->sessions[place] == served && !served->stalled;
}

/** A request that was entered is not left behind: its sender could not know whether it ran. Its segment may still be on its way,
 * or have come with the message that ended the loop. */
static void finish_entered(struct rk_worker *worker)
{
    uint64_t deadline_ns = rk_deadline_after(FINISH_NS);
    for (uint32_t i = 0; i < worker->session_count;) {
        struct rk_served *served = worker->sessions[i];
        uint32_t count = worker->session_count;
        if (!entered(served)) {
            i++;
            continue;
        }
        if (rask_now_ns() >= deadline_ns) return;
        if (await_segment(worker, i) && serve_next(worker, served)) rk_served_ring(served);
        if (worker->session_count != count) i = 0; /* they have moved */
    }
}

int rk_worker_serve(struct rk_worker *worker)
{
    const struct rk_ladder *ladder = &worker->ladder;
    uint32_t yields = 0;
    bool slept = false;
    rk_worker_woke(worker);
    rk_worker_stage(worker, RK_STAGE_SERVING);
    for (;;) {
        bool spins = rk_ladder_spins(ladder) && !slept;
        if (RK_LIKELY(spins && yields == 0)) spin(worker, ladder->spins);
        if (RK_UNLIKELY(rk_worker_called(worker))) rk_worker_control(worker);
        if (RK_UNLIKELY(worker->stopping || (worker->leaving && worker->page->streams == 0))) break;
        if (round_of_turns(worker)) {
            if (!slept) note_awake(worker, spins, yields > 0);
            slept = false;
            yields = 0;
            if (RK_UNLIKELY(worker->epoch >= worker->spent_epoch)) rk_worker_ask_replacement(worker);
        } else if (ladder->spins == UINT32_MAX) {
            continue;
        } else if (spins && yields < ladder->yields) {
            yields++;
            sched_yield();
        } else {
            rk_worker_park(worker, !slept);
            slept = true;
            yields = 0;
        }
    }
    finish_entered(worker);
    rk_worker_stage(worker, RK_STAGE_DRAINING);
    for (uint32_t i = 0; i < worker->session_count; i++) rk_streams_close_all(worker, worker->sessions[i]);
    if (worker->plugin->drain != NULL) worker->plugin->drain(worker->plugin_state);
    if (worker->plugin->close != NULL) worker->plugin->close(worker->plugin_state);
    rk_worker_stage(worker, RK_STAGE_STOPPED);
    return 0;
}
