/* SPDX-License-Identifier: MIT */
/* The whole of svgcast: frames in, a picture out that plays back exactly, the same with every number of workers; and every
 * fault is an error that names the frame and leaves no file behind. */
#include "png_file.h"
#include "svgcast_kit.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cast_folder folder;
static struct svg_play play;

static int set_up(void **state)
{
    cast_folder_make(&folder);
    return kit_set_up(state);
}

static int tear_down(void **state)
{
    cast_folder_remove(&folder);
    return kit_tear_down(state);
}

/* The picture shows each frame from its time on. `times` NULL: every 100 ms. */
static void expect_playback(const char *path, const uint64_t *times)
{
    svg_open(&play, path, folder.scratch);
    uint32_t *shown = malloc((size_t)play.width * play.height * sizeof(*shown));
    assert_non_null(shown);
    for (unsigned i = 0; i < folder.count; i++) {
        struct rk_image wanted;
        struct rk_png_fault fault;
        uint64_t from_ms = times ? times[i] : i * 100,
                 until_ms = times && i + 1 < folder.count ? times[i + 1] : from_ms + 100;
        assert_int_equal(rk_png_read(folder.frames[i], UINT32_MAX, &wanted, &fault), 0);
        assert_int_equal(wanted.width, play.width);
        assert_int_equal(wanted.height, play.height);
        for (unsigned k = 0; k < 2; k++) {
            svg_show(&play, k ? until_ms - 1 : from_ms, shown);
            if (memcmp(shown, wanted.pixels, (size_t)play.width * play.height * sizeof(*shown)) != 0)
                fail_msg("frame %u is not what is shown", i);
        }
        rk_image_free(&wanted);
    }
    free(shown);
    svg_close(&play);
}

static void expect_ok(const struct kit_result *result)
{
    if (result->code != 0 || result->out_bytes > 0 || *result->err)
        fail_msg("exit code %d: %s%s", result->code, result->out, result->err);
}

/* ---- what comes out -------------------------------------------------------------------------------------------- */

static void test_playback_is_exact_on_random_frames(void **state)
{
    uint64_t random = kit_seed();
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        folder.count = 0;
        cast_add_random(&folder, &random, 1 + (uint32_t)kit_random(&random, 90), 1 + (uint32_t)kit_random(&random, 60),
                        12);
        expect_ok(cast_run(&folder, "-o", folder.out, NULL));
        expect_playback(folder.out, NULL);
    }
}

static void test_one_and_many_workers_give_the_same_bytes(void **state)
{
    static const char *const counts[] = {"1", "2", "5"};
    uint64_t random = kit_seed();
    char *first = NULL;
    size_t first_bytes = 0;
    (void)state;
    cast_add_random(&folder, &random, 160, 120, 24);
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t bytes;
        expect_ok(cast_run(&folder, "--workers", counts[i], "-o", folder.out, NULL));
        char *text = svg_read_file(folder.out, &bytes);
        if (first) {
            assert_int_equal(bytes, first_bytes);
            assert_memory_equal(text, first, bytes);
            free(text);
        } else {
            first = text;
            first_bytes = bytes;
        }
    }
    free(first);
    expect_playback(folder.out, NULL);
}

static void test_stamps_say_when(void **state)
{
    static const uint64_t times[] = {0, 1, 1000, 1001, 86400000};
    uint64_t random = kit_seed();
    (void)state;
    cast_add_random(&folder, &random, 40, 30, 5);
    cast_put_text(cast_file(&folder, "stamps"), "0\n 1\r\n1000\n1001\n86400000\n\n");
    expect_ok(cast_run(&folder, "--stamps", cast_file(&folder, "stamps"), "-o", folder.out, NULL));
    expect_playback(folder.out, times);
    cast_put_text(cast_file(&folder, "stamps"),
                  "1795601214000\n1795601214100\n1795601214200\n1795601214300\n1795601214400\n");
    cast_expect(cast_run(&folder, "--stamps", cast_file(&folder, "stamps"), "-o", folder.out, NULL), 0, "times of day");
    static const uint64_t slow[] = {0, 2500, 5000, 7500, 10000};
    expect_ok(cast_run(&folder, "--interval", "2.5s", "-o", folder.out, NULL));
    expect_playback(folder.out, slow);
}

