/* SPDX-License-Identifier: MIT */
/* How the two halves of the loader (loader.c, inspect.c) report a failed check. */
#ifndef RK_LOADER_ERROR_H
#define RK_LOADER_ERROR_H

#include "loader.h"
#include <link.h>

/** Fill in *error, cut to its room; returns -ENOEXEC, so that a failed check is one line. */
__attribute__((format(printf, 3, 4), cold)) int rk_load_refuse(struct rk_load_error *error, enum rk_load_check check,
                                                               const char *format, ...);

/** Libraries of $ORIGIN, opened before the plugin's copy that wants them; see loader_origin.c. */
struct rk_origin {
    unsigned count;
    struct link_map *library[32];
    char *name[32]; /* as the linker had it */
};

/** 0 or -ENOEXEC. */
int rk_origin_open(struct rk_origin *origin, const char *path, int fd, struct rk_load_error *error);
/** After the plugin is loaded: they get their own names back. */
void rk_origin_close(struct rk_origin *origin);

#endif
