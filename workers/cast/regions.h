/* SPDX-License-Identifier: MIT */
/* Which of the changed regions to send as one: the choice that needs the fewest bytes.
 *
 * With two to five regions every single subset of two or more is tried as its bounding box, the rest unchanged, and the set
 * whose PNG-encoded, base64 size is smallest is kept; if none is smaller, the regions stay as they are. One region, or more
 * than five, stay as they are.
 *
 * Encoded crops come from a function, so that it does not matter here who has the pixels. */
#ifndef RK_REGIONS_H
#define RK_REGIONS_H

#include "patches.h"
#include <stddef.h>

/** More regions than this are not optimised. */
#define RK_OPTIMISE_MAX 5u

/** One rectangle of the later picture, encoded. */
struct rk_crop {
    const void *data;
    size_t bytes;
    void *handle; /* of the one who made it */
};

/** Who encodes. crop() fills *out with the PNG bytes of `rect`, valid until release(); it returns 0 or an error that ends
 * the whole choice. Every crop is released once. */
struct rk_crops {
    int (*crop)(void *user, struct rk_rect rect, struct rk_crop *out);
    void (*release)(void *user, struct rk_crop *crop);
    void *user;
};

struct rk_region {
    struct rk_rect rect;
    struct rk_crop crop;
};

/** Zero-initialise; free with rk_regions_finish(). */
struct rk_regions {
    struct rk_region *list;
    uint32_t count;
};

/** Encode the regions, and merge where it saves bytes; what was merged goes to the end of the list.
 * 0, -ENOMEM, or what crop() returned. */
int rk_regions_choose(const struct rk_patches *patches, const struct rk_crops *crops, struct rk_regions *regions);

void rk_regions_finish(struct rk_regions *regions, const struct rk_crops *crops);

#endif
