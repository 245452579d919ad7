/* SPDX-License-Identifier: MIT */
/* A contest as files: JSON with all that the tables have and the percentiles that they leave out, and distributions. See
 * contest.h. */
#include "contest.h"
#include "distribution.h"
#include "exit_codes.h"
#include "suite.h"
#include <ctype.h>
#include <stdio.h>

static json_t *percentiles(const struct rk_entry *entry)
{
    char key[32];
    json_t *out = json_object();
    for (uint32_t i = 0; i < rk_contest_percents_count; i++) {
        double percent = rk_contest_percents[i];
        snprintf(key, sizeof key, "p%g", percent);
        json_t *value = rk_entry_has(entry, percent)
                            ? json_integer((json_int_t)rk_histogram_percentile(entry->latencies, percent))
                            : json_null();
        json_object_set_new(out, key, value);
    }
    return out;
}

static json_t *entry_json(struct rk_entry *entry)
{
    json_t *out = json_object();
    double p50_ns = rk_entry_p50_ns(entry);
    json_object_set_new(out, "in_flight", json_integer(entry->depth));
    json_object_set_new(out, "ns_per_call", rk_suite_spread(&entry->p50_ns));
    json_object_set_new(out, "calls_per_s", json_real(p50_ns > 0 ? 1e9 / p50_ns : 0));
    json_object_set_new(out, "ratio_to_rask", rk_suite_spread(&entry->ratio));
    json_object_set_new(out, "calls", json_integer((json_int_t)entry->calls));
    json_object_set_new(out, "cpu_ns_per_call", json_real(entry->cpu_ns / (double)entry->calls));
    if (entry->latencies == NULL) return out;
    json_object_set_new(out, "latency_ns", percentiles(entry));
    json_object_set_new(out, "latency_max_ns", json_integer((json_int_t)rk_histogram_max(entry->latencies)));
    json_object_set_new(out, "latency_mean_ns", json_real(rk_histogram_mean(entry->latencies)));
    json_object_set_new(out, "latency_samples", json_integer((json_int_t)rk_histogram_count(entry->latencies)));
    return out;
}

static json_t *contestant_json(struct rk_contest *contest, struct rk_contestant *contestant)
{
    static const char *const roles[] = {"rask", "floor", "peer"};
    json_t *out = json_object(), *depths = json_object();
    char key[32];
    json_object_set_new(out, "name", rk_json_text(contestant->peer->name));
    json_object_set_new(out, "role", rk_json_text(roles[contestant->peer->role]));
    json_object_set_new(out, "configuration", rk_json_text(contestant->configuration));
    const char *trouble = contestant->trouble;
    json_object_set_new(out, "not_measured", trouble[0] != '\0' ? rk_json_text(trouble) : json_null());
    for (uint32_t i = 0; i < contest->depth_count; i++) {
        snprintf(key, sizeof key, "%u", contest->depths[i]);
        if (contestant->entries[i].ratio.count > 0)
            json_object_set_new(depths, key, entry_json(&contestant->entries[i]));
    }
    json_object_set_new(out, "depths", depths);
    return out;
}

json_t *rk_contest_json(struct rk_contest *contest)
{
    json_t *out = json_object(), *list = json_array(), *depths = json_array();
    for (uint32_t i = 0; i < contest->depth_count; i++) json_array_append_new(depths, json_integer(contest->depths[i]));
    for (uint32_t i = 0; i < contest->count; i++)
        json_array_append_new(list, contestant_json(contest, &contest->contestants[i]));
    json_object_set_new(out, "kind", rk_json_text(rk_contest_kind_name(contest->kind)));
    json_object_set_new(out, "size", json_integer((json_int_t)contest->size));
    json_object_set_new(out, "depths", depths);
    json_object_set_new(out, "rounds", json_integer(contest->rounds));
    json_object_set_new(out, "noisy", json_boolean(contest->noise.noisy));
    json_object_set_new(out, "busy_before", json_real(contest->noise.busy_before));
    json_object_set_new(out, "stolen", json_real(contest->noise.stolen));
    json_object_set_new(out, "load", json_real(contest->noise.load));
    json_object_set_new(out, "contenders", list);
    return out;
}

/** "floor: bare ring" -> "floor-bare-ring". */
static void file_name_of(const char *name, char *text, size_t bytes)
{
    size_t used = 0;
    for (; *name != '\0' && used + 1 < bytes; name++) {
        bool letter = isalnum((unsigned char)*name) != 0;
        if (letter || (used > 0 && text[used - 1] != '-')) text[used++] = letter ? *name : '-';
    }
    text[used] = '\0';
}

int rk_contest_distributions(const struct rk_contest *contest, const char *folder)
{
    char name[64], path[1024];
    int code = RK_EXIT_OK;
    for (uint32_t i = 0; i < contest->count; i++)
        for (uint32_t j = 0; j < contest->depth_count && code == RK_EXIT_OK; j++) {
            const struct rk_entry *entry = &contest->contestants[i].entries[j];
            if (entry->latencies == NULL || rk_histogram_count(entry->latencies) == 0) continue;
            file_name_of(contest->contestants[i].peer->name, name, sizeof name);
            snprintf(path, sizeof path, "%.800s/%s-%llu-%u-%s.hgrm", folder, rk_contest_kind_name(contest->kind),
                     (unsigned long long)contest->size, contest->depths[j], name);
            code = rk_distribution_file("--hgrm", path, entry->latencies);
        }
    return code;
}
