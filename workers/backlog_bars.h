/* SPDX-License-Identifier: MIT */
/* The backlog as bars on standard error while a stream runs. On a terminal: one line, a column for each RK_BARS_TICK_NS, drawn
 * anew, and taken away before any message. Elsewhere: a plain line whenever it has changed, at most one in that time, such as
 *   backlog    0.250 s      3 ###
 * with "x4" behind it where each # stands for 4 items. There is one. */
#ifndef RK_BACKLOG_BARS_H
#define RK_BACKLOG_BARS_H

#include <stdint.h>

#define RK_BARS_TICK_NS 50000000u

/** From now on they are drawn. Without this the others do nothing. */
void rk_bars_start(void);

/** The backlog is `items`, `at_ns` after the start. Call it whenever that changes, and every RK_BARS_TICK_NS. */
void rk_bars_note(uint64_t at_ns, uint64_t items);

/** Take the line away: something else is written to this terminal. */
void rk_bars_clear(void);

/** The end, after the last note: draw what is not drawn yet and leave it there. */
void rk_bars_finish(void);

#endif
