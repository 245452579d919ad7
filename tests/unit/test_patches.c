/* SPDX-License-Identifier: MIT */
/* Which regions changed: hand-made cases, and the fast scan against the definition, pixel by pixel, on random pictures. */
#include "patches.h"
#include "random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
/* Needs the headers above. */
#include <cmocka.h>

#define ROUNDS 3000u
#define SIDE_MAX 48u
#define PIXELS_MAX (SIDE_MAX * SIDE_MAX)
#define BIG_WIDTH 1200u
#define BIG_HEIGHT 744u
#define BIG_MS_MAX 40.0 /* of processor time; sanitized ten times that */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- the definition, word by word ------------------------------------------------------------------------------ */

static bool touches(const struct rk_rect *rect, uint32_t x, uint32_t y)
{
    return x + 1 >= rect->x && x <= rect->x + rect->width && y + 1 >= rect->y && y <= rect->y + rect->height;
}

static void plain_pixel(struct rk_rect *list, uint32_t *count, uint32_t x, uint32_t y)
{
    struct rk_rect pixel = {x, y, 1, 1};
    uint32_t found = 0, last = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (!touches(&list[i], x, y)) continue;
        found++;
        last = i;
    }
    if (found == 1) {
        list[last] = rk_rect_around(list[last], pixel);
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (touches(&list[i], x, y)) {
            pixel = rk_rect_around(pixel, list[i]);
        } else {
            list[kept++] = list[i];
        }
    }
    list[kept++] = pixel;
    *count = kept;
}

static uint32_t plain(const struct rk_image *before, const struct rk_image *after, struct rk_rect *list)
{
    uint32_t count = 0;
    for (uint32_t y = 0; y < after->height; y++) {
        for (uint32_t x = 0; x < after->width; x++) {
            if (rk_image_row(before, y)[x] != rk_image_row(after, y)[x]) plain_pixel(list, &count, x, y);
        }
    }
    return count;
}

/* ---- by hand --------------------------------------------------------------------------------------------------- */

/* Rows of a picture, '#' where it changed; the regions as "x,y,width,height " each. */
static void expect(const char *const *rows, uint32_t height, const char *wanted)
{
    uint32_t before[PIXELS_MAX] = {0}, after[PIXELS_MAX] = {0}, width = (uint32_t)strlen(rows[0]);
    char text[512] = "";
    struct rk_patches patches;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) after[y * width + x] = rows[y][x] == '#';
    }
    const struct rk_image old = {width, height, before}, new = {width, height, after};
    assert_int_equal(rk_patches_find(&old, &new, &patches), 0);
    for (uint32_t i = 0; i < patches.count; i++) {
        const struct rk_rect *rect = &patches.list[i];
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%u,%u,%u,%u ", rect->x, rect->y, rect->width,
                 rect->height);
    }
    rk_patches_finish(&patches);
    assert_string_equal(text, wanted);
}

#define EXPECT(wanted, ...)                                               \
    do {                                                                  \
        static const char *const rows[] = {__VA_ARGS__};                  \
        expect(rows, (uint32_t)(sizeof(rows) / sizeof(rows[0])), wanted); \
    } while (0)

static void test_same_pictures_have_no_regions(void **state)
{
    (void)state;
    EXPECT("", "....", "....");
    EXPECT("", ".");
}

static void test_pixels_that_touch_are_one_region(void **state)
{
    (void)state;
    EXPECT("0,0,1,1 ", "#");
    EXPECT("1,0,2,1 ", ".##.");
    EXPECT("0,0,2,2 ", "#.", ".#"); /* diagonally */
    EXPECT("0,0,2,2 ", ".#", "#.");
    EXPECT("0,0,4,3 ", "####", "####", "####");
}

static void test_a_gap_of_one_pixel_parts_regions(void **state)
{
    (void)state;
    EXPECT("0,0,1,1 2,0,1,1 ", "#.#");
    EXPECT("0,0,1,1 0,2,1,1 ", "#", ".", "#");
    EXPECT("0,0,1,1 2,2,1,1 ", "#..", "...", "..#");
}

