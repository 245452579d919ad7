/* SPDX-License-Identifier: MIT */
/* See crops.h. */
#include "crops.h"
#include "png_file.h"

static struct rk_crop *find(struct rk_crops *crops, const struct rk_rect *rect)
{
    for (uint32_t i = 0; i < crops->count; i++) {
        if (memcmp(&crops->list[i].rect, rect, sizeof(*rect)) == 0) return &crops->list[i];
    }
    return NULL;
}

static struct rk_crop *add(struct rk_crops *crops, struct rk_crop crop)
{
    if (crops->count == crops->capacity) {
        uint32_t capacity = crops->capacity ? crops->capacity * 2 : 8;
        struct rk_crop *larger = realloc(crops->list, capacity * sizeof(*larger));
        if (!larger) return NULL;
        crops->list = larger;
        crops->capacity = capacity;
    }
    crops->list[crops->count] = crop;
    return &crops->list[crops->count++];
}

static struct rk_crop *encode(struct rk_crops *crops, const struct rk_image *image, struct rk_rect rect)
{
    struct rk_crop crop = {.rect = rect}, *added = NULL;
    if (rk_png_write(image, rect, &crop.png) == 0) added = add(crops, crop);
    if (!added) rk_bytes_finish(&crop.png);
    return added;
}

struct rk_crop *rk_crops_get(struct rk_crops *crops, const struct rk_image *image, struct rk_rect rect)
{
    struct rk_crop *found = find(crops, &rect);
    return found ? found : encode(crops, image, rect);
}

int rk_crops_move(struct rk_crops *crops, struct rk_crops *from, const struct rk_image *image, struct rk_rect rect)
{
    struct rk_crop *found = find(from, &rect);
    if (!found) return encode(crops, image, rect) ? 0 : -ENOMEM;
    if (!add(crops, *found)) return -ENOMEM;
    *found = from->list[--from->count];
    return 0;
}

void rk_crops_finish(struct rk_crops *crops)
{
    for (uint32_t i = 0; i < crops->count; i++) rk_bytes_finish(&crops->list[i].png);
    free(crops->list);
    *crops = (struct rk_crops){0};
}
