/* SPDX-License-Identifier: MIT */
/* `rask bench peers`: the command line, the contests in their order, the JSON. This process has one thread and no session, so
 * contenders can be forked at any time. */
#include "bench.h"
#include "contest.h"
#include "environment_json.h"
#include "exit_codes.h"
#include "options.h"
#include "slice.h"
#include "wire.h"
#include <errno.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define KIND_BIT(kind) (1u << (kind))
#define ALL_KINDS (KIND_BIT(RK_CONTEST_KINDS) - 1)
#define HELLO_BYTES 12u

struct command_line {
    const char *only, *wait, *size, *in_flight, *json, *hgrm;
    struct rk_cpu_list pin;
    uint64_t duration_ns;
    bool quick;
};

static int parse(struct command_line *line, int argc, char **argv)
{
    const struct rk_option options[] = {
        {.name = "only",
         .value = "PEER,...",
         .help = "these peers only (default all that are there)",
         .text = &line->only},
        {.name = "wait", .value = "KIND,...", .help = "spin, park, hello (default all)", .text = &line->wait},
        {.name = "size", .value = "BYTES,...", .help = "sizes of messages (default 32,1K)", .text = &line->size},
        {.name = "inflight", .value = "N,...", .help = "requests in flight (default 1,128)", .text = &line->in_flight},
        {.name = "duration",
         .value = "DURATION",
         .help = "about how long, of all together (default 100s)",
         .duration_ns = &line->duration_ns,
         .min = 1000000,
         .max = 24 * 3600 * SECOND_NS},
        {.name = "quick", .help = "the same in 20 s", .flag = &line->quick},
        {.name = "pin", .value = "A,B", .help = "client on A, server on B (default the first two)", .cpus = &line->pin},
        {.name = "json", .value = "FILE", .help = "everything as JSON; - for standard output", .text = &line->json},
        {.name = "hgrm",
         .value = "FOLDER",
         .help = "distributions there, as HdrHistogram has them",
         .text = &line->hgrm},
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench peers",
        .about =
            "Measure rask beside other ways to ask another process: pipe, socket pairs, eventfd with shared memory,\n"
            "message queues, ZeroMQ, nng, iceoryx, Boost.Interprocess, worker pools of Node.js; and beside floors, "
            "which\n"
            "nobody could use but which show what the machine takes. Full round trips between two processes; requests\n"
            "are written and answers read, every byte; the loop, the payload, the checks and the clock are the "
            "same.\n\n"
            "kinds of waiting, like for like:\n"
            "  spin    both sides look again and again; rask with --wait spin\n"
            "  park    both sides sleep when there is nothing; rask with --wait park, and hybrid beside it\n"
            "  hello   the Hello World task: plugin hello beside piscina and a MessagePort of worker_threads\n",
        .more =
            "Contenders are processes of their own and measured in turns, A B C A B C; a ratio is between slices of "
            "the\n"
            "same round. Peers that need a library are separate programs beside this build; RASK_PEERS names another\n"
            "folder. Those that are missing are named. Targets not reached are said, and are no error. Ctrl-C ends\n"
            "the run with the figures so far.\n\n"
            "  rask bench peers --quick\n"
            "  rask bench peers --only pipe,zeromq --wait park --size 32 --inflight 1\n"
            "  rask bench peers --pin 0,1 --json peers.json\n",
        .options = options,
    };
    struct rk_arguments arguments;
    return rk_options_parse(&command, argc, argv, &arguments);
}

/* ---- lists ----------------------------------------------------------------------------------------------------------- */

/** The next word of "a,b,c" in `word`; false behind the last one. */
static bool next_word(const char **rest, char *word, size_t bytes)
{
    if (*rest == NULL) return false;
    size_t length = strcspn(*rest, ",");
    snprintf(word, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), *rest);
    *rest = (*rest)[length] == ',' ? *rest + length + 1 : NULL;
    return true;
}

static int check_sizes(struct rk_contests *all, const char *text)
{
    char word[32];
    for (const char *rest = text; next_word(&rest, word, sizeof word);) {
        uint64_t size;
        if (rk_parse_bytes(word, &size) != 0 || size == 0 || size > RASK_PAYLOAD_BYTES_MAX_LIMIT)
            return rk_usage_error("--size: \"%s\" is no size of a message: use 1 to %u bytes, as in 32,1K", word,
                                  RASK_PAYLOAD_BYTES_MAX_LIMIT);
        if (all->size_count == RK_SIZES_MAX) return rk_usage_error("--size: at most %u sizes", RK_SIZES_MAX);
        all->sizes[all->size_count++] = size;
    }
    return RK_GO_ON;
}

