/* SPDX-License-Identifier: MIT */
/* Answers of a stream to a descriptor, a line each or framed, without ever waiting for its reader: what it does not take
 * stays here, and who sees that there is enough of it takes no more answers from the stream. */
#ifndef RK_ANSWERS_H
#define RK_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

/** Start with rk_answers_init(), free with rk_answers_finish(). */
struct rk_answers {
    int fd;
    bool framed;
    size_t piece_bytes; /* so much is written at a time */
    char *buffer;       /* start..end: not yet written */
    size_t start, end, capacity;
};

void rk_answers_init(struct rk_answers *answers, int fd, bool framed);

/** Add one. 0 or -ENOMEM. */
int rk_answers_put(struct rk_answers *answers, const void *data, size_t bytes);

/** Bytes that are not yet written. */
size_t rk_answers_waiting(const struct rk_answers *answers);

/** Enough waits: add no more before some is written. */
bool rk_answers_full(const struct rk_answers *answers);

/** Write what the reader takes now. 0 or what write() says. No-block. */
int rk_answers_write(struct rk_answers *answers);

void rk_answers_finish(struct rk_answers *answers);

#endif
