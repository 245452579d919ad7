/* SPDX-License-Identifier: MIT */
/* --json output. Texts may come from a plugin or a path, so they are made valid UTF-8 here. */
#include "json.h"
#include "base64.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
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

json_t *rk_json_base64(const void *data, size_t bytes)
{
    size_t length = rk_base64_bytes(bytes);
    char *text = malloc(length + 1);
    if (!text) return NULL;
    rk_base64(data, bytes, text);
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
