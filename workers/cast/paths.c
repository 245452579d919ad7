/* SPDX-License-Identifier: MIT */
/* See paths.h. Lines are taken apart here and not by stdio, so that the caller can wait for standard input and for its workers at
 * once. */
#include "paths.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 4096u

void rk_paths_init(struct rk_paths *paths, char *const *arguments, size_t count)
{
    *paths = (struct rk_paths){.arguments = arguments, .arguments_count = count, .reading = count == 0};
}

/* Room for READ_BYTES more and a zero. */
static int make_room(struct rk_paths *paths)
{
    if (paths->end > paths->start) memmove(paths->buffer, paths->buffer + paths->start, paths->end - paths->start);
    paths->end -= paths->start;
    paths->start = 0;
    if (paths->capacity - paths->end > READ_BYTES) return 0;
    size_t capacity = paths->end + 2 * READ_BYTES;
    char *larger = realloc(paths->buffer, capacity);
    if (!larger) return -ENOMEM;
    paths->buffer = larger;
    paths->capacity = capacity;
    return 0;
}

int rk_paths_read(struct rk_paths *paths)
{
    int error = make_room(paths);
    if (error < 0) return error;
    ssize_t got = read(STDIN_FILENO, paths->buffer + paths->end, READ_BYTES);
    if (got < 0) return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    paths->end += (size_t)got;
    paths->ended = got == 0;
    return 0;
}

/* A line that is there, without its end; the last one may have none. NULL: there is none. */
static char *next_line(struct rk_paths *paths)
{
    if (paths->start == paths->end) return NULL;
    char *line = paths->buffer + paths->start, *end = memchr(line, '\n', paths->end - paths->start);
    if (!end && !paths->ended) return NULL;
    if (!end) end = paths->buffer + paths->end; /* there is room for the zero */
    paths->start = (size_t)(end - paths->buffer) + (end < paths->buffer + paths->end);
    *end = '\0';
    if (end > line && end[-1] == '\r') end[-1] = '\0';
    return line;
}

static int next_from_input(struct rk_paths *paths, const char **path)
{
    while ((*path = next_line(paths))) {
        if (**path) return 1; /* empty lines are skipped */
    }
    return paths->ended ? 0 : -EAGAIN;
}

int rk_paths_next(struct rk_paths *paths, const char **path)
{
    for (;;) {
        if (paths->reading) {
            int found = next_from_input(paths, path);
            if (found != 0) return found;
            paths->reading = false;
        }
        if (paths->next == paths->arguments_count) return 0;
        *path = paths->arguments[paths->next++];
        if (strcmp(*path, "-") != 0) return 1;
        paths->reading = true;
    }
}

size_t rk_paths_total(const struct rk_paths *paths)
{
    for (size_t i = 0; i < paths->arguments_count; i++) {
        if (strcmp(paths->arguments[i], "-") == 0) return 0;
    }
    return paths->arguments_count;
}

void rk_paths_finish(struct rk_paths *paths)
{
    free(paths->buffer);
    paths->buffer = NULL;
}