static int check_depths(struct rk_contests *all, const char *text)
{
    char word[32];
    for (const char *rest = text; next_word(&rest, word, sizeof word);) {
        uint64_t depth;
        if (rk_parse_count(word, &depth) != 0 || depth == 0 || depth > RK_WIRE_DEPTH_MAX)
            return rk_usage_error("--inflight: \"%s\" is no depth: use 1 to %u, as in 1,128", word, RK_WIRE_DEPTH_MAX);
        if (all->depth_count == RK_DEPTHS_MAX) return rk_usage_error("--inflight: at most %u depths", RK_DEPTHS_MAX);
        all->depths[all->depth_count++] = (uint32_t)depth;
    }
    return RK_GO_ON;
}

static int check_kinds(struct rk_contests *all, const char *text)
{
    char word[32];
    for (const char *rest = text; next_word(&rest, word, sizeof word);) {
        uint32_t kind = 0;
        while (kind < RK_CONTEST_KINDS && strcmp(word, rk_contest_kind_name((enum rk_contest_kind)kind)) != 0) kind++;
        if (kind == RK_CONTEST_KINDS)
            return rk_usage_error("--wait: \"%s\" is none: use spin, park, hello or several of them", word);
        all->kinds |= KIND_BIT(kind);
    }
    return RK_GO_ON;
}

static int check_peers(struct rk_contests *all, const char *only)
{
    char bad[64], words[400];
    all->selected = (uint32_t)((1ull << rk_peers_count) - 1);
    if (only == NULL || rk_peers_parse(only, &all->selected, bad, sizeof bad) == 0) return RK_GO_ON;
    return rk_usage_error("--only: \"%s\" is no peer; there are %s", bad, rk_peers_words(words, sizeof words));
}

static int check_pinning(struct rk_contests *all, const struct command_line *line)
{
    int cpus[2], count = rk_environment_two_cpus(cpus);
    if (line->pin.count != 0 && line->pin.count != 2)
        return rk_usage_error("--pin: give two processors, the client's and the server's, as in 0,1");
    for (uint32_t i = 0; i < line->pin.count; i++) {
        if (!rk_cpu_is_usable(line->pin.cpu[i])) {
            rk_environment_read(&all->environment, -1, -1);
            return rk_usage_error("--pin: processor %u cannot be used here; usable: %s", line->pin.cpu[i],
                                  all->environment.usable);
        }
        cpus[i] = (int)line->pin.cpu[i];
        count = 2;
    }
    all->client_cpu = cpus[0];
    all->server_cpu = count > 1 ? cpus[1] : cpus[0];
    if (all->client_cpu == all->server_cpu) all->kinds &= ~KIND_BIT(RK_CONTEST_SPIN);
    if (all->kinds != 0) return RK_GO_ON;
    return rk_usage_error("--wait spin needs two processors: here both sides would take turns on one");
}

static int check(struct rk_contests *all, const struct command_line *line)
{
    int code = check_peers(all, line->only);
    if (code == RK_GO_ON) code = check_sizes(all, line->size != NULL ? line->size : "32,1K");
    if (code == RK_GO_ON) code = check_depths(all, line->in_flight != NULL ? line->in_flight : "1,128");
    if (code == RK_GO_ON) code = check_kinds(all, line->wait != NULL ? line->wait : "spin,park,hello");
    if (code == RK_GO_ON) code = check_pinning(all, line);
    if (code == RK_GO_ON) code = rk_json_check_file(line->json);
    if (code != RK_GO_ON) return code;
    if (line->hgrm != NULL && access(line->hgrm, W_OK | X_OK) != 0) {
        rk_complain("--hgrm: cannot write into the folder \"%s\": %s", line->hgrm, strerror(errno));
        return RK_EXIT_IO;
    }
    all->hgrm = line->hgrm;
    if (line->quick && line->duration_ns != 0) return rk_usage_error("--quick and --duration exclude each other");
    all->duration_ns = line->duration_ns != 0 ? line->duration_ns : line->quick ? 20 * SECOND_NS : 100 * SECOND_NS;
    return RK_GO_ON;
}

