/* SPDX-License-Identifier: MIT */
/* Sealed memfd segments: the only file that calls mmap.
 *
 * The writer creates, maps read-write, populates, writes the header, seals (SHRINK|GROW|FUTURE_WRITE|SEAL) and only
 * then hands the descriptor over. The bell has two writing parties and is sealed without FUTURE_WRITE; a worker hides the
 * parts of it that are not for it. A receiver checks
 * the seals (a superset: the kernel may add one), then the exact size, then that every page is allocated, and only then
 * maps. Every mapping is MADV_DONTFORK. */
#ifndef RK_SEGMENT_H
#define RK_SEGMENT_H

#include "layout.h"
#include <stdbool.h>
#include <stdint.h>

struct rk_segment {
    void *base; /* NULL: not mapped */
    uint64_t bytes;
    int fd; /* -1: none */
};
#define RK_SEGMENT_INIT                 \
    {                                   \
        .base = 0, .bytes = 0, .fd = -1 \
    }

/** Create, map read-write, populate, write the header, seal. `bytes` is a multiple of the page size.
 * Errors: -ENOMEM (with the size in rask_last_error()), -EMFILE. *segment is unchanged on failure. */
int rk_segment_create(struct rk_segment *segment, enum rk_segment_kind kind, uint64_t bytes);

/** Check a received descriptor without mapping it. 0, or -EPROTO naming what is wrong. */
int rk_segment_verify(int fd, enum rk_segment_kind kind, uint64_t bytes);

/** Verify, map (read-only; the bell read-write), populate, check the header. Takes ownership of `fd` in every case: it is
 * closed on failure. With keep_fd false it is closed on success, too (the mapping stays). -EPROTO, -ENOMEM. */
int rk_segment_map(struct rk_segment *segment, int fd, enum rk_segment_kind kind, uint64_t bytes, bool keep_fd);

/** Make everything from `offset` on unreachable for this process, until it is shown. Where the machine's pages are larger than
 * RK_PAGE_BYTES, what shares one with something that is needed stays in reach. -ENOMEM. */
int rk_segment_hide(const struct rk_segment *segment, uint64_t offset);
/** Make a hidden part of a bell readable and writable. Every page is present, and may be written at the hardware's level, too:
 * that is what the pair is for (layout.h). -ENOMEM. */
int rk_segment_show(const struct rk_segment *segment, uint64_t offset, uint64_t bytes);

/** Unmap and close. Harmless on RK_SEGMENT_INIT and when repeated. */
void rk_segment_finish(struct rk_segment *segment);

/** Close the descriptor, keep the mapping. */
void rk_segment_close_fd(struct rk_segment *segment);

/** A memfd that nobody maps: written with pwrite(), read with pread(). A descriptor (close-on-exec), or -errno. */
int rk_scratch_create(const char *name);

/** Private memory that reads as zero in a forked child: one word, 1 in the process that created it. NULL on -ENOMEM.
 * Freed with rk_fork_guard_destroy(). A party looks at it to know that it is still in its own process. */
uint32_t *rk_fork_guard_create(void);
void rk_fork_guard_destroy(uint32_t *guard);

#endif
