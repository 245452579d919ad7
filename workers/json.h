/* SPDX-License-Identifier: MIT */
/* Thin helpers over jansson for --json: one object, one line on standard output. */
#ifndef RK_JSON_H
#define RK_JSON_H

#include <jansson.h>
#include <stddef.h>

/** A JSON string. Bytes that are not UTF-8 become '?', so that a path or a plugin's text never makes it fail. */
json_t *rk_json_text(const char *text);

/** A JSON string with the base64 of `bytes` bytes (RFC 4648, padded). NULL when out of memory. */
json_t *rk_json_base64(const void *data, size_t bytes);

/** Write `object` as one line to standard output and give it up. Returns an exit code: RK_EXIT_OK, or after a message
 * RK_EXIT_IO when the write failed, RK_EXIT_UNAVAILABLE when `object` is NULL (out of memory). */
int rk_json_print(json_t *object);

#endif
