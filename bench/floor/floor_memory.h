/* SPDX-License-Identifier: MIT */
/* The memory of a floor. Used by floor.c alone.
 *
 *   open     one shared mapping, written by both sides: the control lines, and the bare ping-pongs
 *   sealed   two memfd segments as rask has them (sealed against shrinking, growing, further writable mappings and
 *            further seals), each written by one side and mapped read-only by the other; the same size, so that an
 *            offset means the same place in both
 *
 * Everything is mapped before the fork and inherited. After it each side unmaps what is not its to write: from then on
 * the kernel lets nobody else write there. */
#ifndef RK_FLOOR_MEMORY_H
#define RK_FLOOR_MEMORY_H

#include <stdint.h>

enum rk_floor_side { RK_FLOOR_CLIENT, RK_FLOOR_PEER };

/** A sealed segment, seen from both sides. */
struct rk_floor_segment {
    uint8_t *writable; /* NULL once it was given up */
    uint8_t *readable;
};

struct rk_floor_memory {
    uint8_t *open;
    uint64_t open_bytes;
    uint64_t sealed_bytes; /* of each segment */
    struct rk_floor_segment by_client;
    struct rk_floor_segment by_peer;
};

/** Map and populate `open_bytes`, and two segments of `sealed_bytes`; whole pages, not 0. 0, -ENOMEM or the errno of memfd_create,
 * ftruncate or fcntl; finish is allowed then. */
int rk_floor_memory_init(struct rk_floor_memory *memory, uint64_t open_bytes, uint64_t sealed_bytes);

/** After the fork, in each process: give up the other side's writable mapping. */
void rk_floor_memory_take_side(struct rk_floor_memory *memory, enum rk_floor_side side);

/** Unmap what is mapped. Harmless when repeated, and on a zeroed struct. */
void rk_floor_memory_finish(struct rk_floor_memory *memory);

#endif
