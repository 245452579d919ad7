/* SPDX-License-Identifier: MIT */
/* Which of the changed regions to send as one: the choice that needs the fewest bytes.
 *
 * With two to five regions every single subset of two or more is tried as its bounding box, the rest unchanged, and the set
 * whose PNG-encoded, base64 size is smallest is kept; if none is smaller, the regions stay as they are. One region, or more
 * than five, stay as they are, and nobody is asked for a size.
 *
 * Sizes come from a function, so that it does not matter here who has the pixels. */
#ifndef RK_REGIONS_H
#define RK_REGIONS_H

#include "patches.h"
#include <stddef.h>

/** More regions than this are not optimised. */
#define RK_OPTIMISE_MAX 5u

/** Who encodes. size() tells how many bytes a rectangle of the later picture takes, encoded; it returns 0, or an error that
 * ends the whole choice. A rectangle may be asked for again. */
struct rk_sizes {
    int (*size)(void *user, struct rk_rect rect, uint64_t *bytes);
    void *user;
};

/** Merge where it saves bytes; what was merged goes to the end of the list. 0, or what size() returned. */
int rk_regions_choose(struct rk_patches *patches, const struct rk_sizes *sizes);

#endif