/* ---- the run --------------------------------------------------------------------------------------------------------- */

static void print_conditions(const struct rk_contests *all)
{
    const struct rk_environment *at = &all->environment;
    if (!all->tables) return;
    printf("rask bench peers\n  machine   %s, %s, %u processor%s%s, usable: %s\n", at->cpu, at->architecture,
           at->cpus_online, at->cpus_online == 1 ? "" : "s", at->is_virtual ? " (virtual)" : "", at->usable);
    printf("  kernel    %s, clock source %s (%.1f ns a read), load %.2f\n  build     %s\n", at->kernel,
           at->clock_source, at->clock_read_ns, at->load, at->build);
    printf("  pinning   client on %d, server on %d: %s; threads of Node.js on both\n", all->client_cpu, all->server_cpu,
           at->relation);
    printf(
        "  method    full round trips; p50, calls/s and ratio from 16 round trips between two clock reads where they\n"
        "            are fast; percentiles from single ones, with a clock read in each, and only where at least 100\n"
        "            samples lie beyond; in a pipeline from one call in 61, sent to taken\n");
    if (all->client_cpu == all->server_cpu)
        printf("  note: one processor for both sides: nothing here says what two would do; spinning is left out\n");
    if (at->smt_siblings)
        printf("  note: client and server run on two threads of one core: they share its caches and its execution "
               "units\n");
}

static int run_one(struct rk_contests *all, enum rk_contest_kind kind, uint64_t size, uint64_t duration_ns,
                   json_t *list)
{
    static struct rk_contest contest; /* large */
    contest = (struct rk_contest){.kind = kind, .size = size, .depth_count = all->depth_count};
    memcpy(contest.depths, all->depths, sizeof contest.depths);
    int code = rk_contest_run(&contest, all, duration_ns);
    if (code == RK_EXIT_OK) {
        rk_contest_print(&contest, all);
        rk_contest_judge(&contest, all);
        json_array_append_new(list, rk_contest_json(&contest));
        if (all->hgrm != NULL) code = rk_contest_distributions(&contest, all->hgrm);
    }
    rk_contest_finish(&contest);
    fflush(stdout);
    return code;
}

static int run_all(struct rk_contests *all, json_t *list)
{
    uint32_t count = 0;
    int code = RK_EXIT_OK;
    for (uint32_t kind = 0; kind < RK_CONTEST_KINDS; kind++)
        if (all->kinds & KIND_BIT(kind)) count += kind == RK_CONTEST_HELLO ? 1 : all->size_count;
    for (uint32_t kind = 0; kind < RK_CONTEST_KINDS && code == RK_EXIT_OK; kind++) {
        if (!(all->kinds & KIND_BIT(kind))) continue;
        uint32_t sizes = kind == RK_CONTEST_HELLO ? 1 : all->size_count;
        for (uint32_t i = 0; i < sizes && code == RK_EXIT_OK && !rk_bench_interrupted; i++)
            code = run_one(all, (enum rk_contest_kind)kind, kind == RK_CONTEST_HELLO ? HELLO_BYTES : all->sizes[i],
                           all->duration_ns / count, list);
    }
    return code;
}

int cmd_bench_peers(int argc, char **argv)
{
    static struct rk_contests all;
    struct command_line line = {.only = NULL};
    int code = parse(&line, argc, argv);
    if (code == RK_GO_ON) code = check(&all, &line);
    if (code != RK_GO_ON) return code;
    all.tables = line.json == NULL || strcmp(line.json, "-") != 0;
    rk_peers_folder(all.folder, sizeof all.folder);
    rk_bench_catch_interrupt();
    rk_environment_read(&all.environment, all.client_cpu, all.server_cpu);
    print_conditions(&all);
    json_t *out = json_object(), *list = json_array();
    all.verdicts = json_array();
    json_object_set_new(out, "conditions", rk_environment_json(&all.environment, all.client_cpu, all.server_cpu));
    json_object_set_new(out, "contests", list);
    json_object_set_new(out, "verdicts", all.verdicts);
    code = run_all(&all, list);
    json_object_set_new(out, "interrupted", json_boolean(rk_bench_interrupted));
    if (code == RK_EXIT_OK && line.json != NULL) return rk_json_write_file(line.json, out);
    json_decref(out);
    return code;
}