static void test_same_frames_add_nothing(void **state)
{
    uint32_t pixels[20 * 10];
    const struct rk_image image = {20, 10, pixels};
    (void)state;
    memset(pixels, 0xff, sizeof(pixels));
    for (unsigned i = 0; i < 6; i++) {
        if (i == 3) pixels[45] ^= 1;
        cast_add_frame(&folder, &image);
    }
    expect_ok(cast_run(&folder, "-o", folder.out, NULL));
    svg_open(&play, folder.out, folder.scratch);
    assert_int_equal(play.count, 2);
    assert_int_equal(play.images[1].at_ms, 300);
    assert_int_equal(play.images[1].rect.width, 1);
    svg_close(&play);
    folder.count = 1; /* one frame is a picture, too */
    expect_ok(cast_run(&folder, "-o", folder.out, NULL));
    expect_playback(folder.out, NULL);
}

/** The picture of the README is what the programs of the tree make. */
static void test_committed_picture_shows_the_sample_frames(void **state)
{
    char path[512], lines[16384];
    const char *const sample[] = {
        getenv("SVGCAST_SAMPLE_BIN"), "--frames", "48", "--size", "320x180", folder.path, NULL};
    (void)state;
    const struct kit_result *result = kit_program(sample, NULL);
    assert_int_equal(result->code, 0);
    snprintf(lines, sizeof(lines), "%s", result->out);
    for (const char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n"))
        snprintf(folder.frames[folder.count++], sizeof(folder.frames[0]), "%s", line);
    assert_int_equal(folder.count, 48);
    snprintf(path, sizeof(path), "%s/docs/svgcast.svg", getenv("RASK_TEST_SOURCE"));
    expect_playback(path, NULL);
}

static void test_patches_prints_the_list_as_json(void **state)
{
    uint32_t pixels[12 * 4];
    const struct rk_image image = {12, 4, pixels};
    (void)state;
    memset(pixels, 0xff, sizeof(pixels));
    cast_add_frame(&folder, &image);
    pixels[1] = pixels[3] = pixels[11] = 0xff000000;
    pixels[12 + 2] = 0xff000001; /* joins the first two; that goes to the end */
    cast_add_frame(&folder, &image);
    const struct kit_result *result = cast_run(&folder, "--patches", NULL);
    assert_int_equal(result->code, 0);
    assert_string_equal(result->out,
                        "[{\"x\":11,\"y\":0,\"width\":1,\"height\":1},{\"x\":1,\"y\":0,\"width\":3,\"height\":2}]\n");
    result = cast_run(NULL, "--patches", folder.frames[0], folder.frames[0], NULL);
    assert_string_equal(result->out, "[]\n");
}

/* ---- frames as they come --------------------------------------------------------------------------------------- */

static void test_paths_come_on_standard_input(void **state)
{
    uint64_t random = kit_seed();
    char lines[4096] = "", *wanted, *got;
    size_t wanted_bytes, got_bytes;
    (void)state;
    cast_add_random(&folder, &random, 60, 40, 8);
    expect_ok(cast_run(&folder, "-o", folder.out, NULL));
    wanted = svg_read_file(folder.out, &wanted_bytes);
    for (unsigned i = 0; i < folder.count; i++)
        snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s%s", folder.frames[i],
                 i == 3   ? "\r\n\n"
                 : i == 7 ? ""
                          : "\n");
    kit_input(lines, strlen(lines));
    expect_ok(cast_run(NULL, "-o", folder.out, NULL));
    got = svg_read_file(folder.out, &got_bytes);
    assert_int_equal(got_bytes, wanted_bytes);
    assert_memory_equal(got, wanted, wanted_bytes);
    free(got);
    kit_input(lines, strlen(lines)); /* and between arguments */
    expect_ok(cast_run(NULL, "-o", folder.out, folder.frames[0], "-", folder.frames[7], NULL));
    svg_open(&play, folder.out, folder.scratch);
    assert_true(play.count > 1);
    svg_close(&play);
    free(wanted);
}

