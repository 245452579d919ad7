/* SPDX-License-Identifier: MIT */
/* See plot.h. A fork, for the program has one thread; posix_spawn's header has the name of one of ours. */
#include "plot.h"
#include "distribution.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/** Start gnuplot on these arguments, its standard input the pipe's end `input` (-1: quiet). The pid, or -1. */
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

int rk_plot_check(const char *option)
{
    char program[] = "gnuplot", version[] = "--version";
    char *const arguments[] = {program, version, NULL};
    pid_t pid = start(arguments, -1);
    if (pid > 0 && ended_well(pid)) return RK_GO_ON;
    rk_complain("%s needs gnuplot: install the Debian package gnuplot-nox, or leave %s out", option, option);
    return RK_EXIT_UNAVAILABLE;
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

int rk_plot_begin(struct rk_plot *plot, const char *path, unsigned width, unsigned height)
{
    char program[] = "gnuplot";
    char *const arguments[] = {program, NULL};
    int ends[2];
    *plot = (struct rk_plot){.path = path, .pid = -1};
    if (pipe2(ends, O_CLOEXEC) != 0) return rk_fail(-errno);
    plot->pid = start(arguments, ends[0]);
    close(ends[0]);
    plot->to = fdopen(ends[1], "w");
    if (plot->to == NULL) {
        close(ends[1]);
        rk_plot_end(plot);
        return RK_EXIT_IO;
    }
    fprintf(plot->to, "set terminal svg size %u,%u dynamic background rgb 'white'\nset output ", width, height);
    write_quoted(plot->to, path);
    fprintf(plot->to, "\nset grid\n");
    return RK_EXIT_OK;
}

int rk_plot_end(struct rk_plot *plot)
{
    bool written = plot->to != NULL && fclose(plot->to) == 0;
    plot->to = NULL;
    if (plot->pid > 0 && ended_well(plot->pid) && written) return RK_EXIT_OK;
    rk_complain("--plot: gnuplot could not draw \"%s\"", plot->path);
    return RK_EXIT_IO;
}

int rk_plot_distribution(const char *path, const char *title, const struct rk_plot_curve *curves, unsigned count)
{
    struct rk_plot plot;
    int code = rk_plot_begin(&plot, path, 720, 420);
    if (code != RK_EXIT_OK) return code;
    for (unsigned i = 0; i < count; i++) {
        fprintf(plot.to, "$curve%u << EOD\n", i);
        rk_distribution_points(plot.to, curves[i].histogram);
        fprintf(plot.to, "EOD\n");
    }
    fprintf(plot.to,
            "set logscale xy\nset key left top\nset xlabel 'percentile'\nset ylabel 'latency, us'\nset title ");
    write_quoted(plot.to, title);
    fprintf(plot.to, "\nset xrange [1:*]\nset xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, "
                     "'99.999' 100000, '99.9999' 1000000)\nplot ");
    for (unsigned i = 0; i < count; i++) {
        fprintf(plot.to, "%s$curve%u using 1:2 with steps lw 2 title ", i > 0 ? ", " : "", i);
        write_quoted(plot.to, curves[i].name);
    }
    fprintf(plot.to, "\n");
    return rk_plot_end(&plot);
}
