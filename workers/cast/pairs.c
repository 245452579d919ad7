/* SPDX-License-Identifier: MIT */
/* See pairs.h. */
#include "pairs.h"
#include "exit_codes.h"
#include "message.h"
#include "options.h"
#include "workers.h"
#include <errno.h>
#include <rask/rask.h>
#include <stdlib.h>
#include <string.h>

/* Memory for frames that wait, of all runners together, and how many places that makes for one: enough for a run and the frame
 * before it, and no more than are of use. */
#define PLACES_BYTES (128u << 20)
#define PLACES_MIN 4u
#define PLACES_MAX 32u
/* Longer runs: less is written twice. Shorter ones: all workers have something to do sooner. */
#define RUN_FRAMES_MAX 4u
#define BLOCK_FACTOR 4u /* from one class of blocks to the next */

int rk_pairs_init(struct rk_pairs *pairs, const struct rk_pairs_options *options)
{
    *pairs = (struct rk_pairs){.options = *options};
    pairs->runners = calloc(options->workers, sizeof(*pairs->runners));
    if (!pairs->runners) return -ENOMEM;
    int error = rk_meeting_init(&pairs->meeting);
    if (error < 0) free(pairs->runners);
    return error;
}

static uint32_t places_for(const struct rk_pairs *pairs, uint32_t width, uint32_t height)
{
    uint64_t block = RASK_BLOCK_BYTES_MIN;
    while (block < rk_frame_bytes(width, height)) block *= BLOCK_FACTOR;
    uint64_t places = PLACES_BYTES / block / pairs->options.workers;
    return (uint32_t)(places < PLACES_MIN ? PLACES_MIN : places > PLACES_MAX ? PLACES_MAX : places);
}

static int start_runners(struct rk_pairs *pairs, struct rask *session, struct rk_runner_options *options)
{
    struct rask *own = session;
    for (; pairs->started < pairs->options.workers; pairs->started++) {
        options->worker = pairs->started + 1;
        int error = pairs->started > 0 ? rask_clone(session, &own) : 0;
        if (error == 0) error = rk_runner_start(&pairs->runners[pairs->started], &pairs->meeting, own, options);
        if (error == 0) continue;
        int code = rk_fail(error);
        rask_close(own); /* NULL where there is none */
        return code;
    }
    return RK_GO_ON;
}

int rk_pairs_start(struct rk_pairs *pairs, uint32_t width, uint32_t height)
{
    struct rk_runner_options options = {.width = width,
                                        .height = height,
                                        .places = places_for(pairs, width, height),
                                        .timeout_ns = pairs->options.timeout_ns};
    struct rask *session = NULL;
    pairs->run_left = pairs->run_frames = options.places - 2 < RUN_FRAMES_MAX ? options.places - 2 : RUN_FRAMES_MAX;
    pairs->now = pairs->then = pairs->runners;
    pairs->capacity = (size_t)pairs->options.workers * options.places;
    pairs->queue = calloc(pairs->capacity, sizeof(*pairs->queue));
    if (!pairs->queue) return rk_fail(-ENOMEM);
    int code = rk_workers_start(&pairs->options, width, height, options.places, &session, &options.method);
    return code == RK_GO_ON ? start_runners(pairs, session, &options) : code;
}

static struct rk_pair *pair_at(struct rk_pairs *pairs, size_t index)
{
    return &pairs->queue[(pairs->first + index) % pairs->capacity];
}

/* The one with the least to do; the present one if it is among those, because then nothing is written twice. */
static struct rk_runner *least_loaded(struct rk_pairs *pairs)
{
    struct rk_runner *best = pairs->now;
    uint64_t least = rk_runner_load(best);
    for (uint32_t i = 0; i < pairs->started; i++) {
        uint64_t load = rk_runner_load(&pairs->runners[i]);
        if (load >= least) continue;
        best = &pairs->runners[i];
        least = load;
    }
    return best;
}

bool rk_pairs_full(struct rk_pairs *pairs)
{
    if (pairs->count == pairs->capacity || rk_runner_room(pairs->now) == 0) return true;
    pairs->then = pairs->run_left == 1 ? least_loaded(pairs) : pairs->now;
    return pairs->then != pairs->now && rk_runner_room(pairs->then) == 0;
}

void rk_pairs_place(struct rk_pairs *pairs, uint32_t *pixels[2])
{
    pixels[0] = rk_runner_take(pairs->now);
    pixels[1] = pairs->then != pairs->now ? rk_runner_take(pairs->then) : NULL;
}

void rk_pairs_submit(struct rk_pairs *pairs, const char *path, uint64_t at_ms)
{
    uint64_t number = pairs->frames++;
    struct rk_pair *pair = pair_at(pairs, pairs->count++);
    *pair = (struct rk_pair){.number = number, .at_ms = at_ms};
    rk_runner_submit(pairs->now, number, pair, number == 0, path);
    if (pairs->then != pairs->now) rk_runner_submit(pairs->then, number, NULL, true, path);
    if (--pairs->run_left == 0) pairs->run_left = pairs->run_frames;
    pairs->now = pairs->then;
}

static int failure(const struct rk_pairs *pairs)
{
    int code = pairs->meeting.code;
    if (code != RK_GO_ON) rk_complain("%s", pairs->meeting.failure);
    return code;
}

int rk_pairs_oldest(struct rk_pairs *pairs, bool wait, struct rk_pair **pair)
{
    *pair = NULL;
    for (;;) {
        int code = failure(pairs);
        if (code != RK_GO_ON || pairs->count == 0) return code;
        if (pair_at(pairs, 0)->answered) *pair = pair_at(pairs, 0);
        if (*pair || !wait) return code;
        rk_pairs_wait(pairs);
    }
}

void rk_pairs_pop(struct rk_pairs *pairs)
{
    rk_crops_finish(&pair_at(pairs, 0)->crops);
    pairs->first = (pairs->first + 1) % pairs->capacity;
    pairs->count--;
}

void rk_pairs_wait(struct rk_pairs *pairs)
{
    rk_meeting_wait(&pairs->meeting);
}

int rk_pairs_fd(const struct rk_pairs *pairs)
{
    return pairs->started > 0 ? pairs->meeting.bell : -1;
}

void rk_pairs_finish(struct rk_pairs *pairs)
{
    for (uint32_t i = 0; i < pairs->started; i++) rk_runner_stop(&pairs->runners[i]);
    while (pairs->count > 0) rk_pairs_pop(pairs);
    rk_meeting_finish(&pairs->meeting);
    free(pairs->queue);
    free(pairs->runners);
    *pairs = (struct rk_pairs){0};
}
