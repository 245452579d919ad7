/* SPDX-License-Identifier: MIT */
/* Pictures and rectangles: what every part of svgcast speaks about. A picture is a view; who made the pixels frees them. */
#ifndef RK_IMAGE_H
#define RK_IMAGE_H

#include <stdint.h>
#include <stdlib.h>

/** 8-bit RGBA, row by row without gaps: the bytes of a pixel in memory are R, G, B, A. */
struct rk_image {
    uint32_t width;
    uint32_t height;
    const uint32_t *pixels;
};

/** Inside a picture, never empty. */
struct rk_rect {
    uint32_t x;
    uint32_t y;
    uint32_t width;
    uint32_t height;
};

static inline uint64_t rk_image_pixels(const struct rk_image *image)
{
    return (uint64_t)image->width * image->height;
}

static inline const uint32_t *rk_image_row(const struct rk_image *image, uint32_t y)
{
    return image->pixels + (uint64_t)y * image->width;
}

/** For pictures of rk_png_read(). An empty one is fine. */
static inline void rk_image_free(struct rk_image *image)
{
    free((void *)(uintptr_t)image->pixels);
    *image = (struct rk_image){0};
}

/** The smallest rectangle that holds both. */
static inline struct rk_rect rk_rect_around(struct rk_rect a, struct rk_rect b)
{
    uint32_t x = a.x < b.x ? a.x : b.x, y = a.y < b.y ? a.y : b.y;
    uint32_t a_right = a.x + a.width, b_right = b.x + b.width;
    uint32_t a_bottom = a.y + a.height, b_bottom = b.y + b.height;
    return (struct rk_rect){x, y, (a_right > b_right ? a_right : b_right) - x,
                            (a_bottom > b_bottom ? a_bottom : b_bottom) - y};
}

#endif
