/* SPDX-License-Identifier: MIT */
/* Rectangles of a picture as PNG bytes. libpng reports errors by longjmp(): what must survive it lives in struct writer.
 * The pixels may be another process's: each is checked where it is used, so that no value breaks anything. */
#include "palette.h"
#include "png_file.h"
#include <errno.h>
#include <png.h>

#define LEVEL 6 /* of zlib; said here, so that the same pixels give the same bytes whatever the default is */
/* A palette costs three bytes per colour: worth it from this many pixels per colour. */
#define PIXELS_PER_COLOUR 4u

struct writer {
    png_structp png;
    png_infop info;
    const struct rk_image *image;
    struct rk_rect rect;
    struct rk_palette palette;
    uint8_t *row; /* of indices, if there is a palette */
    struct rk_bytes *out;
};

static void on_error(png_structp png, png_const_charp text)
{
    (void)text; /* nothing fails here but memory: see on_bytes() */
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void on_bytes(png_structp png, png_bytep data, size_t bytes)
{
    struct writer *writer = png_get_io_ptr(png);
    if (rk_bytes_add(writer->out, data, bytes) < 0) png_error(png, "out of memory");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static uint8_t channel(uint32_t pixel, unsigned number)
{
    return ((const uint8_t *)&pixel)[number];
}

static bool is_opaque(const struct rk_image *image, struct rk_rect rect)
{
    for (uint32_t y = rect.y; y < rect.y + rect.height; y++) {
        const uint32_t *row = rk_image_row(image, y) + rect.x;
        uint8_t all = 0xff;
        for (uint32_t x = 0; x < rect.width; x++) all &= channel(row[x], 3);
        if (all != 0xff) return false;
    }
    return true;
}

static int depth_of(uint32_t colours)
{
    return colours <= 2 ? 1 : colours <= 4 ? 2 : colours <= 16 ? 4 : 8;
}

static void write_header(struct writer *writer, int depth, int type)
{
    png_set_compression_level(writer->png, LEVEL);
    png_set_IHDR(writer->png, writer->info, writer->rect.width, writer->rect.height, depth, type, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
}

static void write_indexed(struct writer *writer)
{
    png_color colours[RK_PALETTE_MAX];
    const struct rk_palette *palette = &writer->palette;
    for (uint32_t i = 0; i < palette->count; i++) {
        uint32_t pixel = palette->colours[i];
        colours[i] = (png_color){channel(pixel, 0), channel(pixel, 1), channel(pixel, 2)};
    }
    write_header(writer, depth_of(palette->count), PNG_COLOR_TYPE_PALETTE);
    png_set_PLTE(writer->png, writer->info, colours, (int)palette->count);
    png_write_info(writer->png, writer->info);
    png_set_packing(writer->png);
    for (uint32_t y = 0; y < writer->rect.height; y++) {
        const uint32_t *row = rk_image_row(writer->image, writer->rect.y + y) + writer->rect.x;
        for (uint32_t x = 0; x < writer->rect.width; x++) writer->row[x] = rk_palette_index(palette, row[x]);
        png_write_row(writer->png, writer->row);
    }
}

static void write_direct(struct writer *writer, bool opaque)
{
    write_header(writer, 8, opaque ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGBA);
    png_write_info(writer->png, writer->info);
    if (opaque) png_set_filler(writer->png, 0, PNG_FILLER_AFTER); /* leave the fourth byte out */
    for (uint32_t y = 0; y < writer->rect.height; y++)
        png_write_row(writer->png, (png_const_bytep)(rk_image_row(writer->image, writer->rect.y + y) + writer->rect.x));
}

static bool worth_a_palette(struct writer *writer)
{
    return rk_palette_collect(&writer->palette, writer->image, writer->rect) &&
           writer->palette.count * PIXELS_PER_COLOUR <= (uint64_t)writer->rect.width * writer->rect.height;
}

static int encode(struct writer *writer)
{
    if (setjmp(png_jmpbuf(writer->png))) return -ENOMEM;
    png_set_write_fn(writer->png, writer, on_bytes, on_flush);
    bool opaque = is_opaque(writer->image, writer->rect);
    if (opaque && worth_a_palette(writer)) {
        write_indexed(writer);
    } else {
        write_direct(writer, opaque);
    }
    png_write_end(writer->png, NULL);
    return 0;
}

int rk_png_write(const struct rk_image *image, struct rk_rect rect, struct rk_bytes *out)
{
    struct writer writer = {.image = image, .rect = rect, .out = out, .row = malloc(rect.width)};
    size_t length = out->length;
    int error = -ENOMEM;
    writer.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, on_error, on_warning);
    if (writer.png) writer.info = png_create_info_struct(writer.png);
    if (writer.row && writer.info) error = encode(&writer);
    if (error < 0) out->length = length;
    png_destroy_write_struct(&writer.png, &writer.info);
    free(writer.row);
    return error;
}
