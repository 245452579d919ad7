/* SPDX-License-Identifier: MIT */
/* Frames on their way through the workers. Pairs of neighbours are independent, so several workers compare at once; the answers
 * are taken in the order of the frames, whoever was first. */
#ifndef RK_PAIRS_H
#define RK_PAIRS_H

#include "image.h"
#include "regions.h"
#include <rask/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A frame; lives as long as a pair needs it. */
struct rk_frame {
    struct rk_image image;
    uint64_t at_ms;
    unsigned users;
    char path[]; /* for messages */
};

/** Two frames, one after the other, and what changed. */
struct rk_pair {
    struct rk_frame *before;
    struct rk_frame *after;
    uint64_t ticket;
    unsigned attempts;
    bool answered;
    struct rk_completion_view {
        struct rask_completion completion; /* holds the crops below */
        struct rk_regions regions;
    } answer;
};

struct rk_pairs_options {
    const char *plugin;
    uint32_t workers;
    uint64_t timeout_ns; /* of one pair, waiting included; 0: none */
};

/** All pairs that have no answer yet, or whose answer was not taken; a queue in the order of the frames. */
struct rk_pairs {
    struct rk_pairs_options options;
    struct rask *session; /* NULL until the first pair */
    uint32_t method;
    struct rk_pair *queue;
    size_t capacity;
    size_t first;
    size_t count;
};

/** Keep a frame alive, and let it go. */
struct rk_frame *rk_frame_create(const char *path, struct rk_image *image, uint64_t at_ms);
struct rk_frame *rk_frame_use(struct rk_frame *frame);
void rk_frame_drop(struct rk_frame *frame);

/** Nothing is started yet. 0 or -ENOMEM. */
int rk_pairs_init(struct rk_pairs *pairs, const struct rk_pairs_options *options);

/** Give a pair to the workers; they are started with the first one. There must be room: !rk_pairs_full().
 * RK_GO_ON, or an exit code after a message. */
int rk_pairs_add(struct rk_pairs *pairs, struct rk_frame *before, struct rk_frame *after);

bool rk_pairs_full(const struct rk_pairs *pairs);

/** The oldest pair if it has its answer; with `wait`, wait for that (there must be one). NULL in *pair: not yet.
 * RK_GO_ON, or an exit code after a message. */
int rk_pairs_oldest(struct rk_pairs *pairs, bool wait, struct rk_pair **pair);

/** Done with the oldest pair. */
void rk_pairs_pop(struct rk_pairs *pairs);

/** End the workers, forget what is left. */
void rk_pairs_finish(struct rk_pairs *pairs);

#endif
