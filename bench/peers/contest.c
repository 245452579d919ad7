/* SPDX-License-Identifier: MIT */
/* Runs a contest. See contest.h. This process sleeps while contenders measure. */
#include "contest.h"
#include "exit_codes.h"
#include "options.h"
#include "slice.h"
#include "wire.h"
#include <errno.h>
#include <rask/client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SLICE_NS_MAX 50000000u
#define SLICE_NS_MIN 1000000u
#define ROUNDS_WANTED 10u
#define BEYOND_MIN 100u

static bool takes_part(const struct rk_peer *peer, const struct rk_contest *contest, const struct rk_contests *all)
{
    uint32_t index = (uint32_t)(peer - rk_peers);
    return (all->selected & 1u << index) != 0 && (peer->kinds & 1u << contest->kind) != 0 &&
           contest->size >= peer->bytes_min;
}

static void begin_entries(struct rk_contestant *contestant)
{
    for (uint32_t i = 0; i < RK_DEPTHS_MAX; i++) contestant->entries[i].latencies = rk_histogram_create();
}

/** Start one; what goes wrong is left in its trouble. */
static void start(struct rk_contest *contest, const struct rk_contests *all, struct rk_contestant *contestant)
{
    const struct rk_peer *peer = contestant->peer;
    char path[1024];
    struct rk_runner_result ready;
    if (!rk_peer_find(peer, all->folder, path, contestant->trouble, sizeof contestant->trouble)) return;
    uint32_t deepest = 1;
    for (uint32_t i = 0; i < contest->depth_count; i++)
        if (contest->depths[i] > deepest) deepest = contest->depths[i];
    const struct rk_runner_plan plan = {.name = peer->scripts ? peer->word : peer->name,
                                        .kind = peer->kind,
                                        .wait_mode = peer->wait_mode[contest->kind],
                                        .in_flight = deepest,
                                        .client_cpu = all->client_cpu,
                                        .worker_cpu = all->server_cpu,
                                        .size = contest->size,
                                        .wire = peer->wire,
                                        .program = peer->program != NULL ? path : NULL,
                                        .folder = all->folder};
    int error = rk_runner_start(&contestant->runner, &plan, &ready);
    if (error != 0)
        snprintf(contestant->trouble, sizeof contestant->trouble, "%s", ready.text);
    else
        snprintf(contestant->configuration, sizeof contestant->configuration, "%s", ready.text);
}

static int start_all(struct rk_contest *contest, const struct rk_contests *all)
{
    for (uint32_t i = 0; i < rk_peers_count && contest->count < RK_CONTENDERS_MAX; i++) {
        if (!takes_part(&rk_peers[i], contest, all)) continue;
        struct rk_contestant *contestant = &contest->contestants[contest->count++];
        contestant->peer = &rk_peers[i];
        begin_entries(contestant);
        start(contest, all, contestant);
        if (rk_bench_interrupted) break;
    }
    if (contest->count > 0 && contest->contestants[0].runner != NULL) return RK_EXIT_OK;
    rk_complain("%s, %llu bytes: rask itself cannot be measured: %s", rk_contest_kind_name(contest->kind),
                (unsigned long long)contest->size, contest->contestants[0].trouble);
    return RK_EXIT_UNAVAILABLE;
}

static void give_up_on(struct rk_contestant *contestant, const struct rk_runner_result *result)
{
    snprintf(contestant->trouble, sizeof contestant->trouble, "%s", result->text);
    rk_runner_stop(contestant->runner);
    contestant->runner = NULL;
}

/** A slice; its time per call, 0 when there is none. */
static double slice_of(struct rk_contest *contest, struct rk_contestant *contestant, uint32_t depth_index,
                       uint64_t slice_ns)
{
    struct rk_entry *entry = &contestant->entries[depth_index];
    uint32_t depth = contest->depths[depth_index];
    const struct rk_runner_order order = {.verb = depth > 1 ? RK_RUN_PIPELINE : RK_RUN_TRIPS,
                                          .depth = depth,
                                          .sessions = 1,
                                          .series = depth_index,
                                          .duration_ns = slice_ns};
    struct rk_runner_result result;
    if (contestant->runner == NULL || (depth > 1 && contestant->peer->one_depth)) return 0;
    if (rk_runner_run(contestant->runner, &order, &result) != 0) {
        give_up_on(contestant, &result);
        return 0;
    }
    if (result.calls == 0 || result.p50_ns <= 0) return 0;
    entry->calls += result.calls;
    entry->cpu_ns += (double)(result.client_cpu_ns + result.worker_cpu_ns);
    entry->depth = depth > 1 && result.depth > 0 ? result.depth : depth;
    return result.p50_ns;
}

