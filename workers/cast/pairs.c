/* SPDX-License-Identifier: MIT */
/* See pairs.h. One session with a private supervisor. A pair whose worker dies is sent again: comparing is a pure function, so
 * that does no harm; one that kills several is given up. */
#include "pairs.h"
#include "clock.h"
#include "exit_codes.h"
#include "message.h"
#include "options.h"
#include "workers.h"
#include <errno.h>
#include <rask/rask.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every worker has a pair, and two more wait, so that no worker waits for the next file. */
#define PAIRS_AHEAD 2u
#define ATTEMPTS_MAX 3u
#define TAKEN_AT_ONCE 16u

struct rk_frame *rk_frame_create(const char *path, struct rk_image *image, uint64_t at_ms)
{
    size_t length = strlen(path);
    struct rk_frame *frame = malloc(sizeof(*frame) + length + 1);
    if (!frame) return NULL;
    *frame = (struct rk_frame){.image = *image, .at_ms = at_ms, .users = 1};
    memcpy(frame->path, path, length + 1);
    *image = (struct rk_image){0};
    return frame;
}

struct rk_frame *rk_frame_use(struct rk_frame *frame)
{
    frame->users++;
    return frame;
}

void rk_frame_drop(struct rk_frame *frame)
{
    if (!frame || --frame->users > 0) return;
    rk_image_free(&frame->image);
    free(frame);
}

int rk_pairs_init(struct rk_pairs *pairs, const struct rk_pairs_options *options)
{
    *pairs = (struct rk_pairs){.options = *options, .capacity = options->workers + PAIRS_AHEAD};
    pairs->queue = calloc(pairs->capacity, sizeof(*pairs->queue));
    return pairs->queue ? 0 : -ENOMEM;
}

bool rk_pairs_full(const struct rk_pairs *pairs)
{
    return pairs->count == pairs->capacity;
}

static struct rk_pair *pair_at(struct rk_pairs *pairs, size_t index)
{
    return &pairs->queue[(pairs->first + index) % pairs->capacity];
}

/* How a pair failed, for people. */
static int fail_pair(const struct rk_pairs *pairs, const struct rk_pair *pair, const struct rask_completion *done)
{
    char more[320] = "";
    if (done->status == RASK_HANDLER_ERROR) {
        snprintf(more, sizeof(more), " (code %d)", (int)done->code);
    } else if (done->status == RASK_CRASHED) {
        char text[64];
        const char *file = rask_crash_file(pairs->session);
        snprintf(more, sizeof(more), " (%s, %u times)%s%s", rk_signal_text(done->code, text, sizeof(text)),
                 pair->attempts, *file ? "; to see where: rask replay --gdb " : "", file);
    } else if (done->status == RASK_TIMEOUT || done->status == RASK_EXPIRED || done->status == RASK_ABORTED) {
        snprintf(more, sizeof(more), "; --timeout gives it longer");
    }
    rk_complain("%s: comparing it with the frame before it failed: %s%s", pair->after->path,
                rask_status_text(done->status), more);
    return rk_exit_from_status(done->status);
}

static int take_some(struct rk_pairs *pairs, bool wait);

/* Room for a request, waiting for it if others are on their way. */
static int reserve(struct rk_pairs *pairs, size_t bytes, struct rask_request *request)
{
    for (;;) {
        int error = rask_reserve(pairs->session, bytes, request);
        if (error == 0) return RK_GO_ON;
        if (error != -EAGAIN || rask_pending(pairs->session) == 0) return rk_fail(error);
        int code = take_some(pairs, true);
        if (code != RK_GO_ON) return code;
    }
}

static int submit(struct rk_pairs *pairs, struct rk_pair *pair)
{
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    struct rask_request request;
    const struct rk_image *image = &pair->after->image;
    size_t bytes = rk_pair_bytes(image->width, image->height);
    int code = reserve(pairs, bytes, &request);
    if (code != RK_GO_ON) return code;
    rk_pair_put(request.data, &pair->before->image, image);
    if (pairs->options.timeout_ns > 0) options.deadline_ns = rk_deadline_after(pairs->options.timeout_ns);
    pair->ticket = request.ticket;
    pair->attempts++;
    int error = rask_submit(pairs->session, &request, pairs->method, bytes, &options);
    return error < 0 ? rk_fail(error) : RK_GO_ON;
}

