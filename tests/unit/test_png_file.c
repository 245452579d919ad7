/* SPDX-License-Identifier: MIT */
/* PNG files of every colour type and depth become the RGBA that was meant, and crops come back as they were. */
#include "png_file.h"
#include "random.h"
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* Needs the headers above. */
#include <cmocka.h>

#define WIDTH 37u
#define HEIGHT 21u
#define PIXELS (WIDTH * HEIGHT)
#define MANY 1000000u

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/rask-png-XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void put_file(const void *data, size_t bytes)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* ---- files of one kind each ------------------------------------------------------------------------------------ */

struct kind {
    int type, depth;
    bool interlaced;
    bool key; /* tRNS: one transparent colour, or alpha of the palette */
};

/* Sample `channel` of pixel i, of `depth` bits; deterministic, and every value occurs. */
static uint32_t sample(unsigned i, unsigned channel, int depth)
{
    uint32_t value = (i * 2654435761u + channel * 40503u) >> 7;
    return value & ((1u << depth) - 1);
}

static unsigned channels_of(int type)
{
    return type == PNG_COLOR_TYPE_RGB ? 3 : type == PNG_COLOR_TYPE_RGBA ? 4 : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2 : 1;
}

static void put_row(png_structp png, const struct kind *kind, unsigned y)
{
    uint8_t row[WIDTH * 8] = {0};
    unsigned channels = channels_of(kind->type), at = 0;
    for (unsigned x = 0; x < WIDTH; x++) {
        for (unsigned channel = 0; channel < channels; channel++, at++) {
            uint32_t value = sample(y * WIDTH + x, channel, kind->depth);
            unsigned bit = at * (unsigned)kind->depth;
            if (kind->depth == 16) row[at * 2] = (uint8_t)(value >> 8);
            if (kind->depth == 16) row[at * 2 + 1] = (uint8_t)value;
            if (kind->depth <= 8) row[bit / 8] |= (uint8_t)(value << (8 - kind->depth - (int)(bit % 8)));
        }
    }
    png_write_row(png, row);
}

static void put_tables(png_structp png, png_infop info, const struct kind *kind)
{
    png_color palette[256];
    uint8_t alpha[256];
    png_color_16 transparent = {0};
    for (unsigned i = 0; i < 256; i++) {
        palette[i] = (png_color){(uint8_t)(i * 7), (uint8_t)(255 - i), (uint8_t)(i * 31)};
        alpha[i] = (uint8_t)(i * 13);
    }
    transparent.gray = (uint16_t)sample(0, 0, kind->depth);
    transparent.red = (uint16_t)sample(0, 0, kind->depth);
    transparent.green = (uint16_t)sample(0, 1, kind->depth);
    transparent.blue = (uint16_t)sample(0, 2, kind->depth);
    bool indexed = kind->type == PNG_COLOR_TYPE_PALETTE;
    if (indexed) png_set_PLTE(png, info, palette, 1 << kind->depth);
    if (kind->key) png_set_tRNS(png, info, indexed ? alpha : NULL, indexed ? 1 << kind->depth : 1, &transparent);
}