/** Every contender once, at one depth. A round counts when rask was measured in it. */
static void round_of(struct rk_contest *contest, uint32_t depth_index, uint64_t slice_ns)
{
    double rask_ns = 0;
    for (uint32_t i = 0; i < contest->count && !rk_bench_interrupted; i++) {
        struct rk_entry *entry = &contest->contestants[i].entries[depth_index];
        double p50_ns = slice_of(contest, &contest->contestants[i], depth_index, slice_ns);
        if (i == 0) rask_ns = p50_ns;
        if (p50_ns <= 0 || rask_ns <= 0) continue;
        rk_series_add(&entry->p50_ns, p50_ns);
        rk_series_add(&entry->ratio, p50_ns / rask_ns);
    }
}

static void show_progress(const struct rk_contest *contest, double part)
{
    if (!isatty(STDERR_FILENO)) return;
    fprintf(stderr, "\r%-5s %7llu bytes %3.0f %%, round %u ", rk_contest_kind_name(contest->kind),
            (unsigned long long)contest->size, part < 1 ? part * 100 : 100.0, contest->rounds);
    if (part >= 1) fprintf(stderr, "\r%50s\r", "");
}

static void measure(struct rk_contest *contest, uint64_t duration_ns)
{
    uint64_t start_ns = rask_now_ns(), done_ns = 0;
    uint64_t slice_ns = duration_ns / ROUNDS_WANTED / contest->count / contest->depth_count;
    if (slice_ns > SLICE_NS_MAX) slice_ns = SLICE_NS_MAX;
    if (slice_ns < SLICE_NS_MIN) slice_ns = SLICE_NS_MIN;
    for (contest->rounds = 0; contest->rounds < 2 || done_ns < duration_ns; contest->rounds++) {
        for (uint32_t i = 0; i < contest->depth_count; i++) round_of(contest, i, slice_ns);
        done_ns = rask_now_ns() - start_ns;
        show_progress(contest, duration_ns > 0 ? (double)done_ns / (double)duration_ns : 1);
        if (rk_bench_interrupted || contest->contestants[0].runner == NULL) break;
    }
    show_progress(contest, 1);
}

static void fetch_latencies(struct rk_contest *contest)
{
    struct rk_runner_result result;
    for (uint32_t i = 0; i < contest->count; i++)
        for (uint32_t depth = 0; depth < contest->depth_count; depth++) {
            struct rk_contestant *contestant = &contest->contestants[i];
            struct rk_histogram *into = contestant->entries[depth].latencies;
            if (contestant->runner != NULL && into != NULL) rk_runner_series(contestant->runner, depth, into, &result);
        }
}

int rk_contest_run(struct rk_contest *contest, const struct rk_contests *all, uint64_t duration_ns)
{
    if (!isatty(STDERR_FILENO))
        fprintf(stderr, "measuring: %s, %llu bytes\n", rk_contest_kind_name(contest->kind),
                (unsigned long long)contest->size);
    rk_noise_begin(&contest->noise);
    int code = start_all(contest, all);
    if (code == RK_EXIT_OK) measure(contest, duration_ns);
    if (code == RK_EXIT_OK) fetch_latencies(contest);
    for (uint32_t i = 0; i < contest->count; i++) {
        rk_runner_stop(contest->contestants[i].runner);
        contest->contestants[i].runner = NULL;
    }
    rk_noise_end(&contest->noise);
    return code;
}

void rk_contest_finish(struct rk_contest *contest)
{
    for (uint32_t i = 0; i < contest->count; i++)
        for (uint32_t depth = 0; depth < RK_DEPTHS_MAX; depth++) {
            struct rk_entry *entry = &contest->contestants[i].entries[depth];
            rk_series_finish(&entry->p50_ns);
            rk_series_finish(&entry->ratio);
            rk_histogram_destroy(entry->latencies);
        }
    contest->count = 0;
}

double rk_entry_p50_ns(struct rk_entry *entry)
{
    return rk_series_percentile(&entry->p50_ns, 50);
}

double rk_entry_ratio(struct rk_entry *entry, double percent)
{
    return rk_series_percentile(&entry->ratio, percent);
}

bool rk_entry_has(const struct rk_entry *entry, double percent)
{
    return entry->latencies != NULL && rk_histogram_beyond(entry->latencies, percent) >= BEYOND_MIN;
}

struct rk_contestant *rk_contest_best(struct rk_contest *contest, enum rk_peer_role role, uint32_t depth_index)
{
    struct rk_contestant *best = NULL;
    for (uint32_t i = 0; i < contest->count; i++) {
        struct rk_contestant *one = &contest->contestants[i];
        struct rk_entry *entry = &one->entries[depth_index];
        if (one->peer->role != role || entry->ratio.count == 0) continue;
        if (best == NULL || rk_entry_ratio(entry, 50) < rk_entry_ratio(&best->entries[depth_index], 50)) best = one;
    }
    return best;
}
