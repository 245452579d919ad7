/* SPDX-License-Identifier: MIT */
/* See outlet.h. The descriptor stays as it is, for its flags may be shared with other processes: poll() says whether a
 * pipe, a socket or a terminal takes anything, and then it takes PIPE_BUF bytes without blocking. */
#include "outlet.h"
#include "items.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FULL_BYTES 65536u

void rk_outlet_init(struct rk_outlet *outlet, int fd, bool framed)
{
    struct stat about;
    bool is_file = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    *outlet = (struct rk_outlet){.fd = fd, .framed = framed, .piece_bytes = is_file ? SSIZE_MAX : PIPE_BUF};
}

size_t rk_outlet_waiting(const struct rk_outlet *outlet)
{
    return outlet->end - outlet->start;
}

bool rk_outlet_full(const struct rk_outlet *outlet)
{
    return rk_outlet_waiting(outlet) >= FULL_BYTES;
}

static int make_room(struct rk_outlet *outlet, size_t bytes)
{
    size_t waiting = rk_outlet_waiting(outlet);
    if (outlet->capacity - outlet->end >= bytes) return 0;
    if (waiting > 0) memmove(outlet->buffer, outlet->buffer + outlet->start, waiting);
    outlet->start = 0;
    outlet->end = waiting;
    if (outlet->capacity - waiting >= bytes) return 0;
    size_t capacity = waiting + bytes + FULL_BYTES;
    char *larger = realloc(outlet->buffer, capacity);
    if (!larger) return -ENOMEM;
    outlet->buffer = larger;
    outlet->capacity = capacity;
    return 0;
}

static void append(struct rk_outlet *outlet, const void *data, size_t bytes)
{
    if (bytes > 0) memcpy(outlet->buffer + outlet->end, data, bytes);
    outlet->end += bytes;
}

int rk_outlet_put(struct rk_outlet *outlet, const void *data, size_t bytes)
{
    const unsigned char header[RK_FRAME_HEADER_BYTES] = {(unsigned char)bytes, (unsigned char)(bytes >> 8),
                                                         (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 24)};
    if (make_room(outlet, bytes + sizeof(header)) < 0) return -ENOMEM;
    if (outlet->framed) append(outlet, header, sizeof(header));
    append(outlet, data, bytes);
    if (!outlet->framed) append(outlet, "\n", 1);
    return 0;
}

int rk_outlet_write(struct rk_outlet *outlet)
{
    while (outlet->start < outlet->end) {
        struct pollfd ready = {.fd = outlet->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) <= 0) return 0;
        size_t bytes = rk_outlet_waiting(outlet);
        if (bytes > outlet->piece_bytes) bytes = outlet->piece_bytes;
        ssize_t n = write(outlet->fd, outlet->buffer + outlet->start, bytes);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return -errno;
        if (n < 0) return 0;
        outlet->start += (size_t)n;
    }
    outlet->start = outlet->end = 0;
    return 0;
}

void rk_outlet_finish(struct rk_outlet *outlet)
{
    free(outlet->buffer);
    outlet->buffer = NULL;
}
