/* SPDX-License-Identifier: MIT */
/* Forks a child of its own process group, listens to it until it is gone or late, and leaves nothing of it behind. */
#include "trial.h"
#include "clock.h"
#include "exit_codes.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS_PER_LOOK 1024u
#define SWEEPS_MAX 100u
#define LOOK_NS 20000000u
#define LOOK_SOON_NS 1000000u

static void settle_in(pid_t parent)
{
    static const struct rlimit no_core = {0, 0};
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGPIPE, SIG_DFL);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0) dup2(nothing, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

void rk_trial_send(int socket, const void *record, size_t bytes)
{
    while (send(socket, record, bytes, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

/* Hand over what is there now, bounded: a child that never stops talking must not keep its parent from the clock.
 * Returns false when nothing more can come. */
static bool take_records(int socket, rk_trial_record_fn record, void *user)
{
    char buffer[RK_TRIAL_RECORD_BYTES] __attribute__((aligned(16)));
    for (unsigned i = 0; i < RECORDS_PER_LOOK; i++) {
        ssize_t bytes = recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (bytes == 0) return false;
        if (bytes < 0 && errno != EINTR) return errno == EAGAIN;
        if (bytes > 0) record(user, buffer, (size_t)bytes);
    }
    return true;
}

static bool is_gone(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Until the child is gone (true) or the time is over. Its end of the socket usually closes when it dies; that its own
 * children may hold it, or that it closes it early, is why the child is looked at as well. No pidfd: rask doctor has to
 * work where there is none. */
static bool listen_to(int socket, pid_t pid, rk_trial_record_fn record, void *user, uint64_t deadline_ns)
{
    bool open = true;
    for (;;) {
        uint64_t slice_ns = rk_earlier(rk_deadline_after(open ? LOOK_NS : LOOK_SOON_NS), deadline_ns);
        uint64_t now_ns = rask_now_ns();
        if (now_ns >= deadline_ns) return is_gone(pid);
        struct timespec left = rk_timespec(slice_ns > now_ns ? slice_ns - now_ns : 0);
        struct pollfd wait = {.fd = open ? socket : -1, .events = POLLIN};
        ppoll(&wait, 1, &left, NULL);
        if (open) open = take_records(socket, record, user);
        if (is_gone(pid)) return true;
    }
}

/* Children that the trial left behind are ours now, also those that started a session of their own. */
static void sweep(void)
{
    for (unsigned round = 0; round < SWEEPS_MAX; round++) {
        int pid, found = 0;
        FILE *children = fopen("/proc/thread-self/children", "re");
        if (!children) return;
        for (; fscanf(children, "%d", &pid) == 1; found++) kill(pid, SIGKILL);
        fclose(children);
        if (found == 0) return;
        while (found-- > 0 && waitpid(-1, NULL, 0) > 0) continue;
    }
}

/* The group goes first: while the child is not reaped its number cannot be anybody else's. */
static void clean_up(pid_t pid, struct rk_trial_result *result)
{
    int status = 0;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    sweep();
    if (result->end == RK_TRIAL_HUNG) return;
    result->end = WIFSIGNALED(status) ? RK_TRIAL_SIGNALLED : RK_TRIAL_EXITED;
    result->number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

int rk_trial_run(rk_trial_fn body, rk_trial_record_fn record, void *user, uint64_t timeout_ns,
                 struct rk_trial_result *result)
{
    int pair[2];
    uint64_t deadline_ns = rk_deadline_after(timeout_ns);
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        settle_in(parent);
        body(pair[1], user);
        fflush(NULL);
        _exit(0);
    }
    int error = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (pid > 0) {
        bool gone = listen_to(pair[0], pid, record, user, deadline_ns);
        *result = (struct rk_trial_result){.end = gone ? RK_TRIAL_EXITED : RK_TRIAL_HUNG};
        clean_up(pid, result);
        take_records(pair[0], record, user);
    }
    close(pair[0]);
    return error;
}

const char *rk_trial_text(const struct rk_trial_result *result, char *text, size_t bytes)
{
    char signal_text[64];
    if (result->end == RK_TRIAL_HUNG) {
        snprintf(text, bytes, "did not end in time");
    } else if (result->end == RK_TRIAL_SIGNALLED) {
        snprintf(text, bytes, "crashed with %s", rk_signal_text(result->number, signal_text, sizeof(signal_text)));
    } else {
        snprintf(text, bytes, "ended itself with exit code %d", result->number);
    }
    return text;
}
