/* SPDX-License-Identifier: MIT */
/* svgcast: PNG frames in, one animated SVG out, the heavy work in workers. The command line; see cast.c for the work. */
#include "cast.h"
#include "cpus.h"
#include "exit_codes.h"
#include "options.h"
#include "patches.h"
#include "png_file.h"
#include <errno.h>
#include <limits.h>
#include <rask/limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_NS_DEFAULT 100000000u
#define TIMEOUT_NS_DEFAULT 60000000000u
#define WORKERS_DEFAULT_MAX 8u
#define NS_PER_MS 1000000u

static const char about[] =
    "Makes one animated SVG of PNG frames: the first frame as it is, then, at its time, every rectangle in which a "
    "frame\n"
    "differs from the one before. It has no scripts and plays wherever a browser shows a picture, in an img element "
    "too.\n"
    "Frames come from the command line, or from standard input, one path per line, as they appear; \"-\" among the\n"
    "arguments stands for standard input. Worker processes compare the frames, several pairs at once, and each has a "
    "thread\n"
    "here that encodes what changed; the result does not depend on how many there are.\n"
    "\n"
    "  svgcast --patches BEFORE.png AFTER.png\n"
    "\n"
    "prints the changed regions as JSON: an array of {\"x\",\"y\",\"width\",\"height\"}, before svgcast merges any.\n";
static const char more[] =
    "All frames have one size and no transparency. Playback starts with the first frame; frame n comes at n - 1 times "
    "the\n"
    "interval, or at its stamp: FILE has one line per frame, a whole number of milliseconds since the start, each "
    "larger\n"
    "than the one before. Frames that are like the one before add nothing. OUT.svg appears when it is complete; \"-\" "
    "is\n"
    "standard output. A duration is a number with ns, us, ms or s; a bare number means ms.\n"
    "\n"
    "exit codes:\n"
    "    0  OUT.svg is written                               74  OUT.svg or standard output cannot be written\n"
    "    1  the plugin answered with an error                76  the plugin or its supervisor is another version\n"
    "   64  bad usage                                        78  the plugin does not load\n"
    "   65  a frame or a stamp cannot be used; it is named  124  comparing two frames took too long\n"
    "   66  a file cannot be read, or is not PNG            125  a worker crashed, again and again\n"
    "   69  no workers can be had                           130  interrupted\n"
    "\n"
    "examples:\n"
    "  svgcast --interval 40 -o demo.svg frame-*.png\n"
    "  svgcast --stamps times.txt --workers 4 -o demo.svg frame-*.png\n"
    "  my-screen-grabber | svgcast -o live.svg            # prints the path of each frame when it is complete\n"
    "  svgcast --patches frame-0001.png frame-0002.png\n"
    "  awk 'NR == 1 {s = $1} {print $1 - s}' epoch.txt    # times of day to stamps that start at 0\n";

struct request {
    const char *out_path, *stamps_path, *plugin;
    uint64_t interval_ns, workers, timeout_ns;
    bool patches;
};

static void on_signal(int number)
{
    static const char text[] = "\nsvgcast: interrupted: nothing was written\n";
    (void)number;
    rk_out_interrupted();
    ssize_t ignored = write(STDERR_FILENO, text + !isatty(STDERR_FILENO), sizeof(text) - 1 - !isatty(STDERR_FILENO));
    (void)ignored;
    _exit(RK_EXIT_CANCELLED);
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, reported like any other */
}

/* ---- --patches ------------------------------------------------------------------------------------------------- */

static int read_image(const char *path, struct rk_image *image)
{
    struct rk_png_fault fault;
    int error = rk_png_read(path, UINT32_MAX, image, &fault);
    if (error == 0) return RK_GO_ON;
    rk_complain("%s: %s", path, fault.text);
    return error == -EFBIG ? RK_EXIT_BAD_DATA : RK_EXIT_NO_INPUT;
}

static int print_patches(const struct rk_image *before, const struct rk_image *after)
{
    struct rk_patches patches;
    if (rk_patches_find(before, after, &patches) < 0) {
        rk_complain("out of memory for the regions");
        return RK_EXIT_UNAVAILABLE;
    }
    putchar('[');
    for (uint32_t i = 0; i < patches.count; i++) {
        const struct rk_rect *rect = &patches.list[i];
        printf("%s{\"x\":%u,\"y\":%u,\"width\":%u,\"height\":%u}", i > 0 ? "," : "", rect->x, rect->y, rect->width,
               rect->height);
    }
    puts("]");
    rk_patches_finish(&patches);
    if (fflush(stdout) == 0 && !ferror(stdout)) return RK_EXIT_OK;
    rk_complain("standard output: %s", strerror(errno));
    return RK_EXIT_IO;
}

