/* SPDX-License-Identifier: MIT */
/* See verdict.h. */
#include "verdict.h"
#include <stdio.h>

static bool is_reached(double value, bool at_most, double target)
{
    return at_most ? value <= target : value >= target;
}

json_t *rk_verdict_json(const char *what, double value, bool at_most, double target)
{
    json_t *one = json_object();
    json_object_set_new(one, "what", rk_json_text(what));
    json_object_set_new(one, "value", value >= 0 ? json_real(value) : json_null());
    json_object_set_new(one, "target", json_real(target));
    json_object_set_new(one, "at_most", json_boolean(at_most));
    json_object_set_new(one, "reached", value >= 0 ? json_boolean(is_reached(value, at_most, target)) : json_null());
    return one;
}

const char *rk_verdict_text(char *text, size_t bytes, const char *what, double value, bool at_most, double target)
{
    const char *word = is_reached(value, at_most, target) ? "reached" : "NOT REACHED";
    const char *limit = at_most ? "at most" : "at least";
    if (value < 0)
        snprintf(text, bytes, "  NOT MEASURED %s (target: %s %.3g)\n", what, limit, target);
    else
        snprintf(text, bytes, "  %-12s %s: %.3g (target: %s %.3g)\n", word, what, value, limit, target);
    return text;
}
