/* SPDX-License-Identifier: MIT */
/* Poll, wait, release: how a caller gets its completions. The only place where a client sleeps. */
#include "batch.h"
#include "clock.h"
#include "error.h"
#include "events.h"
#include "lease.h"
#include "session.h"
#include "stream.h"
#include "upcall.h"
#include <errno.h>
#include <sched.h>

/** Looks between two readings of the clock while spinning, when something depends on the time. */
#define LOOKS_PER_CLOCK 1024u
/** Polls that found nothing between two readings of the clock. */
#define POLLS_PER_CLOCK 64u

uint64_t rask_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/** Is what is waited for there? `ticket` NULL: anything that finished after `finished`. */
static bool done(const struct rask *s, const struct rk_ticket *ticket, uint64_t finished)
{
    return (ticket != NULL ? ticket->state == RK_TICKET_DONE : s->finished != finished) || rk_callbacks_due(s);
}

/** Does a worker hold our bell back for some responses more? Then a look that finds one was no rescue. */
static bool held_back(const struct rask *s)
{
    for (uint32_t i = 0; i < s->open_count; i++)
        if (rk_load_relaxed(&s->lanes[s->open_lanes[i]].header->holding) != 0) return true;
    return false;
}

/** Sleep until a worker or the supervisor rings, or something is due; the argument is in bell.h. `first`: of this wait, so
 * the ladder learns from it. 0 or -EINTR. */
static int park(struct rask *s, uint64_t deadline_ns, bool first)
{
    uint64_t *state = &s->header->client.state;
    /* SYNC R10 acquire: read before the announcement and the second look */
    struct rk_wait_word word = {s->client_bell, rk_load_acquire(s->client_bell)};
    rk_nap_begin(&s->nap);
    bool heavy = rk_nap_announce(&s->nap, state);
    RK_STEP(CLIENT_PARKED);
    rk_nap_barrier(heavy);
    RK_STEP(CLIENT_BARRIER);
    int result = 0;
    if (!rk_session_anything(s)) {
        uint64_t start_ns = first && rk_ladder_times(&s->ladder) ? rask_now_ns() : 0;
        s->parks++;
        result = rk_bell_wait(&word, 1, deadline_ns);
        if (first) rk_ladder_slept(&s->ladder, start_ns != 0 ? rask_now_ns() - start_ns : 0);
    }
    if (result == -ETIMEDOUT && rk_session_anything(s) && !held_back(s) && rk_bell_lost(&word, 1) && !held_back(s))
        s->rescues++;
    rk_park_withdraw(state);
    RK_STEP(CLIENT_AWAKE);
    return result == -EINTR ? result : 0;
}

/** Something came without a sleep; a client that sleeps often and then is busy for long goes back to the light barrier. */
static inline void note_awake(struct rask *s)
{
    if (rk_nap_awake(&s->nap) && !s->fenced && s->header != NULL) rk_park_lighten(&s->header->client.state);
}

/** The slow side of waiting: everything that needs the time. True when the deadline is over. */
static bool timed_out(struct rask *s, uint64_t deadline_ns)
{
    uint64_t now_ns = rask_now_ns();
    rk_session_tick(s, now_ns);
    return deadline_ns != 0 && now_ns >= deadline_ns;
}

void rk_session_gather(struct rask *s)
{
    if (s->open_count != 1 || !rk_ladder_meets(&s->ladder)) return;
    struct rk_lane *lane = &s->lanes[s->open_lanes[0]];
    uint32_t load = rk_lane_load(lane);
    if (RK_LIKELY(load < RK_RUN_DEEP)) return;
    struct rk_reading at = rk_lane_reading(lane);
    rk_run_gather(&lane->run, &at, load);
}

/** Look at most `looks` times at what is waited for: one lane when a single ticket is, else everything. Returns how often. */
static inline uint32_t spin(struct rask *s, const struct rk_ticket *ticket, uint32_t looks)
{
    bool one_lane = ticket != NULL && ticket->state == RK_TICKET_BOUND && s->asides == 0;
    const struct rk_lane *lane = one_lane ? &s->lanes[ticket->lane] : NULL;
    uint32_t i = 0;
    if (lane == NULL) rk_session_gather(s);
    for (; i < looks; i++) {
        if (lane != NULL ? rk_lane_ready(lane) || rk_session_called(s) : rk_session_anything(s)) break;
        rk_pause();
    }
    return i;
}

/** One caller and one worker, or one caller and everybody who works for it. */
static inline void share_processors(struct rask *s)
{
    uint32_t lanes = s->open_count < s->spread.lanes ? s->open_count : s->spread.lanes;
    uint32_t parties = 1 + (s->pending > 1 && lanes > 1 ? lanes : 1);
    if (RK_UNLIKELY(parties != s->ladder.parties)) rk_ladder_share(&s->ladder, parties);
}

