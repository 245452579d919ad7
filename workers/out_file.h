/* SPDX-License-Identifier: MIT */
/* The file that is written: it appears under its name when it is complete, or not at all. */
#ifndef RK_OUT_FILE_H
#define RK_OUT_FILE_H

#include <stdio.h>

struct rk_out_file {
    FILE *file;
    const char *path;
    char *
        part; /* what is written to until it is complete; NULL: straight to `path` (standard output, a pipe, a device) */
};

/** Start it; `path` must live on, "-" is standard output. 0 or -errno. One at a time. */
int rk_out_open(struct rk_out_file *out, const char *path);

/** It is complete: make it appear. 0 or -errno; it is closed either way. */
int rk_out_commit(struct rk_out_file *out);

/** Give it up. Harmless after rk_out_commit(). */
void rk_out_abandon(struct rk_out_file *out);

/** From a signal handler: remove what is not complete. signal-safe. */
void rk_out_interrupted(void);

#endif
