/* SPDX-License-Identifier: MIT */
/* Which regions are merged: with sizes that a test sets, against every subset tried in the plain way; and the messages of svgcast. */
#include "base64.h"
#include "message.h"
#include "random.h"
#include "regions.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* Needs the headers above. */
#include <cmocka.h>

#define SIDE 64u
#define ROUNDS 4000u

/* An encoder whose sizes come from `cost`; it counts how often it is asked. */
static struct {
    size_t (*cost)(struct rk_rect rect);
    unsigned asked, fail_at;
} maker;

static int size(void *user, struct rk_rect rect, uint64_t *bytes)
{
    assert_ptr_equal(user, &maker);
    if (++maker.asked == maker.fail_at) return -EIO;
    *bytes = rk_base64_bytes(maker.cost(rect));
    return 0;
}

static const struct rk_sizes sizes = {.size = size, .user = &maker};

/* A fixed part and one per pixel: merging neighbours pays, merging what is far apart does not. */
static size_t cost_by_area(struct rk_rect rect)
{
    return 60 + (size_t)rect.width * rect.height / 2;
}

static size_t cost_at_random(struct rk_rect rect)
{
    return 1 + (rect.x * 2654435761u ^ rect.y * 40503u ^ rect.width * 97u ^ rect.height * 7919u) % 300;
}

static size_t cost_always_three(struct rk_rect rect)
{
    (void)rect;
    return 3;
}

static uint64_t total(const struct rk_rect *list, unsigned count)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) bytes += rk_base64_bytes(maker.cost(list[i]));
    return bytes;
}

/* The list with one subset merged, the merged one last. */
static unsigned merged(const struct rk_rect *list, unsigned count, unsigned subset, struct rk_rect *out)
{
    struct rk_rect box = {0};
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if (subset >> i & 1) {
            box = box.width ? rk_rect_around(box, list[i]) : list[i];
        } else {
            out[kept++] = list[i];
        }
    }
    if (box.width) out[kept++] = box;
    return kept;
}

/* The fewest bytes that any subset of two or more gives, or none. */
static uint64_t fewest(const struct rk_rect *list, unsigned count)
{
    uint64_t best = total(list, count);
    for (unsigned subset = 0; count >= 2 && count <= 5 && subset < 1u << count; subset++) {
        struct rk_rect tried[8];
        if (__builtin_popcount(subset) < 2) continue;
        uint64_t bytes = total(tried, merged(list, count, subset, tried));
        if (bytes < best) best = bytes;
    }
    return best;
}

/* Is what was chosen one of the sets that may be chosen? */
static bool is_allowed(const struct rk_rect *list, unsigned count, const struct rk_rect *chosen, unsigned chosen_count)
{
    for (unsigned subset = 0; subset < 1u << count; subset++) {
        struct rk_rect tried[8];
        if (__builtin_popcount(subset) == 1) continue;
        unsigned tried_count = merged(list, count, subset, tried);
        if (tried_count == chosen_count && memcmp(tried, chosen, chosen_count * sizeof(*chosen)) == 0) return true;
    }
    return false;
}

static unsigned choose(const struct rk_rect *list, unsigned count, struct rk_rect *chosen)
{
    struct rk_patches patches = {chosen, count};
    memcpy(chosen, list, count * sizeof(*list));
    maker.asked = 0;
    assert_int_equal(rk_regions_choose(&patches, &sizes), 0);
    return patches.count;
}

static void test_the_set_with_the_fewest_bytes_is_kept(void **state)
{
    uint64_t random = random_seed();
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct rk_rect list[5], chosen[5];
        unsigned count = 1 + random_below(&random, 5);
        maker.cost = round % 2 ? cost_by_area : cost_at_random;
        for (unsigned i = 0; i < count; i++) {
            uint32_t x = random_below(&random, SIDE), y = random_below(&random, SIDE);
            list[i] = (struct rk_rect){x, y, 1 + random_below(&random, SIDE - x), 1 + random_below(&random, SIDE - y)};
        }
        unsigned chosen_count = choose(list, count, chosen);
        assert_int_equal(total(chosen, chosen_count), fewest(list, count));
        assert_true(is_allowed(list, count, chosen, chosen_count));
    }
}

static void test_a_tie_leaves_them_unmerged(void **state)
{
    struct rk_rect list[2] = {{0, 0, 1, 1}, {5, 5, 1, 1}}, chosen[5];
    (void)state;
    maker.cost = cost_by_area; /* 60 bytes, 80 characters each; together 60 + 36 / 2 = 78 bytes, 104 characters */
    assert_int_equal(choose(list, 2, chosen), 1);
    list[1] = (struct rk_rect){11, 9, 1, 1}; /* 60 + 120 / 2 = 120 bytes, 160 characters: as many as apart */
    assert_int_equal(total(list, 2), 160);
    assert_int_equal(choose(list, 2, chosen), 2);
}

