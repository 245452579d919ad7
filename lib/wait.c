/* SPDX-License-Identifier: MIT */
/* Poll, wait, release: how a caller gets its completions. The only place where a client sleeps. */
#include "clock.h"
#include "error.h"
#include "session.h"
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

static bool done(const struct rask *s, const struct rk_ticket *ticket)
{
    return s->callbacks.count > 0 || (ticket != NULL ? ticket->state == RK_TICKET_DONE : s->ready.count > 0);
}

/** Sleep until a worker or the supervisor rings, or something is due; the argument is in bell.h. */
static void park(struct rask *s, uint64_t deadline_ns)
{
    /* SYNC R10 acquire: read before the announcement and the second look */
    struct rk_wait_word word = {s->client_bell, rk_load_acquire(s->client_bell)};
    rk_park_announce(&s->header->client.state);
    rk_park_barrier();
    int result = 0;
    if (!rk_session_anything(s)) result = rk_bell_wait(&word, 1, deadline_ns);
    rk_park_withdraw(&s->header->client.state);
    if (result == -ETIMEDOUT && rk_session_anything(s)) s->rescues++;
}

/** The slow side of waiting: everything that needs the time. True when the deadline is over. */
static bool timed_out(struct rask *s, uint64_t deadline_ns)
{
    uint64_t now_ns = rask_now_ns();
    rk_session_tick(s, now_ns);
    return deadline_ns != 0 && now_ns >= deadline_ns;
}

int rk_session_wait(struct rask *s, const struct rk_ticket *ticket, uint64_t deadline_ns)
{
    const struct rk_ladder *ladder = &s->ladder;
    s->move_pause_ns = 0;
    for (uint32_t looks = 0;; looks++) {
        rk_progress(s);
        if (done(s, ticket)) return 0;
        if (looks < ladder->spins || ladder->spins == UINT32_MAX) {
            rk_pause();
            if (RK_LIKELY(looks % LOOKS_PER_CLOCK != LOOKS_PER_CLOCK - 1)) continue;
        } else if (looks < ladder->spins + ladder->yields) {
            sched_yield();
            continue;
        }
        bool over = timed_out(s, deadline_ns);
        if (done(s, ticket)) return 0;
        if (over) return -ETIMEDOUT;
        if (looks >= ladder->spins + ladder->yields && ladder->spins != UINT32_MAX)
            park(s, rk_earlier(deadline_ns, rk_session_next_tick(s)));
    }
}

void rk_completion_of(struct rask *s, struct rk_ticket *ticket, struct rask_completion *out)
{
    out->ticket = ticket->id;
    out->user_data = ticket->user_data;
    out->data = ticket->response != NULL ? ticket->response : ticket->bytes;
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
        rk_completion_of(s, ticket, &completion);
        read(&completion, (void *)(uintptr_t)completion.user_data);
        rask_release(s, &completion);
        count++;
    }
    return count;
}

static uint32_t deliver(struct rask *s, struct rask_completion *out, uint32_t max)
{
    uint32_t count = 0;
    struct rk_ticket *ticket;
    while (count < max && (ticket = rk_list_first(&s->tickets, &s->ready)) != NULL) {
        rk_list_remove(&s->tickets, &s->ready, ticket);
        rk_completion_of(s, ticket, &out[count++]);
    }
    return count;
}

int rask_poll(struct rask *s, struct rask_completion *out, uint32_t max)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    rk_progress(s);
    if (s->ready.count == 0 && s->callbacks.count == 0) {
        /* A caller that only polls needs the rare looks, too. */
        if (s->with_deadline > 0 || ++s->empty_polls % POLLS_PER_CLOCK == 0) rk_session_tick(s, rask_now_ns());
    }
    if (s->callbacks.count > 0) rk_run_callbacks(s);
    return (int)deliver(s, out, max);
}

int rask_wait_any(struct rask *s, struct rask_completion *out, uint32_t max, uint64_t deadline_ns)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (s->pending == 0) return rk_error(-ENODATA, "nothing is in flight");
    int result = rk_session_wait(s, NULL, deadline_ns);
    if (result != 0) return result;
    if (s->callbacks.count > 0) rk_run_callbacks(s);
    return (int)deliver(s, out, max);
}

/** The ticket if it can be waited for: submitted, not taken yet, not of a callback. */
static struct rk_ticket *awaitable(const struct rask *s, uint64_t id)
{
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, id);
    if (ticket == NULL || ticket->read != NULL) return NULL;
    return ticket->state >= RK_TICKET_QUEUED && ticket->state <= RK_TICKET_DONE ? ticket : NULL;
}

int rask_wait(struct rask *s, uint64_t id, uint64_t deadline_ns, struct rask_completion *out)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    struct rk_ticket *ticket;
    /* A callback may have taken the ticket meanwhile, so it is looked up each time. */
    while ((ticket = awaitable(s, id)) != NULL && ticket->state != RK_TICKET_DONE) {
        int result = rk_session_wait(s, ticket, deadline_ns);
        if (result != 0) return result;
        if (s->callbacks.count > 0) rk_run_callbacks(s);
    }
    if (ticket == NULL) return rk_error(-EINVAL, "ticket %#llx is not in flight", (unsigned long long)id);
    rk_list_remove(&s->tickets, &s->ready, ticket);
    rk_completion_of(s, ticket, out);
    return 0;
}

void rask_release(struct rask *s, struct rask_completion *completion)
{
    if (rk_session_forked(s)) return;
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, completion->ticket);
    completion->data = NULL;
    completion->length = 0;
    if (ticket != NULL && ticket->state == RK_TICKET_HELD && !ticket->orphan) rk_ticket_drop(s, ticket);
}

int rask_cancel(struct rask *s, uint64_t id)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, id);
    if (ticket == NULL || (ticket->state != RK_TICKET_QUEUED && ticket->state != RK_TICKET_BOUND))
        return rk_error(-EINVAL, "ticket %#llx is not in flight", (unsigned long long)id);
    rk_settle_cancel(s, ticket);
    return 0;
}

uint32_t rask_pending(const struct rask *s)
{
    return s->pending;
}
