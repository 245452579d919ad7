/* SPDX-License-Identifier: MIT */
/* Where the frames are: arguments, and lines of standard input as they come. */
#ifndef RK_PATHS_H
#define RK_PATHS_H

#include <stdbool.h>
#include <stddef.h>

/** Set the arguments; free with rk_paths_finish(). The argument "-", or no argument at all, stands for standard input. */
struct rk_paths {
    char *const *arguments;
    size_t arguments_count;
    size_t next;
    bool reading; /* standard input */
    char *line;
    size_t capacity;
};

/** Start. */
void rk_paths_init(struct rk_paths *paths, char *const *arguments, size_t count);

/** The next path, valid until the next call. 1; 0 when there is none; -errno when standard input fails. Blocks on it. */
int rk_paths_next(struct rk_paths *paths, const char **path);

/** How many there will be, 0: not known. */
size_t rk_paths_total(const struct rk_paths *paths);

void rk_paths_finish(struct rk_paths *paths);

#endif
