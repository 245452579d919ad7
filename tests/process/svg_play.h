/* SPDX-License-Identifier: MIT */
/* Plays a picture of svgcast without a browser: its images, and what is to be seen at a time. A fault fails the running test. */
#ifndef SVG_PLAY_H
#define SVG_PLAY_H

#include "image.h"
#include <stdbool.h>
#include <stddef.h>

#define SVG_IMAGES_MAX 4096u

struct svg_image {
    uint64_t at_ms;
    struct rk_rect rect;
    struct rk_image image;
};

struct svg_play {
    uint32_t width, height;
    unsigned count; /* of images; the first is the first frame */
    struct svg_image images[SVG_IMAGES_MAX];
};

/** Take a file apart; `scratch` is the name of a file to write to. Free with svg_close(). */
void svg_open(struct svg_play *play, const char *path, const char *scratch);
void svg_close(struct svg_play *play);

/** What is to be seen at `at_ms`: width * height pixels. */
void svg_show(const struct svg_play *play, uint64_t at_ms, uint32_t *pixels);

/** Read a whole file, with a zero behind it; free() it. */
char *svg_read_file(const char *path, size_t *bytes);

#endif
