/* SPDX-License-Identifier: MIT */
/* librask's errors and statuses -> exit codes, words and text. The only table of that kind. */
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <rask/client.h>
#include <rask/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int error;
    int code;
    const char *word;
} by_errno[] = {
    {0, RK_EXIT_OK, "OK"},
    {ENOENT, RK_EXIT_UNAVAILABLE, "UNAVAILABLE"},
    {ECONNREFUSED, RK_EXIT_UNAVAILABLE, "UNAVAILABLE"},
    {ECONNRESET, RK_EXIT_UNAVAILABLE, "UNAVAILABLE"},
    {EPIPE, RK_EXIT_UNAVAILABLE, "UNAVAILABLE"},
    {ENOTCONN, RK_EXIT_UNAVAILABLE, "UNAVAILABLE"},
    {ESHUTDOWN, RK_EXIT_UNAVAILABLE, "SHUTDOWN"},
    {EACCES, RK_EXIT_UNAVAILABLE, "NOT_ALLOWED"},
    {EPERM, RK_EXIT_UNAVAILABLE, "NOT_ALLOWED"},
    {EBUSY, RK_EXIT_OVERLOADED, "OVERLOADED"},
    {EAGAIN, RK_EXIT_OVERLOADED, "OVERLOADED"},
    {EPROTO, RK_EXIT_PROTOCOL, "PROTOCOL_MISMATCH"},
    {EPROTONOSUPPORT, RK_EXIT_PROTOCOL, "PROTOCOL_MISMATCH"},
    {ENOEXEC, RK_EXIT_CONFIG, "BAD_PLUGIN"},
    {EINVAL, RK_EXIT_USAGE, "BAD_OPTION"},
    {ENAMETOOLONG, RK_EXIT_USAGE, "BAD_OPTION"},
    {EMSGSIZE, RK_EXIT_TOO_LARGE, "TOO_LARGE"},
    {ETIMEDOUT, RK_EXIT_TIMEOUT, "EXPIRED"},
    {ECANCELED, RK_EXIT_CANCELLED, "CANCELLED"},
    {EIO, RK_EXIT_IO, "INPUT_FAILED"},
};

static const int by_status[] = {
    [RASK_OK] = RK_EXIT_OK,
    [RASK_HANDLER_ERROR] = RK_EXIT_HANDLER,
    [RASK_REPLY_TOO_LARGE] = RK_EXIT_TOO_LARGE,
    [RASK_CRASHED] = RK_EXIT_CRASHED,
    [RASK_TIMEOUT] = RK_EXIT_TIMEOUT,
    [RASK_ABORTED] = RK_EXIT_TIMEOUT, /* nobody but the deadline asks; after a signal the command says 130 itself */
    [RASK_EXPIRED] = RK_EXIT_TIMEOUT,
    [RASK_CANCELLED] = RK_EXIT_CANCELLED,
    [RASK_OVERLOADED] = RK_EXIT_OVERLOADED,
    [RASK_NO_METHOD] = RK_EXIT_USAGE,
    [RASK_TOO_LARGE] = RK_EXIT_TOO_LARGE,
    [RASK_POISONED] = RK_EXIT_CRASHED,
    [RASK_UNAVAILABLE] = RK_EXIT_UNAVAILABLE,
    [RASK_SHUTDOWN] = RK_EXIT_UNAVAILABLE,
};
_Static_assert(sizeof(by_status) / sizeof(by_status[0]) == RASK_STATUS_COUNT, "every status has an exit code");

/* Row of an error, or NULL: what is not listed is a system that refuses something, such as memory or descriptors. */
static int find_errno(int error)
{
    for (unsigned i = 0; i < sizeof(by_errno) / sizeof(by_errno[0]); i++) {
        if (by_errno[i].error == abs(error)) return (int)i;
    }
    return -1;
}

int rk_exit_from_errno(int error)
{
    int row = find_errno(error);
    return row < 0 ? RK_EXIT_UNAVAILABLE : by_errno[row].code;
}

const char *rk_errno_word(int error)
{
    int row = find_errno(error);
    return row < 0 ? "UNAVAILABLE" : by_errno[row].word;
}

int rk_exit_from_status(uint32_t status)
{
    return status < RASK_STATUS_COUNT ? by_status[status] : RK_EXIT_PROTOCOL;
}

const char *rk_errno_text(int error)
{
    const char *text = rask_last_error();
    return *text ? text : rask_strerror(error);
}

int rk_fail(int error)
{
    rk_complain("%s", rk_errno_text(error));
    return rk_exit_from_errno(error);
}

const char *rk_signal_text(int number, char *text, unsigned long bytes)
{
    const char *name = sigabbrev_np(number), *what = sigdescr_np(number);
    if (name && what) {
        snprintf(text, bytes, "SIG%s (%s)", name, what);
    } else {
        snprintf(text, bytes, "signal %d", number);
    }
    return text;
}