static int compare_two(const char *before_path, const char *after_path)
{
    struct rk_image before = {0}, after = {0};
    int code = read_image(before_path, &before);
    if (code == RK_GO_ON) code = read_image(after_path, &after);
    if (code == RK_GO_ON && (before.width != after.width || before.height != after.height)) {
        rk_complain("%s: it has %u x %u pixels, and %s has %u x %u: give frames of one size", after_path, after.width,
                    after.height, before_path, before.width, before.height);
        code = RK_EXIT_BAD_DATA;
    }
    if (code == RK_GO_ON) code = print_patches(&before, &after);
    rk_image_free(&before);
    rk_image_free(&after);
    return code;
}

/* ---- the command line ------------------------------------------------------------------------------------------ */

static int check(const struct request *request, const struct rk_arguments *arguments)
{
    bool casts =
        request->out_path || request->stamps_path || request->plugin || request->interval_ns || request->workers;
    if (request->patches && casts) return rk_usage_error("--patches goes with two frames and nothing else");
    if (request->patches) {
        if (arguments->count == 2) return RK_GO_ON;
        return rk_usage_error("--patches takes two frames, BEFORE.png and AFTER.png, not %d", arguments->count);
    }
    if (request->interval_ns && request->stamps_path)
        return rk_usage_error("--interval and --stamps exclude each other: both say when frames are shown");
    if (!request->out_path) return rk_usage_error("-o OUT.svg is missing: say where the animated picture goes");
    if (request->interval_ns % NS_PER_MS != 0) return rk_usage_error("--interval: use whole milliseconds");
    if (arguments->count == 0 && isatty(STDIN_FILENO))
        return rk_usage_error("there is no frame: name PNG files, or write their paths to standard input");
    return RK_GO_ON;
}

static int cast(const struct request *request, const struct rk_arguments *arguments)
{
    uint64_t usable = rk_cpus_usable();
    struct rk_paths paths;
    struct rk_stamps stamps = {.interval_ms =
                                   (request->interval_ns ? request->interval_ns : INTERVAL_NS_DEFAULT) / NS_PER_MS};
    const struct rk_cast_options options = {
        .out_path = request->out_path,
        .stamps = &stamps,
        .workers = {.plugin = request->plugin ? request->plugin : "svgcast",
                    .workers = (uint32_t)(request->workers               ? request->workers
                                          : usable < WORKERS_DEFAULT_MAX ? usable
                                                                         : WORKERS_DEFAULT_MAX),
                    .timeout_ns = request->timeout_ns},
    };
    int code = request->stamps_path ? rk_stamps_read(&stamps, request->stamps_path) : RK_GO_ON;
    rk_paths_init(&paths, arguments->value, (size_t)arguments->count);
    watch_signals();
    if (code == RK_GO_ON) code = rk_cast(&options, &paths);
    rk_paths_finish(&paths);
    rk_stamps_finish(&stamps);
    return code;
}

int main(int argc, char **argv)
{
    struct request request = {.timeout_ns = TIMEOUT_NS_DEFAULT};
    const struct rk_option options[] = {
        {.name = "output",
         .letter = 'o',
         .value = "OUT.svg",
         .help = "where the animated picture goes",
         .text = &request.out_path},
        {.name = "interval",
         .value = "MS",
         .help = "time from one frame to the next (default 100)",
         .duration_ns = &request.interval_ns,
         .min = NS_PER_MS},
        {.name = "stamps",
         .value = "FILE",
         .help = "times of the frames, one per line, in ms",
         .text = &request.stamps_path},
        {.name = "workers",
         .value = "N",
         .help = "processes that compare frames (default: one per processor, at most 8)",
         .count = &request.workers,
         .min = 1,
         .max = RASK_WORKERS_MAX},
        {.name = "plugin",
         .value = "P",
         .help = "what they run: a path or a name (default svgcast)",
         .text = &request.plugin},
        {.name = "timeout",
         .value = "DURATION",
         .help = "give up when two frames take longer (default 60s)",
         .duration_ns = &request.timeout_ns,
         .min = 1},
        {.name = "patches", .help = "print the changed regions of two frames as JSON", .flag = &request.patches},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "svgcast",
                                       .usage = "-o OUT.svg FRAME.png...",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_max = INT_MAX,
                                       .is_program = true};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = check(&request, &arguments);
    if (code != RK_GO_ON) return code;
    return request.patches ? compare_two(arguments.value[0], arguments.value[1]) : cast(&request, &arguments);
}
