/* SPDX-License-Identifier: MIT */
/* See base64.h. */
#include "base64.h"
#include <stdint.h>

static void encode_three(const uint8_t *in, size_t count, char out[4])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t group = (uint32_t)in[0] << 16;
    if (count > 1) group |= (uint32_t)in[1] << 8;
    if (count > 2) group |= in[2];
    out[0] = digits[group >> 18];
    out[1] = digits[group >> 12 & 63];
    out[2] = count > 1 ? digits[group >> 6 & 63] : '=';
    out[3] = count > 2 ? digits[group & 63] : '=';
}

void rk_base64(const void *data, size_t bytes, char *out)
{
    const uint8_t *in = data;
    for (size_t i = 0; i < bytes; i += 3) encode_three(in + i, bytes - i, out + i / 3 * 4);
}
