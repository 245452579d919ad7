/* SPDX-License-Identifier: MIT */
/* The benchmark's result as one line of JSON. A percentile without enough samples beyond it is null. See report.h. */
#include "json.h"
#include "ladder.h"
#include "report.h"
#include <errno.h>

static json_t *percentile(const struct rk_histogram *histogram, double percent)
{
    if (!rk_report_has(histogram, percent)) return json_null();
    return json_integer((json_int_t)rk_histogram_percentile(histogram, percent));
}

static json_t *real_or_null(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

static json_t *spin_budget(const struct rask_info *info)
{
    return info->spin_budget_ns == UINT32_MAX ? json_null() : json_integer(info->spin_budget_ns);
}

/** The figures of rask; p50 as the ratio has it (see slice.h), the others each with its clock read. */
static void add_figures(json_t *out, const struct rk_figures *figures)
{
    const struct rk_histogram *each = figures->rask.each;
    json_object_set_new(out, "p50_ns", real_or_null(rk_samples_p50_ns(&figures->rask)));
    json_object_set_new(out, "p90_ns", percentile(each, 90));
    json_object_set_new(out, "p99_ns", percentile(each, 99));
    json_object_set_new(out, "p99_9_ns", percentile(each, 99.9));
    json_object_set_new(out, "p99_99_ns", percentile(each, 99.99));
    json_object_set_new(out, "p99_999_ns", percentile(each, 99.999));
    json_object_set_new(out, "max_ns", json_integer((json_int_t)rk_histogram_max(each)));
    json_object_set_new(out, "p50_each_timed_ns", percentile(each, 50));
    json_object_set_new(out, "mean_ns", real_or_null(rk_histogram_mean(each)));
    json_object_set_new(out, "calls_per_s", json_real(rk_samples_calls_per_s(&figures->rask)));
    json_object_set_new(out, "calls_per_s_p50", real_or_null(rk_figures_median_calls_per_s(figures)));
    json_object_set_new(out, "calls", json_integer((json_int_t)figures->rask.calls));
    json_object_set_new(out, "batch", json_integer(figures->rask.batch));
    json_object_set_new(out, "elapsed_s", json_real((double)figures->elapsed_ns / 1e9));
}

static json_t *floor_variants(const struct rk_report *report)
{
    static const char *const kinds[] = {"candidate", "two writers", "sealed"};
    json_t *list = json_array();
    for (uint32_t i = 0; i < report->figures->floor_count; i++) {
        const struct rk_samples *samples = &report->figures->floors[i].samples;
        json_t *one = json_object();
        json_object_set_new(one, "name", rk_json_text(rk_floor_contender(report->floor, i)->name));
        json_object_set_new(one, "p50_ns", real_or_null(rk_samples_p50_ns(samples)));
        json_object_set_new(one, "p99_ns", percentile(samples->each, 99));
        json_object_set_new(one, "kind", rk_json_text(kinds[rk_floor_kind(report->floor, i)]));
        json_object_set_new(one, "reference", json_boolean(rk_floor_kind(report->floor, i) != RK_FLOOR_CANDIDATE));
        json_array_append_new(list, one);
    }
    return list;
}

/** The best of those over memory like that of rask's rings. */
static void add_floor_sealed(json_t *out, const struct rk_report *report)
{
    const struct rk_figures *figures = report->figures;
    uint32_t sealed = figures->best_sealed;
    const struct rk_samples *samples = &figures->floors[sealed].samples;
    json_object_set_new(out, "floor_sealed", rk_json_text(rk_floor_contender(report->floor, sealed)->name));
    json_object_set_new(out, "floor_sealed_p50_ns", real_or_null(rk_samples_p50_ns(samples)));
    json_object_set_new(out, "ratio_sealed_p50", real_or_null(rk_figures_ratio(figures, sealed, 50)));
    json_object_set_new(out, "ratio_sealed_p50_p10", real_or_null(rk_figures_ratio(figures, sealed, 10)));
    json_object_set_new(out, "ratio_sealed_p50_p90", real_or_null(rk_figures_ratio(figures, sealed, 90)));
}

static void add_floor(json_t *out, const struct rk_report *report)
{
    const struct rk_figures *figures = report->figures;
    const struct rk_samples *floor = &figures->floors[figures->best].samples;
    json_object_set_new(out, "floor", rk_json_text(rk_floor_contender(report->floor, figures->best)->name));
    json_object_set_new(out, "floor_p50_ns", real_or_null(rk_samples_p50_ns(floor)));
    json_object_set_new(out, "floor_p90_ns", percentile(floor->each, 90));
    json_object_set_new(out, "floor_p99_ns", percentile(floor->each, 99));
    json_object_set_new(out, "floor_p50_each_timed_ns", percentile(floor->each, 50));
    json_object_set_new(out, "floors", floor_variants(report));
    json_object_set_new(out, "ratio_p50", real_or_null(rk_figures_ratio(figures, figures->best, 50)));
    json_object_set_new(out, "ratio_p50_p10", real_or_null(rk_figures_ratio(figures, figures->best, 10)));
    json_object_set_new(out, "ratio_p50_p90", real_or_null(rk_figures_ratio(figures, figures->best, 90)));
    add_floor_sealed(out, report);
    json_object_set_new(out, "slices", json_integer(figures->slices));
}

static void add_conditions(json_t *out, const struct rk_report *report)
{
    const struct rask_info *info = &report->info;
    json_object_set_new(out, "plugin", rk_json_text(info->plugin));
    json_object_set_new(out, "method", rk_json_text(report->method));
    json_object_set_new(out, "size", json_integer((json_int_t)report->size));
    json_object_set_new(out, "inflight", json_integer(report->in_flight));
    json_object_set_new(out, "workers", json_integer(info->workers));
    json_object_set_new(out, "wait", rk_json_text(rk_wait_mode_name(info->wait_mode)));
    json_object_set_new(out, "worker_wait", rk_json_text(rk_wait_mode_name(info->worker_wait_mode)));
    json_object_set_new(out, "spin_budget_ns", spin_budget(info));
    json_object_set_new(out, "engine", rk_json_text(info->engine));
    json_object_set_new(out, "barrier", rk_json_text(info->barrier));
    json_object_set_new(out, "pinning", rk_json_text(report->pinning));
    json_object_set_new(out, "echo_checked", json_boolean(report->echoes));
    json_object_set_new(out, "interrupted", json_boolean(report->interrupted));
    json_object_set_new(out, "noisy", json_boolean(report->noise.noisy));
    json_object_set_new(out, "busy_before", json_real(report->noise.busy_before));
    json_object_set_new(out, "stolen", json_real(report->noise.stolen));
}

static json_t *environment(const struct rk_environment *at)
{
    json_t *out = json_object();
    json_object_set_new(out, "cpu", rk_json_text(at->cpu));
    json_object_set_new(out, "architecture", rk_json_text(at->architecture));
    json_object_set_new(out, "cpus_online", json_integer(at->cpus_online));
    json_object_set_new(out, "cpus_usable", json_integer(at->cpus_usable));
    json_object_set_new(out, "usable", rk_json_text(at->usable));
    json_object_set_new(out, "virtual", json_boolean(at->is_virtual));
    json_object_set_new(out, "cpu_relation", at->relation[0] != '\0' ? rk_json_text(at->relation) : json_null());
    json_object_set_new(out, "kernel", rk_json_text(at->kernel));
    json_object_set_new(out, "clock_source", rk_json_text(at->clock_source));
    json_object_set_new(out, "clock_read_ns", json_real(at->clock_read_ns));
    json_object_set_new(out, "build", rk_json_text(at->build));
    json_object_set_new(out, "load", at->load >= 0 ? json_real(at->load) : json_null());
    return out;
}

int rk_report_json(const struct rk_report *report)
{
    json_t *out = json_object();
    add_figures(out, report->figures);
    add_floor(out, report);
    add_conditions(out, report);
    json_object_set_new(out, "environment", environment(&report->environment));
    json_t *notes = json_array();
    for (uint32_t i = 0; i < report->note_count; i++) json_array_append_new(notes, rk_json_text(report->notes[i]));
    json_object_set_new(out, "notes", notes);
    return rk_json_print(out);
}
