/* SPDX-License-Identifier: MIT */
/* svgcast-sample: makes the frames that svgcast is shown and tested with. The same options give the same files. Not installed. */
#include "exit_codes.h"
#include "options.h"
#include "png_file.h"
#include "scene.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char about[] =
    "Draws frames into FOLDER, which is made if it is not there: a window that moves, text that is typed, text that "
    "scrolls.\n"
    "Prints the path of each frame when it is complete, one per line, so that svgcast can take them as they come.\n";
static const char more[] = "example:\n"
                           "  svgcast-sample --frames 60 /tmp/frames | svgcast --interval 80 -o sample.svg\n";

static int parse_size(const char *text, int *width, int *height)
{
    char end;
    if (sscanf(text, "%dx%d%c", width, height, &end) == 2 && *width >= RK_SCENE_WIDTH_MIN &&
        *height >= RK_SCENE_HEIGHT_MIN && *width <= 8192 && *height <= 8192)
        return RK_GO_ON;
    return rk_usage_error("--size: \"%s\" is not a size: use WIDTHxHEIGHT, from %dx%d to 8192x8192", text,
                          RK_SCENE_WIDTH_MIN, RK_SCENE_HEIGHT_MIN);
}

static int write_file(const char *path, const struct rk_bytes *png)
{
    FILE *file = fopen(path, "we");
    if (!file) return -errno;
    size_t written = fwrite(png->data, 1, png->length, file);
    return fclose(file) == 0 && written == png->length ? 0 : -errno;
}

static int make_frame(const struct rk_canvas *canvas, const char *folder, unsigned index)
{
    char path[4096];
    struct rk_bytes png = {0};
    const struct rk_image image = {(uint32_t)canvas->width, (uint32_t)canvas->height, canvas->pixels};
    snprintf(path, sizeof(path), "%s/frame-%04u.png", folder, index);
    int error = rk_png_write(&image, (struct rk_rect){0, 0, image.width, image.height}, &png);
    if (error == 0) error = write_file(path, &png);
    rk_bytes_finish(&png);
    if (error == 0 && puts(path) != EOF && fflush(stdout) == 0) return RK_GO_ON;
    rk_complain("%s: %s", path, strerror(error < 0 ? -error : errno));
    return RK_EXIT_IO;
}

static int make_all(struct rk_canvas *canvas, const char *folder, unsigned count, bool grain)
{
    int code = RK_GO_ON;
    if (mkdir(folder, 0777) < 0 && errno != EEXIST) {
        rk_complain("%s: %s", folder, strerror(errno));
        return RK_EXIT_IO;
    }
    for (unsigned i = 0; code == RK_GO_ON && i < count; i++) {
        rk_scene_draw(canvas, i, count);
        if (grain) rk_scene_grain(canvas, i);
        code = make_frame(canvas, folder, i);
    }
    return code == RK_GO_ON ? RK_EXIT_OK : code;
}

int main(int argc, char **argv)
{
    const char *size = "360x220";
    uint64_t count = 60;
    bool grain = false;
    struct rk_canvas canvas = {0};
    const struct rk_option options[] = {
        {.name = "frames", .value = "N", .help = "how many (default 60)", .count = &count, .min = 1, .max = 10000},
        {.name = "size", .value = "WIDTHxHEIGHT", .help = "of each frame (default 360x220)", .text = &size},
        {.name = "grain", .help = "cover parts with noise, which is hard work for svgcast", .flag = &grain},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "svgcast-sample",
                                       .usage = "FOLDER",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 1,
                                       .is_program = true};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = parse_size(size, &canvas.width, &canvas.height);
    if (code != RK_GO_ON) return code;
    canvas.pixels = calloc((size_t)canvas.width * (size_t)canvas.height, sizeof(*canvas.pixels));
    if (!canvas.pixels) return RK_EXIT_UNAVAILABLE;
    code = make_all(&canvas, arguments.value[0], (unsigned)count, grain);
    free(canvas.pixels);
    return code;
}
