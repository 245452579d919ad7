/* SPDX-License-Identifier: MIT */
/* The workers of svgcast: a private supervisor with its plugin. */
#ifndef RK_CAST_WORKERS_H
#define RK_CAST_WORKERS_H

#include "pairs.h"

/** Start them, for sessions with so many places for pictures of this size, and find the method. RK_GO_ON and the first session, or
 * an exit code after a message. */
int rk_workers_start(const struct rk_pairs_options *options, uint32_t width, uint32_t height, uint32_t places,
                     struct rask **session, uint32_t *method);

#endif
