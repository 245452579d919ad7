/* SPDX-License-Identifier: MIT */
/* Whole requests from standard input or an argument, whole responses to standard output. */
#ifndef RK_INPUT_H
#define RK_INPUT_H

#include <stddef.h>
#include <stdint.h>

/** Bytes of a request. Zero-initialise; free with rk_input_finish(). */
struct rk_input {
    const void *data;
    size_t bytes;
    void *allocation; /* NULL: `data` is the caller's */
};

/** Read `fd` to its end. Errors: -EMSGSIZE more than `bytes_max`; -ETIMEDOUT no end by the absolute CLOCK_MONOTONIC
 * deadline; -ENOMEM; what read() says. */
int rk_input_read(struct rk_input *input, int fd, size_t bytes_max, uint64_t deadline_ns);

/** Use `text`, which must outlive *input. -EMSGSIZE. */
int rk_input_text(struct rk_input *input, const char *text, size_t bytes_max);

void rk_input_finish(struct rk_input *input);

/** Write everything, also to a pipe that is slow or non-blocking. 0 or what write() says. */
int rk_output_write(int fd, const void *data, size_t bytes);

#endif
