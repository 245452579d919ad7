/* SPDX-License-Identifier: MIT */
/* See runner.h. Blocks on the worker. A frame whose worker dies is sent to another: comparing is a pure function, so that does
 * no harm; one that kills several is given up. */
#include "runner.h"
#include "base64.h"
#include "clock.h"
#include "exit_codes.h"
#include "message.h"
#include "options.h"
#include <errno.h>
#include <poll.h>
#include <rask/lease.h>
#include <rask/rask.h>
#include <rask/upcall.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS_MAX 3u
/* Longest wait before it looks whether there is something else to do. */
#define SLICE_NS 20000000u
/* How often an idle runner looks for a frame, and for how many looks, before it sleeps until it is woken. */
#define LOOK_NS 1000000
#define LOOKS 250u
/* A worker asks for 31 at most: five regions, and 26 sets of two or more. */
#define CROPS_MAX 64u

/* ---- where runners and the capturing thread meet --------------------------------------------------------------- */

int rk_meeting_init(struct rk_meeting *meeting)
{
    *meeting = (struct rk_meeting){.code = RK_GO_ON, .bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (meeting->bell < 0) return -errno;
    pthread_mutex_init(&meeting->lock, NULL);
    return 0;
}

void rk_meeting_finish(struct rk_meeting *meeting)
{
    pthread_mutex_destroy(&meeting->lock);
    close(meeting->bell);
}

void rk_meeting_wait(struct rk_meeting *meeting)
{
    struct pollfd rung = {.fd = meeting->bell, .events = POLLIN};
    eventfd_t count;
    if (poll(&rung, 1, -1) > 0) eventfd_read(meeting->bell, &count);
}

static void ring(int bell)
{
    eventfd_write(bell, 1);
}

/* The first failure is the one that is told. Returns its code. */
__attribute__((format(printf, 3, 4))) static int fail(struct rk_meeting *meeting, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&meeting->lock);
    if (meeting->code == RK_GO_ON) {
        vsnprintf(meeting->failure, sizeof(meeting->failure), format, arguments);
        meeting->code = code;
    }
    pthread_mutex_unlock(&meeting->lock);
    va_end(arguments);
    ring(meeting->bell);
    return meeting->code;
}

static int fail_rask(const struct rk_runner *runner, int error)
{
    return fail(runner->meeting, rk_exit_from_errno(error), "%s", rk_errno_text(error));
}

/* ---- places ---------------------------------------------------------------------------------------------------- */

static struct rk_place *place_at(const struct rk_runner *runner, uint64_t at)
{
    return &runner->places[at % runner->options.places];
}

static struct rk_image image_of(const struct rk_runner *runner, const struct rk_place *place)
{
    return (struct rk_image){runner->options.width, runner->options.height, rk_frame_pixels(place->held.data)};
}

uint64_t rk_runner_load(struct rk_runner *runner)
{
    return runner->taken - runner->freed;
}

uint32_t rk_runner_room(struct rk_runner *runner)
{
    return (uint32_t)(runner->ready - rk_runner_load(runner));
}

uint32_t *rk_runner_take(struct rk_runner *runner)
{
    return rk_frame_pixels(place_at(runner, runner->taken++)->held.data);
}

/* It looks again after it has said that it sleeps, so one of the two sees the other. */
static void wake(struct rk_runner *runner)
{
    if (!runner->sleeps) return;
    runner->sleeps = false; /* one ring too many does no harm */
    ring(runner->bell);
}

void rk_runner_submit(struct rk_runner *runner, uint64_t number, struct rk_pair *pair, bool begins, const char *path)
{
    struct rk_place *place = place_at(runner, runner->taken - 1);
    struct rk_frame_header header = {
        .width = runner->options.width, .height = runner->options.height, .number = number, .begins = begins};
    snprintf(place->path, sizeof(place->path), "%s", path);
    place->pair = pair;
    place->attempts = 0;
    place->answered = false;
    memcpy(place->held.data, &header, sizeof(header));
    runner->submitted = runner->taken;
    wake(runner);
}

/* The memory of all places, before the first frame: so capturing never waits for memory to be made. */
static int make_places(struct rk_runner *runner)
{
    size_t bytes = rk_frame_bytes(runner->options.width, runner->options.height);
    for (uint32_t i = 0; i < runner->options.places; i++) {
        int error = rask_reserve(runner->session, bytes, &runner->places[i].held);
        if (error < 0) return fail_rask(runner, error);
        runner->ready++;
        ring(runner->meeting->bell);
    }
    return RK_GO_ON;
}

/* The oldest frames that nobody needs any more: their successors were answered, and no worker has them. */
static void free_places(struct rk_runner *runner)
{
    uint64_t freed = runner->freed; /* only this thread changes it */
    while (freed + 1 < runner->next && !rask_leased(runner->session, place_at(runner, freed)->ticket)) freed++;
    if (freed == runner->freed) return;
    runner->freed = freed;
    ring(runner->meeting->bell);
}

static void on_lease_end(struct rask *session, const struct rask_lease_event *event, void *user)
{
    (void)session, (void)event; /* which one it was rask_leased() knows */
    free_places(user);
}

