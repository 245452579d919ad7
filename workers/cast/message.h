/* SPDX-License-Identifier: MIT */
/* What svgcast and its plugin say to each other; both run on one machine, so numbers are as the machine has them.
 *
 *   request of `regions`:  struct rk_pair_header, the pixels of the earlier picture, the pixels of the later one
 *   response:              struct rk_answer_header, `count` times struct rk_answer_region, then their PNG files in that order
 *
 * Both are memory that the other side may still write: every number is read once, checked, and only the copy is used. */
#ifndef RK_MESSAGE_H
#define RK_MESSAGE_H

#include "regions.h"
#include <rask/limits.h>

struct rk_pair_header {
    uint32_t width;
    uint32_t height;
    uint32_t reserved[2]; /* 0 */
};

struct rk_answer_header {
    uint32_t count;
    uint32_t reserved; /* 0 */
};

struct rk_answer_region {
    uint32_t x, y, width, height;
    uint32_t bytes; /* of its PNG file */
};

/** The largest picture of which two fit into a request. */
#define RK_PAIR_PIXELS_MAX ((RASK_PAYLOAD_BYTES_MAX_LIMIT - sizeof(struct rk_pair_header)) / (2 * sizeof(uint32_t)))

/** Bytes of a request for pictures of this size. */
static inline size_t rk_pair_bytes(uint32_t width, uint32_t height)
{
    return sizeof(struct rk_pair_header) + 2 * (size_t)width * height * sizeof(uint32_t);
}

/** Write a request; `out` has rk_pair_bytes(). Both pictures have the same size. */
void rk_pair_put(void *out, const struct rk_image *before, const struct rk_image *after);

/** Look at a request. The pictures are views of it. 0, or -EBADMSG. */
int rk_pair_get(const void *data, size_t bytes, struct rk_image *before, struct rk_image *after);

/** Bytes of a response, and the response itself. */
size_t rk_answer_bytes(const struct rk_regions *regions);
void rk_answer_put(void *out, const struct rk_regions *regions);

/** Look at a response for pictures of this size. The crops are views of it; free(regions->list) is all there is to do
 * afterwards. 0, -EBADMSG, -ENOMEM. */
int rk_answer_get(const void *data, size_t bytes, uint32_t width, uint32_t height, struct rk_regions *regions);

#endif
