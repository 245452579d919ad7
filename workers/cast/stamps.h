/* SPDX-License-Identifier: MIT */
/* When each frame is shown: every so many milliseconds, or at the times of a file. */
#ifndef RK_STAMPS_H
#define RK_STAMPS_H

#include <stddef.h>
#include <stdint.h>

/** Zero-initialise; free with rk_stamps_finish(). */
struct rk_stamps {
    const char *path; /* NULL: there is no file, and frames come at the interval */
    uint64_t interval_ms;
    uint64_t *list; /* of the file, as they stand there */
    size_t count;
};

/** Read a file of one integer per line. Blank lines at the end are fine. Returns RK_GO_ON, or an exit code after a message. */
int rk_stamps_read(struct rk_stamps *stamps, const char *path);

/** The time of frame `index` (from 0), whose path is `frame`: after the one of the frame before, or it is refused.
 * RK_GO_ON, or an exit code after a message. */
int rk_stamps_at(const struct rk_stamps *stamps, size_t index, const char *frame, uint64_t *at_ms);

/** All frames came: is a stamp left over? RK_GO_ON, or an exit code after a message. */
int rk_stamps_end(const struct rk_stamps *stamps, size_t frames);

void rk_stamps_finish(struct rk_stamps *stamps);

#endif
