/* SPDX-License-Identifier: MIT */
/* What tests of `rask bench` share: run a part of a suite as short as can be, and look into its JSON. How good the figures are
 * is not looked at. */
#ifndef RK_TESTS_KIT_BENCH_H
#define RK_TESTS_KIT_BENCH_H

#include "kit.h"
#include <jansson.h>

/** Run one part of `rask bench SUITE`. *whole is the result, to be given up by the caller; returns the part's object. Standard
 * output must hold nothing but the JSON. */
const json_t *kit_bench_part(json_t **whole, const char *suite, const char *part, const char *duration);

/** The number at "a.b.c"; the test fails where there is none. */
double kit_number(const json_t *at, const char *path);

/** So many verdicts, each of which says truly whether its target was reached. */
void kit_assert_verdicts(const json_t *part, size_t count);

/** The exit code, and a text in the message; nothing on standard output. */
void kit_refused(const struct kit_result *done, int code, const char *text);

#endif
