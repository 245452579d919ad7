/* SPDX-License-Identifier: MIT */
/* The listening socket: where it may be, what to do about one that is there already, and its removal. */
#ifndef RK_LISTEN_H
#define RK_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

struct rk_listener {
    int fd; /* -1: closed */
    int lock_fd;
    dev_t device; /* of the socket file, to know it again */
    ino_t inode;
    mode_t folder_mode; /* of the folder before it was made searchable; 0: it was not touched */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};
#define RK_LISTENER_INIT        \
    {                           \
        .fd = -1, .lock_fd = -1 \
    }

/** Listen on `path`; NULL: the default socket, whose folder is made if missing and must be ours alone. A stale file is
 * replaced, a live supervisor is not. Two that start at once are kept apart by a lock on PATH.lock.
 * `for_others`: users besides ours may connect, and it is decided elsewhere who. The socket gets mode 0666, and its folder, if
 * it is ours, becomes searchable (0711 for a private one) until rk_listener_close().
 * 0, or -errno with the whole sentence in rask_last_error(): -ENAMETOOLONG, -EADDRINUSE, -EPERM the folder is not
 * private, or what the kernel said. */
int rk_listener_open(struct rk_listener *listener, const char *path, bool for_others);

/** Is there a folder on the way to the socket that not everybody may search? Its name goes to `folder`. */
bool rk_listener_hidden(const struct rk_listener *listener, char *folder, size_t bytes);

/** Stop listening, remove the file if it is still ours, and the lock. Harmless when repeated. */
void rk_listener_close(struct rk_listener *listener);

/** Next connection, non-blocking and close-on-exec, or -errno (-EAGAIN: none). */
int rk_listener_accept(struct rk_listener *listener);

#endif
