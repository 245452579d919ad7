/* SPDX-License-Identifier: MIT */
/* The workers of svgcast: a private supervisor with its plugin. */
#ifndef RK_CAST_WORKERS_H
#define RK_CAST_WORKERS_H

#include "pairs.h"

/** Start them, for `in_flight` pairs of pictures of this size, and find the method. RK_GO_ON, or an exit code after a message. */
int rk_workers_start(const struct rk_pairs_options *options, const struct rk_image *image, size_t in_flight,
                     struct rask **session, uint32_t *method);

#endif
