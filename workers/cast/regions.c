/* SPDX-License-Identifier: MIT */
/* See regions.h. Subsets are bit sets over the list. A subset whose bounding box contains a further region is not tried: with that
 * region in it the box is the same and the rest smaller, so it cannot be the best. So each box is encoded once. */
#include "regions.h"
#include "base64.h"
#include <errno.h>
#include <stdbool.h>

static bool contains(struct rk_rect box, struct rk_rect rect)
{
    return rect.x >= box.x && rect.y >= box.y && rect.x + rect.width <= box.x + box.width &&
           rect.y + rect.height <= box.y + box.height;
}

static struct rk_rect box_of(const struct rk_regions *regions, unsigned subset)
{
    struct rk_rect box = {0};
    for (unsigned i = 0; i < regions->count; i++) {
        if (subset >> i & 1) box = box.width == 0 ? regions->list[i].rect : rk_rect_around(box, regions->list[i].rect);
    }
    return box;
}

static uint64_t rest_bytes(const struct rk_regions *regions, unsigned subset)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < regions->count; i++) {
        if (!(subset >> i & 1)) bytes += rk_base64_bytes(regions->list[i].crop.bytes);
    }
    return bytes;
}

/* Two or more regions, and no other inside their box. */
static bool worth_trying(const struct rk_regions *regions, unsigned subset, struct rk_rect box)
{
    if ((subset & (subset - 1)) == 0) return false;
    for (unsigned i = 0; i < regions->count; i++) {
        if (!(subset >> i & 1) && contains(box, regions->list[i].rect)) return false;
    }
    return true;
}

/* The subset to merge and its crop; 0 to leave all as they are. */
struct best {
    uint64_t bytes;
    unsigned subset;
    struct rk_region merged;
};

static int try_subset(const struct rk_regions *regions, const struct rk_crops *crops, unsigned subset,
                      struct best *best)
{
    struct rk_region merged = {.rect = box_of(regions, subset)};
    if (!worth_trying(regions, subset, merged.rect)) return 0;
    int error = crops->crop(crops->user, merged.rect, &merged.crop);
    if (error != 0) return error;
    uint64_t bytes = rest_bytes(regions, subset) + rk_base64_bytes(merged.crop.bytes);
    if (bytes >= best->bytes) {
        crops->release(crops->user, &merged.crop);
        return 0;
    }
    if (best->subset != 0) crops->release(crops->user, &best->merged.crop);
    *best = (struct best){bytes, subset, merged};
    return 0;
}

static void merge(struct rk_regions *regions, const struct rk_crops *crops, const struct best *best)
{
    uint32_t kept = 0;
    for (unsigned i = 0; i < regions->count; i++) {
        if (best->subset >> i & 1) {
            crops->release(crops->user, &regions->list[i].crop);
        } else {
            regions->list[kept++] = regions->list[i];
        }
    }
    regions->list[kept++] = best->merged;
    regions->count = kept;
}

static int optimise(struct rk_regions *regions, const struct rk_crops *crops)
{
    struct best best = {.bytes = rest_bytes(regions, 0)};
    int error = 0;
    for (unsigned subset = 1; error == 0 && subset < 1u << regions->count; subset++)
        error = try_subset(regions, crops, subset, &best);
    if (error == 0 && best.subset != 0) merge(regions, crops, &best);
    if (error != 0 && best.subset != 0) crops->release(crops->user, &best.merged.crop);
    return error;
}

static int encode_all(const struct rk_patches *patches, const struct rk_crops *crops, struct rk_regions *regions)
{
    for (uint32_t i = 0; i < patches->count; i++) {
        struct rk_region *region = &regions->list[i];
        region->rect = patches->list[i];
        int error = crops->crop(crops->user, region->rect, &region->crop);
        if (error != 0) return error;
        regions->count = i + 1;
    }
    return 0;
}

int rk_regions_choose(const struct rk_patches *patches, const struct rk_crops *crops, struct rk_regions *regions)
{
    *regions = (struct rk_regions){.list = calloc((size_t)patches->count + 1, sizeof(struct rk_region))};
    if (!regions->list) return -ENOMEM;
    int error = encode_all(patches, crops, regions);
    if (error == 0 && regions->count >= 2 && regions->count <= RK_OPTIMISE_MAX) error = optimise(regions, crops);
    if (error != 0) rk_regions_finish(regions, crops);
    return error;
}

void rk_regions_finish(struct rk_regions *regions, const struct rk_crops *crops)
{
    for (uint32_t i = 0; i < regions->count; i++) crops->release(crops->user, &regions->list[i].crop);
    free(regions->list);
    *regions = (struct rk_regions){0};
}
