/* SPDX-License-Identifier: MIT */
/* PNG files through libpng, which reports errors by longjmp(): what must survive it lives in struct reader, outside of the
 * function that calls setjmp(). Blocks on the file. */
#include "png_file.h"
#include <errno.h>
#include <png.h>
#include <string.h>

#define SIGNATURE_BYTES 8u

struct reader {
    FILE *file;
    png_structp png;
    png_infop info;
    uint64_t pixels_max;
    uint32_t width, height;
    const struct rk_png_room *room;
    uint32_t *pixels[2]; /* where they go; the second may be NULL */
    int error;
    struct rk_png_fault *fault;
};

static int refuse(struct reader *reader, int error, const char *what)
{
    reader->error = error;
    snprintf(reader->fault->text, sizeof(reader->fault->text), "%s", what);
    return error;
}

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *reader = png_get_error_ptr(png);
    if (reader->error == 0) {
        reader->error = -EBADMSG;
        snprintf(reader->fault->text, sizeof(reader->fault->text), "a damaged PNG file: %s", text);
    }
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

/* The size is known: is it one we take? */
static void check_size(struct reader *reader)
{
    reader->width = png_get_image_width(reader->png, reader->info);
    reader->height = png_get_image_height(reader->png, reader->info);
    uint64_t pixels = (uint64_t)reader->width * reader->height;
    if (pixels > reader->pixels_max) {
        snprintf(reader->fault->text, sizeof(reader->fault->text),
                 "%u x %u pixels are too many: at most %llu in all are taken", reader->width, reader->height,
                 (unsigned long long)reader->pixels_max);
        reader->error = -EFBIG;
        png_longjmp(reader->png, 1);
    }
    int error = reader->room->find(reader->room->user, reader->width, reader->height, reader->pixels);
    if (error == 0) return;
    refuse(reader, error, "there is no room for its pixels");
    png_longjmp(reader->png, 1);
}

/* Whatever the file has becomes 8-bit RGBA. */
static void ask_for_rgba(png_structp png)
{
    png_set_expand(png); /* palettes, fewer than 8 bits, a transparent colour */
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_add_alpha(png, 0xff, PNG_FILLER_AFTER);
}

/* Row by row, while it is in the cache. */
static void copy_row(const struct reader *reader, size_t at)
{
    if (reader->pixels[1]) memcpy(reader->pixels[1] + at, reader->pixels[0] + at, reader->width * sizeof(uint32_t));
}

static void read_rows(struct reader *reader)
{
    int passes = png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    if (png_get_rowbytes(reader->png, reader->info) != (size_t)reader->width * sizeof(uint32_t))
        png_error(reader->png, "rows of an unexpected length");
    while (passes-- > 0) {
        for (uint32_t y = 0; y < reader->height; y++) {
            size_t at = (size_t)y * reader->width;
            png_read_row(reader->png, (png_bytep)(reader->pixels[0] + at), NULL);
            if (passes == 0) copy_row(reader, at);
        }
    }
    png_read_end(reader->png, NULL);
}

static int decode(struct reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png))) return reader->error;
    png_init_io(reader->png, reader->file);
    png_set_sig_bytes(reader->png, SIGNATURE_BYTES);
    png_read_info(reader->png, reader->info);
    check_size(reader);
    ask_for_rgba(reader->png);
    read_rows(reader);
    return 0;
}

static int check_signature(struct reader *reader)
{
    png_byte start[SIGNATURE_BYTES];
    size_t count = fread(start, 1, sizeof(start), reader->file);
    if (ferror(reader->file)) return refuse(reader, -EIO, strerror(errno));
    if (count == 0) return refuse(reader, -EBADMSG, "an empty file");
    if (count < sizeof(start) || png_sig_cmp(start, 0, sizeof(start)) != 0)
        return refuse(reader, -EBADMSG, "not a PNG file");
    return 0;
}

static int read_file(struct reader *reader)
{
    int error = check_signature(reader);
    if (error < 0) return error;
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
    if (reader->png) reader->info = png_create_info_struct(reader->png);
    return reader->info ? decode(reader) : refuse(reader, -ENOMEM, "out of memory");
}

int rk_png_read_into(const char *path, uint64_t pixels_max, const struct rk_png_room *room, struct rk_png_fault *fault)
{
    struct reader reader = {.pixels_max = pixels_max, .room = room, .fault = fault};
    reader.file = fopen(path, "re");
    if (!reader.file) {
        int error = -errno;
        return refuse(&reader, error, strerror(-error));
    }
    int error = read_file(&reader);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    fclose(reader.file);
    return error;
}

static int own_memory(void *user, uint32_t width, uint32_t height, uint32_t *pixels[2])
{
    struct rk_image *image = user;
    pixels[0] = malloc((size_t)width * height * sizeof(uint32_t));
    *image = (struct rk_image){.width = width, .height = height, .pixels = pixels[0]};
    return pixels[0] ? 0 : -ENOMEM;
}

int rk_png_read(const char *path, uint64_t pixels_max, struct rk_image *image, struct rk_png_fault *fault)
{
    struct rk_image made = {0};
    const struct rk_png_room room = {.find = own_memory, .user = &made};
    int error = rk_png_read_into(path, pixels_max, &room, fault);
    if (error < 0) {
        rk_image_free(&made);
    } else {
        *image = made;
    }
    return error;
}
