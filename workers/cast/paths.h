/* SPDX-License-Identifier: MIT */
/* Where the frames are: arguments, and lines of standard input as they come. */
#ifndef RK_PATHS_H
#define RK_PATHS_H

#include <stdbool.h>
#include <stddef.h>

/** Free with rk_paths_finish(). */
struct rk_paths {
    char *const *arguments;
    size_t arguments_count;
    size_t next;
    bool reading; /* standard input */
    bool ended;   /* nothing more will come there */
    char *buffer; /* what was read and not yet given */
    size_t start, end, capacity;
};

/** Start. The argument "-", or no argument at all, stands for standard input. */
void rk_paths_init(struct rk_paths *paths, char *const *arguments, size_t count);

/** The next path, valid until the next call. 1; 0 when there is none; -EAGAIN no whole line is there yet, call
 * rk_paths_read() when standard input is readable. No-block. */
int rk_paths_next(struct rk_paths *paths, const char **path);

/** Read what standard input has; blocks if that is nothing. 0 or -errno. */
int rk_paths_read(struct rk_paths *paths);

/** How many there will be, 0: not known. */
size_t rk_paths_total(const struct rk_paths *paths);

void rk_paths_finish(struct rk_paths *paths);

#endif
