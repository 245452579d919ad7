/* SPDX-License-Identifier: MIT */
/* The table of `rask stats`, at most 120 columns wide, and the line of --watch. */
#include "policy.h"
#include "stats.h"
#include <stdio.h>
#include <string.h>

/* "850ns", "12.3us", "4.56ms", "1.2s", "5m03s", "2h07m". */
static const char *duration(char *text, size_t bytes, uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)ns;
    unsigned unit = 0, minutes = (unsigned)(ns / 60000000000u);
    for (; unit < 3 && value >= 999.5; unit++) value /= 1000;
    if (minutes >= 60)
        snprintf(text, bytes, "%uh%02um", minutes / 60, minutes % 60);
    else if (minutes >= 1)
        snprintf(text, bytes, "%um%02us", minutes, (unsigned)(ns / 1000000000u % 60));
    else
        snprintf(text, bytes, "%.3g%s", value, units[unit]);
    return text;
}

static const char *service(char *text, size_t bytes, const struct rk_stats_worker *worker, double part)
{
    uint64_t ns = rk_stats_quantile(worker, part);
    return ns > 0 ? duration(text, bytes, ns) : "-";
}

/* "1.2s" where the time is known to a millisecond, else "50ms..1.2s". */
static const char *busy_for(char *text, size_t bytes, const struct rk_stats_worker *worker)
{
    char low[16], high[16];
    duration(low, sizeof(low), worker->busy_ns_min);
    duration(high, sizeof(high), worker->busy_ns_max);
    if (!worker->busy) return "-";
    bool known = worker->busy_ns_max - worker->busy_ns_min <= 1000000u;
    snprintf(text, bytes, "%s%s%s", known ? "" : low, known ? "" : "..", high);
    return text;
}

/* What matters most: a stopped or dead process, the stage of one that is not ready, or the supervisor's view. */
static const char *state(const struct rk_stats_worker *worker)
{
    const char *process = rk_stats_process_name(worker->process);
    if (strcmp(process, "stopped") == 0 || strcmp(process, "dead") == 0) return process;
    if (worker->has_page && worker->state == RK_WORKER_STARTING && worker->stage != RK_STAGE_SERVING)
        return rk_worker_stage_name(worker->stage);
    return worker->state < RK_POLICY_STATE_COUNT ? rk_policy_state_name(worker->state) : "unknown";
}

static void print_row(const char *name, const char *what, const struct rk_stats_worker *worker)
{
    char busy[40], p50[16], p99[16], max[16];
    printf("%-6s %-11.11s %8u %5u %13llu %9llu %8llu %5u %16s %7s %7s %7s\n", name, what, worker->pid,
           worker->generation, (unsigned long long)worker->requests, (unsigned long long)worker->errors,
           (unsigned long long)worker->restarts, worker->queue_depth, busy_for(busy, sizeof(busy), worker),
           service(p50, sizeof(p50), worker, 0.5), service(p99, sizeof(p99), worker, 0.99),
           worker->samples > 0 ? duration(max, sizeof(max), worker->service_ns_max) : "-");
}

static void print_head(const struct rk_stats_source *source, const struct rk_stats *stats)
{
    char up[16];
    const char *process = rk_stats_process_name(stats->process);
    printf("supervisor %d%s%s: %s%s, up %s; %u of %u workers serve\n", (int)source->pid, source->socket ? " on " : "",
           source->socket ? source->socket : "", rk_stats_phase_name(stats->phase),
           strcmp(process, "stopped") == 0 ? " (its process is stopped)" : "",
           duration(up, sizeof(up), stats->uptime_ns), stats->serving, stats->workers);
    printf("sessions %u (%llu made, %llu refused, %llu ended)   restarts %llu   deaths %llu   poisons %llu   rescues "
           "%llu\n",
           stats->sessions, (unsigned long long)stats->sessions_made, (unsigned long long)stats->sessions_refused,
           (unsigned long long)stats->sessions_ended, (unsigned long long)stats->sum.restarts,
           (unsigned long long)stats->sum.deaths, (unsigned long long)stats->poisons,
           (unsigned long long)stats->sum.rescues);
    uint64_t dropped = stats->log_dropped + stats->sum.log_dropped;
    if (dropped > 0) printf("log lines dropped %llu\n", (unsigned long long)dropped);
}

/* Only where there are some. */
static void print_streams(const struct rk_stats *stats)
{
    const struct rk_stats_worker *sum = &stats->sum;
    if (sum->streams + sum->items + sum->upcalls + sum->upcalls_failed + sum->leases == 0) return;
    printf("\nstreams %llu   backlog %llu   items %llu   upcalls %llu (%llu failed)   leases %llu (%.1f MiB)\n",
           (unsigned long long)sum->streams, (unsigned long long)sum->backlog, (unsigned long long)sum->items,
           (unsigned long long)sum->upcalls, (unsigned long long)sum->upcalls_failed, (unsigned long long)sum->leases,
           (double)sum->leased_bytes / 1048576.0);
}

void rk_stats_print(const struct rk_stats_source *source, const struct rk_stats *stats)
{
    char name[16];
    print_head(source, stats);
    printf("\n%-6s %-11s %8s %5s %13s %9s %8s %5s %16s %7s %7s %7s\n", "WORKER", "STATE", "PID", "GEN", "REQUESTS",
           "ERRORS", "RESTARTS", "QUEUE", "BUSY FOR", "P50", "P99", "MAX");
    for (uint32_t i = 0; i < stats->workers; i++) {
        snprintf(name, sizeof(name), "%u", i);
        print_row(name, state(&stats->worker[i]), &stats->worker[i]);
    }
    if (stats->sum.sample_every > 0)
        printf("\nP50, P99 and MAX are times in the handler, of one request in %u, since the worker's start.\n",
               stats->sum.sample_every);
    print_streams(stats);
}

void rk_stats_print_line(const struct rk_stats *stats, const struct rk_stats *before, uint64_t between_ns)
{
    char p99[16], busy_text[40];
    const struct rk_stats_worker *longest = &stats->worker[0];
    unsigned busy = 0;
    uint64_t more =
        before && stats->sum.requests > before->sum.requests ? stats->sum.requests - before->sum.requests : 0;
    for (uint32_t i = 0; i < stats->workers; i++) {
        busy += stats->worker[i].busy;
        if (stats->worker[i].busy_ns_max > longest->busy_ns_max) longest = &stats->worker[i];
    }
    printf("serving %u/%u  busy %u (longest %s)  requests %llu (%.0f/s)  errors %llu  restarts %llu  sessions %u  p99 "
           "%s\n",
           stats->serving, stats->workers, busy, busy_for(busy_text, sizeof(busy_text), longest),
           (unsigned long long)stats->sum.requests, between_ns > 0 ? (double)more * 1e9 / (double)between_ns : 0.0,
           (unsigned long long)stats->sum.errors, (unsigned long long)stats->sum.restarts, stats->sessions,
           service(p99, sizeof(p99), &stats->sum, 0.99));
}