int rk_session_wait(struct rask *s, const struct rk_ticket *ticket, uint64_t deadline_ns)
{
    struct rk_ladder *ladder = &s->ladder;
    share_processors(s);
    bool spins = rk_ladder_spins(ladder), slept = false;
    uint32_t left = spins ? ladder->spins : 0, yields = spins ? ladder->yields : 0;
    uint32_t disturbed = 0;
    uint64_t finished = s->finished;
    s->move_pause_ns = s->next_move_ns = 0;
    rk_batch_flush(s);
    if (RK_UNLIKELY(s->events != NULL)) rk_events_disturb(s); /* PARKED is ours now */
    for (;;) {
        uint32_t looks = left < LOOKS_PER_CLOCK ? left : LOOKS_PER_CLOCK;
        uint32_t looked = spin(s, ticket, looks);
        rk_progress(s);
        if (RK_LIKELY(done(s, ticket, finished))) break;
        if (left != UINT32_MAX) left -= looked;
        /* Something came, but not this. A worker that never lets off does not keep the time from passing. */
        if (looked < looks && ++disturbed % LOOKS_PER_CLOCK != 0) continue;
        if (left == 0 && yields > 0) {
            yields--;
            sched_yield();
            continue;
        }
        bool over = timed_out(s, deadline_ns);
        if (done(s, ticket, finished)) return 0;
        if (over) return -ETIMEDOUT;
        if (left != 0) continue;
        int result = park(s, rk_earlier(deadline_ns, rk_session_next_tick(s)), !slept);
        if (result != 0 && s->interruptible) return result;
        slept = true;
    }
    if (slept) return 0;
    if (RK_LIKELY(spins)) rk_ladder_found(ladder, yields < ladder->yields);
    note_awake(s);
    return 0;
}

void rk_completion_of(struct rask *s, struct rk_ticket *ticket, struct rask_completion *out)
{
    out->ticket = ticket->id;
    out->user_data = ticket->user_data;
    out->data = ticket->response;
    out->length = ticket->response_length;
    out->status = ticket->status;
    out->code = ticket->code;
    out->executed = ticket->executed;
    ticket->state = RK_TICKET_HELD;
    s->pending--;
}

uint32_t rk_run_callbacks(struct rask *s)
{
    uint32_t count = 0;
    struct rk_ticket *ticket;
    while ((ticket = rk_list_first(&s->tickets, &s->callbacks)) != NULL) {
        struct rask_completion completion;
        rask_read_fn read = ticket->read;
        rk_list_remove(&s->tickets, &s->callbacks, ticket);
        ticket->read = NULL;
        rk_completion_of(s, ticket, &completion);
        read(&completion, (void *)(uintptr_t)completion.user_data);
        rask_release(s, &completion);
        count++;
    }
    if (RK_UNLIKELY(s->asides_due > 0)) {
        uint32_t upcalls = rk_upcalls_run(s);
        /* A handler that asks again at once leaves no time for the looks at the clock. */
        if (upcalls > 0 && s->with_deadline > 0) rk_session_tick(s, rask_now_ns());
        count += upcalls;
        if (s->leases != NULL) count += rk_leases_tell(s);
    }
    return count;
}

/** Where completions go while the caller's array has room: first what is listed, then straight from the lanes. */
static void open_sink(struct rask *s, struct rask_completion *out, uint32_t max)
{
    s->sink = out;
    s->sink_room = max;
    s->sink_count = 0;
    note_awake(s);
    struct rk_ticket *ticket;
    while (RK_UNLIKELY(s->sink_room > 0 && (ticket = rk_list_first(&s->tickets, &s->ready)) != NULL)) {
        rk_list_remove(&s->tickets, &s->ready, ticket);
        ticket->flags &= (uint8_t)~RK_TICKET_LISTED;
        s->sink_room--;
        rk_completion_of(s, ticket, &out[s->sink_count++]);
    }
}

/** Closed before callbacks run: they may poll, too. */
static int close_sink(struct rask *s)
{
    uint32_t count = s->sink_count;
    s->sink_room = s->sink_count = 0;
    s->gathers = false;
    if (rk_callbacks_due(s)) rk_run_callbacks(s);
    return (int)count;
}

int rk_poll(struct rask *s, struct rask_completion *out, uint32_t max)
{
    rk_batch_flush(s);
    open_sink(s, out, max);
    rk_progress(s);
    if (s->sink_count == 0 && !rk_callbacks_due(s)) {
        /* A caller that only polls needs the rare looks, too; one that sleeps in its own loop wakes up for them. */
        if (s->with_deadline > 0 || ++s->empty_polls % POLLS_PER_CLOCK == 0 || s->events != NULL)
            rk_session_tick(s, rask_now_ns());
    }
    return close_sink(s);
}

int rask_poll(struct rask *s, struct rask_completion *out, uint32_t max)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    int count = rk_poll(s, out, max);
    if (RK_UNLIKELY(s->events != NULL)) rk_events_polled(s, count);
    return count;
}