/** While it waits for the next path, the workers' answers are taken: a pause longer than the time-out of a pair harms nobody. */
static void test_a_pause_between_paths_harms_nobody(void **state)
{
    uint64_t random = kit_seed();
    char command[1024];
    (void)state;
    cast_add_random(&folder, &random, 30, 20, 3);
    snprintf(command, sizeof(command), "(echo %s; echo %s; sleep 3; printf %s) | \"$0\" --timeout 2s -o %s",
             folder.frames[0], folder.frames[1], folder.frames[2], folder.out);
    const char *const arguments[] = {"sh", "-c", command, getenv("SVGCAST_BIN"), NULL};
    expect_ok(kit_program(arguments, NULL));
    expect_playback(folder.out, NULL);
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------- */

/* The run failed like this, and left nothing but the frames and `others` files. */
static void expect_failure(const struct kit_result *result, int code, const char *frame, const char *said,
                           unsigned others)
{
    cast_expect(result, code, said);
    if (frame && !strstr(result->err, frame)) fail_msg("%s is not named: %s", frame, result->err);
    assert_null(strstr(result->err, "usage"));
    assert_int_equal(cast_count_files(&folder), folder.count + others);
}

static void test_frames_that_cannot_be_used_are_named(void **state)
{
    uint32_t pixels[30 * 20];
    struct rk_image image = {30, 20, pixels};
    (void)state;
    memset(pixels, 0xff, sizeof(pixels));
    cast_add_frame(&folder, &image);
    image.width = 29;
    cast_add_frame(&folder, &image);
    expect_failure(cast_run(&folder, "-o", folder.out, NULL), 65, folder.frames[1], "29 x 20", 0);
    expect_failure(cast_run(&folder, "--patches", NULL), 65, folder.frames[1], "29 x 20", 0);

    image.width = 30;
    ((uint8_t *)pixels)[(5 * 30 + 7) * 4 + 3] = 0xfe;
    folder.count = 1;
    cast_add_frame(&folder, &image);
    expect_failure(cast_run(&folder, "-o", folder.out, NULL), 65, folder.frames[1], "7,5 is transparent", 0);

    cast_put_text(folder.frames[1], "no picture");
    expect_failure(cast_run(&folder, "-o", folder.out, NULL), 66, folder.frames[1], "not a PNG", 0);
    assert_int_equal(unlink(folder.frames[1]), 0);
    folder.count = 1;
    expect_failure(cast_run(&folder, "-o", folder.out, "/nowhere.png", NULL), 66, "/nowhere.png", "No such file", 0);
}

static void test_stamps_that_cannot_be_used_are_named(void **state)
{
    static const struct {
        const char *text, *said;
        int frame; /* that is named, or -1 */
    } bad[] = {
        {"0\n100\n100\n", "is not after", 2},   {"0\n100\n99\n", "is not after", 2},
        {"5\n4\n6\n", "is not after", 1},       {"0\n1\n", "there is no stamp", 2},
        {"", "there is no stamp", 0},           {"0\n1\n2\n3\n", "4 stamps for 3 frames", -1},
        {"0\n1.5\n2\n", "line 2", -1},          {"0\n-1\n2\n", "line 2", -1},
        {"0\n\n1\n2\n", "line 2 is empty", -1}, {"0\n1\n99999999999999999999999\n", "line 3", -1},
    };
    uint64_t random = 1;
    (void)state;
    cast_add_random(&folder, &random, 20, 20, 3);
    const char *stamps = cast_file(&folder, "stamps");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cast_put_text(stamps, bad[i].text);
        expect_failure(cast_run(&folder, "--stamps", stamps, "-o", folder.out, NULL), 65,
                       bad[i].frame < 0 ? "stamps" : folder.frames[bad[i].frame], bad[i].said, 1);
    }
    expect_failure(cast_run(&folder, "--stamps", "/nowhere", "-o", folder.out, NULL), 66, "/nowhere", "No such file",
                   1);
}

