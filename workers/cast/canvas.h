/* SPDX-License-Identifier: MIT */
/* Drawing for sample frames: rectangles and small letters on an opaque picture. */
#ifndef RK_CANVAS_H
#define RK_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#define RK_LETTER_ADVANCE 8 /* from one letter to the next */
#define RK_LETTER_HEIGHT 10

/** Coordinates may lie outside: what is outside of the clip is not drawn. */
struct rk_canvas {
    int width, height;
    uint32_t *pixels; /* as in struct rk_image */
    int clip_x, clip_y, clip_width, clip_height;
};

/** 0xRRGGBB everywhere below. */
void rk_canvas_fill(struct rk_canvas *canvas, int x, int y, int width, int height, uint32_t rgb);

/** Capitals (small letters become such), digits and some signs; others are blank. */
void rk_canvas_text(struct rk_canvas *canvas, int x, int y, const char *text, size_t length, uint32_t rgb);

/** Draw only here from now on; the whole picture with width 0. */
void rk_canvas_clip(struct rk_canvas *canvas, int x, int y, int width, int height);

#endif
