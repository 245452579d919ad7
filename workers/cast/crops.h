/* SPDX-License-Identifier: MIT */
/* Rectangles of pictures as PNG files, in memory of this process. */
#ifndef RK_CROPS_H
#define RK_CROPS_H

#include "bytes.h"
#include "image.h"

struct rk_crop {
    struct rk_rect rect;
    struct rk_bytes png;
};

/** Crops of one picture. Zero-initialise; free with rk_crops_finish(). */
struct rk_crops {
    struct rk_crop *list;
    uint32_t count;
    uint32_t capacity;
};

/** The crop of `rect`, which lies inside of the picture: the one that is there, or a new one at the end of the list. NULL: out of
 * memory. Valid until the next one is made. */
struct rk_crop *rk_crops_get(struct rk_crops *crops, const struct rk_image *image, struct rk_rect rect);

/** Move the crop of `rect` from `from`, if it is there, to the end of `crops`; else encode it. 0 or -ENOMEM. */
int rk_crops_move(struct rk_crops *crops, struct rk_crops *from, const struct rk_image *image, struct rk_rect rect);

void rk_crops_finish(struct rk_crops *crops);

#endif