static void test_bad_command_lines_say_what_would_be_right(void **state)
{
    (void)state;
    cast_expect(cast_run(NULL, "a.png", NULL), 64, "-o OUT.svg is missing");
    cast_expect(cast_run(NULL, "-o", NULL), 64, "svgcast: -o needs a value (see \"svgcast --help\")");
    cast_expect(cast_run(NULL, "-o", folder.out, NULL), 64, "there is no frame");
    cast_expect(cast_run(NULL, "--patches", "a.png", NULL), 64, "two frames");
    cast_expect(cast_run(NULL, "--patches", "-o", folder.out, "a.png", "b.png", NULL), 64, "nothing else");
    cast_expect(cast_run(NULL, "-o", folder.out, "--interval", "1", "--stamps", "f", "a.png", NULL), 64,
                "exclude each other");
    cast_expect(cast_run(NULL, "-o", folder.out, "--interval", "0", "a.png", NULL), 64, "use at least 1ms");
    cast_expect(cast_run(NULL, "-o", folder.out, "--interval", "1.5", "a.png", NULL), 64, "whole milliseconds");
    cast_expect(cast_run(NULL, "-o", folder.out, "--workers", "0", "a.png", NULL), 64, "use 1 to 256");
    cast_expect(cast_run(NULL, "--frobnicate", NULL), 64, "svgcast: unknown or ambiguous option --frobnicate");
    cast_expect(cast_run(NULL, "-o", "/nowhere/out.svg", "a.png", NULL), 74, "/nowhere/out.svg");
    const struct kit_result *result = cast_run(NULL, "--help", NULL);
    assert_int_equal(result->code, 0);
    static const char *const taught[] = {"usage: svgcast ", "-o, --output OUT.svg", "--patches BEFORE.png",
                                         "--stamps FILE", "65  "};
    for (unsigned i = 0; i < sizeof(taught) / sizeof(taught[0]); i++) {
        if (!strstr(result->out, taught[i])) fail_msg("--help does not have \"%s\"", taught[i]);
    }
    assert_int_equal(cast_count_files(&folder), 0);
}

static void test_bad_plugins_are_errors_that_name_the_frame(void **state)
{
    uint64_t random = 2;
    (void)state;
    cast_add_random(&folder, &random, 20, 20, 2);
    for (uint32_t pixels[400] = {0}; folder.count < 3;)
        cast_add_frame(&folder, &(struct rk_image){20, 20, memset(pixels, 0xff, sizeof(pixels))});
    const char *frame = "frame-0"; /* whichever is compared first */
    const char *out = folder.out;
    expect_failure(cast_run(&folder, "--plugin", kit_plugin("regions_crashes"), "-o", out, NULL), 125, frame, "SIGABRT",
                   0);
    expect_failure(cast_run(&folder, "--plugin", kit_plugin("regions_fails"), "-o", out, NULL), 1, frame, "code 42", 0);
    expect_failure(cast_run(&folder, "--plugin", kit_plugin("regions_lies"), "-o", out, NULL), 76, frame,
                   "no list of regions", 0);
    expect_failure(cast_run(&folder, "--plugin", kit_plugin("regions_asks"), "-o", out, NULL), 1, frame, "code 43", 0);
    expect_failure(cast_run(&folder, "--plugin", kit_plugin("regions_hangs"), "--timeout", "200ms", "-o", out, NULL),
                   124, frame, "--timeout", 0);
    expect_failure(cast_run(&folder, "--plugin", "echo", "-o", out, NULL), 64, NULL, "no method \"regions\"", 0);
    expect_failure(cast_run(&folder, "--plugin", "nowhere", "-o", out, NULL), 78, NULL, "no plugin named", 0);
    kit_reap_orphans(5000);
}

