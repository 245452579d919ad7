/* SPDX-License-Identifier: MIT */
/* The block allocator: classes, how a base slab is cut, exhaustion, order of use, generations, the bound on blocks. */
#include "layout.h"
#include "slab.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START 8192u

static struct rk_slab slab;

static int tear_down(void **state)
{
    (void)state;
    rk_slab_finish(&slab);
    return 0;
}

static void test_class_is_the_smallest_that_holds_it(void **state)
{
    (void)state;
    assert_int_equal(rk_class_of(0), 0);
    assert_int_equal(rk_class_of(1), 0);
    assert_int_equal(rk_class_bytes(0), RASK_BLOCK_BYTES_MIN);
    assert_int_equal(rk_class_bytes(RK_CLASSES - 1), RASK_BLOCK_BYTES_MAX);
    for (uint32_t i = 0; i < RK_CLASSES; i++) {
        assert_int_equal(rk_class_of(rk_class_bytes(i)), i);
        assert_int_equal(rk_class_of(rk_class_bytes(i) + 1), i + 1);
        assert_int_equal(rk_slab_extent_bytes(i), rk_slab_extent_blocks(i) * rk_class_bytes(i));
        assert_true(rk_slab_extent_blocks(i) >= 1);
    }
    assert_int_equal(rk_class_of(UINT64_MAX), RK_CLASSES);
}

/* Takes everything of every class; blocks must lie in [start, end) and not overlap. */
static uint32_t take_all(uint64_t start, uint64_t end)
{
    uint32_t taken = 0;
    uint64_t units = (end - start) / RASK_BLOCK_BYTES_MIN;
    uint8_t *used = calloc(units, 1);
    assert_non_null(used);
    for (uint32_t class_index = 0; class_index < RK_CLASSES; class_index++) {
        uint32_t index;
        while ((index = rk_slab_take(&slab, class_index)) != RK_BLOCK_NONE) {
            const struct rk_block *block = &slab.blocks[index];
            assert_int_equal(block->class_index, class_index);
            assert_true(block->offset >= start && block->offset + rk_class_bytes(class_index) <= end);
            assert_int_equal(block->offset % RASK_BLOCK_BYTES_MIN, 0);
            for (uint64_t i = 0; i < rk_class_bytes(class_index) / RASK_BLOCK_BYTES_MIN; i++)
                assert_int_equal(used[(block->offset - start) / RASK_BLOCK_BYTES_MIN + i]++, 0);
            taken++;
        }
    }
    free(used);
    return taken;
}

static void test_seed_cuts_every_size_without_overlap(void **state)
{
    (void)state;
    static const uint64_t bytes[] = {RASK_SLAB_BYTES_MIN, RASK_SLAB_BYTES_MIN + RK_PAGE_BYTES, RASK_SLAB_BYTES_DEFAULT,
                                     1u << 20};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        rk_slab_init(&slab, UINT32_MAX / 2);
        assert_int_equal(rk_slab_seed(&slab, START, bytes[i]), 0);
        assert_true(slab.class_blocks[0] > 0 && slab.class_blocks[1] > 0 && slab.class_blocks[2] > 0);
        assert_int_equal(take_all(START, START + bytes[i]), slab.count);
        assert_int_equal(slab.used, slab.count);
        rk_slab_finish(&slab);
    }
}

static void test_seed_stops_at_the_bound_on_blocks(void **state)
{
    (void)state;
    rk_slab_init(&slab, RK_RESPONSE_BLOCKS_MAX);
    assert_int_equal(rk_slab_seed(&slab, START, 64u << 20), 0);
    assert_true(slab.count <= RK_RESPONSE_BLOCKS_MAX);
    assert_int_equal(take_all(START, START + (64u << 20)), slab.count);
}

static void test_add_refuses_more_than_the_bound(void **state)
{
    (void)state;
    rk_slab_init(&slab, 10);
    assert_int_equal(rk_slab_add(&slab, 1, START, 0, 11), -ENOSPC);
    assert_int_equal(rk_slab_add(&slab, 1, START, 0, 10), 0);
    assert_int_equal(rk_slab_add(&slab, 2, START, 0, 1), -ENOSPC);
    assert_int_equal(rk_slab_add(&slab, 2, START, 0, UINT32_MAX), -ENOSPC);
    assert_int_equal(slab.count, 10);
    assert_int_equal(slab.class_blocks[0], 10);
}

