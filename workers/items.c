/* SPDX-License-Identifier: MIT */
/* See items.h. The buffer holds one item that is not complete, or many small ones: it never grows far beyond bytes_max. */
#include "items.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 65536u

static int next_line(struct rk_items *items, const void **data, size_t *bytes)
{
    const char *from = items->buffer + items->start;
    size_t there = items->end - items->start;
    const char *newline =
        there > items->searched ? memchr(from + items->searched, '\n', there - items->searched) : NULL;
    *data = from;
    *bytes = newline ? (size_t)(newline - from) : there;
    if (*bytes > items->bytes_max) return -EMSGSIZE;
    if (newline) return 1;
    items->searched = there;
    if (!items->ended) return -EAGAIN;
    return there > 0;
}

static size_t frame_bytes(const char *header)
{
    const unsigned char *byte = (const unsigned char *)header;
    return (size_t)byte[0] | (size_t)byte[1] << 8 | (size_t)byte[2] << 16 | (size_t)byte[3] << 24;
}

static int next_frame(struct rk_items *items, const void **data, size_t *bytes)
{
    size_t there = items->end - items->start;
    if (there == 0) return items->ended ? 0 : -EAGAIN;
    if (there < RK_FRAME_HEADER_BYTES) return items->ended ? -EBADMSG : -EAGAIN;
    *bytes = frame_bytes(items->buffer + items->start);
    *data = items->buffer + items->start + RK_FRAME_HEADER_BYTES;
    if (*bytes > items->bytes_max) return -EMSGSIZE;
    if (there - RK_FRAME_HEADER_BYTES >= *bytes) return 1;
    return items->ended ? -EBADMSG : -EAGAIN;
}

int rk_items_next(struct rk_items *items, const void **data, size_t *bytes)
{
    if (!items->buffer) return items->ended ? 0 : -EAGAIN;
    return items->framed ? next_frame(items, data, bytes) : next_line(items, data, bytes);
}

void rk_items_take(struct rk_items *items, const void *data, size_t bytes)
{
    size_t after = (size_t)((const char *)data - items->buffer) + bytes;
    if (!items->framed && after < items->end) after++; /* its newline */
    items->start = after;
    items->searched = 0;
    items->taken++;
}

/* Room for READ_BYTES more. What is there moves to the front, which is part of one item only. */
static int make_room(struct rk_items *items)
{
    size_t there = items->end - items->start;
    if (items->start > 0 && there > 0) memmove(items->buffer, items->buffer + items->start, there);
    items->start = 0;
    items->end = there;
    if (items->capacity - there >= READ_BYTES) return 0;
    size_t capacity = there + (there > READ_BYTES ? there : READ_BYTES);
    char *larger = realloc(items->buffer, capacity);
    if (!larger) return -ENOMEM;
    items->buffer = larger;
    items->capacity = capacity;
    return 0;
}

int rk_items_read(struct rk_items *items)
{
    int error = make_room(items);
    if (error < 0) return error;
    ssize_t got = read(items->fd, items->buffer + items->end, items->capacity - items->end);
    if (got < 0) return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    items->end += (size_t)got;
    items->ended = got == 0;
    return 0;
}

void rk_items_finish(struct rk_items *items)
{
    free(items->buffer);
    items->buffer = NULL;
}
