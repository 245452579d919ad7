/* SPDX-License-Identifier: MIT */
/* Frames in, one animated picture out. */
#ifndef RK_CAST_H
#define RK_CAST_H

#include "out_file.h"
#include "pairs.h"
#include "paths.h"
#include "stamps.h"

struct rk_cast_options {
    const char *out_path;
    const struct rk_stamps *stamps;
    struct rk_pairs_options workers;
};

/** Cast all frames of `paths`. Exit code; what went wrong was said. */
int rk_cast(const struct rk_cast_options *options, struct rk_paths *paths);

#endif
