/* SPDX-License-Identifier: MIT */
/* See paths.h. */
#include "paths.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rk_paths_init(struct rk_paths *paths, char *const *arguments, size_t count)
{
    *paths = (struct rk_paths){.arguments = arguments, .arguments_count = count, .reading = count == 0};
}

/* A line that is not empty, without its end. */
static int next_line(struct rk_paths *paths)
{
    ssize_t length;
    while ((length = getline(&paths->line, &paths->capacity, stdin)) >= 0) {
        while (length > 0 && (paths->line[length - 1] == '\n' || paths->line[length - 1] == '\r'))
            paths->line[--length] = '\0';
        if (length > 0) return 1;
    }
    return ferror(stdin) ? -errno : 0;
}

int rk_paths_next(struct rk_paths *paths, const char **path)
{
    for (;;) {
        if (paths->reading) {
            int found = next_line(paths);
            *path = paths->line;
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
    free(paths->line);
    paths->line = NULL;
}
