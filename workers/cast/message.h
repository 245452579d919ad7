/* SPDX-License-Identifier: MIT */
/* What svgcast and its plugin say to each other; both run on one machine, so numbers are as the machine has them.
 *
 *   item of the stream `regions`:  struct rk_frame_header, the frame's pixels
 *   answer to it:                  struct rk_answer_header, `count` times struct rk_rect: what changed since the item before
 *   upcall `crop`:                 struct rk_crop_request
 *   answer to it:                  uint64_t, how many bytes that rectangle takes as a PNG file in base64
 *
 * The plugin leases each frame until it has compared it with the next one. It asks for sizes only: the encoded crops stay
 * with the caller, who writes them.
 *
 * All of it is memory that the other side may still write: every number is read once, checked, and only the copy is used. */
#ifndef RK_MESSAGE_H
#define RK_MESSAGE_H

#include "patches.h"
#include <rask/limits.h>
#include <stdbool.h>
#include <stddef.h>

#define RK_CROP_UPCALL "crop"

/** Longer than RASK_INLINE_BYTES with the smallest picture behind it: so every frame lies in memory that can be leased. */
struct rk_frame_header {
    uint32_t width;
    uint32_t height;
    uint64_t number;      /* of the frame, from 0 */
    uint32_t begins;      /* 1: it is not to be compared with the item before, 0: it is */
    uint32_t reserved[3]; /* 0 */
};

struct rk_answer_header {
    uint32_t count;
    uint32_t reserved[3]; /* 0 */
};

struct rk_crop_request {
    uint64_t number;
    struct rk_rect rect;
};

/** A frame as it lies in an item. */
struct rk_frame {
    struct rk_image image; /* a view */
    uint64_t number;
    bool begins;
};

/** The largest picture. It fits into an item, and so many regions that no picture has more into an answer: see workers.c. */
#define RK_FRAME_PIXELS_MAX ((RASK_PAYLOAD_BYTES_MAX_LIMIT - sizeof(struct rk_frame_header)) / (2 * sizeof(uint32_t)))

/** Bytes of an item with a picture of this size. */
static inline size_t rk_frame_bytes(uint32_t width, uint32_t height)
{
    return sizeof(struct rk_frame_header) + (size_t)width * height * sizeof(uint32_t);
}

/** Where the pixels of an item lie. */
static inline uint32_t *rk_frame_pixels(void *item)
{
    return (uint32_t *)item + sizeof(struct rk_frame_header) / sizeof(uint32_t);
}

/** Look at an item. 0, or -EBADMSG. */
int rk_frame_get(const void *data, size_t bytes, struct rk_frame *frame);

/** Bytes of an answer, and the answer itself. */
size_t rk_answer_bytes(uint32_t count);
void rk_answer_put(void *out, const struct rk_patches *patches);

/** Look at an answer for pictures of this size; free with rk_patches_finish(). 0, -EBADMSG, -ENOMEM. */
int rk_answer_get(const void *data, size_t bytes, uint32_t width, uint32_t height, struct rk_patches *patches);

/** Does the rectangle lie inside of a picture of this size, and is it not empty? */
bool rk_rect_fits(const struct rk_rect *rect, uint32_t width, uint32_t height);

#endif
