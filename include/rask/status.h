/* SPDX-License-Identifier: MIT */
/* How a request ended, and whether its handler ran.
 *
 * Every request that was submitted ends exactly once with one rask_status and one rask_executed.
 * The two are separate because they answer different questions: "what do I tell my user?" and "may
 * I safely do it again?". */
#ifndef RASK_STATUS_H
#define RASK_STATUS_H

#include <stdint.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

/** Cause of a request's end. The numbers cross processes and are frozen; new ones are appended. */
enum rask_status {
    RASK_OK = 0,              /**< handler returned 0; executed: yes */
    RASK_HANDLER_ERROR = 1,   /**< handler returned another value, see rask_completion.code; executed: yes */
    RASK_REPLY_TOO_LARGE = 2, /**< response over the limit or no room left for it; executed: yes */
    RASK_CRASHED = 3,         /**< worker died inside; code = signal, or 0 if not known; executed: maybe */
    RASK_TIMEOUT = 4,         /**< deadline passed while the handler had it; executed: maybe */
    RASK_ABORTED = 5,         /**< handler stopped because it was asked to, or was stopped; executed: maybe */
    RASK_EXPIRED = 6,         /**< deadline passed in the queue; executed: no */
    RASK_CANCELLED = 7,       /**< cancelled in the queue; executed: no */
    RASK_OVERLOADED = 8,      /**< queue limit reached; executed: no */
    RASK_NO_METHOD = 9,       /**< the plugin has no such method; executed: no */
    RASK_TOO_LARGE = 10,      /**< request over the payload limit; executed: no */
    RASK_POISONED = 11,       /**< the same request killed workers before; executed: no */
    RASK_UNAVAILABLE = 12,    /**< no supervisor or no worker; executed: no, unless it may have run before */
    RASK_SHUTDOWN = 13,       /**< supervisor is draining; executed: no, unless it may have run before */
    RASK_STATUS_COUNT
};

/** Whether the handler ran. `maybe` is sticky: a request that was ever possibly started never ends as `no`. */
enum rask_executed { RASK_EXECUTED_NO = 0, RASK_EXECUTED_YES = 1, RASK_EXECUTED_MAYBE = 2 };

/** Short upper-case name of a status, such as "OK" or "CRASHED".
 * Returns a static string, "UNKNOWN" for a number outside the enum. no-block, signal-safe, any thread. */
const char *rask_status_name(uint32_t status);

/** One sentence about a status for people. Static string, never NULL. no-block, signal-safe, any thread. */
const char *rask_status_text(uint32_t status);

/** The positive errno value nearest to a status (0 for RASK_OK). no-block, signal-safe, any thread. */
int rask_status_errno(uint32_t status);

/** "no", "yes" or "maybe". Static string. no-block, signal-safe, any thread. */
const char *rask_executed_name(uint32_t executed);

/** Text for a value that a librask function returned: 0, or a negative errno.
 * Says what the error means in rask's terms and what to do. Static string, never NULL, never freed.
 * For the value and name involved in the last failure see rask_last_error(). any thread. */
const char *rask_strerror(int error);

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
