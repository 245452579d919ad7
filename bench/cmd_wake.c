/* SPDX-License-Identifier: MIT */
/* `rask bench wake`: the command line, the parts in their order, the JSON. This process has one thread and no session, so
 * contenders can be forked at any time; it sleeps while they measure. */
#include "bench.h"
#include "environment_json.h"
#include "exit_codes.h"
#include "noise.h"
#include "options.h"
#include "slice.h"
#include "wake.h"
#include <errno.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

struct command_line {
    const char *part;
    const char *json;
    const char *plot;
    struct rk_cpu_list pin;
    uint64_t duration_ns;
};

static int (*const run_part[RK_WAKE_PARTS])(struct rk_wake *) = {
    [RK_WAKE_PARKED] = rk_wake_parked, [RK_WAKE_BUSY] = rk_wake_busy,       [RK_WAKE_GAPS] = rk_wake_gaps,
    [RK_WAKE_IDLE] = rk_wake_idle,     [RK_WAKE_WORKERS] = rk_wake_workers, [RK_WAKE_BATCH] = rk_wake_batch,
};

static int parse(struct command_line *line, int argc, char **argv)
{
    const struct rk_option options[] = {
        {.name = "part", .value = "PART,...", .help = "measure these parts only (default all)", .text = &line->part},
        {.name = "duration",
         .value = "DURATION",
         .help = "about how long, of all parts together (default 1m, less for some parts)",
         .duration_ns = &line->duration_ns,
         .min = 1000000,
         .max = 24 * 3600 * SECOND_NS},
        {.name = "pin", .value = "A,B", .help = "client on A, worker on B (default the first two)", .cpus = &line->pin},
        {.name = "json", .value = "FILE", .help = "everything as JSON; - for standard output", .text = &line->json},
        {.name = "plot", .value = "FILE.svg", .help = "plot the gaps (needs gnuplot)", .text = &line->plot},
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench wake",
        .about =
            "Measure waiting: what it costs to sleep and to be woken, and what it costs when nobody sleeps. Each\n"
            "figure beside its floor or its counterpart in the same run, in short slices in turns.\n\n"
            "parts:\n"
            "  parked    round trip with both sides asleep, beside a bare futex ping-pong; one core, two cores\n"
            "  busy      32 bytes at depth 1 beside the floor; 128 in flight without and with a fence per message\n"
            "  gaps      pauses of 0, 1, 10, 100 us, 1, 10 ms before a call, for spin, hybrid and park: latency\n"
            "            and processor time per call\n"
            "  idle      processor time and wake-ups of 64 workers and 64 sessions that have nothing to do\n"
            "  workers   throughput of 2 to 64 workers on the processors there are\n"
            "  batch     16 requests to 16 sleeping workers, with one wake for all and with a wake each\n",
        .more = "Contenders are processes of their own, with private supervisors and the echo plugin; whoever is not\n"
                "measured sleeps. Percentiles need 100 samples beyond them: p99 of long gaps needs a long --duration.\n"
                "System calls are counted by the kernel where that is allowed (root, CAP_PERFMON), else not at all.\n"
                "Targets not reached are said, and are no error. Ctrl-C ends the run with the figures so far.\n\n"
                "  rask bench wake\n"
                "  rask bench wake --part parked,gaps --pin 0,1 --json wake.json --plot gaps.svg\n"
                "  rask bench wake --part gaps --duration 600s\n",
        .options = options,
    };
    struct rk_arguments arguments;
    return rk_options_parse(&command, argc, argv, &arguments);
}

static int check_parts(struct rk_wake *wake, const struct command_line *line)
{
    char bad[64];
    wake->parts = (1u << RK_WAKE_PARTS) - 1;
    if (line->part != NULL && rk_wake_parts_parse(line->part, &wake->parts, bad, sizeof bad) != 0)
        return rk_usage_error("--part: \"%s\" is none; there are parked, busy, gaps, idle, workers, batch", bad);
    if (line->plot == NULL) return RK_GO_ON;
    if (!(wake->parts & 1u << RK_WAKE_GAPS)) return rk_usage_error("--plot draws part gaps: add it to --part");
    if (rk_wake_can_plot()) return RK_GO_ON;
    rk_complain("--plot needs gnuplot: install the Debian package gnuplot-nox, or leave --plot out");
    return RK_EXIT_UNAVAILABLE;
}

