/* SPDX-License-Identifier: MIT */
/* Log lines on standard error: one write each, never blocking, from the supervisor and from its workers.
 *
 * A reader that does not read must not stop what it watches. The O_NONBLOCK flag of an inherited descriptor belongs to
 * everybody who has it, so it is left alone: a pipe or a terminal is opened a second time, a socket (the journal's) takes
 * MSG_DONTWAIT, and a file does not block. A line for which there is no room is dropped and counted; the count is
 * reported as soon as there is room again. */
#ifndef RK_LOG_H
#define RK_LOG_H

#include <rask/plugin.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum rk_log_format { RK_LOG_TEXT = 0, RK_LOG_JSON };

/** A line about no worker. */
#define RK_LOG_NO_WORKER UINT32_MAX

/** "error", "warning", "info", "debug" -> enum rask_log_level; "text", "json" -> enum rk_log_format; or -EINVAL. */
int rk_log_level_parse(const char *name);
int rk_log_format_parse(const char *name);

/** Open this process's way to standard error; before it, lines go there directly. After rk_close_others(). */
void rk_log_open(int level, enum rk_log_format format);

/** In a forked worker, whose descriptors were closed: open it again, and count drops from 0. */
void rk_log_enter_worker(uint32_t worker);

/** In another forked child whose descriptors were closed: open it again. */
void rk_log_reopen(void);

/** One line. `who` starts it in text ("rask run"), `event` is its stable name in JSON, `worker` the one it is about.
 * errno stays as it is. */
__attribute__((format(printf, 5, 6))) void rk_log(int level, const char *who, uint32_t worker, const char *event,
                                                  const char *format, ...);
__attribute__((format(printf, 5, 0))) void rk_log_list(int level, const char *who, uint32_t worker, const char *event,
                                                       const char *format, va_list arguments);

/** Lines this process has dropped. */
uint64_t rk_log_dropped(void);

/** Are there drops that no line has told of? */
bool rk_log_owes(void);

/** Try to tell of them. True if there is nothing (more) to tell. */
bool rk_log_settle(void);

#endif
