/* SPDX-License-Identifier: MIT */
/* The listening socket: where it may be, what to do about one that is there already, and its removal. */
#ifndef RK_LISTEN_H
#define RK_LISTEN_H

#include <sys/types.h>
#include <sys/un.h>

struct rk_listener {
    int fd; /* -1: closed */
    int lock_fd;
    dev_t device; /* of the socket file, to know it again */
    ino_t inode;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};
#define RK_LISTENER_INIT        \
    {                           \
        .fd = -1, .lock_fd = -1 \
    }

/** Listen on `path`; NULL: the default socket, whose folder is made if missing and must be private. A stale file is
 * replaced, a live supervisor is not. Two that start at once are kept apart by a lock on PATH.lock.
 * 0, or -errno with the whole sentence in rask_last_error(): -ENAMETOOLONG, -EADDRINUSE, -EPERM the folder is not
 * private, or what the kernel said. */
int rk_listener_open(struct rk_listener *listener, const char *path);

/** Stop listening, remove the file if it is still ours, and the lock. Harmless when repeated. */
void rk_listener_close(struct rk_listener *listener);

/** Next connection, non-blocking and close-on-exec, or -errno (-EAGAIN: none). */
int rk_listener_accept(struct rk_listener *listener);

#endif
