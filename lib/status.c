/* SPDX-License-Identifier: MIT */
/* Statuses and errnos in words: the only place that maps one to the other. */
#include "status.h"
#include <assert.h>
#include <errno.h>
#include <stddef.h>

static const struct status_row {
    const char *name;
    const char *text;
    int error;
    uint32_t executed;
} rows[] = {
    [RASK_OK] = {"OK", "the handler ran and succeeded", 0, RASK_EXECUTED_YES},
    [RASK_HANDLER_ERROR] = {"HANDLER_ERROR", "the handler ran and returned an error code", EREMOTEIO,
                            RASK_EXECUTED_YES},
    [RASK_REPLY_TOO_LARGE] = {"REPLY_TOO_LARGE",
                              "the handler ran, but its response is over the payload limit or there was no room for it",
                              EOVERFLOW, RASK_EXECUTED_YES},
    [RASK_CRASHED] = {"CRASHED", "the worker died while it had the request", EREMOTE, RASK_EXECUTED_MAYBE},
    [RASK_TIMEOUT] = {"TIMEOUT", "the deadline passed while the handler had the request", ETIMEDOUT,
                      RASK_EXECUTED_MAYBE},
    [RASK_ABORTED] = {"ABORTED", "the handler stopped because it was asked to", EINTR, RASK_EXECUTED_MAYBE},
    [RASK_EXPIRED] = {"EXPIRED", "the deadline passed before a worker took the request", ETIME, RASK_EXECUTED_NO},
    [RASK_CANCELLED] = {"CANCELLED", "the request was cancelled before a worker took it", ECANCELED, RASK_EXECUTED_NO},
    [RASK_OVERLOADED] = {"OVERLOADED", "the queue is full", EAGAIN, RASK_EXECUTED_NO},
    [RASK_NO_METHOD] = {"NO_METHOD", "the plugin has no such method", EOPNOTSUPP, RASK_EXECUTED_NO},
    [RASK_TOO_LARGE] = {"TOO_LARGE", "the request is over the payload limit", EMSGSIZE, RASK_EXECUTED_NO},
    [RASK_POISONED] = {"POISONED", "the same request killed workers before and is not tried again", EBADMSG,
                       RASK_EXECUTED_NO},
    [RASK_UNAVAILABLE] = {"UNAVAILABLE", "no supervisor or no worker is there to take the request", ENOTCONN,
                          RASK_EXECUTED_NO},
    [RASK_SHUTDOWN] = {"SHUTDOWN", "the supervisor is shutting down", ESHUTDOWN, RASK_EXECUTED_NO},
};
static_assert(sizeof rows / sizeof rows[0] == RASK_STATUS_COUNT, "one row per status");

const char *rask_status_name(uint32_t status)
{
    return status < RASK_STATUS_COUNT ? rows[status].name : "UNKNOWN";
}

const char *rask_status_text(uint32_t status)
{
    return status < RASK_STATUS_COUNT ? rows[status].text : "a status that this version does not know";
}

int rask_status_errno(uint32_t status)
{
    return status < RASK_STATUS_COUNT ? rows[status].error : EPROTO;
}

uint32_t rk_status_executed(uint32_t status)
{
    return status < RASK_STATUS_COUNT ? rows[status].executed : RASK_EXECUTED_MAYBE;
}

const char *rask_executed_name(uint32_t executed)
{
    static const char *const names[] = {"no", "yes", "maybe"};
    return executed < 3 ? names[executed] : "maybe";
}

static const struct error_row {
    int error;
    const char *text;
} errors[] = {
    {EACCES, "the supervisor does not accept this user, or the socket is not readable: run as the supervisor's user"},
    {EAGAIN, "the queue or the slab is full: take and release completions, then try again"},
    {EALREADY, "the session is still connected"},
    {EBADMSG, "the same request killed workers before and is not tried again"},
    {EBUSY, "the supervisor has as many sessions as it allows: close one or try later"},
    {ECANCELED, "the request was cancelled before it ran"},
    {ECONNREFUSED, "nobody listens on the socket: start `rask run`"},
    {ECONNRESET, "the supervisor closed the connection"},
    {EINTR, "interrupted"},
    {EINVAL, "an argument or option is out of range"},
    {EMFILE, "this process is out of descriptors: raise the limit (ulimit -n)"},
    {EMSGSIZE, "the payload is larger than the limit: raise payload_bytes_max"},
    {ENAMETOOLONG, "the path is too long for a socket: use a shorter one"},
    {ENOENT, "not found"},
    {ENODATA, "nothing is in flight, so there is nothing to wait for"},
    {ENOEXEC, "the plugin does not load: see `rask check`"},
    {ENOMEM, "out of memory"},
    {ENOTCONN, "the supervisor is gone: rask_reconnect()"},
    {ENOTSUP, "not possible for this session"},
    {EOPNOTSUPP, "the plugin has no such method"},
    {EOVERFLOW, "larger than the room there is for it"},
    {EOWNERDEAD, "this session belongs to the parent process: open another one after fork"},
    {EPROTO, "the peer sent something that is not rask's protocol"},
    {EPROTONOSUPPORT, "the peer speaks another version of rask's protocol: update the older one"},
    {EREMOTE, "the worker died while it had the request"},
    {EREMOTEIO, "the handler returned an error code"},
    {ESHUTDOWN, "the supervisor is shutting down"},
    {ETIME, "the deadline passed before the request ran"},
    {ETIMEDOUT, "the time is over"},
};

const char *rask_strerror(int error)
{
    int positive = error < 0 ? -error : error;
    if (positive == 0) return "success";
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].error == positive) return errors[i].text;
    return "unexpected system error: see errno(3) for the number";
}
