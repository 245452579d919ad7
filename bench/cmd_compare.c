/* SPDX-License-Identifier: MIT */
/* `rask bench compare`: two result files side by side. Only what lies clear of the spread of both counts as a difference. */
#include "bench.h"
#include "exit_codes.h"
#include "figures.h"
#include "options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
    bool all;
    bool json;
};

static int parse(struct line *line, struct rk_arguments *arguments, int argc, char **argv)
{
    const struct rk_option options[] = {
        {.name = "all", .help = "list figures that did not change, too", .flag = &line->all},
        {.name = "json", .help = "one line of JSON", .flag = &line->json},
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench compare",
        .usage = "A.json B.json",
        .about = "Compare two results of \"rask bench --json\", \"rask bench wake --json\" or \"rask bench peers "
                 "--json\": what changed\n"
                 "from A to B. Every figure there has a median and a spread (10th to 90th percentile of slices).\n",
        .more = "A figure counts as lower or higher when the spreads of A and B do not touch and the medians are one "
                "percent\n"
                "apart; \"unsure\" when that is so but one of both was measured on a busy machine. Differences of "
                "machine, kernel,\n"
                "build and processors are named first: ratios may be compared across them, times may not.\n\n"
                "  rask bench peers --json before.json\n"
                "  rask bench compare before.json after.json\n",
        .options = options,
        .arguments_min = 2,
        .arguments_max = 2,
    };
    return rk_options_parse(&command, argc, argv, arguments);
}

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *result = json_load_file(path, JSON_DISABLE_EOF_CHECK, &error);
    if (json_is_object(result)) return result;
    rk_complain("cannot read \"%s\": %s", path, result == NULL ? error.text : "it is no result of rask bench");
    json_decref(result);
    return NULL;
}

/** Conditions are in "conditions", or in "environment" of the one line of `rask bench`. */
static const json_t *conditions_of(const json_t *result)
{
    const json_t *conditions = json_object_get(result, "conditions");
    return conditions != NULL ? conditions : json_object_get(result, "environment");
}

/** What differs of the machine; printed, and kept for JSON. */
static json_t *differences(const json_t *a, const json_t *b, bool print)
{
    static const char *const keys[] = {"cpu",   "architecture", "cpus_online", "kernel",      "clock_source",
                                       "build", "client_cpu",   "worker_cpu",  "cpu_relation"};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *left = json_object_get(conditions_of(a), keys[i]), *right = json_object_get(conditions_of(b), keys[i]);
        if (left == NULL || right == NULL || json_equal(left, right)) continue;
        json_array_append_new(list, json_string(keys[i]));
        if (!print) continue;
        char *before = json_dumps(left, JSON_ENCODE_ANY), *after = json_dumps(right, JSON_ENCODE_ANY);
        printf("  differs: %s: %s -> %s\n", keys[i], before != NULL ? before : "?", after != NULL ? after : "?");
        free(before);
        free(after);
    }
    return list;
}

static const char *const change_names[] = {"same", "lower", "higher", "unsure"};

static json_t *figure_json(const struct rk_figure *figure)
{
    return json_pack("{s:f,s:f,s:f,s:b}", "p50", figure->p50, "p10", figure->p10, "p90", figure->p90, "noisy",
                     (int)figure->noisy);
}

static void print_figure(const struct rk_figure *a, const struct rk_figure *b, enum rk_change change)
{
    printf("  %-7s %+7.1f %%  %-60s %.6g (%.4g .. %.4g) -> %.6g (%.4g .. %.4g)\n", change_names[change],
           a->p50 > 0 ? (b->p50 / a->p50 - 1) * 100 : 0, a->where, a->p50, a->p10, a->p90, b->p50, b->p10, b->p90);
}

struct tally {
    uint32_t changes[4];
    uint32_t only_in_one;
};

static json_t *compare(const struct rk_figure_list *a, const struct rk_figure_list *b, const struct line *line,
                       struct tally *tally)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < a->count; i++) {
        const struct rk_figure *before = &a->figures[i], *after = rk_figures_find(b, before->where);
        if (after == NULL) {
            tally->only_in_one++;
            continue;
        }
        enum rk_change change = rk_figures_compare(before, after);
        tally->changes[change]++;
        if (!line->json && (line->all || change != RK_SAME)) print_figure(before, after, change);
        json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:o}", "where", before->where, "change",
                                              change_names[change], "a", figure_json(before), "b", figure_json(after)));
    }
    for (uint32_t i = 0; i < b->count; i++)
        if (rk_figures_find(a, b->figures[i].where) == NULL) tally->only_in_one++;
    return list;
}

static int report(const json_t *a, const json_t *b, const struct line *line)
{
    static struct rk_figure_list left, right;
    struct tally tally = {.only_in_one = 0};
    rk_figures_collect(&left, a);
    rk_figures_collect(&right, b);
    json_t *differs = differences(a, b, !line->json);
    bool machines = json_array_size(differs) > 0;
    json_t *list = compare(&left, &right, line, &tally);
    if (json_array_size(list) == 0) {
        rk_complain("the two files have no figure in common: are they results of the same command?");
        json_decref(list);
        json_decref(differs);
        return RK_EXIT_USAGE;
    }
    if (line->json) return rk_json_print(json_pack("{s:o,s:o}", "conditions_that_differ", differs, "figures", list));
    printf(
        "%zu figures: %u lower, %u higher, %u the same within their spread, %u unsure (noisy); %u in one file only\n",
        json_array_size(list), tally.changes[RK_LOWER], tally.changes[RK_HIGHER], tally.changes[RK_SAME],
        tally.changes[RK_UNSURE], tally.only_in_one);
    if (machines) printf("Not the same conditions: compare ratios only, not times.\n");
    json_decref(list);
    json_decref(differs);
    return RK_EXIT_OK;
}

int cmd_bench_compare(int argc, char **argv)
{
    struct line line = {.all = false};
    struct rk_arguments arguments;
    int code = parse(&line, &arguments, argc, argv);
    if (code != RK_GO_ON) return code;
    json_t *a = load(arguments.value[0]), *b = a != NULL ? load(arguments.value[1]) : NULL;
    code = a != NULL && b != NULL ? report(a, b, &line) : RK_EXIT_NO_INPUT;
    json_decref(a);
    json_decref(b);
    return code;
}
