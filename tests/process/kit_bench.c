/* SPDX-License-Identifier: MIT */
/* See kit_bench.h. */
#include "kit_bench.h"
#include <stdio.h>
#include <string.h>

const json_t *kit_bench_part(json_t **whole, const char *suite, const char *part, const char *duration)
{
    json_error_t error;
    const struct kit_result *done =
        kit_rask("bench", suite, "--part", part, "--duration", duration, "--json", "-", NULL);
    if (done->code != 0) fail_msg("exit code %d: %s", done->code, done->err);
    assert_non_null(strstr(done->err, part)); /* progress */
    *whole = json_loads(done->out, 0, &error);
    if (*whole == NULL) fail_msg("no JSON: %s in: %s", error.text, done->out);
    const json_t *parts = json_object_get(*whole, "parts");
    assert_int_equal(json_object_size(parts), 1);
    const json_t *one = json_object_get(parts, part);
    assert_true(json_is_object(one));
    assert_true(json_is_boolean(json_object_get(one, "noisy")));
    assert_true(json_is_number(json_object_get(json_object_get(*whole, "conditions"), "cpus_usable")));
    return one;
}

double kit_number(const json_t *at, const char *path)
{
    char key[64];
    const json_t *here = at;
    for (const char *rest = path; *rest != '\0';) {
        size_t length = strcspn(rest, ".");
        snprintf(key, sizeof key, "%.*s", (int)length, rest);
        here = json_object_get(here, key);
        rest += length + (rest[length] == '.');
    }
    if (!json_is_number(here)) fail_msg("no number %s", path);
    return json_number_value(here);
}

void kit_assert_verdicts(const json_t *part, size_t count)
{
    size_t index;
    const json_t *one, *verdicts = json_object_get(part, "verdicts");
    assert_int_equal(json_array_size(verdicts), count);
    json_array_foreach(verdicts, index, one)
    {
        assert_true(json_is_string(json_object_get(one, "what")));
        assert_true(json_is_number(json_object_get(one, "target")));
        const json_t *value = json_object_get(one, "value"), *reached = json_object_get(one, "reached");
        if (json_is_null(value)) {
            assert_true(json_is_null(reached));
            continue;
        }
        double at = json_number_value(value), target = kit_number(one, "target");
        bool at_most = json_is_true(json_object_get(one, "at_most"));
        assert_int_equal(json_is_true(reached), at_most ? at <= target : at >= target);
    }
}

void kit_refused(const struct kit_result *done, int code, const char *text)
{
    if (done->code != code) fail_msg("exit code %d instead of %d: %s", done->code, code, done->err);
    if (strstr(done->err, text) == NULL) fail_msg("\"%s\" is not in: %s", text, done->err);
    assert_int_equal(done->out_bytes, 0);
}
