/* SPDX-License-Identifier: MIT */
/* The colours of a rectangle, if they are few: for PNG files with a palette. */
#ifndef RK_PALETTE_H
#define RK_PALETTE_H

#include "image.h"
#include <stdbool.h>

#define RK_PALETTE_MAX 256u
#define RK_PALETTE_SLOTS 1024u /* a power of two, well over the colours */

struct rk_palette {
    uint32_t colours[RK_PALETTE_MAX]; /* RGBA, in the order in which they were seen */
    uint32_t count;
    uint16_t slots[RK_PALETTE_SLOTS]; /* hash -> index + 1; 0: free */
};

/** Collect the colours of a rectangle. False if there are more than RK_PALETTE_MAX. */
bool rk_palette_collect(struct rk_palette *palette, const struct rk_image *image, struct rk_rect rect);

/** Index of a colour; 0 for one that was not collected. */
uint8_t rk_palette_index(const struct rk_palette *palette, uint32_t colour);

#endif
