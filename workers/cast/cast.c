/* SPDX-License-Identifier: MIT */
/* The loop of svgcast: read a frame, give it to the workers together with the one before, write what has come back, in order.
 * Blocks on the files, on standard input, and on the workers when enough is on its way. */
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
    struct rk_frame *last; /* the newest frame */
    size_t frames;         /* read so far */
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

static int check_size(const struct cast *cast, const char *path, const struct rk_image *image)
{
    const struct rk_image *first = &cast->last->image;
    if (image->width == first->width && image->height == first->height) return RK_GO_ON;
    rk_complain("%s: it has %u x %u pixels, and the frames before it have %u x %u: give frames of one size", path,
                image->width, image->height, first->width, first->height);
    return RK_EXIT_BAD_DATA;
}

static int read_image(const struct cast *cast, const char *path, struct rk_image *image)
{
    struct rk_png_fault fault;
    int error = rk_png_read(path, RK_PAIR_PIXELS_MAX, image, &fault);
    if (error < 0) {
        rk_complain("%s: %s", path, fault.text);
        return error == -EFBIG ? RK_EXIT_BAD_DATA : RK_EXIT_NO_INPUT;
    }
    int code = cast->last ? check_size(cast, path, image) : RK_GO_ON;
    return code == RK_GO_ON ? check_opaque(path, image) : code;
}

static int read_frame(const struct cast *cast, const char *path, struct rk_frame **frame)
{
    uint64_t at_ms;
    struct rk_image image = {0};
    int code = rk_stamps_at(cast->options->stamps, cast->frames, path, &at_ms);
    if (code == RK_GO_ON) code = read_image(cast, path, &image);
    if (code == RK_GO_ON) {
        *frame = rk_frame_create(path, &image, at_ms);
        if (!*frame) {
            rk_complain("%s: out of memory", path);
            code = RK_EXIT_UNAVAILABLE;
        }
    }
    rk_image_free(&image);
    return code;
}

static int write_pair(struct cast *cast, const struct rk_pair *pair)
{
    const struct rk_regions *regions = &pair->answer.regions;
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < regions->count; i++) {
        const struct rk_region *region = &regions->list[i];
        error = rk_svg_region(cast->out.file, pair->after->at_ms, region->rect, region->crop.data, region->crop.bytes);
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

static int begin(struct cast *cast, const struct rk_image *image)
{
    struct rk_bytes png = {0};
    const struct rk_rect all = {0, 0, image->width, image->height};
    if (rk_png_write(image, all, &png) < 0) {
        rk_complain("out of memory for the first frame");
        rk_bytes_finish(&png);
        return RK_EXIT_UNAVAILABLE;
    }
    int error = rk_svg_begin(cast->out.file, image->width, image->height, png.data, png.length);
    rk_bytes_finish(&png);
    return error < 0 ? out_failed(cast, error) : RK_GO_ON;
}

static bool is_same(const struct rk_image *a, const struct rk_image *b)
{
    return memcmp(a->pixels, b->pixels, rk_image_pixels(a) * sizeof(*a->pixels)) == 0;
}

/* A frame that is like the one before adds nothing. */
static int compare(struct cast *cast, struct rk_frame *frame)
{
    if (is_same(&cast->last->image, &frame->image)) return RK_GO_ON;
    int code = rk_pairs_full(&cast->pairs) ? write_some(cast, true) : RK_GO_ON;
    return code == RK_GO_ON ? rk_pairs_add(&cast->pairs, cast->last, frame) : code;
}

static int add_frame(struct cast *cast, const char *path)
{
    struct rk_frame *frame = NULL;
    int code = read_frame(cast, path, &frame);
    if (code != RK_GO_ON) return code;
    code = cast->last ? compare(cast, frame) : begin(cast, &frame->image);
    rk_frame_drop(cast->last);
    cast->last = frame;
    cast->frames++;
    rk_cast_meter_show(cast->frames - cast->pairs.count, cast->pairs.count);
    return code == RK_GO_ON ? write_some(cast, false) : code;
}

/* No path is there yet: until there is one, write what comes back. */
static int await_path(struct cast *cast, struct rk_paths *paths)
{
    struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (cast->pairs.count > 0) {
        ready[1].fd = rask_fd(cast->pairs.session);
        if (ready[1].fd < 0) return rk_fail(ready[1].fd);
    }
    if (poll(ready, 2, -1) < 0 && errno != EINTR)
        ready[0].revents = POLLIN; /* then it is read without waiting for both */
    if (ready[1].revents) return write_some(cast, false);
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
    rk_frame_drop(cast.last);
    rk_pairs_finish(&cast.pairs);
    return code;
}
