/* SPDX-License-Identifier: MIT */
/* What comes out of `rask bench`: what a reader must know to judge the figures, the figures, the distribution. */
#include "cmd_bench.h"
#include "distribution.h"
#include "exit_codes.h"
#include "plot.h"
#include <stdio.h>
#include <string.h>

static void note_machine(struct rk_busy_command *bench)
{
    struct rk_report *report = &bench->report;
    const struct rk_environment *at = &report->environment;
    uint32_t parties = report->info.workers + 1;
    if (at->cpus_usable < 2 || (bench->client_cpu >= 0 && bench->client_cpu == bench->worker_cpu))
        rk_report_note(report, "client and worker share one processor: what is measured is the scheduler");
    else if (parties > at->cpus_usable && report->info.worker_wait_mode != RASK_WAIT_PARK)
        rk_report_note(report, "%u workers and a client that may spin on %u processors take turns",
                       report->info.workers, at->cpus_usable);
    if (at->smt_siblings)
        rk_report_note(
            report, "client and worker run on two threads of one core: they share its caches and its execution units");
    if (report->noise.noisy)
        rk_report_note(
            report,
            "NOISY: others used %.0f %% of the processors just before, %.1f %% was stolen: look at ratios and "
            "medians, not at tails",
            report->noise.busy_before * 100, report->noise.stolen * 100);
    else if (at->load > 0.7 * at->cpus_online)
        rk_report_note(report,
                       "other work was running at the start (load %.2f): look at ratios and medians, not at tails",
                       at->load);
    if (strstr(at->build, "NOT") != NULL || strstr(at->build, "SANITIZER") != NULL)
        rk_report_note(report, "this is not a build to measure with: %s", at->build);
}

static void note_conditions(struct rk_busy_command *bench)
{
    struct rk_report *report = &bench->report;
    note_machine(bench);
    if (bench->pin.count == 0)
        rk_report_note(report,
                       "nothing is pinned: the scheduler may move both sides during the run (--pin CLIENT,WORKER)");
    if (bench->target.plugin == NULL && report->info.worker_wait_mode == RASK_WAIT_SPIN)
        rk_report_note(report, "spinning workers of a running supervisor may share a processor with the floor's peer");
    if (bench->target.plugin == NULL && bench->pin.count > 1)
        rk_report_note(report, "workers of a running supervisor stay where they are: only the floor's peer is on %d",
                       bench->worker_cpu);
    if (bench->in_flight > 1)
        rk_report_note(report, "ratio_p50 compares latency with %u in flight with a floor at depth 1",
                       report->in_flight);
    if (rk_samples_p50_ns(&bench->figures.rask) > 0 && bench->figures.slices < 10)
        rk_report_note(report, "few slices (%u): measure longer", bench->figures.slices);
}

static int draw(const struct rk_busy_command *bench)
{
    char title[160];
    const struct rk_figures *figures = &bench->figures;
    const struct rk_plot_curve curves[] = {{"rask", figures->rask.each},
                                           {"floor, one at a time", figures->floors[figures->best].samples.each}};
    snprintf(title, sizeof title, "%s, %llu bytes, %llu in flight", bench->report.method,
             (unsigned long long)bench->size, (unsigned long long)bench->in_flight);
    return rk_plot_distribution(bench->plot, title, curves, 2);
}

/** Single round trips, each with its clock read; in a pipeline one in RK_SAMPLE_EVERY. */
static int write_distributions(const struct rk_busy_command *bench)
{
    const struct rk_histogram *each = bench->figures.rask.each;
    int code = bench->hgrm != NULL ? rk_distribution_file("--hgrm", bench->hgrm, each) : RK_EXIT_OK;
    if (code == RK_EXIT_OK && bench->csv != NULL) code = rk_distribution_file("--csv", bench->csv, each);
    return code == RK_EXIT_OK && bench->plot != NULL ? draw(bench) : code;
}

int rk_busy_command_print(struct rk_busy_command *bench)
{
    struct rk_report *report = &bench->report;
    report->info.size = sizeof report->info;
    rask_info(bench->session, &report->info);
    report->size = bench->size;
    report->in_flight = (uint32_t)bench->in_flight;
    report->pinning = bench->pinning;
    report->figures = &bench->figures;
    report->floor = bench->floor;
    report->interrupted = rk_bench_interrupted;
    note_conditions(bench);
    int error = bench->json ? rk_report_json(report) : rk_report_text(report);
    if (error == 0) return write_distributions(bench);
    rk_complain("cannot write the result: %s", strerror(-error));
    return RK_EXIT_IO;
}