int rask_wait_any(struct rask *s, struct rask_completion *out, uint32_t max, uint64_t deadline_ns)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (s->pending == 0) return rk_error(-ENODATA, "nothing is in flight");
    s->gathers = true;
    open_sink(s, out, max);
    rk_progress(s);
    int result = 0;
    /* What a stream had in flight may have ended just now, and nothing of it is for here. */
    if (s->sink_count == 0 && s->ready.count == 0 && !rk_callbacks_due(s) && s->pending > 0)
        result = rk_upcall_stuck(s) ? rk_refuse_deadlock() : rk_session_wait(s, NULL, deadline_ns);
    int count = close_sink(s);
    return result != 0 ? result : count;
}

/** Inside a function that a worker waits for: is this one, or are all, what the ticket needs? */
static bool waits_for_caller(const struct rask *s, const struct rk_ticket *ticket)
{
    if (ticket->state == RK_TICKET_BOUND) return s->lanes[ticket->lane].upcalling;
    return ticket->state == RK_TICKET_QUEUED && (rk_upcall_blocks(s) || rk_key_upcalling(s, ticket));
}

int rk_wait_for(struct rask *s, struct rk_ticket *ticket, uint64_t deadline_ns, struct rask_completion *out)
{
    uint64_t id = ticket->id;
    while (ticket->state != RK_TICKET_DONE) {
        if (RK_UNLIKELY(s->upcalls != NULL) && waits_for_caller(s, ticket)) return rk_refuse_deadlock();
        s->awaited = ticket;
        int result = rk_session_wait(s, ticket, deadline_ns);
        s->awaited = NULL;
        if (RK_UNLIKELY(result != 0)) return result;
        if (RK_LIKELY(!rk_callbacks_due(s))) continue;
        rk_run_callbacks(s); /* one of them may have taken the ticket */
        if (ticket->id != id || ticket->state == RK_TICKET_FREE || ticket->state == RK_TICKET_HELD) return -EINVAL;
        if (deadline_ns != 0 && ticket->state != RK_TICKET_DONE && rask_now_ns() >= deadline_ns) return -ETIMEDOUT;
    }
    if (ticket->flags & RK_TICKET_LISTED) {
        ticket->flags &= (uint8_t)~RK_TICKET_LISTED;
        rk_list_remove(&s->tickets, &s->ready, ticket);
    }
    rk_completion_of(s, ticket, out);
    return 0;
}

/** Items of streams end by themselves. */
static bool is_items(const struct rk_ticket *ticket)
{
    return (ticket->flags & RK_TICKET_SPECIAL) && (ticket->wishes & RK_WISH_STREAM);
}

int rask_wait(struct rask *s, uint64_t id, uint64_t deadline_ns, struct rask_completion *out)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, id);
    int result = -EINVAL;
    if (ticket != NULL && ticket->read == NULL && !(ticket->flags & RK_TICKET_PRIVATE) && !is_items(ticket) &&
        ticket->state >= RK_TICKET_QUEUED && ticket->state <= RK_TICKET_DONE)
        result = rk_wait_for(s, ticket, deadline_ns, out);
    if (result == -EINVAL) rk_error(result, "ticket %#llx is not in flight", (unsigned long long)id);
    return result;
}

/** Any but a plain one. */
__attribute__((noinline)) static void release(struct rask *s, uint64_t id)
{
    if (rk_session_forked(s)) return;
    if (RK_UNLIKELY(id & RK_ANSWER_BIT)) rk_answer_release(s, id);
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, id);
    if (ticket != NULL && ticket->state == RK_TICKET_HELD && !(ticket->flags & RK_TICKET_ORPHAN))
        rk_ticket_drop(s, ticket);
}

void rask_release(struct rask *s, struct rask_completion *completion)
{
    uint64_t id = completion->ticket;
    if (!rk_session_forked(s)) {
        completion->data = NULL;
        completion->length = 0;
    }
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, id);
    bool plain = ticket != NULL && ticket->state == RK_TICKET_HELD && (ticket->flags & ~RK_TICKET_PRIVATE) == 0;
    if (RK_UNLIKELY(!plain || ticket->block != RK_BLOCK_NONE || rk_session_forked(s)))
        release(s, id);
    else
        rk_ticket_put(&s->tickets, ticket);
}

int rask_cancel(struct rask *s, uint64_t id)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, id);
    if (ticket == NULL || (ticket->state != RK_TICKET_QUEUED && ticket->state != RK_TICKET_BOUND))
        return rk_error(-EINVAL, "ticket %#llx is not in flight", (unsigned long long)id);
    if (is_items(ticket))
        return rk_error(-EINVAL, "ticket %#llx is a stream's: rask_stream_cancel()", (unsigned long long)id);
    rk_settle_cancel(s, ticket);
    return 0;
}

uint32_t rask_pending(const struct rask *s)
{
    return s->pending;
}
