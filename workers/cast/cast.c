/* SPDX-License-Identifier: MIT */
/* The loop of svgcast, the capturing thread: decode a frame right into the memory that a worker reads, hand it over, write what
 * has come back, in order. Blocks on the files, on standard input, and on the workers when all places are taken. */
#include "cast.h"
#include "cast_meter.h"
#include "exit_codes.h"
#include "message.h"
#include "options.h"
#include "png_file.h"
#include "svg.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct cast {
    const struct rk_cast_options *options;
    struct rk_pairs pairs;
    struct rk_out_file out;
    uint32_t width, height; /* of all frames; 0 before the first */
    size_t frames;          /* read so far */
};

/* A frame that is being read. */
struct reading {
    struct cast *cast;
    const char *path;
    int code; /* why there is no room for it */
    const uint32_t *pixels;
};

static int out_failed(const struct cast *cast, int error)
{
    rk_complain("%s: %s", cast->options->out_path, strerror(-error));
    return RK_EXIT_IO;
}

/* A picture can only be laid over another exactly if nothing shines through. */
static int check_opaque(const char *path, const struct rk_image *image)
{
    uint64_t count = rk_image_pixels(image);
    for (uint64_t i = 0; i < count; i++) {
        if (((const uint8_t *)&image->pixels[i])[3] == 0xff) continue;
        rk_complain("%s: the pixel at %" PRIu64 ",%" PRIu64
                    " is transparent, and what lies below would shine through: give frames without transparency",
                    path, i % image->width, i / image->width);
        return RK_EXIT_BAD_DATA;
    }
    return RK_GO_ON;
}

static int check_size(const struct cast *cast, const char *path, uint32_t width, uint32_t height)
{
    if (width == cast->width && height == cast->height) return RK_GO_ON;
    rk_complain("%s: it has %u x %u pixels, and the frames before it have %u x %u: give frames of one size", path,
                width, height, cast->width, cast->height);
    return RK_EXIT_BAD_DATA;
}

/* The first frame adds one picture, the whole; the others, what changed. */
static int write_pair(struct cast *cast, const struct rk_pair *pair)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < pair->crops.count; i++) {
        const struct rk_crop *crop = &pair->crops.list[i];
        if (pair->number == 0) {
            error = rk_svg_begin(cast->out.file, cast->width, cast->height, crop->png.data, crop->png.length);
        } else {
            error = rk_svg_region(cast->out.file, pair->at_ms, crop->rect, crop->png.data, crop->png.length);
        }
    }
    return error < 0 ? out_failed(cast, error) : RK_GO_ON;
}

/* Write what has come back. With `wait`, at least one pair. */
static int write_some(struct cast *cast, bool wait)
{
    for (;; wait = false) {
        struct rk_pair *pair;
        int code = rk_pairs_oldest(&cast->pairs, wait, &pair);
        if (code != RK_GO_ON || !pair) return code;
        code = write_pair(cast, pair);
        rk_pairs_pop(&cast->pairs);
        rk_cast_meter_show(cast->frames - cast->pairs.count, cast->pairs.count);
        if (code != RK_GO_ON) return code;
    }
}

/* Wait until there is a place for one more frame. */
static int await_place(struct cast *cast)
{
    for (;;) {
        int code = write_some(cast, false);
        if (code != RK_GO_ON || !rk_pairs_full(&cast->pairs)) return code;
        rk_pairs_wait(&cast->pairs);
    }
}

static int find_room(void *user, uint32_t width, uint32_t height, uint32_t *pixels[2])
{
    struct reading *reading = user;
    struct cast *cast = reading->cast;
    if (cast->frames == 0) {
        cast->width = width;
        cast->height = height;
        reading->code = rk_pairs_start(&cast->pairs, width, height);
    } else {
        reading->code = check_size(cast, reading->path, width, height);
    }
    if (reading->code == RK_GO_ON) reading->code = await_place(cast);
    if (reading->code != RK_GO_ON) return -ECANCELED;
    rk_pairs_place(&cast->pairs, pixels);
    reading->pixels = pixels[0];
    return 0;
}

static int read_frame(struct cast *cast, const char *path)
{
    struct rk_png_fault fault;
    struct reading reading = {.cast = cast, .path = path, .code = RK_GO_ON};
    const struct rk_png_room room = {.find = find_room, .user = &reading};
    int error = rk_png_read_into(path, RK_FRAME_PIXELS_MAX, &room, &fault);
    if (reading.code != RK_GO_ON) return reading.code;
    if (error < 0) {
        rk_complain("%s: %s", path, fault.text);
        return error == -EFBIG ? RK_EXIT_BAD_DATA : RK_EXIT_NO_INPUT;
    }
    return check_opaque(path, &(struct rk_image){cast->width, cast->height, reading.pixels});
}

static int add_frame(struct cast *cast, const char *path)
{
    uint64_t at_ms;
    int code = rk_stamps_at(cast->options->stamps, cast->frames, path, &at_ms);
    if (code == RK_GO_ON) code = read_frame(cast, path);
    if (code != RK_GO_ON) return code;
    rk_pairs_submit(&cast->pairs, path, at_ms);
    cast->frames++;
    rk_cast_meter_show(cast->frames - cast->pairs.count, cast->pairs.count);
    return write_some(cast, false);
}

/* No path is there yet: until there is one, write what comes back. */
static int await_path(struct cast *cast, struct rk_paths *paths)
{
    struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = rk_pairs_fd(&cast->pairs), .events = POLLIN}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR)
        ready[0].revents = POLLIN; /* then it is read without waiting for both */
    if (ready[1].revents) {
        rk_pairs_wait(&cast->pairs); /* it has rung already */
        return write_some(cast, false);
    }
    if (!ready[0].revents) return RK_GO_ON;
    int error = rk_paths_read(paths);
    if (error == 0) return RK_GO_ON;
    rk_complain("standard input: %s", strerror(-error));
    return RK_EXIT_IO;
}

static int add_all(struct cast *cast, struct rk_paths *paths)
{
    const char *path;
    int found, code = RK_GO_ON;
    while ((found = rk_paths_next(paths, &path)) != 0) {
        code = found > 0 ? add_frame(cast, path) : await_path(cast, paths);
        if (code != RK_GO_ON) return code;
    }
    if (cast->frames > 0) return rk_stamps_end(cast->options->stamps, cast->frames);
    return rk_usage_error("there is no frame: name PNG files, or write their paths to standard input, one per line");
}

static int end(struct cast *cast)
{
    int code = RK_GO_ON;
    while (code == RK_GO_ON && cast->pairs.count > 0) code = write_some(cast, true);
    if (code != RK_GO_ON) return code;
    int error = rk_svg_end(cast->out.file);
    if (error == 0) error = rk_out_commit(&cast->out);
    return error < 0 ? out_failed(cast, error) : RK_EXIT_OK;
}

int rk_cast(const struct rk_cast_options *options, struct rk_paths *paths)
{
    struct cast cast = {.options = options};
    int error = rk_out_open(&cast.out, options->out_path);
    if (error < 0) return out_failed(&cast, error);
    rk_cast_meter_start(rk_paths_total(paths));
    error = rk_pairs_init(&cast.pairs, &options->workers);
    int code = error < 0 ? rk_fail(error) : add_all(&cast, paths);
    if (code == RK_GO_ON) code = end(&cast);
    rk_cast_meter_clear();
    rk_out_abandon(&cast.out);
    if (error == 0) rk_pairs_finish(&cast.pairs);
    return code;
}
