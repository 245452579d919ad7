/* SPDX-License-Identifier: MIT */
/* What the parts of `rask bench wake` have in common. See wake.h. */
#include "wake.h"
#include "exit_codes.h"
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

static const struct {
    const char *name;
    uint32_t seconds; /* by default, and its weight */
} parts_table[RK_WAKE_PARTS] = {
    [RK_WAKE_PARKED] = {"parked", 8}, [RK_WAKE_BUSY] = {"busy", 8},       [RK_WAKE_GAPS] = {"gaps", 24},
    [RK_WAKE_IDLE] = {"idle", 10},    [RK_WAKE_WORKERS] = {"workers", 8}, [RK_WAKE_BATCH] = {"batch", 3},
};

const char *rk_wake_part_name(enum rk_wake_part part)
{
    return parts_table[part].name;
}

int rk_wake_parts_parse(const char *text, uint32_t *parts, char *bad, size_t bytes)
{
    *parts = 0;
    while (true) {
        size_t length = strcspn(text, ",");
        uint32_t part = 0;
        while (part < RK_WAKE_PARTS &&
               (strlen(parts_table[part].name) != length || strncmp(parts_table[part].name, text, length) != 0))
            part++;
        if (part == RK_WAKE_PARTS) {
            snprintf(bad, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), text);
            return -EINVAL;
        }
        *parts |= 1u << part;
        if (text[length] == '\0') return 0;
        text += length + 1;
    }
}

uint64_t rk_wake_share_ns(enum rk_wake_part part, uint32_t parts, uint64_t duration_ns)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < RK_WAKE_PARTS; i++)
        if (parts & 1u << i) sum += parts_table[i].seconds;
    if (duration_ns == 0) return parts_table[part].seconds * SECOND_NS;
    return sum > 0 ? duration_ns / sum * parts_table[part].seconds : 0;
}

int rk_wake_add(struct rk_wake *wake, const struct rk_runner_plan *plan)
{
    uint32_t index = wake->runner_count;
    struct rk_runner_result *ready = &wake->results[index];
    int error = rk_runner_start(&wake->runners[index], plan, ready);
    if (error != 0) {
        rk_complain("%s: %s: %s", rk_wake_part_name(wake->part), plan->name, ready->text);
        return rk_exit_from_errno(error);
    }
    wake->runner_count++;
    return RK_EXIT_OK;
}

int rk_wake_run(struct rk_wake *wake, uint32_t index, const struct rk_runner_order *order)
{
    int error = rk_runner_run(wake->runners[index], order, &wake->results[index]);
    if (error == 0) return RK_EXIT_OK;
    rk_complain("%s: %s: %s", rk_wake_part_name(wake->part), rk_runner_name(wake->runners[index]),
                wake->results[index].text);
    return rk_exit_from_errno(error);
}

void rk_wake_stop_all(struct rk_wake *wake)
{
    while (wake->runner_count > 0) rk_runner_stop(wake->runners[--wake->runner_count]);
}

bool rk_wake_goes_on(struct rk_wake *wake)
{
    uint64_t now_ns = rask_now_ns(), whole_ns = wake->end_ns - wake->start_ns;
    uint64_t done_ns = now_ns < wake->end_ns ? now_ns - wake->start_ns : whole_ns;
    int percent = whole_ns > 0 ? (int)(done_ns * 100 / whole_ns) : 100;
    if (isatty(STDERR_FILENO) && percent != wake->shown_percent)
        fprintf(stderr, "\r%-8s %3d %%%s", rk_wake_part_name(wake->part), percent, percent >= 100 ? "\n" : "");
    wake->shown_percent = percent;
    return now_ns < wake->end_ns && !rk_bench_interrupted;
}

void rk_wake_print(const struct rk_wake *wake, const char *format, ...)
{
    if (!wake->tables) return;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
}

const char *rk_wake_time(double ns, char *text, size_t bytes)
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

json_t *rk_wake_spread(struct rk_series *series)
{
    json_t *out = json_object();
    json_object_set_new(out, "p50", json_real(rk_series_percentile(series, 50)));
    json_object_set_new(out, "p10", json_real(rk_series_percentile(series, 10)));
    json_object_set_new(out, "p90", json_real(rk_series_percentile(series, 90)));
    json_object_set_new(out, "count", json_integer(series->count));
    return out;
}

void rk_wake_verdict(struct rk_wake *wake, json_t *list, const char *what, double value, bool at_most, double target)
{
    char text[200];
    json_array_append_new(list, rk_verdict_json(what, value, at_most, target));
    rk_wake_print(wake, "%s", rk_verdict_text(text, sizeof text, what, value, at_most, target));
}
