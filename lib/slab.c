/* SPDX-License-Identifier: MIT */
/* Size-class block allocator over private tables; see slab.h. Never touches the blocks themselves. */
#include "slab.h"
#include "check.h"
#include "layout.h"
#include <errno.h>
#include <stdlib.h>

uint32_t rk_class_of(uint64_t bytes)
{
    uint32_t class_index = 0;
    while (class_index < RK_CLASSES && rk_class_bytes(class_index) < bytes) class_index++;
    return class_index;
}

uint64_t rk_class_bytes(uint32_t class_index)
{
    return (uint64_t)RASK_BLOCK_BYTES_MIN << (2 * class_index);
}

void rk_slab_init(struct rk_slab *slab, uint32_t blocks_max)
{
    *slab = (struct rk_slab){.blocks_max = blocks_max};
    for (unsigned i = 0; i < RK_CLASSES; i++) slab->free_head[i] = RK_BLOCK_NONE;
}

void rk_slab_finish(struct rk_slab *slab)
{
    free(slab->blocks);
    rk_slab_init(slab, 0);
}

int rk_slab_make_room(struct rk_slab *slab, uint32_t blocks)
{
    if (blocks > slab->blocks_max - slab->count) return -ENOSPC;
    if (slab->count + blocks <= slab->capacity) return 0;
    uint32_t capacity = slab->capacity < 64 ? 64 : slab->capacity * 2;
    if (capacity < slab->count + blocks) capacity = slab->count + blocks;
    struct rk_block *bigger = realloc(slab->blocks, capacity * sizeof *bigger);
    if (bigger == NULL) return -ENOMEM;
    slab->blocks = bigger;
    slab->capacity = capacity;
    return 0;
}

int rk_slab_add(struct rk_slab *slab, uint32_t segment, uint64_t offset, uint32_t class_index, uint32_t blocks)
{
    RK_CHECK(class_index < RK_CLASSES);
    int result = rk_slab_make_room(slab, blocks);
    if (result != 0) return result;
    /* Backwards, so that the first block taken is the first in memory. */
    for (uint32_t i = blocks; i-- > 0;) {
        uint32_t index = slab->count + i;
        slab->blocks[index] = (struct rk_block){
            .offset = offset + i * rk_class_bytes(class_index),
            .segment = segment,
            .class_index = class_index,
            .next = slab->free_head[class_index],
        };
        slab->free_head[class_index] = index;
    }
    slab->count += blocks;
    slab->class_blocks[class_index] += blocks;
    return 0;
}

/** Shares of the base slab, in eighths, from the smallest class on. The 64 KiB class gets what it can use. */
int rk_slab_seed(struct rk_slab *slab, uint64_t offset, uint64_t bytes)
{
    static const uint64_t eighths[] = {1, 4, 1, 1, 1};
    for (uint32_t class_index = 0; class_index < sizeof eighths / sizeof eighths[0]; class_index++) {
        uint64_t share = bytes / 8 * eighths[class_index];
        uint64_t blocks = share / rk_class_bytes(class_index);
        /* A very large base slab has more small blocks than the table takes: half of what is left, so that every class has some. */
        uint64_t left = (slab->blocks_max - slab->count) / 2;
        int result = rk_slab_add(slab, 0, offset, class_index, (uint32_t)(blocks < left ? blocks : left));
        if (result != 0) return result;
        offset += share;
    }
    return 0;
}

uint32_t rk_slab_extent_blocks(uint32_t class_index)
{
    uint64_t fit = (1u << 20) / rk_class_bytes(class_index);
    if (fit < 1) return 1;
    return fit > 128 ? 128 : (uint32_t)fit;
}

uint64_t rk_slab_extent_bytes(uint32_t class_index)
{
    return rk_slab_extent_blocks(class_index) * rk_class_bytes(class_index);
}

uint32_t rk_slab_take(struct rk_slab *slab, uint32_t class_index)
{
    uint32_t index = slab->free_head[class_index];
    if (index == RK_BLOCK_NONE) return index;
    struct rk_block *block = &slab->blocks[index];
    slab->free_head[class_index] = block->next;
    block->next = index; /* taken: points at itself */
    if (++block->generation == 0) block->generation = 1;
    block->users = 1;
    slab->used++;
    return index;
}

static struct rk_block *taken(struct rk_slab *slab, uint32_t index)
{
    RK_CHECK(index < slab->count && slab->blocks[index].next == index);
    return &slab->blocks[index];
}

void rk_slab_use(struct rk_slab *slab, uint32_t index)
{
    taken(slab, index)->users++;
}

void rk_slab_put(struct rk_slab *slab, uint32_t index)
{
    struct rk_block *block = taken(slab, index);
    if (--block->users > 0) return;
    block->next = slab->free_head[block->class_index];
    slab->free_head[block->class_index] = index;
    slab->used--;
}
