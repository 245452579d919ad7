/* SPDX-License-Identifier: MIT */
/* Items of a stream from a descriptor: lines, or frames (32-bit little-endian length, then bytes), taken apart here and not
 * by stdio, so that the caller can wait for input and for answers at once. An item may be empty and may hold any byte; a
 * line's newline is no part of it, and the last line needs none. */
#ifndef RK_ITEMS_H
#define RK_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RK_FRAME_HEADER_BYTES 4u

/** Start from RK_ITEMS_INIT, free with rk_items_finish(). */
struct rk_items {
    int fd;
    bool framed;
    size_t bytes_max; /* of one item */
    uint64_t taken;   /* items so far */
    bool ended;       /* nothing more will be read */
    char *buffer;     /* start..end: what was read and not yet taken */
    size_t start, end, capacity;
    size_t searched; /* so many bytes behind `start` hold no newline */
};
#define RK_ITEMS_INIT(descriptor, frames, max)                     \
    {                                                              \
        .fd = (descriptor), .framed = (frames), .bytes_max = (max) \
    }

/** The next item, which stays the next until rk_items_take(); valid until rk_items_read(). 1; 0 there is none any more; -EAGAIN not
 * all of it is there: rk_items_read(). Errors: -EMSGSIZE it is over bytes_max; -EBADMSG input ended within a frame. No-block. */
int rk_items_next(struct rk_items *items, const void **data, size_t *bytes);

/** It is taken: go on to the one behind it. */
void rk_items_take(struct rk_items *items, const void *data, size_t bytes);

/** Read what is there; blocks if that is nothing. Only after -EAGAIN. 0, -ENOMEM or what read() says. */
int rk_items_read(struct rk_items *items);

void rk_items_finish(struct rk_items *items);

#endif
