/* SPDX-License-Identifier: MIT */
/* A target and what was measured. A value under 0 was not measured. */
#ifndef RK_VERDICT_H
#define RK_VERDICT_H

#include "json.h"
#include <stdbool.h>
#include <stddef.h>

json_t *rk_verdict_json(const char *what, double value, bool at_most, double target);
/** A line of the table. Returns `text`. */
const char *rk_verdict_text(char *text, size_t bytes, const char *what, double value, bool at_most, double target);

#endif
