/* SPDX-License-Identifier: MIT */
/* Text -> duration, size, count, processor list, and back. Integers only, so that nothing is rounded behind the user's
 * back; every overflow is refused. */
#include "options.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Digits behind the point that count; ten to this power times the largest unit still fits 64 bits. */
#define FRACTION_DIGITS_MAX 9

struct unit {
    const char *name;
    uint64_t scale;
};

static const struct unit duration_units[] = {
    {"", 1000000u}, {"ns", 1}, {"us", 1000u}, {"ms", 1000000u}, {"s", 1000000000u}, {NULL, 0},
};

static const struct unit byte_units[] = {
    {"", 1},         {"B", 1},          {"KiB", 1u << 10}, {"K", 1u << 10}, {"MiB", 1u << 20},
    {"M", 1u << 20}, {"GiB", 1u << 30}, {"G", 1u << 30},   {NULL, 0},
};

/* Read digits into *value; -EINVAL when there is none. Moves *text behind them. */
static int take_digits(const char **text, uint64_t *value)
{
    const char *start = *text;
    uint64_t sum = 0;
    bool overflow = false;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        overflow |= __builtin_mul_overflow(sum, 10u, &sum);
        overflow |= __builtin_add_overflow(sum, (uint64_t)(**text - '0'), &sum);
    }
    if (*text == start) return -EINVAL;
    *value = sum;
    return overflow ? -ERANGE : 0;
}

/* Read ".25" as 25 of 100. A missing point is 0 of 1. */
static int take_fraction(const char **text, uint64_t *part, uint64_t *whole)
{
    *part = 0;
    *whole = 1;
    if (**text != '.') return 0;
    (*text)++;
    if (**text < '0' || **text > '9') return -EINVAL;
    for (int digits = 0; **text >= '0' && **text <= '9'; (*text)++, digits++) {
        if (digits >= FRACTION_DIGITS_MAX) continue;
        *part = *part * 10 + (uint64_t)(**text - '0');
        *whole *= 10;
    }
    return 0;
}

static const struct unit *find_unit(const struct unit *units, const char *name, bool any_case)
{
    for (; units->name; units++) {
        if ((any_case ? strcasecmp(units->name, name) : strcmp(units->name, name)) == 0) return units;
    }
    return NULL;
}

static int parse_scaled(const char *text, const struct unit *units, bool any_case, uint64_t *out)
{
    uint64_t value, part, whole;
    int range = take_digits(&text, &value);
    if (range == -EINVAL || take_fraction(&text, &part, &whole) < 0) return -EINVAL;
    const struct unit *unit = find_unit(units, text, any_case);
    if (!unit || (part != 0 && unit->scale == 1)) return -EINVAL;
    if (range < 0 || __builtin_mul_overflow(value, unit->scale, &value) ||
        __builtin_add_overflow(value, part * unit->scale / whole, &value)) {
        return -ERANGE;
    }
    *out = value;
    return 0;
}

int rk_parse_duration(const char *text, uint64_t *ns)
{
    return parse_scaled(text, duration_units, false, ns);
}

int rk_parse_bytes(const char *text, uint64_t *bytes)
{
    return parse_scaled(text, byte_units, true, bytes);
}

int rk_parse_count(const char *text, uint64_t *count)
{
    uint64_t value;
    int error = take_digits(&text, &value);
    if (*text || error == -EINVAL) return -EINVAL;
    if (error == 0) *count = value;
    return error;
}

int rk_parse_cpus(const char *text, struct rk_cpu_list *list)
{
    struct rk_cpu_list parsed = {0};
    for (;; text++) {
        uint64_t cpu;
        int error = take_digits(&text, &cpu);
        if (error == -EINVAL || (*text && *text != ',')) return -EINVAL;
        if (error < 0 || cpu >= RK_CPUS_MAX || parsed.count == RK_CPUS_MAX) return -ERANGE;
        parsed.cpu[parsed.count++] = (uint32_t)cpu;
        if (*text == '\0') break;
    }
    *list = parsed;
    return 0;
}

/* `units` go up. The largest that divides the value, and the first of that size, is the way people write it. */
static const char *scaled_text(uint64_t value, const struct unit *units, char *text, size_t bytes)
{
    const struct unit *best = units;
    for (; units->name; units++) {
        if (value != 0 && value % units->scale == 0 && units->scale > best->scale) best = units;
    }
    snprintf(text, bytes, "%" PRIu64 "%s", value / best->scale, best->name);
    return text;
}

const char *rk_duration_text(uint64_t ns, char *text, size_t bytes)
{
    return scaled_text(ns, duration_units + 1, text, bytes);
}

const char *rk_bytes_text(uint64_t value, char *text, size_t bytes)
{
    return scaled_text(value, byte_units, text, bytes);
}

int rk_cpus_text(const struct rk_cpu_list *list, unsigned first, char *text, size_t bytes)
{
    size_t used = 0;
    if (bytes == 0) return -ENAMETOOLONG;
    text[0] = '\0';
    for (unsigned i = first; i < list->count; i++) {
        int n = snprintf(text + used, bytes - used, "%s%u", i == first ? "" : ",", list->cpu[i]);
        if (n < 0 || (size_t)n >= bytes - used) return -ENAMETOOLONG;
        used += (size_t)n;
    }
    return 0;
}
