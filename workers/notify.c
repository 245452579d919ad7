/* SPDX-License-Identifier: MIT */
/* The protocol of sd_notify(3): a service manager that set NOTIFY_SOCKET learns when the supervisor is ready, reloads and
 * stops. Workers do not inherit the variable. */
#include "notify.h"
#include <rask/client.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un manager = {.sun_family = AF_UNIX};
static size_t path_bytes; /* 0: nobody listens */

void rk_notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t bytes = path ? strlen(path) : 0;
    if (bytes > 1 && bytes < sizeof(manager.sun_path) && (path[0] == '/' || path[0] == '@')) {
        memcpy(manager.sun_path, path, bytes);
        if (path[0] == '@') manager.sun_path[0] = '\0';
        path_bytes = bytes;
    }
    unsetenv("NOTIFY_SOCKET");
}

void rk_notify(const char *state)
{
    char text[128];
    if (path_bytes == 0) return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    int length =
        snprintf(text, sizeof(text), "%s\nMONOTONIC_USEC=%llu", state, (unsigned long long)(rask_now_ns() / 1000));
    /* A manager that does not listen is no reason to stop. */
    ssize_t ignored = sendto(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&manager,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes));
    (void)ignored;
    close(fd);
}
