/* SPDX-License-Identifier: MIT */
/* rask stats: what a pool does, from its status pages. Asks nobody, so a supervisor that hangs does not matter. */
#include "clock.h"
#include "commands.h"
#include "exit_codes.h"
#include "options.h"
#include "stats.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char about[] =
    "Shows what a supervisor and its workers do: state, requests, errors, restarts, queues, times. Everything is read\n"
    "from their status pages, so it works when the supervisor hangs, and disturbs nobody. Only the user whom the\n"
    "supervisor runs as, and root, may look.\n";
static const char more[] =
    "QUEUE counts requests that waited behind the one that was timed last. BUSY FOR is how long a worker has been in\n"
    "its request: a time, or FROM..TO where no clock was read when it began. Worker states and all names of --json "
    "are\n"
    "explained in docs/operating.md.\n"
    "\n"
    "exit codes:\n"
    "    0  shown\n"
    "   64  bad usage\n"
    "   69  no supervisor there, it is dead (with --watch: it has ended), or it is another user's\n"
    "   74  standard output failed\n"
    "   76  the supervisor is another version of rask\n"
    "\n"
    "examples:\n"
    "  rask stats\n"
    "  rask stats --socket /tmp/models.sock --watch 1s\n"
    "  rask stats --json | jq '.workers[] | select(.busy)'\n";

struct request {
    bool json;
    uint64_t watch_ns; /* 0: once */
};

static int show(const struct rk_stats_source *source, const struct rk_stats *stats, const struct rk_stats *before,
                uint64_t between_ns, const struct request *request)
{
    if (request->json) return rk_stats_print_json(source, stats);
    if (request->watch_ns == 0 || isatty(STDOUT_FILENO)) {
        if (request->watch_ns > 0) printf("\033[H\033[2J");
        rk_stats_print(source, stats);
    } else {
        rk_stats_print_line(stats, before, between_ns);
    }
    if (fflush(stdout) == 0) return RK_EXIT_OK;
    rk_complain("standard output: %s", strerror(errno));
    return RK_EXIT_IO;
}

static void wait_until(uint64_t end_ns)
{
    const struct timespec end = rk_timespec(end_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) != 0) continue;
}

/* One look, or looks until the supervisor is gone. */
static int look(struct rk_stats_source *source, struct rk_stats stats[2], const struct request *request)
{
    uint64_t before_ns = 0;
    for (unsigned turn = 0;; turn++) {
        struct rk_stats *now = &stats[turn % 2];
        uint64_t start_ns = rask_now_ns();
        int result = rk_stats_look(source, now);
        if (result < 0) return rk_fail(result);
        int code =
            show(source, now, turn > 0 ? &stats[(turn + 1) % 2] : NULL, turn > 0 ? start_ns - before_ns : 0, request);
        if (code != RK_EXIT_OK || request->watch_ns == 0) return code;
        before_ns = start_ns;
        wait_until(start_ns + request->watch_ns);
    }
}

int cmd_stats(int argc, char **argv)
{
    struct request request = {0};
    const char *socket = NULL;
    uint64_t pid = 0;
    const struct rk_option options[] = {
        {.name = "socket", .value = "PATH", .help = "the supervisor that listens on PATH", .text = &socket},
        {.name = "pid",
         .value = "PID",
         .help = "the supervisor with this pid, also a private one",
         .count = &pid,
         .min = 1,
         .max = INT_MAX},
        {.name = "watch",
         .value = "INTERVAL",
         .help = "again and again: the table on a terminal, else a line each",
         .duration_ns = &request.watch_ns,
         .min = 10000000},
        {.name = "json", .help = "one JSON object, on one line", .flag = &request.json},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "stats", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code != RK_GO_ON) return code;
    if (socket && pid != 0) return rk_usage_error("--socket and --pid exclude each other");

    struct rk_stats_source source;
    int result = rk_stats_open(&source, socket, (pid_t)pid);
    if (result < 0) return rk_fail(result);
    struct rk_stats *stats = calloc(2, sizeof(*stats));
    code = stats ? look(&source, stats, &request) : rk_fail(-ENOMEM);
    free(stats);
    rk_stats_close(&source);
    return code;
}
