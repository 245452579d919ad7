/* SPDX-License-Identifier: MIT */
/* Exit codes of every rask command, and the one place where a librask failure becomes an exit code and a line of text. */
#ifndef RK_EXIT_CODES_H
#define RK_EXIT_CODES_H

#include <stdint.h>

enum rk_exit {
    RK_EXIT_OK = 0,
    RK_EXIT_HANDLER = 1,      /* the handler returned an error code (rask call) */
    RK_EXIT_FORCED = 1,       /* a drain did not end and was forced (rask run) */
    RK_EXIT_USAGE = 64,       /* bad command line, unknown method */
    RK_EXIT_TOO_LARGE = 65,   /* request or response over the payload limit */
    RK_EXIT_BAD_DATA = 65,    /* a frame or a stamp that cannot be used (svgcast) */
    RK_EXIT_NO_INPUT = 66,    /* a file to read cannot be read (rask replay, svgcast) */
    RK_EXIT_UNAVAILABLE = 69, /* no supervisor, no worker, shutting down */
    RK_EXIT_IO = 74,          /* standard input or standard output failed */
    RK_EXIT_OVERLOADED = 75,  /* queue or supervisor is full: later */
    RK_EXIT_PROTOCOL = 76,    /* the peer speaks another version */
    RK_EXIT_CONFIG = 78,      /* bad plugin or configuration */
    RK_EXIT_TIMEOUT = 124,    /* timed out or expired */
    RK_EXIT_CRASHED = 125,    /* the worker crashed, or the request is poisoned */
    RK_EXIT_CANCELLED = 130   /* cancelled, by a signal too */
};

/** Exit code for what a librask function returned (0 or a negative errno). */
int rk_exit_from_errno(int error);

/** Exit code for how a request ended (enum rask_status). */
int rk_exit_from_status(uint32_t status);

/** Upper-case word for a failure that has no request status, such as "UNAVAILABLE" or "BAD_PLUGIN". Static string. */
const char *rk_errno_word(int error);

/** The text of a failure: what rask_last_error() has to say, else rask_strerror(error). Valid until the next librask call. */
const char *rk_errno_text(int error);

/** Print `rask COMMAND: TEXT` for a failure and return its exit code. */
int rk_fail(int error);

/** "SIGSEGV (Segmentation fault)" for a signal number, "signal N" for an unknown one. Returns `text`. */
const char *rk_signal_text(int number, char *text, unsigned long bytes);

#endif
