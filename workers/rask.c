/* SPDX-License-Identifier: MIT */
/* The rask binary: picks the subcommand and makes sure that its output arrived. */
#include "commands.h"
#include "exit_codes.h"
#include "layout.h"
#include "options.h"
#include <errno.h>
#include <rask/plugin.h>
#include <rask/version.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} subcommands[] = {
    {"run", cmd_run, "supervise workers that serve a plugin"},
    {"call", cmd_call, "send one request and print the response"},
    {"stream", cmd_stream, "send lines of input as items of one stream, print the answers in order"},
    {"methods", cmd_methods, "list what a supervisor or a plugin offers"},
    {"poison", cmd_poison, "list or forget requests that killed workers"},
    {"check", cmd_check, "say whether a plugin loads, and if not, why"},
    {"replay", cmd_replay, "run a request again that a worker crashed on, also under gdb"},
    {"crashes", cmd_crashes, "list the requests that workers crashed on"},
    {"stats", cmd_stats, "show what a supervisor and its workers do"},
    {"reload", cmd_reload, "replace the workers of a supervisor without an error for anybody"},
    {"bench", cmd_bench, "measure latency and throughput against this machine's floor"},
    {"doctor", cmd_doctor, "say what this machine offers and what to change"},
};
#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))
#define NAME_BYTES_MAX 32

static int show_help(void)
{
    printf(
        "usage: rask COMMAND [ARGUMENT]... [OPTION]...\n"
        "\n"
        "rask calls functions that live in another process, in about the time of two cache misses. A crash, a hang or\n"
        "a leak in such a function stays there: the caller gets an error that says whether the request ran.\n"
        "\n"
        "commands:\n");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        printf("  %-8s  %s\n", subcommands[i].name, subcommands[i].summary);
    }
    printf("\n"
           "\"rask COMMAND --help\" has the options; \"rask --version\" the version.\n"
           "\n"
           "try it:\n"
           "  rask call echo 'hello, world' --plugin echo    # one call, with a supervisor of its own\n"
           "  rask run --plugin echo --workers 2 &           # a supervisor that stays\n"
           "  rask call echo 'hello again'                   # a call to it\n"
           "  seq 0 9 | rask stream consume --plugin consumer --item-interval 50ms --backlog    # items, and their "
           "backlog\n"
           "  rask bench --duration 1s                       # how fast this machine does it\n");
    return RK_EXIT_OK;
}

static int show_version(void)
{
    printf("rask %s (layout %u, plugin ABI %u)\n", RASK_VERSION, RK_LAYOUT, RASK_PLUGIN_ABI);
    return RK_EXIT_OK;
}

/* Edits (insert, delete, change) from one name to another; both cut to NAME_BYTES_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES_MAX + 1], a_bytes = strnlen(a, NAME_BYTES_MAX), b_bytes = strnlen(b, NAME_BYTES_MAX);
    for (size_t j = 0; j <= b_bytes; j++) row[j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < other ? change : other;
        }
    }
    return row[b_bytes];
}

static int unknown_command(const char *name)
{
    size_t nearest = 0;
    if (name[0] == '-') {
        rk_complain("unknown option %s (see \"rask --help\")", name);
        return RK_EXIT_USAGE;
    }
    for (size_t i = 1; i < SUBCOMMAND_COUNT; i++) {
        if (distance(name, subcommands[i].name) < distance(name, subcommands[nearest].name)) nearest = i;
    }
    if (distance(name, subcommands[nearest].name) * 2 > strlen(subcommands[nearest].name)) {
        rk_complain("unknown command \"%s\" (see \"rask --help\")", name);
        return RK_EXIT_USAGE;
    }
    rk_complain("unknown command \"%s\": did you mean \"%s\"? (see \"rask --help\")", name, subcommands[nearest].name);
    return RK_EXIT_USAGE;
}

static const struct subcommand *find(const char *name)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(subcommands[i].name, name) == 0) return &subcommands[i];
    }
    return NULL;
}

/* "rask help COMMAND" is "rask COMMAND --help". */
static int help_command(const char *name)
{
    char help[] = "--help", copy[NAME_BYTES_MAX + 1];
    const struct subcommand *subcommand = find(name);
    if (!subcommand) return unknown_command(name);
    snprintf(copy, sizeof(copy), "%s", name);
    char *arguments[] = {copy, help, NULL};
    return subcommand->run(2, arguments);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        rk_complain("a command is missing: run, call, stream, methods, poison, check, replay, crashes, stats, reload, "
                    "bench or doctor (see \"rask --help\")");
        return RK_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) return show_version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return show_help();
    if (strcmp(name, "help") == 0) return argc > 2 ? help_command(argv[2]) : show_help();
    const struct subcommand *subcommand = find(name);
    return subcommand ? subcommand->run(argc - 1, argv + 1) : unknown_command(name);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, reported like any other */
    int code = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code != RK_EXIT_IO) {
        rk_complain("standard output: %s", strerror(errno));
        return RK_EXIT_IO;
    }
    return code;
}
