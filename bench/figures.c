/* SPDX-License-Identifier: MIT */
/* See figures.h. A figure is an object with p10, p50 and p90, or in the one line of `rask bench --json` a key with these
 * endings. */
#include "figures.h"
#include <stdio.h>
#include <string.h>

/* A difference smaller than this is none, however narrow the spreads are. */
#define LEAST 0.01

struct walk {
    struct rk_figure_list *list;
    char where[160];
    bool noisy;
};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : -1;
}

static void add(const struct walk *walk, const char *key, double p10, double p50, double p90)
{
    if (walk->list->count == RK_FIGURES_MAX || p10 < 0 || p50 < 0 || p90 < 0) return;
    struct rk_figure *figure = &walk->list->figures[walk->list->count++];
    *figure = (struct rk_figure){.p10 = p10, .p50 = p50, .p90 = p90, .noisy = walk->noisy};
    snprintf(figure->where, sizeof figure->where, "%.120s%s%.30s", walk->where,
             walk->where[0] != '\0' && key[0] != '\0' ? " / " : "", key);
}

static void enter(struct walk *inner, const struct walk *outer, const char *name)
{
    *inner = *outer;
    snprintf(inner->where, sizeof inner->where, "%.110s%s%.40s", outer->where, outer->where[0] != '\0' ? " / " : "",
             name);
}

/** What tells the elements of an array apart. */
static void name_of(const json_t *element, size_t index, char *name, size_t bytes)
{
    static const char *const keys[] = {"name", "kind", "mode"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = json_string_value(json_object_get(element, keys[i]));
        const json_t *size = json_object_get(element, "size"), *gap = json_object_get(element, "gap_ns");
        const json_t *detail = json_is_integer(size) ? size : gap;
        if (text == NULL) continue;
        if (json_is_integer(detail))
            snprintf(name, bytes, "%.40s %lld", text, (long long)json_integer_value(detail));
        else
            snprintf(name, bytes, "%.40s", text);
        return;
    }
    snprintf(name, bytes, "%zu", index);
}

/** "ratio_p50" with "ratio_p50_p10" and "ratio_p50_p90". */
static void add_flat(const struct walk *walk, const json_t *object, const char *key)
{
    char low[96], high[96];
    size_t length = strlen(key);
    if (length < 4 || strcmp(key + length - 4, "_p50") != 0) return;
    snprintf(low, sizeof low, "%.80s_p10", key);
    snprintf(high, sizeof high, "%.80s_p90", key);
    add(walk, key, number(object, low), number(object, key), number(object, high));
}

static void collect(const struct walk *outer, const json_t *value);

static void collect_object(const struct walk *outer, const json_t *object)
{
    const char *key;
    json_t *value;
    struct walk here = *outer;
    if (json_is_true(json_object_get(object, "noisy"))) here.noisy = true;
    add(&here, "", number(object, "p10"), number(object, "p50"), number(object, "p90"));
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        struct walk inner;
        enter(&inner, &here, key);
        if (json_is_number(value))
            add_flat(&here, object, key);
        else
            collect(&inner, value);
    }
}

/** As deep as a result file goes: jansson itself refuses to read much deeper ones. */
static void collect(const struct walk *outer, const json_t *value)
{
    size_t index;
    const json_t *element;
    if (json_is_object(value)) collect_object(outer, value);
    if (!json_is_array(value)) return;
    json_array_foreach(value, index, element)
    {
        char name[96];
        struct walk inner;
        name_of(element, index, name, sizeof name);
        enter(&inner, outer, name);
        collect(&inner, element);
    }
}

void rk_figures_collect(struct rk_figure_list *list, const json_t *result)
{
    const struct walk walk = {.list = list};
    list->count = 0;
    collect(&walk, result);
}

const struct rk_figure *rk_figures_find(const struct rk_figure_list *list, const char *where)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->figures[i].where, where) == 0) return &list->figures[i];
    return NULL;
}

enum rk_change rk_figures_compare(const struct rk_figure *a, const struct rk_figure *b)
{
    bool lower = b->p90 < a->p10 && b->p50 < a->p50 * (1 - LEAST);
    bool higher = b->p10 > a->p90 && b->p50 > a->p50 * (1 + LEAST);
    if (!lower && !higher) return RK_SAME;
    if (a->noisy || b->noisy) return RK_UNSURE;
    return lower ? RK_LOWER : RK_HIGHER;
}
