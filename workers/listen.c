/* SPDX-License-Identifier: MIT */
/* The listening socket; see listen.h. Whoever holds the lock on PATH.lock may replace PATH. The lock file holds the
 * owner's pid for messages only; nobody acts on it. */
#include "listen.h"
#include "clock.h"
#include "error.h"
#include "stats.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <rask/client.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 128
#define LOCK_TRIES 16
/* The socket of a process that was killed listens on for some milliseconds: so long the kernel takes to take an io_uring apart. */
#define DEAD_LISTENER_NS 500000000u
#define DEAD_LISTENER_STEP_NS 2000000u
#define FOLDER_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)
#define SEARCHABLE (S_IXGRP | S_IXOTH)

static int resolve(struct rk_listener *listener, const char *path, bool *is_default)
{
    *is_default = !path;
    if (!path) {
        int result = rask_default_socket(listener->path, sizeof(listener->path));
        return result < 0 ? rk_error(result, "the default socket's path is too long: name one with --socket") : 0;
    }
    size_t bytes = strlen(path);
    if (bytes == 0) return rk_error(-EINVAL, "--socket is empty: name a path");
    if (bytes >= sizeof(listener->path))
        return rk_error(-ENAMETOOLONG, "socket path %s has %zu bytes, the kernel takes %zu: use a shorter one", path,
                        bytes, sizeof(listener->path) - 1);
    memcpy(listener->path, path, bytes + 1);
    return 0;
}

/* Of the socket. */
static void folder_of(const char *socket_path, char folder[FOLDER_BYTES])
{
    snprintf(folder, FOLDER_BYTES, "%s", socket_path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        memcpy(folder, ".", 2);
    else
        slash[slash == folder] = '\0';
}

/* The folder of the default socket: ours and private, or refused. */
static int check_folder(const char *socket_path)
{
    char folder[FOLDER_BYTES];
    struct stat facts;
    folder_of(socket_path, folder);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return rk_error(-errno, "cannot make the folder %s: %s; name another socket with --socket", folder,
                        strerror(errno));
    if (lstat(folder, &facts) < 0) return rk_error(-errno, "cannot look at %s: %s", folder, strerror(errno));
    if (!S_ISDIR(facts.st_mode))
        return rk_error(-ENOTDIR, "%s is not a folder: remove it, or name another socket with --socket", folder);
    if (facts.st_uid != geteuid())
        return rk_error(-EPERM, "%s belongs to user %u and not to you (%u): name another socket with --socket", folder,
                        facts.st_uid, geteuid());
    if (facts.st_mode & (S_IWGRP | S_IWOTH))
        return rk_error(-EPERM, "%s is writable by others (mode %03o): chmod 0700 it, or name another socket", folder,
                        facts.st_mode & 0777);
    /* A supervisor that let others in, and was killed, left it searchable. */
    if ((facts.st_mode & 0777) != 0700 && chmod(folder, 0700) < 0)
        return rk_error(-errno, "cannot make %s private: %s", folder, strerror(errno));
    return 0;
}

/* Others may search the folder as long as we listen. What is not ours is left alone. */
static void open_folder(struct rk_listener *listener)
{
    char folder[FOLDER_BYTES];
    struct stat facts;
    folder_of(listener->path, folder);
    if (stat(folder, &facts) < 0 || facts.st_uid != geteuid() || (facts.st_mode & SEARCHABLE) == SEARCHABLE) return;
    if (chmod(folder, (facts.st_mode & 07777) | SEARCHABLE) == 0) listener->folder_mode = facts.st_mode & 07777;
}

static void close_folder(struct rk_listener *listener)
{
    char folder[FOLDER_BYTES];
    struct stat facts;
    folder_of(listener->path, folder);
    bool as_left = stat(folder, &facts) == 0 && (facts.st_mode & 07777) == (listener->folder_mode | SEARCHABLE);
    if (listener->folder_mode != 0 && as_left) (void)!chmod(folder, listener->folder_mode);
    listener->folder_mode = 0;
}

bool rk_listener_hidden(const struct rk_listener *listener, char *folder, size_t bytes)
{
    char near[FOLDER_BYTES], whole[PATH_MAX];
    struct stat facts;
    folder_of(listener->path, near);
    if (!realpath(near, whole)) return false;
    for (;;) {
        if (stat(whole, &facts) == 0 && !(facts.st_mode & S_IXOTH)) {
            snprintf(folder, bytes, "%s", whole);
            return true;
        }
        char *slash = strrchr(whole, '/');
        if (!slash || slash[1] == '\0') return false;
        slash[slash == whole] = '\0';
    }
}

static int refuse_live(const char *path, long pid)
{
    if (pid > 0)
        return rk_error(-EADDRINUSE,
                        "a supervisor (pid %ld) is already listening on %s: stop it, or use another --socket", pid,
                        path);
    return rk_error(-EADDRINUSE, "another program is already listening on %s: stop it, or use another --socket", path);
}

static long read_pid(int fd)
{
    char text[24] = "";
    ssize_t bytes = pread(fd, text, sizeof(text) - 1, 0);
    return bytes > 0 ? strtol(text, NULL, 10) : 0;
}

/* One attempt. 0 with the lock held, -EAGAIN if the file was removed meanwhile, or an error. */
static int try_lock(struct rk_listener *listener, const char *lock_path)
{
    struct stat held, named;
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return rk_error(-errno, "cannot make %s: %s; name a socket in a folder that you may write to", lock_path,
                        strerror(errno));
    int result = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        result = errno == EWOULDBLOCK ? refuse_live(listener->path, read_pid(fd))
                                      : rk_error(-errno, "cannot lock %s: %s", lock_path, strerror(errno));
    else if (fstat(fd, &held) < 0 || stat(lock_path, &named) < 0 || held.st_ino != named.st_ino)
        result = -EAGAIN; /* its last owner removed it between our open and our lock */
    if (result < 0)
        close(fd);
    else
        listener->lock_fd = fd;
    return result;
}

static void lock_path_of(const struct rk_listener *listener, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s.lock", listener->path);
}

static int lock(struct rk_listener *listener)
{
    char lock_path[sizeof(listener->path) + 8], pid[24];
    lock_path_of(listener, lock_path, sizeof(lock_path));
    int result = -EAGAIN;
    for (int i = 0; i < LOCK_TRIES && result == -EAGAIN; i++) result = try_lock(listener, lock_path);
    if (result == -EAGAIN) return refuse_live(listener->path, 0);
    if (result < 0) return result;
    int length = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(listener->lock_fd, 0) < 0 || pwrite(listener->lock_fd, pid, (size_t)length, 0) != length)
        return rk_error(-EIO, "cannot write %s: %s", lock_path, strerror(errno));
    return 0;
}

