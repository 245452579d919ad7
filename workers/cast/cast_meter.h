/* SPDX-License-Identifier: MIT */
/* How far it is, on a terminal: one line on standard error that is drawn anew, and taken away before any message.
 * Elsewhere nothing is written. There is one. */
#ifndef RK_CAST_METER_H
#define RK_CAST_METER_H

#include <stddef.h>

/** Start it for so many frames; 0: it is not known how many come. */
void rk_cast_meter_start(size_t total);

/** So many frames are in the file, and so many pairs are with the workers. Draws at most ten times a second. */
void rk_cast_meter_show(size_t done, size_t waiting);

/** Take the line away. */
void rk_cast_meter_clear(void);

#endif