static void test_a_pixel_inside_a_region_changes_nothing(void **state)
{
    (void)state;
    EXPECT("0,0,3,3 ", "#..", ".#.", "#.#"); /* the box, not the pixels, is the region */
    EXPECT("0,0,3,2 ", "#.#", ".#.");
}

static void test_what_a_pixel_joins_goes_to_the_end(void **state)
{
    (void)state;
    EXPECT("6,0,1,1 0,0,3,2 ", "#.#...#", ".#.....");
    EXPECT("4,0,1,1 0,0,3,2 6,1,1,1 ", "#.#.#..", ".#....#");
}

static void test_regions_may_come_to_overlap(void **state)
{
    (void)state;
    /* What grows around a region without a pixel that touches it does not take it in. */
    EXPECT("2,0,1,1 0,0,5,5 ", "#.#..", "#....", "#....", "#...#", ".###.");
}

/* ---- against the definition ------------------------------------------------------------------------------------ */

static void draw_rects(uint64_t *random, uint32_t *pixels, uint32_t width, uint32_t height)
{
    for (uint32_t count = random_below(random, 9); count > 0; count--) {
        uint32_t x = random_below(random, width), y = random_below(random, height);
        uint32_t right = x + 1 + random_below(random, width - x), bottom = y + 1 + random_below(random, height - y);
        for (uint32_t row = y; row < bottom; row++) {
            for (uint32_t column = x; column < right; column++) {
                if (row == y || column == x || row + 1 == bottom) pixels[row * width + column]++; /* an open outline */
            }
        }
    }
}

static void draw_noise(uint64_t *random, uint32_t *pixels, uint32_t count)
{
    uint32_t one_in = 1 + random_below(random, 40);
    for (uint32_t i = 0; i < count; i++) pixels[i] += random_below(random, one_in) == 0;
}

static void draw_comb(uint64_t *random, uint32_t *pixels, uint32_t width, uint32_t height)
{
    uint32_t step = 2 + random_below(random, 3), slant = random_below(random, 3);
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = y * slant % step; x < width; x += step) pixels[y * width + x] ^= 1;
    }
}

static void draw_change(uint64_t *random, uint32_t *pixels, uint32_t width, uint32_t height)
{
    uint32_t what = random_below(random, 8);
    if (what & 1) draw_noise(random, pixels, width * height);
    if (what & 2) draw_rects(random, pixels, width, height);
    if (what & 4) draw_comb(random, pixels, width, height);
}

static void check_against_definition(const struct rk_image *before, const struct rk_image *after)
{
    static struct rk_rect wanted[PIXELS_MAX];
    uint32_t count = plain(before, after, wanted);
    struct rk_patches patches;
    assert_int_equal(rk_patches_find(before, after, &patches), 0);
    assert_int_equal(patches.count, count);
    if (count > 0) assert_memory_equal(patches.list, wanted, count * sizeof(*wanted));
    rk_patches_finish(&patches);
}

static void test_scan_equals_the_definition_on_random_pictures(void **state)
{
    uint64_t random = random_seed();
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t before[PIXELS_MAX], after[PIXELS_MAX];
        uint32_t width = 1 + random_below(&random, SIDE_MAX), height = 1 + random_below(&random, SIDE_MAX);
        for (uint32_t i = 0; i < width * height; i++) after[i] = before[i] = random_below(&random, 3);
        draw_change(&random, after, width, height);
        const struct rk_image old = {width, height, before}, new = {width, height, after};
        check_against_definition(&old, &new);
    }
}