static void unlock(struct rk_listener *listener)
{
    char lock_path[sizeof(listener->path) + 8];
    if (listener->lock_fd < 0) return;
    lock_path_of(listener, lock_path, sizeof(lock_path));
    unlink(lock_path); /* while the lock is held: whoever opened it meanwhile finds out, see try_lock() */
    close(listener->lock_fd);
    listener->lock_fd = -1;
}

static struct sockaddr_un address_of(const struct rk_listener *listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, listener->path, sizeof(address.sun_path));
    return address;
}

static long peer_pid(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 ? peer.pid : 0;
}

static bool is_dead(long pid)
{
    char state = pid > 0 ? rk_process_state((pid_t)pid) : 'R';
    return state == 0 || state == 'Z' || state == 'X';
}

/* 1: somebody listens there, in whose name; 0: nobody; or -errno. `*passing`: it may be the socket of the dead. */
static int probe(const struct rk_listener *listener, long *pid, bool *passing)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return rk_error(-errno, "cannot make a socket: %s", strerror(errno));
    struct sockaddr_un address = address_of(listener);
    int error = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
    *pid = error == 0 ? peer_pid(fd) : 0;
    *passing = error == EAGAIN || is_dead(*pid); /* its clients may have come back already, as many as fit */
    close(fd);
    return error != ECONNREFUSED && error != ENOENT;
}

static int probe_patiently(const struct rk_listener *listener, long *pid)
{
    const struct timespec step = rk_timespec(DEAD_LISTENER_STEP_NS);
    uint64_t end_ns = rk_deadline_after(DEAD_LISTENER_NS);
    for (;;) {
        bool passing = false;
        int result = probe(listener, pid, &passing);
        if (result != 1 || !passing || rask_now_ns() >= end_ns) return result;
        nanosleep(&step, NULL);
    }
}

/* Is somebody there? The lock says no other rask is, but the file may be another program's. */
static int remove_stale(struct rk_listener *listener)
{
    struct stat facts;
    long pid = 0;
    if (lstat(listener->path, &facts) < 0)
        return errno == ENOENT ? 0 : rk_error(-errno, "cannot look at %s: %s", listener->path, strerror(errno));
    if (!S_ISSOCK(facts.st_mode))
        return rk_error(-EADDRINUSE, "%s exists and is not a socket: remove it, or use another --socket",
                        listener->path);
    int result = probe_patiently(listener, &pid);
    if (result != 0) return result < 0 ? result : refuse_live(listener->path, pid);
    if (unlink(listener->path) == 0 || errno == ENOENT) return 0;
    return rk_error(-errno, "cannot remove the stale socket %s: %s", listener->path, strerror(errno));
}

/* The mode is set by the umask while binding: between bind and chmod anybody could connect. */
static int bind_and_listen(struct rk_listener *listener, bool for_others)
{
    struct stat facts;
    struct sockaddr_un address = address_of(listener);
    listener->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0) return rk_error(-errno, "cannot make a socket: %s", strerror(errno));
    mode_t mask = umask(for_others ? 0111 : 0077);
    int result = bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    if (result < 0) {
        rk_error(result, "cannot make the socket %s: %s; does its folder exist?", listener->path, strerror(-result));
    } else if (lstat(listener->path, &facts) < 0 || listen(listener->fd, BACKLOG) < 0) {
        result = rk_error(-errno, "cannot listen on %s: %s", listener->path, strerror(errno));
    } else {
        listener->device = facts.st_dev;
        listener->inode = facts.st_ino;
        return 0;
    }
    close(listener->fd);
    listener->fd = -1;
    return result;
}

int rk_listener_open(struct rk_listener *listener, const char *path, bool for_others)
{
    bool is_default;
    int result = resolve(listener, path, &is_default);
    if (result == 0 && is_default) result = check_folder(listener->path);
    if (result == 0) result = lock(listener);
    if (result == 0) result = remove_stale(listener);
    if (result == 0) result = bind_and_listen(listener, for_others);
    if (result < 0) unlock(listener);
    if (result == 0 && for_others) open_folder(listener);
    return result;
}

void rk_listener_close(struct rk_listener *listener)
{
    struct stat facts;
    if (listener->fd < 0) return;
    if (lstat(listener->path, &facts) == 0 && facts.st_dev == listener->device && facts.st_ino == listener->inode)
        unlink(listener->path);
    close(listener->fd);
    listener->fd = -1;
    close_folder(listener);
    unlock(listener);
}

int rk_listener_accept(struct rk_listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