/* ---- files and terminals --------------------------------------------------------------------------------------- */

static void test_output_goes_where_it_is_sent(void **state)
{
    uint64_t random = 3;
    size_t bytes;
    (void)state;
    cast_add_random(&folder, &random, 20, 20, 3);
    cast_put_text(folder.out, "what was there before");
    assert_int_equal(cast_run(NULL, "-o", folder.out, "/nowhere.png", NULL)->code, 66);
    char *text = svg_read_file(folder.out, NULL);
    assert_string_equal(text, "what was there before"); /* a failure leaves it alone */
    free(text);
    expect_ok(cast_run(&folder, "-o", folder.out, NULL));
    text = svg_read_file(folder.out, &bytes);
    const struct kit_result *result = cast_run(&folder, "-o", "-", NULL);
    assert_int_equal(result->code, 0);
    assert_int_equal(result->out_bytes, bytes);
    assert_memory_equal(result->out, text, bytes);
    free(text);
    assert_int_equal(symlink(folder.out, cast_file(&folder, "link")), 0);
    expect_ok(cast_run(&folder, "-o", cast_file(&folder, "link"), NULL)); /* through the link, which stays */
    assert_int_equal(readlink(cast_file(&folder, "link"), folder.scratch, sizeof(folder.scratch)), strlen(folder.out));
    cast_expect(cast_run(&folder, "-o", "/dev/full", NULL), 74, "/dev/full");
}

static void test_interrupted_leaves_no_file(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM};
    int paths[2];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pipe(paths), 0);
        pid_t pid = kit_fork();
        if (pid == 0) {
            dup2(paths[0], STDIN_FILENO);
            dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
            close(paths[1]);
            alarm(0);
            execl(getenv("SVGCAST_BIN"), "svgcast", "-o", folder.out, NULL);
            _exit(99);
        }
        close(paths[0]);
        while (cast_count_files(&folder) == 0) kit_pause_ms(1); /* it has begun, and waits for paths */
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(kit_wait(pid, 5000), 130);
        assert_int_equal(cast_count_files(&folder), 0);
        close(paths[1]);
    }
}

/* Runs svgcast with standard error on a terminal; what it wrote there. */
static const char *on_terminal(const char *const *arguments)
{
    static char text[65536];
    size_t length = 0;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    pid_t pid = kit_launch(arguments, -1, slave);
    close(slave);
    for (ssize_t got; (got = read(terminal, text + length, sizeof(text) - 1 - length)) > 0;) length += (size_t)got;
    text[length] = '\0';
    close(terminal);
    kit_wait(pid, 10000);
    return text;
}

static void test_progress_is_drawn_on_a_terminal_only(void **state)
{
    uint64_t random = 4;
    (void)state;
    cast_add_random(&folder, &random, 120, 90, 40);
    const char *arguments[60] = {getenv("SVGCAST_BIN"), "--workers", "1", "-o", folder.out};
    for (unsigned i = 0; i < folder.count; i++) arguments[5 + i] = folder.frames[i];
    const char *text = on_terminal(arguments);
    if (!strstr(text, " of 40 frames")) fail_msg("no progress: %s", text);
    assert_string_equal(text + strlen(text) - 4, "\r\033[K"); /* and taken away */
    expect_ok(cast_run(&folder, "-o", folder.out, NULL));     /* nothing but on a terminal */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_playback_is_exact_on_random_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_and_many_workers_give_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stamps_say_when, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_frames_add_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_committed_picture_shows_the_sample_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patches_prints_the_list_as_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths_come_on_standard_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_pause_between_paths_harms_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frames_that_cannot_be_used_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stamps_that_cannot_be_used_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_command_lines_say_what_would_be_right, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_plugins_are_errors_that_name_the_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_output_goes_where_it_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interrupted_leaves_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_is_drawn_on_a_terminal_only, set_up, tear_down),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
