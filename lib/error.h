/* SPDX-License-Identifier: MIT */
/* The text behind rask_last_error(): one buffer per thread. */
#ifndef RK_ERROR_H
#define RK_ERROR_H

/** Set this thread's text, printf style, and return `error` (a negative errno), so that a failure is one line:
 *  return rk_error(-EINVAL, "ring_slots %u is not a power of two", n); */
__attribute__((format(printf, 2, 3), cold)) int rk_error(int error, const char *format, ...);

/** Forget this thread's text. */
void rk_error_clear(void);

#endif
