/* SPDX-License-Identifier: MIT */
/* --json output. Texts may come from a plugin or a path, so they are made valid UTF-8 here. */
#include "json.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *rk_json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json) return json;
    char *copy = strdup(text);
    if (!copy) return NULL;
    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c >= 0x80) *c = '?';
    }
    json = json_string(copy);
    free(copy);
    return json;
}

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

json_t *rk_json_base64(const void *data, size_t bytes)
{
    const uint8_t *in = data;
    size_t length = (bytes + 2) / 3 * 4;
    char *text = malloc(length + 1);
    if (!text) return NULL;
    for (size_t i = 0; i < bytes; i += 3) encode_three(in + i, bytes - i, text + i / 3 * 4);
    json_t *json = json_stringn_nocheck(text, length);
    free(text);
    return json;
}

int rk_json_print(json_t *object)
{
    if (!object) {
        rk_complain("out of memory for the JSON output");
        return RK_EXIT_UNAVAILABLE;
    }
    int failed = json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (failed == 0 && putchar('\n') != EOF && fflush(stdout) == 0) return RK_EXIT_OK;
    rk_complain("standard output: %s", strerror(errno));
    return RK_EXIT_IO;
}
