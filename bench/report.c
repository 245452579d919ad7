/* SPDX-License-Identifier: MIT */
/* The benchmark's result as text. See report.h. */
#include "report.h"
#include "ladder.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double percents[] = {90, 99, 99.9, 99.99, 99.999};

void rk_report_note(struct rk_report *report, const char *format, ...)
{
    if (report->note_count == RK_NOTES_MAX) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->notes[report->note_count], sizeof report->notes[0], format, arguments);
    va_end(arguments);
    report->note_count++;
}

bool rk_report_has(const struct rk_histogram *histogram, double percent)
{
    return rk_histogram_beyond(histogram, percent) >= RK_BEYOND_MIN;
}

/** "105.3 ns", "66.2 us", "3.10 ms", right-aligned in a column. */
static void print_time(double ns)
{
    if (ns < 1e4)
        printf(" %8.1f ns", ns);
    else if (ns < 1e7)
        printf(" %8.2f us", ns / 1e3);
    else if (ns < 1e10)
        printf(" %8.2f ms", ns / 1e6);
    else
        printf(" %8.2f s ", ns / 1e9);
}

static void print_row(const char *name, const struct rk_samples *samples)
{
    printf("  %-8s", name);
    print_time(rk_samples_p50_ns(samples));
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        if (rk_report_has(samples->each, percents[i]))
            print_time((double)rk_histogram_percentile(samples->each, percents[i]));
        else
            printf(" %11s", "-");
    }
    if (rk_histogram_count(samples->each) > 0)
        print_time((double)rk_histogram_max(samples->each));
    else
        printf(" %11s", "-");
    printf(" %12.0f\n", rk_samples_calls_per_s(samples));
}

static void print_waiting(const struct rask_info *info)
{
    char budget[48];
    if (info->spin_budget_ns == UINT32_MAX)
        snprintf(budget, sizeof budget, "no limit");
    else
        snprintf(budget, sizeof budget, "%.1f us", info->spin_budget_ns / 1e3);
    printf("  waiting   client %s, workers %s; spin budget %s; engine %s; barrier %s\n",
           rk_wait_mode_name(info->wait_mode), rk_wait_mode_name(info->worker_wait_mode), budget, info->engine,
           info->barrier);
}

static void print_conditions(const struct rk_report *report)
{
    const struct rk_environment *at = &report->environment;
    printf("rask bench: plugin %s %s, method %s, %" PRIu64 " bytes, %u in flight, %u worker%s\n", report->info.plugin,
           report->info.plugin_version, report->method, report->size, report->in_flight, report->info.workers,
           report->info.workers == 1 ? "" : "s");
    printf("  machine   %s, %s, %u processor%s%s, usable: %s\n", at->cpu, at->architecture, at->cpus_online,
           at->cpus_online == 1 ? "" : "s", at->is_virtual ? " (virtual)" : "", at->usable);
    printf("  kernel    %s, clock source %s", at->kernel, at->clock_source);
    if (at->load >= 0) printf(", load %.2f", at->load);
    printf("\n  build     %s\n", at->build);
    printf("  pinning   %s%s%s\n", report->pinning, at->relation[0] != '\0' ? ": " : "", at->relation);
    print_waiting(&report->info);
    printf("  clock     %.1f ns a read\n", at->clock_read_ns);
}

static const char *remark_on(const struct rk_report *report, uint32_t variant)
{
    if (variant == report->figures->best) return "  <- the floor";
    if (variant == report->figures->best_sealed) return "  <- the sealed floor";
    return rk_floor_kind(report->floor, variant) == RK_FLOOR_TWO_WRITERS ? "  (for reference: a line with two writers)"
                                                                         : "";
}

static void print_floors(const struct rk_report *report)
{
    const struct rk_figures *figures = report->figures;
    printf("  floors' p50:\n");
    for (uint32_t i = 0; i < figures->floor_count; i++) {
        printf("   ");
        print_time(rk_samples_p50_ns(&figures->floors[i].samples));
        printf("  %s%s\n", rk_floor_contender(report->floor, i)->name, remark_on(report, i));
    }
}

static void print_ratio(const struct rk_figures *figures, const char *name, uint32_t variant)
{
    printf("  %-16s %.3f   (median of %u slices; 10th to 90th percentile %.3f .. %.3f)\n", name,
           rk_figures_ratio(figures, variant, 50), figures->slices, rk_figures_ratio(figures, variant, 10),
           rk_figures_ratio(figures, variant, 90));
}

static void print_method(const struct rk_report *report)
{
    const struct rk_figures *figures = report->figures;
    double clock_ns = report->environment.clock_read_ns;
    if (report->in_flight > 1) {
        printf(
            "  Latency: from before submit to after its completion was taken, of one request in %u. The floor is one\n"
            "  full round trip at depth 1.\n",
            RK_SAMPLE_EVERY);
    } else if (figures->rask.batch > 1) {
        printf(
            "  Full round trips, measured the same way for both. p50, calls/s and ratio: %u round trips between two\n"
            "  clock reads. Other columns: each between two clock reads, so with %.1f ns of clock in it; taken that\n"
            "  way p50 is %" PRIu64 " ns for rask and %" PRIu64 " ns for the floor.\n",
            figures->rask.batch, clock_ns, rk_histogram_percentile(figures->rask.each, 50),
            rk_histogram_percentile(figures->floors[figures->best].samples.each, 50));
    } else {
        printf("  Full round trips, each of rask's between two clock reads (%.1f ns each).\n", clock_ns);
    }
    printf("  Requests are written, answers read%s.\n", !report->echoes ? ""
                                                        : report->size > RASK_INLINE_BYTES
                                                            ? ", every byte, and compared"
                                                            : " and compared");
}

int rk_report_text(const struct rk_report *report)
{
    const struct rk_figures *figures = report->figures;
    print_conditions(report);
    printf("\n  %-8s %11s %11s %11s %11s %11s %11s %11s %12s\n", "", "p50", "p90", "p99", "p99.9", "p99.99", "p99.999",
           "max", "calls/s");
    print_row("rask", &figures->rask);
    print_row("floor", &figures->floors[figures->best].samples);
    printf("\n");
    if (figures->slices > 0) print_ratio(figures, "ratio_p50", figures->best);
    if (figures->slices > 0) print_ratio(figures, "ratio_sealed_p50", figures->best_sealed);
    printf("  %-16s %.0f in the median slice\n", "calls/s", rk_figures_median_calls_per_s(figures));
    print_floors(report);
    printf("\n");
    print_method(report);
    printf("  ratio_p50: to the best ping-pong over lines that both sides may write. ratio_sealed_p50: to the best one "
           "over\n"
           "  memory like that of rask's rings, which the kernel lets one side write alone; calls made one at a time "
           "use other.\n");
    printf("  %" PRIu64 " calls measured in %.2f s, floors and rask in turn%s.\n", figures->rask.calls,
           (double)figures->elapsed_ns / 1e9, report->interrupted ? "; INTERRUPTED" : "");
    for (uint32_t i = 0; i < report->note_count; i++) printf("  note: %s\n", report->notes[i]);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -EIO;
}
