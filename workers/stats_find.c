/* SPDX-License-Identifier: MIT */
/* From a socket's path to the supervisor's board: PATH.lock names the process, and among that process's descriptors in
 * /proc is a memfd of the board's name. The kernel lets its user and root open it, nobody else (ptrace(2), access mode
 * PTRACE_MODE_READ_FSCREDS). Nothing found there is believed before it was checked: pids are given again, and a client can
 * hand the supervisor descriptors of any name. */
#include "atomic.h"
#include "error.h"
#include "stats.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOARD_LINK "/memfd:rask-pool"
#define PAGE_LINK "/memfd:rask-status"

char rk_process_state(pid_t pid)
{
    char path[40], text[128] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t bytes = read(fd, text, sizeof(text) - 1);
    close(fd);
    const char *behind = bytes > 0 ? strrchr(text, ')') : NULL; /* the name may hold anything */
    return behind && behind[1] == ' ' ? behind[2] : 0;
}

/* Open a descriptor of the process if its name is that of `link`. -ENOENT: it is something else. */
static int open_named(pid_t pid, unsigned long number, const char *link)
{
    char path[64], target[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/fd/%lu", (int)pid, number);
    ssize_t bytes = readlink(path, target, sizeof(target) - 1);
    if (bytes < 0) return -errno;
    size_t length = strlen(link);
    if (strncmp(target, link, length) != 0 || (target[length] != '\0' && target[length] != ' ')) return -ENOENT;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

/* A memfd belongs to the user who made it: one that a stranger handed over is not the supervisor's. */
static bool made_by_its_user(pid_t pid, int fd)
{
    char path[40];
    struct stat made, process;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return fstat(fd, &made) == 0 && stat(path, &process) == 0 && made.st_uid == process.st_uid;
}

static int lowest_named(pid_t pid, DIR *folder)
{
    unsigned long lowest = ULONG_MAX;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        char *end;
        unsigned long number = strtoul(entry->d_name, &end, 10);
        if (end == entry->d_name || *end != '\0' || number >= lowest) continue;
        int fd = open_named(pid, number, BOARD_LINK);
        if (fd < 0) continue;
        if (made_by_its_user(pid, fd)) lowest = number;
        close(fd);
    }
    return lowest == ULONG_MAX ? -ENOENT : open_named(pid, lowest, BOARD_LINK);
}

/* -ESRCH: no such process, -ENOENT: it has none, -EACCES. */
static int open_board(pid_t pid)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder) return errno == ENOENT ? -ESRCH : -errno;
    int fd = lowest_named(pid, folder);
    closedir(folder);
    return fd;
}

static int map_board(struct rk_stats_source *source, int fd)
{
    struct stat facts;
    if (fstat(fd, &facts) < 0 || facts.st_size <= 0 ||
        (uint64_t)facts.st_size > rk_pool_segment_bytes(RASK_WORKERS_MAX) || facts.st_size % RK_PAGE_BYTES != 0) {
        close(fd);
        return rk_error(-EPROTO, "pool segment of process %d: not a size that it can have", (int)source->pid);
    }
    int result = rk_segment_map(&source->board, fd, RK_SEGMENT_POOL, (uint64_t)facts.st_size, false);
    if (result < 0) return result;
    const struct rk_pool_page *page = source->board.base;
    source->workers = rk_load_relaxed(&page->workers);
    if (source->workers >= 1 && source->workers <= RASK_WORKERS_MAX &&
        rk_pool_segment_bytes(source->workers) == source->board.bytes)
        return 0;
    return rk_error(-EPROTO, "pool segment of process %d: %u workers do not fit its %llu bytes", (int)source->pid,
                    source->workers, (unsigned long long)source->board.bytes);
}

struct lock_file {
    pid_t pid;
    dev_t device;
    ino_t inode;
};

