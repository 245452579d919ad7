/* SPDX-License-Identifier: MIT */
/* The plot of the gaps, drawn by gnuplot in a process of its own that reads its script from a pipe. */
#include "exit_codes.h"
#include "options.h"
#include "wake.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char script_head[] =
    "set terminal svg size 960,420 dynamic background rgb 'white'\n"
    "set logscale xy\nset grid\nset key left top\nset xlabel 'gap before each call'\n"
    "set xrange [0.05:20000]\n"
    "set xtics ('0' 0.1, '1 us' 1, '10 us' 10, '100 us' 100, '1 ms' 1000, '10 ms' 10000)\n";

static const char script_panels[] =
    "set multiplot layout 1,2\n"
    "set title 'p50 latency'\nset ylabel 'us'\n"
    "plot for [mode in 'spin hybrid park'] $gaps using 1:(strcol(2) eq mode ? $3 : NaN) with linespoints lw 2 "
    "title mode\n"
    "set title 'processor time per call, client and worker'\n"
    "plot for [mode in 'spin hybrid park'] $gaps using 1:(strcol(2) eq mode ? $4 : NaN) with linespoints lw 2 "
    "title mode\n"
    "unset multiplot\n";

/** Start gnuplot on these arguments, its standard input the pipe's end `input` (-1: quiet). The pid, or -1. (A fork, for
 * this process has one thread; posix_spawn's header has the name of one of ours.) */
static pid_t start(char *const *arguments, int input)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    int quiet = input < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (dup2(input < 0 ? quiet : input, STDIN_FILENO) < 0) _exit(127);
    if (input < 0 && (dup2(quiet, STDOUT_FILENO) < 0 || dup2(quiet, STDERR_FILENO) < 0)) _exit(127);
    execvp(arguments[0], arguments);
    _exit(127);
}

static bool ended_well(pid_t pid)
{
    int status;
    pid_t got;
    do got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    return got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool rk_wake_can_plot(void)
{
    char program[] = "gnuplot", version[] = "--version";
    char *const arguments[] = {program, version, NULL};
    pid_t pid = start(arguments, -1);
    return pid > 0 && ended_well(pid);
}

/** One block of rows per mode, with an empty line between, so that lines do not run from one to the next. */
static void write_rows(FILE *to, const json_t *cells)
{
    static const char *const modes[] = {"spin", "hybrid", "park"};
    size_t index;
    const json_t *cell;
    for (int i = 0; i < 3; i++) {
        json_array_foreach(cells, index, cell)
        {
            if (strcmp(json_string_value(json_object_get(cell, "mode")), modes[i]) != 0) continue;
            double gap_us = json_number_value(json_object_get(cell, "gap_ns")) / 1e3;
            double cpu_ns = json_number_value(json_object_get(json_object_get(cell, "cpu_ns_per_call"), "p50"));
            fprintf(to, "%g %s %g %g\n", gap_us > 0 ? gap_us : 0.1, modes[i],
                    json_number_value(json_object_get(cell, "p50_ns")) / 1e3, cpu_ns > 0 ? cpu_ns / 1e3 : 1e-3);
        }
        fputs("\n", to);
    }
}

/** gnuplot's strings: a quote is doubled. */
static void write_quoted(FILE *to, const char *text)
{
    fputc('\'', to);
    for (; *text != '\0'; text++) {
        if (*text == '\'') fputc('\'', to);
        fputc(*text, to);
    }
    fputc('\'', to);
}

int rk_wake_plot_gaps(const char *path, const json_t *gaps)
{
    char program[] = "gnuplot";
    char *const arguments[] = {program, NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return rk_fail(-errno);
    pid_t pid = start(arguments, ends[0]);
    close(ends[0]);
    FILE *to = fdopen(ends[1], "w");
    if (pid > 0 && to != NULL) {
        fprintf(to, "set output ");
        write_quoted(to, path);
        fprintf(to, "\n$gaps << EOD\n");
        write_rows(to, json_object_get(gaps, "cells"));
        fprintf(to, "EOD\n%s%s", script_head, script_panels);
    }
    bool written = to != NULL ? fclose(to) == 0 : close(ends[1]) != 0;
    if (pid > 0 && ended_well(pid) && written) return RK_EXIT_OK;
    rk_complain("--plot: gnuplot could not draw \"%s\"", path);
    return RK_EXIT_IO;
}
