/* SPDX-License-Identifier: MIT */
/* Frames on their way through the workers. Pairs of neighbours are independent, so several workers compare at once; the answers
 * are taken in the order of the frames, whoever was first.
 *
 * Each worker has a runner (runner.h) and gets runs of consecutive frames, so that it has both frames of a pair though each is
 * sent once. Only the last frame of a run is needed by two: the worker of the next run has to compare its first frame with it.
 * That one is written to both places while it is decoded, row by row. The next run goes to the worker with the least to do.
 *
 * Everything here is the capturing thread's, and nothing but rk_pairs_oldest(wait) and rk_pairs_wait() blocks. */
#ifndef RK_PAIRS_H
#define RK_PAIRS_H

#include "runner.h"
#include <rask/client.h>
#include <stddef.h>

struct rk_pairs_options {
    const char *plugin;
    uint32_t workers;
    uint64_t timeout_ns; /* of one answer; 0: none */
};

/** All frames that have no answer yet, or whose answer was not taken: a queue in their order. */
struct rk_pairs {
    struct rk_pairs_options options;
    struct rk_meeting meeting;
    struct rk_runner *runners; /* options.workers of them */
    uint32_t started;          /* so many run; 0 until the size of the frames is known */
    uint32_t run_frames;
    uint32_t run_left;      /* frames of the run that are to come */
    struct rk_runner *now;  /* who gets the next frame */
    struct rk_runner *then; /* who gets the one after it: another than `now` at the end of a run */
    struct rk_pair *queue;
    size_t capacity;
    size_t first;
    size_t count;
    uint64_t frames; /* submitted so far */
};

/** Nothing is started yet. 0 or -errno. */
int rk_pairs_init(struct rk_pairs *pairs, const struct rk_pairs_options *options);

/** Start the workers, for frames of this size. RK_GO_ON, or an exit code after a message. */
int rk_pairs_start(struct rk_pairs *pairs, uint32_t width, uint32_t height);

/** No place is free just now: rk_pairs_wait(). */
bool rk_pairs_full(struct rk_pairs *pairs);

/** Where the pixels of the next frame go: pixels[0], and pixels[1] if that is not NULL. It must not be full. */
void rk_pairs_place(struct rk_pairs *pairs, uint32_t *pixels[2]);

/** They are written. */
void rk_pairs_submit(struct rk_pairs *pairs, const char *path, uint64_t at_ms);

/** The oldest pair if it has its answer; with `wait`, wait for that (there must be one). NULL in *pair: not yet.
 * RK_GO_ON, or an exit code after a message. */
int rk_pairs_oldest(struct rk_pairs *pairs, bool wait, struct rk_pair **pair);

/** Done with the oldest pair. */
void rk_pairs_pop(struct rk_pairs *pairs);

/** Sleep until something has changed; and a descriptor that is readable then, -1 if nothing is started. */
void rk_pairs_wait(struct rk_pairs *pairs);
int rk_pairs_fd(const struct rk_pairs *pairs);

/** End the workers, forget what is left. */
void rk_pairs_finish(struct rk_pairs *pairs);

#endif