/** The processors: those named, else the first two that can be used. */
static int check_pinning(struct rk_wake *wake, const struct command_line *line)
{
    int found[2] = {-1, -1}, count = 0;
    for (uint32_t cpu = 0; cpu < RK_CPUS_MAX && count < 2; cpu++)
        if (rk_cpu_is_usable(cpu)) found[count++] = (int)cpu;
    if (line->pin.count != 0 && line->pin.count != 2)
        return rk_usage_error("--pin: give two processors, the client's and the worker's, as in 0,1");
    for (uint32_t i = 0; i < line->pin.count; i++) {
        if (!rk_cpu_is_usable(line->pin.cpu[i])) {
            rk_environment_read(&wake->environment, -1, -1);
            return rk_usage_error("--pin: processor %u cannot be used here; usable: %s", line->pin.cpu[i],
                                  wake->environment.usable);
        }
        found[i] = (int)line->pin.cpu[i];
        count = 2;
    }
    wake->client_cpu = found[0];
    wake->worker_cpu = count > 1 ? found[1] : found[0];
    return RK_GO_ON;
}

/* ---- the run ------------------------------------------------------------------------------------------------------- */

static void print_conditions(const struct rk_wake *wake)
{
    const struct rk_environment *at = &wake->environment;
    rk_wake_print(wake, "rask bench wake\n  machine   %s, %s, %u processor%s%s, usable: %s\n", at->cpu,
                  at->architecture, at->cpus_online, at->cpus_online == 1 ? "" : "s",
                  at->is_virtual ? " (virtual)" : "", at->usable);
    rk_wake_print(wake, "  kernel    %s, clock source %s, load %.2f\n  build     %s\n", at->kernel, at->clock_source,
                  at->load, at->build);
    rk_wake_print(wake, "  pinning   client on %d, worker on %d: %s (idle, workers: not pinned)\n", wake->client_cpu,
                  wake->worker_cpu, at->relation);
    if (wake->client_cpu == wake->worker_cpu)
        rk_wake_print(wake, "  note: one processor for both sides: nothing here says what two would do\n");
}

static void note_noise(struct rk_wake *wake, const struct rk_noise *noise)
{
    json_object_set_new(wake->out, "noisy", json_boolean(noise->noisy));
    json_object_set_new(wake->out, "busy_before", json_real(noise->busy_before));
    json_object_set_new(wake->out, "stolen", json_real(noise->stolen));
    json_object_set_new(wake->out, "load", json_real(noise->load));
    if (!noise->noisy) return;
    rk_wake_print(wake, "  NOISY: others used %.0f %% of the processors just before, %.1f %% was stolen, load %.2f\n",
                  noise->busy_before * 100, noise->stolen * 100, noise->load);
}

static int run_parts(struct rk_wake *wake, json_t *parts, uint64_t duration_ns)
{
    int code = RK_EXIT_OK;
    for (uint32_t part = 0; part < RK_WAKE_PARTS && code == RK_EXIT_OK && !rk_bench_interrupted; part++) {
        struct rk_noise noise;
        if (!(wake->parts & 1u << part)) continue;
        if (!isatty(STDERR_FILENO)) fprintf(stderr, "measuring: %s\n", rk_wake_part_name(part));
        rk_noise_begin(&noise);
        wake->part = part;
        wake->out = json_object();
        json_object_set_new(parts, rk_wake_part_name(part), wake->out);
        wake->start_ns = rask_now_ns();
        wake->end_ns = wake->start_ns + rk_wake_share_ns(part, wake->parts, duration_ns);
        wake->shown_percent = -1;
        code = run_part[part](wake);
        rk_wake_stop_all(wake);
        rk_noise_end(&noise);
        note_noise(wake, &noise);
        fflush(stdout);
    }
    return code;
}

int cmd_bench_wake(int argc, char **argv)
{
    static struct rk_wake wake;
    struct command_line line = {.part = NULL};
    int code = parse(&line, argc, argv);
    if (code == RK_GO_ON) code = check_parts(&wake, &line);
    if (code == RK_GO_ON) code = check_pinning(&wake, &line);
    if (code == RK_GO_ON) code = rk_json_check_file(line.json);
    if (code != RK_GO_ON) return code;
    wake.plot = line.plot;
    wake.tables = line.json == NULL || strcmp(line.json, "-") != 0;
    rk_bench_catch_interrupt();
    rk_environment_read(&wake.environment, wake.client_cpu, wake.worker_cpu);
    print_conditions(&wake);
    json_t *out = json_object(), *parts = json_object();
    json_object_set_new(out, "conditions", rk_environment_json(&wake.environment, wake.client_cpu, wake.worker_cpu));
    json_object_set_new(out, "parts", parts);
    code = run_parts(&wake, parts, line.duration_ns);
    json_object_set_new(out, "interrupted", json_boolean(rk_bench_interrupted));
    if (code == RK_EXIT_OK && line.json != NULL) return rk_json_write_file(line.json, out);
    json_decref(out);
    return code;
}
