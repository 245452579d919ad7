/* SPDX-License-Identifier: MIT */
/* Tables and verdicts of a contest. See contest.h. */
#include "contest.h"
#include "suite.h"
#include "verdict.h"
#include <rask/client.h>
#include <stdio.h>
#include <string.h>

#define FLOOR_SPIN 1.10
#define FLOOR_P99 1.5
#define FLOOR_PIPELINE 0.75
#define FLOOR_COPY 0.9
#define HELLO_TIMES 60.0

const double rk_contest_percents[] = {50, 90, 99, 99.9, 99.99, 99.999};
const uint32_t rk_contest_percents_count = sizeof rk_contest_percents / sizeof rk_contest_percents[0];

static void print_percentile(const struct rk_entry *entry, double percent)
{
    char text[32] = "-";
    if (rk_entry_has(entry, percent))
        rk_suite_time((double)rk_histogram_percentile(entry->latencies, percent), text, sizeof text);
    printf(" %9s", text);
}

static void print_row(struct rk_contestant *contestant, uint32_t depth, uint32_t index)
{
    struct rk_entry *entry = &contestant->entries[index];
    char time[32], low[16] = "", held[32] = "";
    double p50_ns = rk_entry_p50_ns(entry);
    if (entry->ratio.count == 0) return;
    rk_suite_time(p50_ns, time, sizeof time);
    if (entry->depth != depth) snprintf(held, sizeof held, "  (%u in flight)", entry->depth);
    printf("  %-27s %10s", contestant->peer->name, time);
    print_percentile(entry, 99);
    print_percentile(entry, 99.9);
    print_percentile(entry, 99.99);
    snprintf(low, sizeof low, "%.2f", rk_entry_ratio(entry, 10));
    printf(" %12.0f %8.2f   %s .. %.2f%s\n", p50_ns > 0 ? 1e9 / p50_ns : 0, rk_entry_ratio(entry, 50), low,
           rk_entry_ratio(entry, 90), held);
}

static void print_head(const struct rk_contest *contest, uint32_t depth)
{
    static const char *const ways[] = {"both sides spin", "both sides sleep when there is nothing",
                                       "Hello World: two strings in, one out"};
    if (contest->kind == RK_CONTEST_HELLO)
        printf("\n%s", ways[contest->kind]);
    else
        printf("\n%llu bytes, %s", (unsigned long long)contest->size, ways[contest->kind]);
    if (depth > 1)
        printf(", %u in flight\n  %-27s %10s %9s %9s %9s %12s %8s\n", depth, "", "per call", "p99", "p99.9", "p99.99",
               "calls/s", "ratio");
    else
        printf(", one at a time\n  %-27s %10s %9s %9s %9s %12s %8s\n", "", "p50", "p99", "p99.9", "p99.99", "calls/s",
               "ratio");
}

void rk_contest_print(struct rk_contest *contest, const struct rk_contests *all)
{
    if (!all->tables) return;
    for (uint32_t i = 0; i < contest->depth_count; i++) {
        print_head(contest, contest->depths[i]);
        for (uint32_t j = 0; j < contest->count; j++) print_row(&contest->contestants[j], contest->depths[i], i);
    }
    for (uint32_t j = 0; j < contest->count; j++)
        if (contest->contestants[j].trouble[0] != '\0')
            printf("  not measured: %s: %s\n", contest->contestants[j].peer->name, contest->contestants[j].trouble);
    printf("  %u rounds; ratio: this one's time / rask's of the same round, median and 10th .. 90th percentile\n",
           contest->rounds);
    if (contest->noise.noisy)
        printf("  NOISY: others used %.0f %% of the processors just before, %.1f %% was stolen, load %.2f\n",
               contest->noise.busy_before * 100, contest->noise.stolen * 100, contest->noise.load);
}

/* ---- verdicts -------------------------------------------------------------------------------------------------------- */

