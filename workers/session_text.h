/* SPDX-License-Identifier: MIT */
/* What `rask call` and `rask stream` both have to say about a session. */
#ifndef RK_SESSION_TEXT_H
#define RK_SESSION_TEXT_H

#include <rask/client.h>
#include <stddef.h>

/** "plugin P has no method "M"; it has A, B, C". Cut off where `text` ends. */
void rk_no_method_text(const struct rask *s, const char *method, char *text, size_t bytes);

/** After RASK_CRASHED: append the way to the faulty line, if the crash was saved. Waits a moment for the file. */
void rk_crash_hint(struct rask *s, char *text, size_t bytes);

#endif
