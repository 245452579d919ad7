/* SPDX-License-Identifier: MIT */
/* A piece of memory that grows. */
#ifndef RK_BYTES_H
#define RK_BYTES_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/** Zero-initialise; free with rk_bytes_finish(). */
struct rk_bytes {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

/** Append. 0, or -ENOMEM and nothing changed. */
static inline int rk_bytes_add(struct rk_bytes *bytes, const void *data, size_t length)
{
    if (length > SIZE_MAX / 4 - bytes->length) return -ENOMEM;
    if (bytes->length + length > bytes->capacity) {
        size_t capacity = (bytes->length + length) * 2;
        uint8_t *larger = realloc(bytes->data, capacity);
        if (!larger) return -ENOMEM;
        bytes->data = larger;
        bytes->capacity = capacity;
    }
    if (length > 0) memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    return 0;
}

static inline void rk_bytes_finish(struct rk_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct rk_bytes){0};
}

#endif
