/* SPDX-License-Identifier: MIT */
/* Assertions for programmer mistakes. They stay in release builds. Nothing a peer wrote is ever asserted on: that is
 * checked, counted and reported where it is read. */
#ifndef RK_CHECK_H
#define RK_CHECK_H

#define RK_LIKELY(x) __builtin_expect(!!(x), 1)
#define RK_UNLIKELY(x) __builtin_expect(!!(x), 0)

__attribute__((noreturn, cold)) void rk_check_failed(const char *what, const char *file, int line);

#define RK_CHECK(condition)                                                             \
    do {                                                                                \
        if (RK_UNLIKELY(!(condition))) rk_check_failed(#condition, __FILE__, __LINE__); \
    } while (0)

#endif
