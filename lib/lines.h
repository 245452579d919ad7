/* SPDX-License-Identifier: MIT */
/* Cache lines that this side will write soon, and hints to the processor about them; no effect on memory order.
 *
 * Stores leave a processor in order. One to a line that the reader has a copy of waits until that copy is gone, 40 to 150 ns,
 * and everything behind it waits, too. So a writer in a deep pipeline asks for its lines ahead of time, exclusively
 * (`prefetchw`). On AMD's processors that does nothing for a line that the writer still has a copy of itself, shared with
 * the reader, and that is what a line is that was written, and read by somebody who may only read it. Giving the own copy up
 * some messages earlier (`clflushopt`) makes the later request a real one. Figures: docs/design.md. */
#ifndef RK_LINES_H
#define RK_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Ask for a line to be written soon. */
static inline void rk_line_fetch(const void *line)
{
#if defined(__x86_64__)
    __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)line)); /* a no-op where the processor lacks it */
#else
    __builtin_prefetch(line, 1);
#endif
}

/** Ask for several, from `line` on. */
static inline void rk_lines_fetch(const void *line, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) rk_line_fetch((const uint8_t *)line + at);
}

/** Give up the own copy of a line; only where rk_lines_stay(). Its content goes to memory and is not changed. */
static inline void rk_line_give_up(const void *line)
{
#if defined(__x86_64__)
    __asm__ __volatile__("clflushopt %0" : : "m"(*(const char *)line));
#else
    (void)line;
#endif
}

/** Does a line that a writer shares with a reader stay shared when it is asked for with rk_line_fetch()? By the processor's
 * maker; RASK_GIVE_UP=0 or 1 in the environment decides otherwise (1 has no effect where there is no `clflushopt`). */
bool rk_lines_stay(void);

#endif