static void test_one_and_more_than_five_stay_as_they_are(void **state)
{
    struct rk_rect list[6], chosen[6];
    (void)state;
    maker.cost = cost_always_three; /* merging always pays */
    for (unsigned i = 0; i < 6; i++) list[i] = (struct rk_rect){i * 3, 0, 1, 1};
    assert_int_equal(choose(list, 0, chosen), 0);
    assert_int_equal(choose(list, 1, chosen), 1);
    assert_int_equal(choose(list, 5, chosen), 1);
    assert_int_equal(chosen[0].width, 13);
    assert_int_equal(choose(list, 6, chosen), 6);
    assert_memory_equal(chosen, list, sizeof(list));
    assert_int_equal(maker.asked, 0); /* nothing to choose */
}

static void test_a_size_that_fails_ends_it(void **state)
{
    struct rk_rect list[4] = {{0, 0, 1, 1}, {3, 0, 1, 1}, {0, 9, 1, 1}, {50, 50, 1, 1}}, chosen[5];
    (void)state;
    maker.cost = cost_by_area;
    choose(list, 4, chosen);
    unsigned asked = maker.asked;
    assert_true(asked > 4);
    for (maker.fail_at = 1; maker.fail_at <= asked; maker.fail_at++) {
        struct rk_patches patches = {chosen, 4};
        memcpy(chosen, list, sizeof(list));
        maker.asked = 0;
        assert_int_equal(rk_regions_choose(&patches, &sizes), -EIO);
        assert_int_equal(maker.asked, maker.fail_at);
    }
    maker.fail_at = 0;
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static void test_requests_of_another_length_are_refused(void **state)
{
    uint32_t message[32] = {0};
    struct rk_frame_header header = {.width = 3, .height = 2, .number = 7, .begins = 1};
    struct rk_frame frame;
    size_t bytes = rk_frame_bytes(3, 2);
    (void)state;
    memcpy(message, &header, sizeof(header));
    memcpy(rk_frame_pixels(message), "pixels", 6);
    assert_int_equal(rk_frame_get(message, bytes, &frame), 0);
    assert_int_equal(frame.image.width, 3);
    assert_int_equal(frame.image.height, 2);
    assert_int_equal(frame.number, 7);
    assert_true(frame.begins);
    assert_memory_equal(frame.image.pixels, "pixels", 6);
    for (size_t other = 0; other < sizeof(message); other++) {
        if (other != bytes) assert_int_equal(rk_frame_get(message, other, &frame), -EBADMSG);
    }
    static const uint32_t bad[][2] = {{0, 2},       {3, 0}, {0, 0}, {2, 2}, {3, UINT32_MAX}, {UINT32_MAX, UINT32_MAX},
                                      {1u << 31, 4}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memcpy(message, bad[i], sizeof(bad[i]));
        assert_int_equal(rk_frame_get(message, bytes, &frame), -EBADMSG);
    }
}

static size_t put_answer(void *out)
{
    static struct rk_rect list[2] = {{0, 0, 3, 2}, {2, 1, 1, 1}};
    const struct rk_patches patches = {list, 2};
    rk_answer_put(out, &patches);
    return rk_answer_bytes(2);
}

static void test_answers_come_back_as_they_were(void **state)
{
    uint8_t message[128];
    struct rk_patches patches;
    size_t bytes = put_answer(message);
    (void)state;
    assert_int_equal(rk_answer_get(message, bytes, 3, 2, &patches), 0);
    assert_int_equal(patches.count, 2);
    assert_int_equal(patches.list[0].width, 3);
    assert_int_equal(patches.list[1].x, 2);
    rk_patches_finish(&patches);
}

/** What a worker writes is not to be trusted: nothing outside of the picture or of the message is accepted. */
static void test_answers_that_lie_are_refused(void **state)
{
    uint64_t random = random_seed();
    uint8_t message[128];
    struct rk_patches patches;
    size_t bytes = put_answer(message);
    unsigned accepted = 0;
    (void)state;
    for (size_t other = 0; other < sizeof(message); other++) {
        if (other != bytes) assert_int_equal(rk_answer_get(message, other, 3, 2, &patches), -EBADMSG);
    }
    assert_int_equal(rk_answer_get(message, bytes, 2, 2, &patches), -EBADMSG);
    assert_int_equal(rk_answer_get(message, bytes, 3, 1, &patches), -EBADMSG);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t value = random_below(&random, 2) ? random_below(&random, 8) : (uint32_t)random_next(&random);
        put_answer(message);
        memcpy(message + 4 * random_below(&random, 12), &value, sizeof(value));
        if (rk_answer_get(message, bytes, 3, 2, &patches) < 0) continue;
        accepted++;
        for (uint32_t i = 0; i < patches.count; i++) {
            const struct rk_rect *rect = &patches.list[i];
            assert_true(rect->width > 0 && (uint64_t)rect->x + rect->width <= 3);
            assert_true(rect->height > 0 && (uint64_t)rect->y + rect->height <= 2);
        }
        rk_patches_finish(&patches);
    }
    assert_true(accepted > 0 && accepted < ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_set_with_the_fewest_bytes_is_kept),
        cmocka_unit_test(test_a_tie_leaves_them_unmerged),
        cmocka_unit_test(test_one_and_more_than_five_stay_as_they_are),
        cmocka_unit_test(test_a_size_that_fails_ends_it),
        cmocka_unit_test(test_requests_of_another_length_are_refused),
        cmocka_unit_test(test_answers_come_back_as_they_were),
        cmocka_unit_test(test_answers_that_lie_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
