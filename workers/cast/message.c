/* SPDX-License-Identifier: MIT */
/* See message.h. */
#include "message.h"
#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct rk_frame_header) == 32, "no padding, and pixels are aligned behind it");
_Static_assert(sizeof(struct rk_frame_header) + sizeof(uint32_t) > RASK_INLINE_BYTES, "every frame can be leased");
_Static_assert(sizeof(struct rk_answer_header) == 16 && sizeof(struct rk_rect) == 16, "no padding");
_Static_assert(sizeof(struct rk_crop_request) == 24, "no padding");

int rk_frame_get(const void *data, size_t bytes, struct rk_frame *frame)
{
    struct rk_frame_header header;
    if (bytes < sizeof(header)) return -EBADMSG;
    memcpy(&header, data, sizeof(header));
    uint64_t pixels = (uint64_t)header.width * header.height;
    if (pixels == 0 || pixels > RK_FRAME_PIXELS_MAX || bytes != rk_frame_bytes(header.width, header.height))
        return -EBADMSG;
    *frame = (struct rk_frame){
        .image = {header.width, header.height, (const uint32_t *)data + sizeof(header) / sizeof(uint32_t)},
        .number = header.number,
        .begins = header.begins != 0,
    };
    return 0;
}

size_t rk_answer_bytes(uint32_t count)
{
    return sizeof(struct rk_answer_header) + count * sizeof(struct rk_rect);
}

void rk_answer_put(void *out, const struct rk_patches *patches)
{
    struct rk_answer_header header = {.count = patches->count};
    memcpy(out, &header, sizeof(header));
    if (patches->count > 0)
        memcpy((uint8_t *)out + sizeof(header), patches->list, patches->count * sizeof(*patches->list));
}

bool rk_rect_fits(const struct rk_rect *rect, uint32_t width, uint32_t height)
{
    return rect->width > 0 && rect->height > 0 && rect->width <= width && rect->x <= width - rect->width &&
           rect->height <= height && rect->y <= height - rect->height;
}

int rk_answer_get(const void *data, size_t bytes, uint32_t width, uint32_t height, struct rk_patches *patches)
{
    struct rk_answer_header header;
    *patches = (struct rk_patches){0};
    if (bytes < sizeof(header)) return -EBADMSG;
    memcpy(&header, data, sizeof(header));
    if (header.count > (bytes - sizeof(header)) / sizeof(struct rk_rect) || bytes != rk_answer_bytes(header.count))
        return -EBADMSG;
    patches->list = calloc((size_t)header.count + 1, sizeof(*patches->list));
    if (!patches->list) return -ENOMEM;
    memcpy(patches->list, (const uint8_t *)data + sizeof(header), header.count * sizeof(*patches->list));
    for (; patches->count < header.count; patches->count++) {
        if (rk_rect_fits(&patches->list[patches->count], width, height)) continue;
        rk_patches_finish(patches);
        return -EBADMSG;
    }
    return 0;
}