static int read_lock(const char *socket, struct lock_file *lock)
{
    char path[256], text[24] = "";
    struct stat facts;
    snprintf(path, sizeof(path), "%s.lock", socket);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return rk_error(-ENOENT,
                        "no supervisor listens on %s: start one with rask run, or name it with --socket or "
                        "--pid",
                        socket);
    if (fd < 0) return rk_error(-EACCES, "cannot read %s: %s; ask as its user or as root", path, strerror(errno));
    ssize_t bytes = pread(fd, text, sizeof(text) - 1, 0);
    bool known = bytes > 0 && fstat(fd, &facts) == 0;
    close(fd);
    char *end;
    long pid = strtol(text, &end, 10);
    if (!known || pid <= 0 || pid > INT32_MAX || *end != '\n')
        return rk_error(-ENOENT,
                        "%s does not hold the pid of a supervisor: one is just starting, or the file is not "
                        "rask's",
                        path);
    *lock = (struct lock_file){.pid = (pid_t)pid, .device = facts.st_dev, .inode = facts.st_ino};
    return 0;
}

static int is_dead(const struct rk_stats_source *source)
{
    if (!source->socket) return rk_error(-ENOENT, "process %d is not a supervisor of rask", (int)source->pid);
    return rk_error(-ENOENT,
                    "the supervisor of %s (pid %d) is dead; the files it left behind are replaced at the next "
                    "rask run",
                    source->socket, (int)source->pid);
}

/* A pid that was given to another supervisor: its board names another lock file. */
static bool is_of(const struct rk_stats_source *source, const struct lock_file *lock)
{
    const struct rk_pool_page *page = source->board.base;
    return rk_load_acquire(&page->lock_inode) == lock->inode && rk_load_relaxed(&page->lock_device) == lock->device;
}

static int open_process(struct rk_stats_source *source)
{
    int fd = open_board(source->pid);
    if (fd == -EACCES || fd == -EPERM)
        return rk_error(-EACCES,
                        "the supervisor (pid %d) may be looked at by its user and by root (with "
                        "CAP_SYS_PTRACE) only",
                        (int)source->pid);
    char state = rk_process_state(source->pid);
    if (fd == -ESRCH || fd == -ENOENT || state == 'Z' || state == 'X') {
        if (fd >= 0) close(fd);
        return is_dead(source);
    }
    if (fd < 0) return rk_error(fd, "cannot look at process %d: %s", (int)source->pid, strerror(-fd));
    int result = map_board(source, fd);
    if (result < 0) return result;
    const struct rk_pool_page *page = source->board.base;
    source->same_namespace = rk_load_relaxed(&page->supervisor_pid) == (uint32_t)source->pid;
    source->seen = calloc(source->workers, sizeof(*source->seen));
    return source->seen ? 0 : rk_error(-ENOMEM, "out of memory");
}

int rk_stats_open(struct rk_stats_source *source, const char *socket, pid_t pid)
{
    static char standard[256];
    struct lock_file lock = {.pid = pid};
    int result = 0;
    *source = (struct rk_stats_source){.board = RK_SEGMENT_INIT, .socket = pid ? NULL : socket, .pid = pid};
    if (pid == 0 && !socket) {
        result = rask_default_socket(standard, sizeof(standard));
        source->socket = standard;
    }
    if (pid == 0 && result == 0) result = read_lock(source->socket, &lock);
    source->pid = lock.pid;
    if (result == 0) result = open_process(source);
    if (result == 0 && pid == 0 && !is_of(source, &lock)) result = is_dead(source);
    if (result < 0) rk_stats_close(source);
    return result;
}

void rk_stats_close(struct rk_stats_source *source)
{
    rk_segment_finish(&source->board);
    free(source->seen);
    source->seen = NULL;
}

int rk_stats_page(const struct rk_stats_source *source, uint32_t number, struct rk_segment *page)
{
    int fd = open_named(source->pid, number, PAGE_LINK);
    if (fd < 0) return fd;
    return rk_segment_map(page, fd, RK_SEGMENT_STATUS, RK_PAGE_BYTES, false);
}