/* ---- crops ----------------------------------------------------------------------------------------------------- */

/* The worker asks how large a crop is; it stays here until the worker has chosen. */
static int crop(struct rask_upcall *upcall, void *user)
{
    struct rk_runner *runner = user;
    struct rk_crop_request request;
    uint64_t at = upcall->user_data;
    if (upcall->request_bytes != sizeof(request) || at < runner->next || at >= runner->sent) return EBADMSG;
    memcpy(&request, upcall->request, sizeof(request));
    struct rk_image image = image_of(runner, place_at(runner, at));
    if (!rk_rect_fits(&request.rect, image.width, image.height)) return ERANGE;
    if (runner->crops_of != at) rk_crops_finish(&runner->crops);
    runner->crops_of = at;
    if (runner->crops.count >= CROPS_MAX) return ENOSPC;
    const struct rk_crop *made = rk_crops_get(&runner->crops, &image, request.rect);
    uint64_t *bytes = made ? rask_upcall_reserve(upcall, sizeof(*bytes)) : NULL;
    if (!bytes) return ENOMEM;
    *bytes = rk_base64_bytes(made->png.length);
    return rask_upcall_reply(upcall, sizeof(*bytes));
}

/* What changed is known: cut it out. */
static int cut(struct rk_runner *runner, uint64_t at, const struct rk_patches *patches)
{
    struct rk_image image = image_of(runner, place_at(runner, at));
    struct rk_crops *crops = &place_at(runner, at)->pair->crops;
    int error = 0;
    if (runner->crops_of != at) rk_crops_finish(&runner->crops);
    for (uint32_t i = 0; error == 0 && i < patches->count; i++)
        error = rk_crops_move(crops, &runner->crops, &image, patches->list[i]);
    rk_crops_finish(&runner->crops);
    return error;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

/* How a frame failed, for people. */
static int fail_frame(const struct rk_runner *runner, const struct rk_place *place, uint32_t status,
                      int32_t status_code)
{
    char more[400] = "";
    if (status == RASK_HANDLER_ERROR) {
        snprintf(more, sizeof(more), " (code %d)", (int)status_code);
    } else if (status == RASK_CRASHED) {
        char text[64];
        const char *file = rask_crash_file(runner->session);
        snprintf(more, sizeof(more), " (%s, %u times)%s%s", rk_signal_text(status_code, text, sizeof(text)),
                 place->attempts, *file ? "; to see where: rask replay --gdb " : "", file);
    } else if (status == RASK_TIMEOUT) {
        snprintf(more, sizeof(more), "; --timeout gives it longer");
    }
    return fail(runner->meeting, rk_exit_from_status(status), "%s: comparing it with the frame before it failed: %s%s",
                place->path, rask_status_text(status), more);
}

static int fail_memory(const struct rk_runner *runner, const struct rk_place *place)
{
    return fail(runner->meeting, RK_EXIT_UNAVAILABLE, "%s: out of memory for what changed in it", place->path);
}

/* The frame's pair is complete. */
static void hand_over(struct rk_runner *runner, struct rk_place *place)
{
    place->answered = true;
    if (!place->pair) return;
    place->pair->answered = true;
    ring(runner->meeting->bell);
}

static int settle(struct rk_runner *runner, uint64_t at, const struct rask_completion *answer)
{
    struct rk_place *place = place_at(runner, at);
    struct rk_rect all = {0, 0, runner->options.width, runner->options.height};
    struct rk_patches patches, whole = {&all, 1};
    if (answer->status != RASK_OK) return fail_frame(runner, place, answer->status, answer->code);
    int error = rk_answer_get(answer->data, answer->length, all.width, all.height, &patches);
    bool first = place->pair && place->pair->number == 0;
    if (error == 0 && patches.count > 0 && (first || !place->pair)) error = -EBADMSG; /* compared with what? */
    if (error == 0 && place->pair) error = cut(runner, at, first ? &whole : &patches);
    rk_patches_finish(&patches);
    if (error == -EBADMSG)
        return fail(runner->meeting, RK_EXIT_PROTOCOL,
                    "%s: the plugin answered with something that is no list of regions: use the plugin svgcast of "
                    "this version",
                    place->path);
    if (error < 0) return fail_memory(runner, place);
    hand_over(runner, place);
    return RK_GO_ON;
}

static int on_answer(struct rk_runner *runner, struct rask_completion *answer)
{
    uint64_t at = runner->next;
    int code = RK_GO_ON;
    if (!place_at(runner, at)->answered)
        code = settle(runner, at, answer); /* else it was sent again for the next one's sake */
    rask_release(runner->session, answer);
    if (code != RK_GO_ON) return code;
    runner->next++;
    runner->progress_ns = rask_now_ns();
    rask_poll(runner->session, NULL, 0); /* the watermark that came with the answer: see on_lease_end() */
    free_places(runner);
    return code;
}

/* ---- the stream ------------------------------------------------------------------------------------------------ */

static int open_stream(struct rk_runner *runner)
{
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    options.policy = RASK_STREAM_FAIL;
    options.worker = runner->options.worker;
    options.queue_bytes_max = UINT64_MAX / 2; /* the places are the limit */
    int error = rask_stream_open(runner->session, runner->options.method, &options, &runner->stream);
    return error < 0 ? fail_rask(runner, error) : RK_GO_ON;
}

/* Its worker is dead: what it had not answered goes to another, with the frame before that. */
static int start_again(struct rk_runner *runner)
{
    struct rask_stream_state state = {.size = sizeof(state)};
    rask_stream_state(runner->stream, &state);
    rask_stream_close(runner->stream);
    runner->stream = NULL;
    free_places(runner); /* nothing is leased now */
    runner->sent = runner->next = runner->freed;
    uint64_t at = runner->freed;
    while (place_at(runner, at)->answered) at++;
    struct rk_place *guilty = place_at(runner, at);
    if (state.status == RASK_CRASHED && ++guilty->attempts < ATTEMPTS_MAX) return RK_GO_ON;
    return fail_frame(runner, guilty, state.status, state.code);
}

static int send(struct rk_runner *runner, uint64_t submitted)
{
    size_t bytes = rk_frame_bytes(runner->options.width, runner->options.height);
    if (runner->next == runner->sent) runner->progress_ns = rask_now_ns();
    while (runner->sent < submitted) {
        struct rk_place *place = place_at(runner, runner->sent);
        struct rask_request item;
        int code = runner->stream ? RK_GO_ON : open_stream(runner);
        if (code != RK_GO_ON) return code;
        int error = rask_stream_reserve_same(runner->stream, &place->held, 0, &item);
        if (error == 0) {
            item.user_data = runner->sent;
            place->ticket = item.ticket;
            error = rask_stream_submit(runner->stream, &item, bytes);
        }
        if (error == -EPIPE) return RK_GO_ON; /* it has ended: take_answer() sees why */
        if (error < 0) return fail_rask(runner, error);
        runner->sent++;
    }
    return RK_GO_ON;
}

/* Wait for an answer, for a while. Upcalls run here. */
static int take_answer(struct rk_runner *runner)
{
    struct rask_completion answer;
    uint64_t timeout_ns = runner->options.timeout_ns;
    int count = rask_stream_wait(runner->stream, &answer, 1, rk_deadline_after(SLICE_NS));
    if (count == 1) return on_answer(runner, &answer);
    if (count == 0) return start_again(runner);
    if (count != -ETIMEDOUT) return fail_rask(runner, count);
    if (timeout_ns == 0 || rask_now_ns() - runner->progress_ns < timeout_ns) return RK_GO_ON;
    return fail_frame(runner, place_at(runner, runner->next), RASK_TIMEOUT, 0);
}

static bool has_work(const struct rk_runner *runner)
{
    return runner->stop || runner->submitted != runner->next;
}

/* Sleep until there is something to do. False: stop. While frames come it looks by itself every millisecond, so that nobody has to
 * wake it. */
static bool await_work(struct rk_runner *runner)
{
    static const struct timespec pause = {.tv_nsec = LOOK_NS};
    eventfd_t count;
    for (uint32_t looks = 0; looks < LOOKS && !has_work(runner); looks++) nanosleep(&pause, NULL);
    while (!has_work(runner)) {
        runner->sleeps = true;
        if (!has_work(runner)) eventfd_read(runner->bell, &count);
        runner->sleeps = false;
    }
    return !runner->stop;
}

static void *run(void *user)
{
    struct rk_runner *runner = user;
    static const struct sched_param none;
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none); /* without it, it only stutters sometimes */
    int code = make_places(runner);
    while (code == RK_GO_ON && await_work(runner)) {
        code = send(runner, runner->submitted);
        if (code == RK_GO_ON) code = take_answer(runner);
    }
    return NULL;
}

/* ---- its life -------------------------------------------------------------------------------------------------- */

int rk_runner_start(struct rk_runner *runner, struct rk_meeting *meeting, struct rask *session,
                    const struct rk_runner_options *options)
{
    *runner = (struct rk_runner){.meeting = meeting, .options = *options, .session = session};
    runner->places = calloc(options->places, sizeof(*runner->places));
    if (!runner->places) return -ENOMEM;
    runner->bell = eventfd(0, EFD_CLOEXEC);
    int error = runner->bell < 0 ? -errno : rask_on_upcall(session, RK_CROP_UPCALL, crop, runner);
    if (error == 0) error = rask_on_lease_end(session, on_lease_end, runner);
    if (error == 0) error = -pthread_create(&runner->thread, NULL, run, runner);
    if (error == 0) return 0;
    if (runner->bell >= 0) close(runner->bell);
    free(runner->places);
    return error;
}

void rk_runner_stop(struct rk_runner *runner)
{
    runner->stop = true;
    wake(runner);
    pthread_join(runner->thread, NULL);
    close(runner->bell);
    rask_stream_close(runner->stream);
    rk_crops_finish(&runner->crops);
    free(runner->places);
    rask_close(runner->session);
}
