/* SPDX-License-Identifier: MIT */
/* The side that binds: a supervisor with one worker and the plugin of perf_plugin.c, which tells through a named pipe when
 * the last message has come. See perf.h. */
#include "perf.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/** A file beside this program. */
static void beside(char *path, size_t bytes, const char *name)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) *slash = '\0';
    snprintf(path, bytes, "%s/%s", self, name);
}

/** RASK_BIN, the program of the same build, or the one in PATH. */
static void find_rask(char *path, size_t bytes)
{
    const char *said = getenv("RASK_BIN");
    if (said != NULL && *said != '\0') {
        snprintf(path, bytes, "%s", said);
        return;
    }
    beside(path, bytes, "../../workers/rask");
    if (access(path, X_OK) != 0) snprintf(path, bytes, "rask");
}

__attribute__((noreturn)) static void become_supervisor(const struct perf_line *line, const char *pipe_path)
{
    char rask[PATH_MAX + 32], plugin[PATH_MAX + 32], size[48], count[48], result[PATH_MAX];
    char run[] = "run", plugin_word[] = "--plugin", socket_word[] = "--socket", set[] = "--set", path[256];
    find_rask(rask, sizeof rask);
    beside(plugin, sizeof plugin, "perf.so");
    snprintf(size, sizeof size, "size=%llu", (unsigned long long)line->size);
    snprintf(count, sizeof count, "count=%llu", (unsigned long long)line->count);
    snprintf(result, sizeof result, "result=%s", pipe_path);
    snprintf(path, sizeof path, "%s", line->path);
    char *const arguments[] = {rask, run, plugin_word, plugin, socket_word, path, set,
                               size, set, count,       set,    result,      NULL};
    int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (quiet >= 0) dup2(quiet, STDOUT_FILENO); /* "ready" is not among the lines of libzmq */
    execvp(rask, arguments);
    perf_complain(line, "cannot run \"%s\": %s; RASK_BIN names the program", rask, strerror(errno));
    _exit(127);
}

/** A line from the plugin; false when the supervisor ended instead. */
static bool await_line(int pipe_fd, pid_t supervisor, char *text, size_t bytes)
{
    struct pollfd ready = {.fd = pipe_fd, .events = POLLIN};
    siginfo_t info;
    while (true) {
        if (poll(&ready, 1, 100) > 0) {
            ssize_t got = read(pipe_fd, text, bytes - 1);
            text[got > 0 ? got : 0] = '\0';
            return got > 0;
        }
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)supervisor, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) return false;
    }
}

static int stop(pid_t supervisor)
{
    int status;
    kill(supervisor, SIGTERM);
    while (waitpid(supervisor, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int serve(const struct perf_line *line, const char *pipe_path, int pipe_fd, uint64_t *elapsed_ns)
{
    char text[64] = "";
    unsigned long long elapsed = 0;
    pid_t supervisor = fork();
    if (supervisor == 0) become_supervisor(line, pipe_path);
    if (supervisor < 0) {
        perf_complain(line, "fork: %s", strerror(errno));
        return 1;
    }
    bool told = await_line(pipe_fd, supervisor, text, sizeof text);
    stop(supervisor);    /* it finishes what it is doing */
    if (!told) return 1; /* it has said why */
    if (sscanf(text, "ok %llu", &elapsed) != 1) {
        printf("message of incorrect size received\n");
        return 1;
    }
    *elapsed_ns = elapsed;
    return 0;
}

int perf_serve(const struct perf_line *line, uint64_t *elapsed_ns)
{
    char folder[] = "/tmp/rask-perf-XXXXXX", path[64];
    if (mkdtemp(folder) == NULL) {
        perf_complain(line, "cannot make a folder below /tmp: %s", strerror(errno));
        return 1;
    }
    snprintf(path, sizeof path, "%s/result", folder);
    /* Open for both: it never looks as if the other side were gone. */
    int pipe_fd = mkfifo(path, 0600) == 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
    int code = 1;
    if (pipe_fd >= 0)
        code = serve(line, path, pipe_fd, elapsed_ns);
    else
        perf_complain(line, "cannot make a pipe at \"%s\": %s", path, strerror(errno));
    if (pipe_fd >= 0) close(pipe_fd);
    unlink(path);
    rmdir(folder);
    return code;
}
