/* SPDX-License-Identifier: MIT */
/* See message.h. */
#include "message.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

_Static_assert(sizeof(struct rk_pair_header) == 16, "pixels are aligned behind it");
_Static_assert(sizeof(struct rk_answer_header) == 8, "no padding");
_Static_assert(sizeof(struct rk_answer_region) == 20, "no padding");

void rk_pair_put(void *out, const struct rk_image *before, const struct rk_image *after)
{
    struct rk_pair_header header = {.width = after->width, .height = after->height};
    size_t bytes = rk_image_pixels(after) * sizeof(*after->pixels);
    uint8_t *at = out;
    memcpy(at, &header, sizeof(header));
    memcpy(at + sizeof(header), before->pixels, bytes);
    memcpy(at + sizeof(header) + bytes, after->pixels, bytes);
}

int rk_pair_get(const void *data, size_t bytes, struct rk_image *before, struct rk_image *after)
{
    struct rk_pair_header header;
    if (bytes < sizeof(header)) return -EBADMSG;
    memcpy(&header, data, sizeof(header));
    uint64_t pixels = (uint64_t)header.width * header.height;
    if (pixels == 0 || pixels > RK_PAIR_PIXELS_MAX || bytes != rk_pair_bytes(header.width, header.height))
        return -EBADMSG;
    const uint32_t *first = (const uint32_t *)data + sizeof(header) / sizeof(uint32_t);
    *before = (struct rk_image){header.width, header.height, first};
    *after = (struct rk_image){header.width, header.height, first + pixels};
    return 0;
}

size_t rk_answer_bytes(const struct rk_regions *regions)
{
    size_t bytes = sizeof(struct rk_answer_header) + regions->count * sizeof(struct rk_answer_region);
    for (uint32_t i = 0; i < regions->count; i++) bytes += regions->list[i].crop.bytes;
    return bytes;
}

void rk_answer_put(void *out, const struct rk_regions *regions)
{
    struct rk_answer_header header = {.count = regions->count};
    uint8_t *row = (uint8_t *)out + sizeof(header), *png = row + regions->count * sizeof(struct rk_answer_region);
    memcpy(out, &header, sizeof(header));
    for (uint32_t i = 0; i < regions->count; i++) {
        const struct rk_region *region = &regions->list[i];
        struct rk_answer_region said = {region->rect.x, region->rect.y, region->rect.width, region->rect.height,
                                        (uint32_t)region->crop.bytes};
        memcpy(row, &said, sizeof(said));
        memcpy(png, region->crop.data, region->crop.bytes);
        row += sizeof(said);
        png += region->crop.bytes;
    }
}

static bool fits(const struct rk_answer_region *said, uint32_t width, uint32_t height)
{
    return said->width > 0 && said->height > 0 && said->width <= width && said->x <= width - said->width &&
           said->height <= height && said->y <= height - said->height;
}

/* `rest` bytes of PNG files are left at `png`. */
static int get_region(const uint8_t *row, const uint8_t *png, size_t rest, const struct rk_rect *bounds,
                      struct rk_region *region)
{
    struct rk_answer_region said;
    memcpy(&said, row, sizeof(said));
    if (!fits(&said, bounds->width, bounds->height) || said.bytes == 0 || said.bytes > rest) return -EBADMSG;
    region->rect = (struct rk_rect){said.x, said.y, said.width, said.height};
    region->crop = (struct rk_crop){.data = png, .bytes = said.bytes};
    return 0;
}

int rk_answer_get(const void *data, size_t bytes, uint32_t width, uint32_t height, struct rk_regions *regions)
{
    struct rk_answer_header header;
    const struct rk_rect bounds = {0, 0, width, height};
    *regions = (struct rk_regions){0};
    if (bytes < sizeof(header)) return -EBADMSG;
    memcpy(&header, data, sizeof(header));
    size_t rest = bytes - sizeof(header);
    if (header.count > rest / sizeof(struct rk_answer_region)) return -EBADMSG;
    rest -= header.count * sizeof(struct rk_answer_region);
    regions->list = calloc((size_t)header.count + 1, sizeof(*regions->list));
    if (!regions->list) return -ENOMEM;
    const uint8_t *row = (const uint8_t *)data + sizeof(header);
    const uint8_t *png = row + header.count * sizeof(struct rk_answer_region);
    int error = 0;
    for (; error == 0 && regions->count < header.count; regions->count++) {
        struct rk_region *region = &regions->list[regions->count];
        error = get_region(row, png, rest, &bounds, region);
        row += sizeof(struct rk_answer_region);
        png += region->crop.bytes;
        rest -= region->crop.bytes;
    }
    if (error == 0 && rest == 0) return 0;
    free(regions->list);
    *regions = (struct rk_regions){0};
    return -EBADMSG;
}
