/* SPDX-License-Identifier: MIT */
/* Answers of a stream to a descriptor, a line each or framed, without ever waiting for its reader: what it does not take
 * stays here, and who sees that there is enough of it takes no more answers from the stream. */
#ifndef RK_OUTLET_H
#define RK_OUTLET_H

#include <stdbool.h>
#include <stddef.h>

/** Start with rk_outlet_init(), free with rk_outlet_finish(). */
struct rk_outlet {
    int fd;
    bool framed;
    size_t piece_bytes; /* so much is written at a time */
    char *buffer;       /* start..end: not yet written */
    size_t start, end, capacity;
};

void rk_outlet_init(struct rk_outlet *outlet, int fd, bool framed);

/** Add one. 0 or -ENOMEM. */
int rk_outlet_put(struct rk_outlet *outlet, const void *data, size_t bytes);

/** Bytes that are not yet written. */
size_t rk_outlet_waiting(const struct rk_outlet *outlet);

/** Enough waits: add no more before some is written. */
bool rk_outlet_full(const struct rk_outlet *outlet);

/** Write what the reader takes now. 0 or what write() says. No-block. */
int rk_outlet_write(struct rk_outlet *outlet);

void rk_outlet_finish(struct rk_outlet *outlet);

#endif