/* An answer came. It holds the crops until its pair is popped. */
static int settle(struct rk_pairs *pairs, struct rk_pair *pair, struct rask_completion *done)
{
    if (done->status == RASK_CRASHED && pair->attempts < ATTEMPTS_MAX) {
        rask_release(pairs->session, done);
        return submit(pairs, pair);
    }
    pair->answered = true;
    pair->answer.completion = *done;
    if (done->status != RASK_OK) return fail_pair(pairs, pair, done);
    const struct rk_image *image = &pair->after->image;
    int error = rk_answer_get(done->data, done->length, image->width, image->height, &pair->answer.regions);
    if (error == 0) return RK_GO_ON;
    rk_complain(
        "%s: the plugin answered with something that is no list of regions: use the plugin svgcast of this version",
        pair->after->path);
    return RK_EXIT_PROTOCOL;
}

static struct rk_pair *find(struct rk_pairs *pairs, uint64_t ticket)
{
    for (size_t i = 0; i < pairs->count; i++) {
        struct rk_pair *pair = pair_at(pairs, i);
        if (pair->ticket == ticket && !pair->answered) return pair;
    }
    return NULL;
}

static int take_some(struct rk_pairs *pairs, bool wait)
{
    struct rask_completion done[TAKEN_AT_ONCE];
    int count =
        wait ? rask_wait_any(pairs->session, done, TAKEN_AT_ONCE, 0) : rask_poll(pairs->session, done, TAKEN_AT_ONCE);
    if (count < 0) return rk_fail(count);
    int code = RK_GO_ON;
    for (int i = 0; i < count; i++) {
        struct rk_pair *pair = find(pairs, done[i].ticket);
        if (pair && code == RK_GO_ON) {
            code = settle(pairs, pair, &done[i]);
        } else {
            rask_release(pairs->session, &done[i]); /* after a failure nobody wants it */
        }
    }
    return code;
}

int rk_pairs_add(struct rk_pairs *pairs, struct rk_frame *before, struct rk_frame *after)
{
    if (!pairs->session) {
        int code = rk_workers_start(&pairs->options, &after->image, pairs->capacity, &pairs->session, &pairs->method);
        if (code != RK_GO_ON) return code;
    }
    struct rk_pair *pair = pair_at(pairs, pairs->count++);
    *pair = (struct rk_pair){.before = rk_frame_use(before), .after = rk_frame_use(after)};
    return submit(pairs, pair);
}

int rk_pairs_oldest(struct rk_pairs *pairs, bool wait, struct rk_pair **pair)
{
    *pair = NULL;
    if (pairs->count == 0) return RK_GO_ON;
    struct rk_pair *oldest = pair_at(pairs, 0);
    int code = oldest->answered ? RK_GO_ON : take_some(pairs, false);
    while (code == RK_GO_ON && wait && !oldest->answered) code = take_some(pairs, true);
    if (code == RK_GO_ON && oldest->answered) *pair = oldest;
    return code;
}

void rk_pairs_pop(struct rk_pairs *pairs)
{
    struct rk_pair *pair = pair_at(pairs, 0);
    free(pair->answer.regions.list);
    rask_release(pairs->session, &pair->answer.completion);
    rk_frame_drop(pair->before);
    rk_frame_drop(pair->after);
    pairs->first = (pairs->first + 1) % pairs->capacity;
    pairs->count--;
}

void rk_pairs_finish(struct rk_pairs *pairs)
{
    while (pairs->count > 0) rk_pairs_pop(pairs);
    rask_close(pairs->session);
    free(pairs->queue);
    *pairs = (struct rk_pairs){0};
}
