/* SPDX-License-Identifier: MIT */
/* The two conveniences on top of reserve, submit and wait: a synchronous call, and callbacks. */
#include "bind.h"
#include "clock.h"
#include "error.h"
#include "session.h"
#include "upcall.h"
#include <errno.h>
#include <string.h>

static void fill_failure(struct rask_completion *out, uint32_t status)
{
    *out = (struct rask_completion){.status = status, .executed = RASK_EXECUTED_NO};
}

/** The status of a call that could not even be reserved. */
static uint32_t status_of_error(int error)
{
    switch (error) {
    case -EMSGSIZE:
        return RASK_TOO_LARGE;
    case -EAGAIN:
        return RASK_OVERLOADED;
    case -ESHUTDOWN:
        return RASK_SHUTDOWN;
    case -ETIMEDOUT:
        return RASK_EXPIRED;
    case -EINVAL:
        return RASK_NO_METHOD;
    default:
        return RASK_UNAVAILABLE;
    }
}

/** Reserve, and wait for room while the queue or the slab is full and something in flight could make room. Completions that
 * the caller has not taken keep theirs. */
static int reserve(struct rask *s, size_t length, uint64_t deadline_ns, struct rk_ticket **ticket)
{
    int result;
    while (RK_UNLIKELY((result = rk_reserve(s, length, ticket)) == -EAGAIN)) {
        if (s->pending == s->ready.count) return result;
        int waited = rk_session_wait(s, NULL, deadline_ns);
        if (rk_callbacks_due(s)) rk_run_callbacks(s);
        if (waited == 0 && deadline_ns != 0 && rask_now_ns() >= deadline_ns) waited = -ETIMEDOUT;
        if (waited != 0) return waited;
    }
    return result;
}

/** Looks for an answer before the way of all waits is taken: a few times what a quick handler takes. */
#define LOOKS_AT_ONCE 64u

/** The answer to the only request of its lane, straight from its slot, if it is a usual one and comes at once. False: nothing
 * was done. All that is left out here is for others: what else is in flight, deadlines, messages, the ladder's later steps. */
static inline bool take_at_once(struct rask *s, struct rk_ticket *ticket, struct rask_completion *out)
{
    struct rk_lane *lane = &s->lanes[ticket->lane];
    uint32_t length, next;
    if (RK_UNLIKELY(rk_lane_load(lane) != 1 || lane->closed != 0 || lane->stalled || !rk_session_undisturbed(s)))
        return false;
    for (uint32_t i = 0; !rk_lane_ready(lane); i++) {
        if (i == LOOKS_AT_ONCE || rk_session_called(s)) return false;
        rk_pause();
    }
    if (RK_UNLIKELY(rk_lane_plain(lane, &s->tickets, &length, &next) != ticket)) return false;
    memcpy(ticket->bytes, lane->next_response->payload.bytes, RASK_INLINE_BYTES);
    rk_lane_passed(lane, next);
    lane->stuck = false;
    ticket->flags = RK_TICKET_PRIVATE;
    rk_completion_ok(ticket, length, out);
    s->pending--;
    s->finished++;
    s->deliveries++;
    return true;
}

/** rask_call() once signals are hidden. */
static int call(struct rask *s, uint32_t method, const void *data, size_t length, uint64_t timeout_ns,
                struct rask_completion *out)
{
    uint64_t deadline_ns = RK_LIKELY(timeout_ns == 0) ? 0 : rk_deadline_after(timeout_ns);
    struct rk_ticket *ticket;
    int result = RK_LIKELY(method < s->method_count)
                     ? reserve(s, length, deadline_ns, &ticket)
                     : rk_error(-EINVAL, "method %u: the plugin has %u methods", method, s->method_count);
    if (RK_UNLIKELY(result != 0)) {
        fill_failure(out, status_of_error(result));
        return -rask_status_errno(out->status);
    }
    if (length > 0) memcpy(rk_reservation_data(s, ticket), data, length);
    ticket->user_data = 0;
    ticket->flags |= RK_TICKET_PRIVATE;
    if (RK_UNLIKELY(deadline_ns != 0)) rk_set_deadline(s, ticket, deadline_ns);
    if (RK_UNLIKELY(!rk_submit_plain(s, ticket, method, length)))
        rk_submit(s, ticket, method, length);
    else if (RK_LIKELY(take_at_once(s, ticket, out)))
        return 0;
    /* No deadline of its own: the request has one, and ends by it. */
    result = rk_wait_for(s, ticket, 0, out);
    RK_CHECK(result == 0);
    return RK_LIKELY(out->status == RASK_OK) ? 0 : -rask_status_errno(out->status);
}

int rask_call(struct rask *s, uint32_t method, const void *data, size_t length, uint64_t timeout_ns,
              struct rask_completion *out)
{
    if (RK_UNLIKELY(rk_session_forked(s))) {
        fill_failure(out, RASK_UNAVAILABLE);
        return rk_session_refuse_child();
    }
    if (RK_UNLIKELY(s->upcalls != NULL) && rk_upcall_blocks(s)) {
        fill_failure(out, RASK_UNAVAILABLE);
        return rk_refuse_deadlock();
    }
    if (RK_LIKELY(!s->interruptible)) return call(s, method, data, length, timeout_ns, out);
    s->interruptible = false; /* the caller has no ticket yet with which it could go on */
    int result = call(s, method, data, length, timeout_ns, out);
    s->interruptible = true;
    return result;
}

/** The largest that the kernel has. What is less than its negative would become any number as an int, 0 included. */
#define ERRNO_MAX 4095

int rask_request(struct rask *s, uint32_t method, size_t capacity, rask_write_fn write, rask_read_fn read, void *user,
                 const struct rask_request_options *options)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (read == NULL) return rk_error(-EINVAL, "rask_request: a read callback is needed");
    struct rask_request request = {0};
    int result = rask_reserve(s, write != NULL ? capacity : 0, &request);
    if (result != 0) return result;
    int64_t written = write != NULL ? write(request.data, capacity, user) : 0;
    if (written > (int64_t)capacity || written < -ERRNO_MAX)
        written = rk_error(-EOVERFLOW, "the write callback says %lld bytes, it was given room for %zu",
                           (long long)written, capacity);
    if (written < 0) {
        rask_abandon(s, &request);
        return (int)written;
    }
    request.user_data = (uint64_t)(uintptr_t)user;
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, request.ticket);
    ticket->read = read;
    ticket->flags |= RK_TICKET_SPECIAL;
    result = rask_submit(s, &request, method, (size_t)written, options);
    if (result != 0) rask_abandon(s, &request);
    return result;
}
