/* SPDX-License-Identifier: MIT */
/* See regions.h. Subsets are bit sets over the list. A subset whose bounding box contains a further region is not tried: with that
 * region in it the box is the same and the rest smaller, so it cannot be the best. So each box is asked for once. */
#include "regions.h"
#include <stdbool.h>

static bool contains(struct rk_rect box, struct rk_rect rect)
{
    return rect.x >= box.x && rect.y >= box.y && rect.x + rect.width <= box.x + box.width &&
           rect.y + rect.height <= box.y + box.height;
}

static struct rk_rect box_of(const struct rk_patches *patches, unsigned subset)
{
    struct rk_rect box = {0};
    for (unsigned i = 0; i < patches->count; i++) {
        if (subset >> i & 1) box = box.width == 0 ? patches->list[i] : rk_rect_around(box, patches->list[i]);
    }
    return box;
}

/* Two or more regions, and no other inside their box. */
static bool worth_trying(const struct rk_patches *patches, unsigned subset, struct rk_rect box)
{
    if ((subset & (subset - 1)) == 0) return false;
    for (unsigned i = 0; i < patches->count; i++) {
        if (!(subset >> i & 1) && contains(box, patches->list[i])) return false;
    }
    return true;
}

/* The subset to merge; 0 to leave all as they are. */
struct choice {
    uint64_t alone[RK_OPTIMISE_MAX]; /* bytes of each region */
    uint64_t bytes;                  /* of the best set */
    unsigned subset;
    struct rk_rect merged;
};

static uint64_t rest_bytes(const struct rk_patches *patches, const struct choice *choice, unsigned subset)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < patches->count; i++) {
        if (!(subset >> i & 1)) bytes += choice->alone[i];
    }
    return bytes;
}

static int try_subset(const struct rk_patches *patches, const struct rk_sizes *sizes, unsigned subset,
                      struct choice *choice)
{
    uint64_t bytes;
    struct rk_rect merged = box_of(patches, subset);
    if (!worth_trying(patches, subset, merged)) return 0;
    int error = sizes->size(sizes->user, merged, &bytes);
    if (error != 0) return error;
    bytes += rest_bytes(patches, choice, subset);
    if (bytes >= choice->bytes) return 0;
    choice->bytes = bytes;
    choice->subset = subset;
    choice->merged = merged;
    return 0;
}

static void merge(struct rk_patches *patches, const struct choice *choice)
{
    uint32_t kept = 0;
    for (unsigned i = 0; i < patches->count; i++) {
        if (!(choice->subset >> i & 1)) patches->list[kept++] = patches->list[i];
    }
    patches->list[kept++] = choice->merged;
    patches->count = kept;
}

int rk_regions_choose(struct rk_patches *patches, const struct rk_sizes *sizes)
{
    struct choice choice = {0};
    int error = 0;
    if (patches->count < 2 || patches->count > RK_OPTIMISE_MAX) return 0;
    for (unsigned i = 0; error == 0 && i < patches->count; i++)
        error = sizes->size(sizes->user, patches->list[i], &choice.alone[i]);
    choice.bytes = rest_bytes(patches, &choice, 0);
    for (unsigned subset = 1; error == 0 && subset < 1u << patches->count; subset++)
        error = try_subset(patches, sizes, subset, &choice);
    if (error == 0 && choice.subset != 0) merge(patches, &choice);
    return error;
}