static void judge(struct rk_contests *all, const char *what, double value, bool at_most, double target)
{
    char text[300];
    json_array_append_new(all->verdicts, rk_verdict_json(what, value, at_most, target));
    if (all->tables) fputs(rk_verdict_text(text, sizeof text, what, value, at_most, target), stdout);
}

/** rask is fastest when the best of the others is no faster. */
static void judge_peers(struct rk_contest *contest, struct rk_contests *all, uint32_t index, const char *where)
{
    char what[200];
    struct rk_contestant *best = rk_contest_best(contest, RK_PEER_OTHER, index);
    if (best == NULL) return;
    snprintf(what, sizeof what, "%s: %s, the fastest peer / rask", where, best->peer->name);
    judge(all, what, rk_entry_ratio(&best->entries[index], 50), false, 1);
}

static double p99_ratio(const struct rk_entry *rask, const struct rk_entry *floor)
{
    if (!rk_entry_has(rask, 99) || !rk_entry_has(floor, 99)) return -1;
    return (double)rk_histogram_percentile(rask->latencies, 99) / (double)rk_histogram_percentile(floor->latencies, 99);
}

/** Against the best floor there is at this depth: a line or a ring for small messages, the memory for large ones. */
static void judge_floor(struct rk_contest *contest, struct rk_contests *all, uint32_t index, const char *where)
{
    char what[200];
    struct rk_contestant *floor = rk_contest_best(contest, RK_PEER_FLOOR, index);
    if (contest->kind != RK_CONTEST_SPIN || floor == NULL) return;
    double ratio = rk_entry_ratio(&floor->entries[index], 50);
    if (floor->peer->bytes_min > 0) {
        snprintf(what, sizeof what, "%s: calls/s of rask / %s", where, floor->peer->name);
        judge(all, what, ratio, false, FLOOR_COPY);
    } else if (contest->size <= 32 && contest->depths[index] > 1) {
        snprintf(what, sizeof what, "%s: calls/s of rask / %s", where, floor->peer->name);
        judge(all, what, ratio, false, FLOOR_PIPELINE);
    } else if (contest->size <= 32) {
        snprintf(what, sizeof what, "%s: rask / %s", where, floor->peer->name);
        judge(all, what, 1 / ratio, true, FLOOR_SPIN);
        snprintf(what, sizeof what, "%s: p99 of rask / p99 of %s", where, floor->peer->name);
        judge(all, what, p99_ratio(&contest->contestants[0].entries[index], &floor->entries[index]), true, FLOOR_P99);
    }
}

static void judge_hello(struct rk_contest *contest, struct rk_contests *all, uint32_t index, const char *where)
{
    char what[200];
    for (uint32_t i = 0; i < contest->count; i++) {
        struct rk_contestant *one = &contest->contestants[i];
        if (strcmp(one->peer->word, "piscina") != 0) continue;
        bool measured = one->entries[index].ratio.count > 0;
        snprintf(what, sizeof what, "%s: calls/s of rask / piscina", where);
        judge(all, what, measured ? rk_entry_ratio(&one->entries[index], 50) : -1, false, HELLO_TIMES);
    }
}

void rk_contest_judge(struct rk_contest *contest, struct rk_contests *all)
{
    char where[80];
    for (uint32_t i = 0; i < contest->depth_count; i++) {
        if (contest->contestants[0].entries[i].ratio.count == 0) continue;
        snprintf(where, sizeof where, "%s, %llu bytes, %u in flight", rk_contest_kind_name(contest->kind),
                 (unsigned long long)contest->size, contest->depths[i]);
        if (contest->kind == RK_CONTEST_HELLO) {
            snprintf(where, sizeof where, "Hello World, %u in flight", contest->depths[i]);
            judge_hello(contest, all, i, where);
            continue;
        }
        judge_peers(contest, all, i, where);
        judge_floor(contest, all, i, where);
    }
}
