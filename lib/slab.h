/* SPDX-License-Identifier: MIT */
/* Size-class allocator of payload blocks. Free lists and tables are private memory of the one party that writes the
 * slab; a peer never sees more than {segment, offset, length}. Last freed, first used, so a busy block stays in the cache.
 *
 * Classes are 256 B * 4^n. The base slab is cut by rk_slab_seed(); when a class runs dry the owner adds an extent of that
 * class in an extra segment (rk_slab_extent_bytes, rk_slab_add). */
#ifndef RK_SLAB_H
#define RK_SLAB_H

#include <stdint.h>

#define RK_CLASSES 11u /* 256 B .. 256 MiB */

struct rk_block {
    uint64_t offset; /* in its segment */
    uint32_t segment;
    uint32_t class_index;
    uint32_t next;       /* free list */
    uint32_t generation; /* bumped at each take; never 0 */
    uint32_t users;      /* who must give it back before it is free; see rk_slab_use() */
};

struct rk_slab {
    struct rk_block *blocks;
    uint32_t count;
    uint32_t capacity;
    uint32_t blocks_max;
    uint32_t used;
    uint32_t free_head[RK_CLASSES];
    uint32_t class_blocks[RK_CLASSES];
};

/** Smallest class that holds `bytes`; RK_CLASSES if none does. */
uint32_t rk_class_of(uint64_t bytes);
uint64_t rk_class_bytes(uint32_t class_index);

/** Nothing allocated yet. At most blocks_max blocks will be known. */
void rk_slab_init(struct rk_slab *slab, uint32_t blocks_max);
void rk_slab_finish(struct rk_slab *slab);

/** Cut `bytes` bytes at `offset` of segment 0 into classes: an eighth of 256 B, half of 1 KiB, the rest larger. 0, -ENOMEM. */
int rk_slab_seed(struct rk_slab *slab, uint64_t offset, uint64_t bytes);

/** Blocks and bytes (without the header page) of the extent to add when `class_index` runs dry. */
uint32_t rk_slab_extent_blocks(uint32_t class_index);
uint64_t rk_slab_extent_bytes(uint32_t class_index);

/** Make sure that rk_slab_add() of so many blocks will succeed. 0, -ENOMEM, -ENOSPC past blocks_max. */
int rk_slab_make_room(struct rk_slab *slab, uint32_t blocks);

/** Add `blocks` blocks of a class at `offset` of `segment`. 0, -ENOMEM, -ENOSPC past blocks_max. */
int rk_slab_add(struct rk_slab *slab, uint32_t segment, uint64_t offset, uint32_t class_index, uint32_t blocks);

/** Index of a block of this class, or RK_BLOCK_NONE. no-alloc. */
uint32_t rk_slab_take(struct rk_slab *slab, uint32_t class_index);

/** One more user of a taken block. no-alloc. */
void rk_slab_use(struct rk_slab *slab, uint32_t index);

/** Give a block back; the last user frees it. no-alloc. */
void rk_slab_put(struct rk_slab *slab, uint32_t index);

#endif
