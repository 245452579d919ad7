/* SPDX-License-Identifier: MIT */
/* See svg_play.h. Knows no more of SVG than svgcast writes, but reads attributes by name, in any order. */
#include "svg_play.h"
#include "kit.h"
#include "png_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *svg_read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "re");
    if (!file) fail_msg("%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, size, file), size);
    fclose(file);
    text[size] = '\0';
    if (bytes) *bytes = size;
    return text;
}

/* Value of an attribute of the tag at `tag`, NULL if it has none; *length is its length. */
static const char *attribute(const char *tag, const char *name, size_t *length)
{
    char wanted[64];
    const char *end = strchr(tag, '>');
    snprintf(wanted, sizeof(wanted), " %s=\"", name);
    const char *found = strstr(tag, wanted);
    if (!found || found > end) return NULL;
    found += strlen(wanted);
    *length = (size_t)(strchr(found, '"') - found);
    return found;
}

static uint32_t number(const char *tag, const char *name, uint32_t otherwise)
{
    size_t length;
    const char *value = attribute(tag, name, &length);
    return value ? (uint32_t)strtoul(value, NULL, 10) : otherwise;
}

static unsigned digit(char letter)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = letter ? strchr(digits, letter) : NULL;
    if (!found) fail_msg("'%c' is no digit of base64", letter);
    return (unsigned)(found - digits);
}

static void decode(const char *text, size_t length, const char *path)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(length % 4, 0);
    for (size_t i = 0; i < length; i += 4) {
        unsigned count = text[i + 2] == '=' ? 1 : text[i + 3] == '=' ? 2 : 3, group = 0;
        for (unsigned k = 0; k < 4; k++) group = group << 6 | (k <= count ? digit(text[i + k]) : 0);
        for (unsigned k = 0; k < count; k++) putc((int)(group >> (16 - 8 * k) & 0xff), file);
    }
    fclose(file);
}

static void add_image(struct svg_play *play, const char *tag, const char *scratch)
{
    static const char kind[] = "data:image/png;base64,", delay[] = "animation-delay:";
    struct rk_png_fault fault;
    size_t length;
    assert_true(play->count < SVG_IMAGES_MAX);
    struct svg_image *image = &play->images[play->count];
    image->rect =
        (struct rk_rect){number(tag, "x", 0), number(tag, "y", 0), number(tag, "width", 0), number(tag, "height", 0)};
    const char *style = attribute(tag, "style", &length), *hidden = attribute(tag, "visibility", &length);
    assert_int_equal(style != NULL, play->count > 0);
    assert_int_equal(hidden != NULL, play->count > 0);
    if (style) assert_memory_equal(style, delay, sizeof(delay) - 1);
    if (hidden) assert_memory_equal(hidden, "hidden\"", 7);
    image->at_ms = style ? strtoull(style + sizeof(delay) - 1, NULL, 10) : 0;
    const char *data = attribute(tag, "href", &length);
    assert_non_null(data);
    assert_memory_equal(data, kind, sizeof(kind) - 1);
    decode(data + sizeof(kind) - 1, length - (sizeof(kind) - 1), scratch);
    if (rk_png_read(scratch, UINT32_MAX, &image->image, &fault) < 0) fail_msg("image %u: %s", play->count, fault.text);
    assert_int_equal(image->image.width, image->rect.width);
    assert_int_equal(image->image.height, image->rect.height);
    assert_true(image->rect.x + image->rect.width <= play->width && image->rect.y + image->rect.height <= play->height);
    play->count++;
}

void svg_open(struct svg_play *play, const char *path, const char *scratch)
{
    char *text = svg_read_file(path, NULL);
    assert_memory_equal(text, "<svg ", 5);
    assert_null(strstr(text, "<script"));
    memset(play, 0, sizeof(*play));
    play->width = number(text, "width", 0);
    play->height = number(text, "height", 0);
    for (const char *tag = text; (tag = strstr(tag, "<image ")); tag++) add_image(play, tag, scratch);
    assert_true(play->count > 0);
    free(text);
}

void svg_close(struct svg_play *play)
{
    for (unsigned i = 0; i < play->count; i++) rk_image_free(&play->images[i].image);
    play->count = 0;
}

void svg_show(const struct svg_play *play, uint64_t at_ms, uint32_t *pixels)
{
    for (unsigned i = 0; i < play->count; i++) {
        const struct svg_image *image = &play->images[i];
        if (i > 0 && image->at_ms > at_ms) continue;
        for (uint32_t y = 0; y < image->rect.height; y++)
            memcpy(pixels + (size_t)(image->rect.y + y) * play->width + image->rect.x, rk_image_row(&image->image, y),
                   image->rect.width * sizeof(*pixels));
    }
}
