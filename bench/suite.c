/* SPDX-License-Identifier: MIT */
/* What the parts of a suite have in common. See suite.h. */
#include "suite.h"
#include "exit_codes.h"
#include "histogram.h"
#include "options.h"
#include "slice.h"
#include "verdict.h"
#include <errno.h>
#include <rask/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

const char *rk_suite_part_name(const struct rk_suite_kind *kind, uint32_t part)
{
    return kind->parts[part].name;
}

int rk_suite_parts_parse(const struct rk_suite_kind *kind, const char *text, uint32_t *parts, char *bad, size_t bytes)
{
    *parts = 0;
    while (true) {
        size_t length = strcspn(text, ",");
        uint32_t part = 0;
        while (part < kind->count &&
               (strlen(kind->parts[part].name) != length || strncmp(kind->parts[part].name, text, length) != 0))
            part++;
        if (part == kind->count) {
            snprintf(bad, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), text);
            return -EINVAL;
        }
        *parts |= 1u << part;
        if (text[length] == '\0') return 0;
        text += length + 1;
    }
}

uint64_t rk_suite_share_ns(const struct rk_suite_kind *kind, uint32_t part, uint32_t parts, uint64_t duration_ns)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kind->count; i++)
        if (parts & 1u << i) sum += kind->parts[i].seconds;
    if (duration_ns == 0) return kind->parts[part].seconds * SECOND_NS;
    return sum > 0 ? duration_ns / sum * kind->parts[part].seconds : 0;
}

/* ---- contenders ---------------------------------------------------------------------------------------------------- */

static int failed(const struct rk_suite *suite, const char *name, const struct rk_runner_result *result)
{
    rk_complain("%s: %s: %s", rk_suite_part_name(suite->kind, suite->part), name, result->text);
    return rk_exit_from_errno(result->error);
}

int rk_suite_add(struct rk_suite *suite, const struct rk_runner_plan *plan)
{
    uint32_t index = suite->runner_count;
    struct rk_runner_result *ready = &suite->results[index];
    if (rk_runner_start(&suite->runners[index], plan, ready) != 0) return failed(suite, plan->name, ready);
    suite->runner_count++;
    return RK_EXIT_OK;
}

int rk_suite_run(struct rk_suite *suite, uint32_t index, const struct rk_runner_order *order)
{
    struct rk_runner *runner = suite->runners[index];
    int error = rk_runner_run(runner, order, &suite->results[index]);
    return error == 0 ? RK_EXIT_OK : failed(suite, rk_runner_name(runner), &suite->results[index]);
}

int rk_suite_series(struct rk_suite *suite, uint32_t index, uint32_t series, struct rk_histogram *into)
{
    struct rk_runner_result result;
    int error = rk_runner_series(suite->runners[index], series, into, &result);
    return error == 0 ? RK_EXIT_OK : failed(suite, rk_runner_name(suite->runners[index]), &result);
}

void rk_suite_stop_all(struct rk_suite *suite)
{
    while (suite->runner_count > 0) rk_runner_stop(suite->runners[--suite->runner_count]);
}

void rk_suite_begin(struct rk_suite *suite)
{
    uint64_t duration_ns = suite->end_ns - suite->start_ns;
    suite->start_ns = rask_now_ns();
    suite->end_ns = suite->start_ns + duration_ns;
}

bool rk_suite_goes_on(struct rk_suite *suite)
{
    uint64_t now_ns = rask_now_ns(), whole_ns = suite->end_ns - suite->start_ns;
    uint64_t done_ns = now_ns < suite->end_ns ? now_ns - suite->start_ns : whole_ns;
    int percent = whole_ns > 0 ? (int)(done_ns * 100 / whole_ns) : 100;
    if (isatty(STDERR_FILENO) && percent != suite->shown_percent)
        fprintf(stderr, "\r%-8s %3d %%%s", rk_suite_part_name(suite->kind, suite->part), percent,
                percent >= 100 ? "\n" : "");
    suite->shown_percent = percent;
    return now_ns < suite->end_ns && !rk_bench_interrupted;
}

/* ---- results ------------------------------------------------------------------------------------------------------- */

void rk_suite_print(const struct rk_suite *suite, const char *format, ...)
{
    if (!suite->tables) return;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
}

const char *rk_suite_time(double ns, char *text, size_t bytes)
{
    if (ns <= 0)
        snprintf(text, bytes, "-");
    else if (ns < 1e4)
        snprintf(text, bytes, "%.0f ns", ns);
    else if (ns < 1e7)
        snprintf(text, bytes, "%.1f us", ns / 1e3);
    else
        snprintf(text, bytes, "%.1f ms", ns / 1e6);
    return text;
}

json_t *rk_suite_spread(struct rk_series *series)
{
    json_t *out = json_object();
    json_object_set_new(out, "p50", json_real(rk_series_percentile(series, 50)));
    json_object_set_new(out, "p10", json_real(rk_series_percentile(series, 10)));
    json_object_set_new(out, "p90", json_real(rk_series_percentile(series, 90)));
    json_object_set_new(out, "count", json_integer(series->count));
    return out;
}

static bool has(const struct rk_histogram *histogram, double percent)
{
    return rk_histogram_beyond(histogram, percent) >= RK_RUNNER_BEYOND_MIN;
}

json_t *rk_suite_latency(const struct rk_histogram *histogram)
{
    static const double percents[] = {50, 90, 99, 99.9, 99.99, 99.999};
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        char key[16];
        snprintf(key, sizeof key, "p%g", percents[i]);
        json_object_set_new(out, key,
                            has(histogram, percents[i])
                                ? json_integer((json_int_t)rk_histogram_percentile(histogram, percents[i]))
                                : json_null());
    }
    json_object_set_new(out, "max", json_integer((json_int_t)rk_histogram_max(histogram)));
    json_object_set_new(out, "samples", json_integer((json_int_t)rk_histogram_count(histogram)));
    return out;
}

const char *rk_suite_percentile(const struct rk_histogram *histogram, double percent, char *text, size_t bytes)
{
    double ns = has(histogram, percent) ? (double)rk_histogram_percentile(histogram, percent) : 0;
    return rk_suite_time(ns, text, bytes);
}

void rk_suite_verdict(struct rk_suite *suite, json_t *list, const char *what, double value, bool at_most, double target)
{
    char text[200];
    json_array_append_new(list, rk_verdict_json(what, value, at_most, target));
    rk_suite_print(suite, "%s", rk_verdict_text(text, sizeof text, what, value, at_most, target));
}
