/* SPDX-License-Identifier: MIT */
/* Which rectangles of a picture changed. The definition goes pixel by pixel; the code goes run by run and gives the same.
 *
 * Definition: scan row by row, each from the left. A changed pixel that lies inside or touches (also diagonally) no
 * region starts a new one, behind the others. One region: it grows to contain the pixel. Several: they are taken out, and
 * one that contains them all and the pixel is appended.
 *
 * Why less work gives the same. Every region reaches down to a row with a changed pixel in it, and no further. So a pixel of
 * row y can only touch regions that got a pixel in row y or y - 1: these are the *active* ones, and after a row the active
 * ones are those the row touched. Active regions wait in the order of their left edge; the scan moves right and so meets each
 * once per row. The ones it has met and not yet passed are *near*. Along a run of changed pixels the region of the last pixel
 * touches the next one too, so nothing happens but growth until the run ends or the left edge of another region, less one,
 * comes. A row without a change costs one memcmp(). */
#ifndef RK_PATCHES_H
#define RK_PATCHES_H

#include "image.h"

/** Zero-initialise; free with rk_patches_finish(). */
struct rk_patches {
    struct rk_rect *list;
    uint32_t count;
};

/** The regions in which `after` differs from `before`; both have the same size. They may overlap. The pixels may change
 * meanwhile: then the regions are of no use, but nothing breaks. 0 or -ENOMEM. */
int rk_patches_find(const struct rk_image *before, const struct rk_image *after, struct rk_patches *patches);

void rk_patches_finish(struct rk_patches *patches);

#endif
