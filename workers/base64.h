/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648, section 4). */
#ifndef RK_BASE64_H
#define RK_BASE64_H

#include <stddef.h>

/** Characters for so many bytes, without a terminating zero. */
static inline size_t rk_base64_bytes(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

/** Write rk_base64_bytes(bytes) characters, no zero behind them. Each byte is read once. */
void rk_base64(const void *data, size_t bytes, char *out);

#endif
