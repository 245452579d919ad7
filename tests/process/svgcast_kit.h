/* SPDX-License-Identifier: MIT */
/* What the tests of svgcast share: a folder, frames in it, and runs of the program. */
#ifndef SVGCAST_KIT_H
#define SVGCAST_KIT_H

#include "kit.h"
#include "svg_play.h"

#define CAST_FRAMES_MAX 64u

/** The folder of a test: frames, and what is written. */
struct cast_folder {
    char path[64];
    char out[96];
    char scratch[96];
    char frames[CAST_FRAMES_MAX][96]; /* paths */
    unsigned count;
};

/** Make it, and remove it with everything in it. */
void cast_folder_make(struct cast_folder *folder);
void cast_folder_remove(struct cast_folder *folder);

/** A file in it; the path is valid until the next call but three. */
const char *cast_file(const struct cast_folder *folder, const char *name);
void cast_put_text(const char *path, const char *text);
bool cast_exists(const char *path);
/** Files in the folder. */
unsigned cast_count_files(const struct cast_folder *folder);

/** One more frame of these pixels, as a PNG file. */
void cast_add_frame(struct cast_folder *folder, const struct rk_image *image);
/** `count` more frames, each with a few random changes to the one before, some with none. */
void cast_add_random(struct cast_folder *folder, uint64_t *random, uint32_t width, uint32_t height, unsigned count);

/** Run svgcast with these arguments, NULL at the end, and, if `frames`, the paths of all frames behind them. */
const struct kit_result *cast_run(const struct cast_folder *frames, ...) __attribute__((sentinel));
/** A figure of a supervisor, all workers together, by its name in `rask stats --json`; and wait until it is `value`. */
uint64_t cast_figure(pid_t supervisor, const char *name);
void cast_await_figure(pid_t supervisor, const char *name, uint64_t value);
/** Its last run ended with this code and said this on standard error. */
void cast_expect(const struct kit_result *result, int code, const char *said);

#endif