static void put_png(const struct kind *kind)
{
    FILE *file = fopen(path, "we");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_true(file && png && info);
    png_init_io(png, file);
    png_set_IHDR(png, info, WIDTH, HEIGHT, kind->depth, kind->type,
                 kind->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    put_tables(png, info, kind);
    png_write_info(png, info);
    for (int passes = png_set_interlace_handling(png); passes > 0; passes--) {
        for (unsigned y = 0; y < HEIGHT; y++) put_row(png, kind, y);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

/* What a sample is worth in 8 bits: the nearest, with the largest value 255. */
static uint8_t in_8_bits(uint32_t value, int depth)
{
    uint32_t most = (1u << depth) - 1;
    return (uint8_t)((value * 255 + most / 2) / most);
}

/* The pixel that put_png() meant. */
static void meant(const struct kind *kind, unsigned i, uint8_t out[4])
{
    uint32_t samples[4];
    bool key = kind->key;
    for (unsigned channel = 0; channel < 4; channel++) samples[channel] = sample(i, channel, kind->depth);
    if (kind->type == PNG_COLOR_TYPE_PALETTE) {
        uint32_t index = samples[0];
        uint8_t colour[4] = {(uint8_t)(index * 7), (uint8_t)(255 - index), (uint8_t)(index * 31),
                             key ? (uint8_t)(index * 13) : 255};
        memcpy(out, colour, 4);
        return;
    }
    bool colour = kind->type & PNG_COLOR_MASK_COLOR;
    for (unsigned channel = 0; channel < 3; channel++) {
        uint32_t value = samples[colour ? channel : 0];
        out[channel] = in_8_bits(value, kind->depth);
        key = key && value == sample(0, colour ? channel : 0, kind->depth);
    }
    out[3] = key ? 0 : 255;
    if (kind->type & PNG_COLOR_MASK_ALPHA) out[3] = in_8_bits(samples[colour ? 3 : 1], kind->depth);
}

static void check_kind(const struct kind *kind)
{
    struct rk_image image;
    struct rk_png_fault fault;
    put_png(kind);
    assert_int_equal(rk_png_read(path, MANY, &image, &fault), 0);
    assert_int_equal(image.width, WIDTH);
    assert_int_equal(image.height, HEIGHT);
    for (unsigned i = 0; i < PIXELS; i++) {
        uint8_t wanted[4];
        meant(kind, i, wanted);
        if (memcmp(&image.pixels[i], wanted, 4) == 0) continue;
        fail_msg("type %d, %d bits%s%s: pixel %u is %08x", kind->type, kind->depth,
                 kind->interlaced ? ", interlaced" : "", kind->key ? ", tRNS" : "", i, image.pixels[i]);
    }
    rk_image_free(&image);
}

static void test_every_colour_type_is_read_as_rgba(void **state)
{
    static const struct kind kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1, false, false},       {PNG_COLOR_TYPE_GRAY, 2, false, true},
        {PNG_COLOR_TYPE_GRAY, 4, true, false},        {PNG_COLOR_TYPE_GRAY, 8, false, false},
        {PNG_COLOR_TYPE_GRAY, 8, true, true},         {PNG_COLOR_TYPE_GRAY, 16, false, false},
        {PNG_COLOR_TYPE_PALETTE, 1, false, false},    {PNG_COLOR_TYPE_PALETTE, 2, true, true},
        {PNG_COLOR_TYPE_PALETTE, 4, false, true},     {PNG_COLOR_TYPE_PALETTE, 8, false, false},
        {PNG_COLOR_TYPE_PALETTE, 8, true, true},      {PNG_COLOR_TYPE_RGB, 8, false, false},
        {PNG_COLOR_TYPE_RGB, 8, true, true},          {PNG_COLOR_TYPE_RGB, 16, false, false},
        {PNG_COLOR_TYPE_RGB, 16, true, true},         {PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16, true, false}, {PNG_COLOR_TYPE_RGBA, 8, false, false},
        {PNG_COLOR_TYPE_RGBA, 8, true, false},        {PNG_COLOR_TYPE_RGBA, 16, false, false},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) check_kind(&kinds[i]);
}

/* ---- what is written ------------------------------------------------------------------------------------------- */

/* A picture with `colours` colours; with alpha if `clear`. */
static void paint(uint32_t *pixels, uint64_t *random, uint32_t colours, bool clear)
{
    for (unsigned i = 0; i < PIXELS; i++) {
        uint32_t number = random_below(random, colours);
        uint8_t bytes[4] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number * 77), 255};
        if (clear && number % 3 == 0) bytes[3] = (uint8_t)number;
        memcpy(&pixels[i], bytes, 4);
    }
}

static void check_crop(const struct rk_image *image, struct rk_rect rect, int type)
{
    struct rk_bytes png = {0};
    struct rk_image back;
    struct rk_png_fault fault;
    assert_int_equal(rk_bytes_add(&png, "before", 6), 0);
    assert_int_equal(rk_png_write(image, rect, &png), 0);
    assert_memory_equal(png.data, "before", 6);
    if (type >= 0) assert_int_equal(png.data[6 + 25], type);
    put_file(png.data + 6, png.length - 6);
    assert_int_equal(rk_png_read(path, MANY, &back, &fault), 0);
    assert_int_equal(back.width, rect.width);
    assert_int_equal(back.height, rect.height);
    for (uint32_t y = 0; y < rect.height; y++)
        assert_memory_equal(rk_image_row(&back, y), rk_image_row(image, rect.y + y) + rect.x, rect.width * 4);
    rk_image_free(&back);
    rk_bytes_finish(&png);
}