static void test_copying_the_regions_gives_the_next_picture(void **state)
{
    uint64_t random = random_seed();
    (void)state;
    for (unsigned round = 0; round < ROUNDS / 10; round++) {
        uint32_t shown[PIXELS_MAX] = {0}, after[PIXELS_MAX] = {0};
        uint32_t width = 1 + random_below(&random, SIDE_MAX), height = 1 + random_below(&random, SIDE_MAX);
        for (unsigned frame = 0; frame < 4; frame++) {
            draw_change(&random, after, width, height);
            const struct rk_image old = {width, height, shown}, new = {width, height, after};
            struct rk_patches patches;
            assert_int_equal(rk_patches_find(&old, &new, &patches), 0);
            for (uint32_t i = 0; i < patches.count; i++) {
                const struct rk_rect *rect = &patches.list[i];
                for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
                    memcpy(shown + y * width + rect->x, after + y * width + rect->x, rect->width * sizeof(*shown));
            }
            rk_patches_finish(&patches);
            assert_memory_equal(shown, after, width * height * sizeof(*shown));
        }
    }
}

/* ---- how long it takes ----------------------------------------------------------------------------------------- */

static double time_ms(const struct rk_image *before, const struct rk_image *after, uint32_t *count)
{
    struct timespec start, end;
    struct rk_patches patches;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    assert_int_equal(rk_patches_find(before, after, &patches), 0);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    *count = patches.count;
    rk_patches_finish(&patches);
    return (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
}

/* What changes in pattern `kind` at this place. */
static bool changes(unsigned kind, uint32_t x, uint32_t y, uint64_t *random)
{
    switch (kind) {
    case 0:
        return false;
    case 1:
        return true;
    case 2:
        return random_below(random, 100) == 0;
    case 3:
        return random_below(random, 10) == 0;
    case 4:
        return random_below(random, 2) == 0;
    case 5:
        return x % 2 == 0 && y % 2 == 0; /* as many regions as there can be */
    case 6:
        return x % 3 == 0; /* long thin regions, all active */
    default:
        return x > 300 && x < 900 && y > 100 && y < 600;
    }
}

/** The definition looks at every region for every pixel; the scan must not. */
static void test_big_pictures_take_milliseconds_whatever_changed(void **state)
{
    static const char *const names[] = {"nothing", "everything", "1 in 100", "1 in 10",
                                        "1 in 2",  "a grid",     "stripes",  "a rectangle"};
    size_t pixels = (size_t)BIG_WIDTH * BIG_HEIGHT;
    uint32_t *before = calloc(pixels, sizeof(*before)), *after = calloc(pixels, sizeof(*after)), count;
    uint64_t random = random_seed();
    (void)state;
    assert_true(before && after);
    const struct rk_image old = {BIG_WIDTH, BIG_HEIGHT, before}, new = {BIG_WIDTH, BIG_HEIGHT, after};
    for (unsigned kind = 0; kind < sizeof(names) / sizeof(names[0]); kind++) {
        for (size_t i = 0; i < pixels; i++)
            after[i] = changes(kind, (uint32_t)(i % BIG_WIDTH), (uint32_t)(i / BIG_WIDTH), &random);
        double best_ms = 1e9;
        for (unsigned i = 0; i < 3; i++) {
            double ms = time_ms(&old, &new, &count);
            if (ms < best_ms) best_ms = ms;
        }
        print_message("%s changed: %u regions in %.1f ms\n", names[kind], count, best_ms);
        assert_true(best_ms < BIG_MS_MAX * (SANITIZED ? 10 : 1));
    }
    free(before);
    free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_pictures_have_no_regions),
        cmocka_unit_test(test_pixels_that_touch_are_one_region),
        cmocka_unit_test(test_a_gap_of_one_pixel_parts_regions),
        cmocka_unit_test(test_a_pixel_inside_a_region_changes_nothing),
        cmocka_unit_test(test_what_a_pixel_joins_goes_to_the_end),
        cmocka_unit_test(test_regions_may_come_to_overlap),
        cmocka_unit_test(test_scan_equals_the_definition_on_random_pictures),
        cmocka_unit_test(test_copying_the_regions_gives_the_next_picture),
        cmocka_unit_test(test_big_pictures_take_milliseconds_whatever_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