static void test_exhausted_class_says_so_and_recovers(void **state)
{
    uint32_t taken[4];
    (void)state;
    rk_slab_init(&slab, 100);
    assert_int_equal(rk_slab_take(&slab, 3), RK_BLOCK_NONE);
    assert_int_equal(rk_slab_add(&slab, 5, START, 3, 4), 0);
    for (unsigned i = 0; i < 4; i++) {
        taken[i] = rk_slab_take(&slab, 3);
        assert_int_equal(slab.blocks[taken[i]].segment, 5);
        assert_int_equal(slab.blocks[taken[i]].offset, START + i * rk_class_bytes(3));
    }
    assert_int_equal(rk_slab_take(&slab, 3), RK_BLOCK_NONE);
    assert_int_equal(rk_slab_take(&slab, 2), RK_BLOCK_NONE);
    rk_slab_put(&slab, taken[2]);
    assert_int_equal(rk_slab_take(&slab, 3), taken[2]);
    assert_int_equal(rk_slab_take(&slab, 3), RK_BLOCK_NONE);
    assert_int_equal(slab.used, 4);
}

static void test_last_freed_is_first_used(void **state)
{
    uint32_t taken[8];
    (void)state;
    rk_slab_init(&slab, 100);
    assert_int_equal(rk_slab_add(&slab, 0, START, 0, 8), 0);
    for (unsigned i = 0; i < 8; i++) taken[i] = rk_slab_take(&slab, 0);
    for (unsigned i = 0; i < 8; i++) rk_slab_put(&slab, taken[i]);
    for (unsigned i = 8; i-- > 0;) assert_int_equal(rk_slab_take(&slab, 0), taken[i]);
}

static void test_generation_grows_with_each_use_and_is_never_zero(void **state)
{
    (void)state;
    rk_slab_init(&slab, 100);
    assert_int_equal(rk_slab_add(&slab, 0, START, 0, 1), 0);
    for (uint32_t i = 1; i < 5; i++) {
        assert_int_equal(rk_slab_take(&slab, 0), 0);
        assert_int_equal(slab.blocks[0].generation, i);
        rk_slab_put(&slab, 0);
    }
    slab.blocks[0].generation = UINT32_MAX - 1;
    static const uint32_t expected[] = {UINT32_MAX, 1, 2};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rk_slab_take(&slab, 0), 0);
        assert_int_equal(slab.blocks[0].generation, expected[i]);
        rk_slab_put(&slab, 0);
    }
}

static void test_growing_moves_no_block_that_is_in_use(void **state)
{
    (void)state;
    rk_slab_init(&slab, 4096);
    assert_int_equal(rk_slab_add(&slab, 0, START, 1, 3), 0);
    uint32_t held = rk_slab_take(&slab, 1);
    for (uint32_t segment = 1; segment < 20; segment++)
        assert_int_equal(rk_slab_add(&slab, segment, RK_PAGE_BYTES, 0, 128), 0);
    assert_int_equal(slab.blocks[held].offset, START);
    assert_int_equal(slab.count, 3 + 19 * 128);
    for (uint32_t i = 0; i < 19 * 128; i++) assert_int_not_equal(rk_slab_take(&slab, 0), held);
    assert_int_equal(rk_slab_take(&slab, 0), RK_BLOCK_NONE);
}

static void test_last_of_several_users_frees_a_block(void **state)
{
    (void)state;
    rk_slab_init(&slab, 4);
    assert_int_equal(rk_slab_add(&slab, 1, START, 0, 1), 0);
    for (unsigned round = 0; round < 3; round++) {
        uint32_t block = rk_slab_take(&slab, 0);
        assert_int_not_equal(block, RK_BLOCK_NONE);
        rk_slab_use(&slab, block);
        rk_slab_use(&slab, block);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(slab.used, 1);
            assert_int_equal(rk_slab_take(&slab, 0), RK_BLOCK_NONE);
            rk_slab_put(&slab, block);
        }
        assert_int_equal(slab.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_class_is_the_smallest_that_holds_it),
        cmocka_unit_test_teardown(test_seed_cuts_every_size_without_overlap, tear_down),
        cmocka_unit_test_teardown(test_seed_stops_at_the_bound_on_blocks, tear_down),
        cmocka_unit_test_teardown(test_add_refuses_more_than_the_bound, tear_down),
        cmocka_unit_test_teardown(test_exhausted_class_says_so_and_recovers, tear_down),
        cmocka_unit_test_teardown(test_last_freed_is_first_used, tear_down),
        cmocka_unit_test_teardown(test_generation_grows_with_each_use_and_is_never_zero, tear_down),
        cmocka_unit_test_teardown(test_growing_moves_no_block_that_is_in_use, tear_down),
        cmocka_unit_test_teardown(test_last_of_several_users_frees_a_block, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
