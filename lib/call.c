/* SPDX-License-Identifier: MIT */
/* The two conveniences on top of reserve, submit and wait: a synchronous call, and callbacks. */
#include "clock.h"
#include "error.h"
#include "session.h"
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

/** Reserve, and wait for room while the queue is full and something that could make room is in flight. */
static int reserve(struct rask *s, size_t length, uint64_t deadline_ns, struct rask_request *request)
{
    int result;
    while ((result = rask_reserve(s, length, request)) == -EAGAIN) {
        /* Room comes when callbacks' requests end; completions that the caller has not taken keep theirs. */
        uint32_t used = s->tickets.used;
        if (s->pending == s->ready.count) return result;
        int waited = rk_session_wait(s, NULL, deadline_ns);
        if (waited != 0) return waited;
        if (s->callbacks.count > 0) rk_run_callbacks(s);
        if (s->tickets.used == used && s->ready.count > 0) return result;
    }
    return result;
}

int rask_call(struct rask *s, uint32_t method, const void *data, size_t length, uint64_t timeout_ns,
              struct rask_completion *out)
{
    struct rask_request request = {0};
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.deadline_ns = timeout_ns != 0 ? rk_deadline_after(timeout_ns) : 0;
    int result = reserve(s, length, options.deadline_ns, &request);
    if (RK_UNLIKELY(result != 0)) {
        fill_failure(out, status_of_error(result));
        return result;
    }
    if (length > 0) memcpy(request.data, data, length);
    result = rask_submit(s, &request, method, length, timeout_ns != 0 ? &options : NULL);
    if (RK_UNLIKELY(result != 0)) {
        rask_abandon(s, &request);
        fill_failure(out, status_of_error(result));
        return result;
    }
    /* No deadline of its own: the request has one, and ends by it. */
    result = rask_wait(s, request.ticket, 0, out);
    if (RK_UNLIKELY(result != 0)) {
        fill_failure(out, RASK_UNAVAILABLE);
        return result;
    }
    return -rask_status_errno(out->status);
}

int rask_request(struct rask *s, uint32_t method, size_t capacity, rask_write_fn write, rask_read_fn read, void *user,
                 const struct rask_request_options *options)
{
    if (read == NULL) return rk_error(-EINVAL, "rask_request: a read callback is needed");
    struct rask_request request = {0};
    int result = rask_reserve(s, write != NULL ? capacity : 0, &request);
    if (result != 0) return result;
    int64_t written = write != NULL ? write(request.data, capacity, user) : 0;
    if (written > (int64_t)capacity)
        written = rk_error(-EOVERFLOW, "the write callback says %lld bytes, it was given room for %zu",
                           (long long)written, capacity);
    if (written < 0) {
        rask_abandon(s, &request);
        return (int)written;
    }
    request.user_data = (uint64_t)(uintptr_t)user;
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, request.ticket);
    ticket->read = read;
    result = rask_submit(s, &request, method, (size_t)written, options);
    if (result != 0) rask_abandon(s, &request);
    return result;
}
