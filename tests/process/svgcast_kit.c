/* SPDX-License-Identifier: MIT */
/* See svgcast_kit.h. */
#include "svgcast_kit.h"
#include "png_file.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX (CAST_FRAMES_MAX + 24u)

const char *cast_file(const struct cast_folder *folder, const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder->path, name);
    return path;
}

void cast_folder_make(struct cast_folder *folder)
{
    memset(folder, 0, sizeof(*folder));
    snprintf(folder->path, sizeof(folder->path), "/tmp/rask-cast-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->out, sizeof(folder->out), "%s", cast_file(folder, "out.svg"));
    snprintf(folder->scratch, sizeof(folder->scratch), "%s", cast_file(folder, "scratch.png"));
}

/* Calls `each` for every file; returns how many. */
static unsigned walk(const char *path, void (*each)(const char *file))
{
    char file[512];
    unsigned count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (each) each(file);
        count++;
    }
    closedir(folder);
    return count;
}

static void remove_file(const char *file)
{
    assert_int_equal(unlink(file), 0);
}

void cast_folder_remove(struct cast_folder *folder)
{
    walk(folder->path, remove_file);
    assert_int_equal(rmdir(folder->path), 0);
}

unsigned cast_count_files(const struct cast_folder *folder)
{
    return walk(folder->path, NULL);
}

void cast_put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

bool cast_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void cast_add_frame(struct cast_folder *folder, const struct rk_image *image)
{
    struct rk_bytes png = {0};
    assert_true(folder->count < CAST_FRAMES_MAX);
    char name[32], *path = folder->frames[folder->count];
    snprintf(name, sizeof(name), "frame-%02u.png", folder->count++);
    snprintf(path, sizeof(folder->frames[0]), "%s", cast_file(folder, name));
    assert_int_equal(rk_png_write(image, (struct rk_rect){0, 0, image->width, image->height}, &png), 0);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(png.data, 1, png.length, file), png.length);
    assert_int_equal(fclose(file), 0);
    rk_bytes_finish(&png);
}

static uint32_t colour(uint64_t *random)
{
    uint8_t bytes[4] = {(uint8_t)kit_random(random, 256), (uint8_t)kit_random(random, 256),
                        (uint8_t)kit_random(random, 4), 255};
    uint32_t pixel;
    memcpy(&pixel, bytes, sizeof(pixel));
    return pixel;
}

static void change(uint64_t *random, uint32_t *pixels, uint32_t width, uint32_t height)
{
    for (uint64_t count = kit_random(random, 8); count > 0; count--) { /* sometimes none */
        uint32_t x = (uint32_t)kit_random(random, width), y = (uint32_t)kit_random(random, height),
                 one = colour(random);
        uint32_t right = x + 1 + (uint32_t)kit_random(random, (width - x + 3) / 4);
        uint32_t bottom = y + 1 + (uint32_t)kit_random(random, (height - y + 3) / 4);
        bool noise = kit_random(random, 2) == 0;
        for (uint32_t row = y; row < bottom; row++) {
            for (uint32_t column = x; column < right; column++)
                pixels[(size_t)row * width + column] = noise ? colour(random) : one;
        }
    }
}

void cast_add_random(struct cast_folder *folder, uint64_t *random, uint32_t width, uint32_t height, unsigned count)
{
    uint32_t *pixels = malloc((size_t)width * height * sizeof(*pixels));
    assert_non_null(pixels);
    for (size_t i = 0; i < (size_t)width * height; i++) pixels[i] = colour(random);
    for (; count > 0; count--) {
        const struct rk_image image = {width, height, pixels};
        cast_add_frame(folder, &image);
        change(random, pixels, width, height);
    }
    free(pixels);
}

const struct kit_result *cast_run(const struct cast_folder *frames, ...)
{
    const char *arguments[ARGUMENTS_MAX] = {getenv("SVGCAST_BIN")}, *argument;
    unsigned count = 1;
    va_list list;
    assert_non_null(arguments[0]);
    va_start(list, frames);
    while ((argument = va_arg(list, const char *))) arguments[count++] = argument;
    va_end(list);
    for (unsigned i = 0; frames && i < frames->count; i++) arguments[count++] = frames->frames[i];
    assert_true(count < ARGUMENTS_MAX);
    return kit_program(arguments, NULL);
}

uint64_t cast_figure(pid_t supervisor, const char *name)
{
    char pid[16], wanted[64];
    snprintf(pid, sizeof(pid), "%d", (int)supervisor);
    snprintf(wanted, sizeof(wanted), "\"%s\":", name);
    const char *at = strstr(kit_rask("stats", "--json", "--pid", pid, NULL)->out, wanted); /* the pool's come first */
    return at ? strtoull(at + strlen(wanted), NULL, 10) : UINT64_MAX;
}

void cast_await_figure(pid_t supervisor, const char *name, uint64_t value)
{
    uint64_t until_ns = rask_now_ns() + 20 * KIT_S;
    while (cast_figure(supervisor, name) != value) {
        if (rask_now_ns() > until_ns) fail_msg("\"%s\" does not become %llu", name, (unsigned long long)value);
        kit_pause_ms(1);
    }
}

void cast_expect(const struct kit_result *result, int code, const char *said)
{
    if (result->code != code || !strstr(result->err, said))
        fail_msg("exit code %d, not %d, or \"%s\" is not said: %s", result->code, code, said, result->err);
}