static void test_crops_come_back_as_they_were(void **state)
{
    static const uint32_t colours[] = {1, 2, 3, 4, 5, 16, 17, 100, 256, 257, 65536};
    uint64_t random = random_seed();
    uint32_t pixels[PIXELS];
    const struct rk_image image = {WIDTH, HEIGHT, pixels};
    (void)state;
    for (unsigned round = 0; round < 20 * sizeof(colours) / sizeof(colours[0]); round++) {
        paint(pixels, &random, colours[round / 20], round % 2);
        uint32_t x = random_below(&random, WIDTH), y = random_below(&random, HEIGHT);
        check_crop(&image,
                   (struct rk_rect){x, y, 1 + random_below(&random, WIDTH - x), 1 + random_below(&random, HEIGHT - y)},
                   -1);
    }
}

static void test_few_colours_get_a_palette(void **state)
{
    uint64_t random = random_seed();
    uint32_t pixels[PIXELS];
    const struct rk_image image = {WIDTH, HEIGHT, pixels};
    const struct rk_rect all = {0, 0, WIDTH, HEIGHT};
    (void)state;
    paint(pixels, &random, 10, false);
    check_crop(&image, all, PNG_COLOR_TYPE_PALETTE);
    check_crop(&image, (struct rk_rect){3, 3, 2, 1}, PNG_COLOR_TYPE_RGB); /* not worth it */
    paint(pixels, &random, 65536, false);
    check_crop(&image, all, PNG_COLOR_TYPE_RGB);
    paint(pixels, &random, 10, true);
    check_crop(&image, all, PNG_COLOR_TYPE_RGBA);
}

/* ---- what is no picture ---------------------------------------------------------------------------------------- */

static void expect_fault(int error, const char *word)
{
    struct rk_image image = {0};
    struct rk_png_fault fault = {""};
    assert_int_equal(rk_png_read(path, PIXELS, &image, &fault), error);
    assert_null(image.pixels);
    if (!strstr(fault.text, word)) fail_msg("\"%s\" does not say \"%s\"", fault.text, word);
}

static void test_what_cannot_be_read_is_said(void **state)
{
    (void)state;
    put_file("", 0);
    expect_fault(-EBADMSG, "empty");
    put_file("GIF89a, or something of that kind", 33);
    expect_fault(-EBADMSG, "not a PNG");
    put_file("\x89PNG", 4);
    expect_fault(-EBADMSG, "not a PNG");
    uint32_t pixels[2 * PIXELS] = {0};
    struct rk_bytes png = {0};
    assert_int_equal(
        rk_png_write(&(struct rk_image){2 * WIDTH, HEIGHT, pixels}, (struct rk_rect){0, 0, 2 * WIDTH, HEIGHT}, &png),
        0);
    put_file(png.data, png.length);
    expect_fault(-EFBIG, "too many");
    rk_bytes_finish(&png);
    assert_int_equal(unlink(path), 0);
    expect_fault(-ENOENT, "No such file");
    put_file("", 0); /* for tear_down() */
}

/** A file that is still being written, or damaged: an error at every length, and with every byte changed never a crash. */
static void test_shortened_and_damaged_files_are_refused(void **state)
{
    const struct kind kind = {PNG_COLOR_TYPE_RGB, 8, true, false};
    uint8_t data[8192];
    (void)state;
    put_png(&kind);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t bytes = fread(data, 1, sizeof(data), file);
    fclose(file);
    assert_in_range(bytes, 100, sizeof(data) - 1);
    for (size_t length = 0; length < bytes; length += 1 + length / 16) {
        put_file(data, length);
        expect_fault(-EBADMSG, "");
    }
    for (size_t at = 0; at < bytes; at += 1 + at / 16) {
        struct rk_image image = {0};
        struct rk_png_fault fault;
        data[at] ^= 0x55;
        put_file(data, bytes);
        if (rk_png_read(path, PIXELS, &image, &fault) == 0) rk_image_free(&image);
        data[at] ^= 0x55;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_colour_type_is_read_as_rgba, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crops_come_back_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_colours_get_a_palette, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shortened_and_damaged_files_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
