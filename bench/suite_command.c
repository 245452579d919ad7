/* SPDX-License-Identifier: MIT */
/* The command of a suite: its command line, the parts in their order, the JSON. See suite.h. */
#include "bench.h"
#include "environment_json.h"
#include "exit_codes.h"
#include "noise.h"
#include "plot.h"
#include "slice.h"
#include "suite.h"
#include <rask/client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** The names of the parts among `which`, "parked, busy". Returns `text`. */
static const char *names(const struct rk_suite_kind *kind, uint32_t which, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < kind->count && used < bytes; i++) {
        if (!(which & 1u << i)) continue;
        int wrote = snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "", kind->parts[i].name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    return text;
}

static int check_parts(struct rk_suite *suite, const struct rk_suite_line *line)
{
    char bad[64], known[256];
    const struct rk_suite_kind *kind = suite->kind;
    uint32_t all = (1u << kind->count) - 1;
    suite->parts = all;
    if (line->part != NULL && rk_suite_parts_parse(kind, line->part, &suite->parts, bad, sizeof bad) != 0)
        return rk_usage_error("--part: \"%s\" is none; there are %s", bad, names(kind, all, known, sizeof known));
    if (line->plot == NULL) return RK_GO_ON;
    if ((suite->parts & kind->drawn) == 0)
        return rk_usage_error("--plot draws %s: add it to --part", names(kind, kind->drawn, known, sizeof known));
    return rk_plot_check("--plot");
}

/** The processors: those named, else the first two that can be used. */
static int check_pinning(struct rk_suite *suite, const struct rk_suite_line *line)
{
    int cpus[2], count = rk_environment_two_cpus(cpus);
    if (line->pin.count != 0 && line->pin.count != 2)
        return rk_usage_error("--pin: give two processors, the client's and the worker's, as in 0,1");
    for (uint32_t i = 0; i < line->pin.count; i++) {
        if (!rk_cpu_is_usable(line->pin.cpu[i])) {
            rk_environment_read(&suite->environment, -1, -1);
            return rk_usage_error("--pin: processor %u cannot be used here; usable: %s", line->pin.cpu[i],
                                  suite->environment.usable);
        }
        cpus[i] = (int)line->pin.cpu[i];
        count = 2;
    }
    suite->client_cpu = cpus[0];
    suite->worker_cpu = count > 1 ? cpus[1] : cpus[0];
    return RK_GO_ON;
}

/* ---- the run ------------------------------------------------------------------------------------------------------- */

static void print_conditions(const struct rk_suite *suite)
{
    const struct rk_environment *at = &suite->environment;
    rk_suite_print(suite, "rask bench %s\n  machine   %s, %s, %u processor%s%s, usable: %s\n", suite->kind->name,
                   at->cpu, at->architecture, at->cpus_online, at->cpus_online == 1 ? "" : "s",
                   at->is_virtual ? " (virtual)" : "", at->usable);
    rk_suite_print(suite, "  kernel    %s, clock source %s (%.1f ns a read), load %.2f\n  build     %s\n", at->kernel,
                   at->clock_source, at->clock_read_ns, at->load, at->build);
    rk_suite_print(suite, "  pinning   client on %d, worker on %d: %s (%s: not pinned)\n", suite->client_cpu,
                   suite->worker_cpu, at->relation, suite->kind->loose);
    if (suite->client_cpu == suite->worker_cpu)
        rk_suite_print(suite, "  note: one processor for both sides: nothing here says what two would do\n");
    if (at->smt_siblings)
        rk_suite_print(suite, "  note: client and worker run on two threads of one core: they share its caches and its "
                              "execution units\n");
    if (strstr(at->build, "NOT") != NULL || strstr(at->build, "SANITIZER") != NULL)
        rk_suite_print(suite, "  note: this is not a build to measure with\n");
}

static void note_noise(struct rk_suite *suite, const struct rk_noise *noise)
{
    json_object_set_new(suite->out, "noisy", json_boolean(noise->noisy));
    json_object_set_new(suite->out, "busy_before", json_real(noise->busy_before));
    json_object_set_new(suite->out, "stolen", json_real(noise->stolen));
    json_object_set_new(suite->out, "load", json_real(noise->load));
    if (!noise->noisy) return;
    rk_suite_print(suite, "  NOISY: others used %.0f %% of the processors just before, %.1f %% was stolen, load %.2f\n",
                   noise->busy_before * 100, noise->stolen * 100, noise->load);
}

static int run_part(struct rk_suite *suite, uint32_t part, uint64_t duration_ns)
{
    struct rk_noise noise;
    if (!isatty(STDERR_FILENO)) fprintf(stderr, "measuring: %s\n", rk_suite_part_name(suite->kind, part));
    rk_noise_begin(&noise);
    suite->part = part;
    suite->start_ns = rask_now_ns();
    suite->end_ns = suite->start_ns + rk_suite_share_ns(suite->kind, part, suite->parts, duration_ns);
    suite->shown_percent = -1;
    int code = suite->kind->parts[part].run(suite);
    rk_suite_stop_all(suite);
    rk_noise_end(&noise);
    note_noise(suite, &noise);
    fflush(stdout);
    return code;
}

static int run_parts(struct rk_suite *suite, json_t *parts, uint64_t duration_ns)
{
    int code = RK_EXIT_OK;
    for (uint32_t part = 0; part < suite->kind->count && code == RK_EXIT_OK && !rk_bench_interrupted; part++) {
        if (!(suite->parts & 1u << part)) continue;
        suite->out = json_object();
        json_object_set_new(parts, rk_suite_part_name(suite->kind, part), suite->out);
        code = run_part(suite, part, duration_ns);
    }
    return code;
}

static int check(struct rk_suite *suite, const struct rk_suite_line *line)
{
    int code = check_parts(suite, line);
    if (code == RK_GO_ON) code = check_pinning(suite, line);
    return code == RK_GO_ON ? rk_json_check_file(line->json) : code;
}

int rk_suite_main(const struct rk_suite_kind *kind, const struct rk_suite_line *line)
{
    static struct rk_suite suite; /* large: results */
    suite = (struct rk_suite){.kind = kind};
    int code = check(&suite, line);
    if (code != RK_GO_ON) return code;
    suite.tables = line->json == NULL || strcmp(line->json, "-") != 0;
    rk_bench_catch_interrupt();
    rk_environment_read(&suite.environment, suite.client_cpu, suite.worker_cpu);
    print_conditions(&suite);
    json_t *out = json_object(), *parts = json_object();
    json_object_set_new(out, "conditions", rk_environment_json(&suite.environment, suite.client_cpu, suite.worker_cpu));
    json_object_set_new(out, "parts", parts);
    code = run_parts(&suite, parts, line->duration_ns);
    json_object_set_new(out, "interrupted", json_boolean(rk_bench_interrupted));
    if (code == RK_EXIT_OK && line->plot != NULL) code = kind->draw(line->plot, parts);
    if (code == RK_EXIT_OK && line->json != NULL) return rk_json_write_file(line->json, out);
    json_decref(out);
    return code;
}
