/* SPDX-License-Identifier: MIT */
/* Takes what it should not: each method answers with the errno of its attempt as a decimal number, 0 when it succeeded. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <rask/plugin.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAK_BYTES (4u << 20)
#define FCHMODAT2_NUMBER 452 /* younger than some libraries */

static int answer(struct rask_call *call, int number)
{
    char *reply = rask_reserve_reply(call, 12);
    if (!reply) return ENOMEM;
    return rask_reply(call, (size_t)snprintf(reply, 12, "%d", number));
}

static int leak_memory(struct rask_call *call)
{
    static char *volatile last;
    char *bytes = malloc(LEAK_BYTES);
    if (bytes) memset(bytes, 1, LEAK_BYTES);
    last = bytes;
    return answer(call, last ? 0 : ENOMEM);
}

static int leak_file(struct rask_call *call)
{
    return answer(call, open("/dev/null", O_RDONLY) < 0 ? errno : 0);
}

/* As many milliseconds of processor time as the request says, or ten. */
static int burn(struct rask_call *call)
{
    char text[16] = "10";
    struct timespec now;
    if (call->request_bytes > 0 && call->request_bytes < sizeof(text)) {
        memcpy(text, call->request, call->request_bytes);
        text[call->request_bytes] = '\0';
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    long end_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + atol(text);
    while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < end_ms) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return answer(call, 0);
}

static int process(struct rask_call *call)
{
    return answer(call, (int)getpid());
}

static int user(struct rask_call *call)
{
    return answer(call, (int)(getuid() == geteuid() && getgid() == getegid() ? getuid() : 0));
}

static int privileges(struct rask_call *call)
{
    return answer(call, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static int program(struct rask_call *call)
{
    int status[2];
    if (pipe2(status, O_CLOEXEC) < 0) return errno;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        int error = errno;
        ssize_t ignored = write(status[1], &error, sizeof(error));
        (void)ignored;
        _exit(1);
    }
    int error = 0;
    close(status[1]);
    ssize_t got = read(status[0], &error, sizeof(error));
    close(status[0]);
    waitpid(pid, NULL, 0);
    return answer(call, got == (ssize_t)sizeof(error) ? error : 0);
}

static int network(struct rask_call *call)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    return answer(call, error);
}

/* Datagrams can be sent to any address. */
static int pair(struct rask_call *call)
{
    int fds[2];
    int error = socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0 ? errno : 0;
    if (error == 0) close(fds[0]), close(fds[1]);
    return answer(call, error);
}

/* What can be read from it is told to its owner by a signal, of any number. */
static int owner(struct rask_call *call)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) return errno;
    int error = fcntl(fds[0], F_SETOWN, getppid()) < 0 ? errno : 0;
    const struct f_owner_ex of = {F_OWNER_PID, getppid()};
    if (error == EPERM) error = fcntl(fds[0], F_SETOWN_EX, &of) < 0 ? errno : 0;
    close(fds[0]);
    close(fds[1]);
    return answer(call, error);
}

static int parents_limit(struct rask_call *call)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return errno;
    return answer(call, prlimit(getppid(), RLIMIT_CORE, NULL, &limit) < 0 ? errno : 0);
}

/* The supervisor's priority, that of everybody in its group, its processors, in one answer. */
static int supervisors_time(struct rask_call *call)
{
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    int error = setpriority(PRIO_PROCESS, (id_t)getppid(), 5) < 0 ? errno : 0;
    if (error == EPERM) error = setpriority(PRIO_PGRP, (id_t)getpgid(getppid()), 5) < 0 ? errno : 0;
    if (error == EPERM) error = sched_setaffinity(getppid(), sizeof(first), &first) < 0 ? errno : 0;
    return answer(call, error);
}

/* Of itself it may. */
static int own_time(struct rask_call *call)
{
    cpu_set_t set;
    int error = setpriority(PRIO_PROCESS, 0, 1) < 0 ? errno : 0;
    if (error == 0) error = setpriority(PRIO_PROCESS, (id_t)getpid(), 2) < 0 ? errno : 0;
    if (error == 0) error = sched_getaffinity(0, sizeof(set), &set) < 0 ? errno : 0;
    if (error == 0) error = sched_setaffinity((pid_t)syscall(SYS_gettid), sizeof(set), &set) < 0 ? errno : 0;
    return answer(call, error);
}

static int trace(struct rask_call *call)
{
    return answer(call, ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? errno : 0);
}

static int signal_parent(struct rask_call *call)
{
    return answer(call, kill(getppid(), 0) < 0 ? errno : 0);
}

static int ring(struct rask_call *call)
{
    return answer(call, syscall(SYS_io_uring_setup, 0, NULL) < 0 ? errno : 0);
}

static int path_of(const struct rask_call *call, char path[256])
{
    if (call->request_bytes > 255) return ENAMETOOLONG;
    memcpy(path, call->request, call->request_bytes);
    path[call->request_bytes] = '\0';
    return 0;
}

static int write_file(struct rask_call *call)
{
    char path[256];
    int error = path_of(call, path);
    if (error) return error;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    return answer(call, error);
}

static int read_file(struct rask_call *call)
{
    char path[256];
    int error = path_of(call, path);
    if (error) return error;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    return answer(call, error);
}

static int mode(struct rask_call *call)
{
    char path[256];
    int error = path_of(call, path);
    if (error) return error;
    return answer(call, syscall(FCHMODAT2_NUMBER, AT_FDCWD, path, 0777, 0) < 0 ? errno : 0);
}

static int attributes(struct rask_call *call)
{
    char path[256];
    int error = path_of(call, path), flags = FS_NODUMP_FL;
    if (error) return error;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    error = ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? errno : 0;
    close(fd);
    return answer(call, error);
}

static const struct rask_method methods[] = {
    {.name = "leak_memory", .handle = leak_memory},
    {.name = "leak_file", .handle = leak_file},
    {.name = "process", .handle = process},
    {.name = "user", .handle = user},
    {.name = "privileges", .handle = privileges},
    {.name = "program", .handle = program},
    {.name = "network", .handle = network},
    {.name = "trace", .handle = trace},
    {.name = "signal", .handle = signal_parent},
    {.name = "ring", .handle = ring},
    {.name = "write_file", .handle = write_file},
    {.name = "read_file", .handle = read_file},
    {.name = "pair", .handle = pair},
    {.name = "owner", .handle = owner},
    {.name = "limit", .handle = parents_limit},
    {.name = "time", .handle = supervisors_time},
    {.name = "own_time", .handle = own_time},
    {.name = "mode", .handle = mode},
    {.name = "attributes", .handle = attributes},
    {.name = "burn", .handle = burn},
};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "greedy",
    .version = "1",
    .methods = methods,
    .method_count = sizeof(methods) / sizeof(methods[0]),
};
