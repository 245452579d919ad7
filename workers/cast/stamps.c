/* SPDX-License-Identifier: MIT */
/* See stamps.h. */
#include "stamps.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_HOUR 3600000u
#define FIRST_MS_DOUBTED MS_PER_HOUR

/* Cut blanks off both ends. */
static char *trim(char *text)
{
    static const char blanks[] = " \t\r\n";
    text += strspn(text, blanks);
    size_t length = strlen(text);
    while (length > 0 && strchr(blanks, text[length - 1])) text[--length] = '\0';
    return text;
}

static int add(struct rk_stamps *stamps, uint64_t stamp_ms)
{
    if ((stamps->count & (stamps->count - 1)) == 0) { /* full at every power of two */
        uint64_t *larger = realloc(stamps->list, (stamps->count ? stamps->count * 2 : 1) * sizeof(*larger));
        if (!larger) return -ENOMEM;
        stamps->list = larger;
    }
    stamps->list[stamps->count++] = stamp_ms;
    return 0;
}

static int add_line(struct rk_stamps *stamps, char *line, size_t number, size_t *blank)
{
    uint64_t stamp_ms;
    char *text = trim(line);
    if (*text == '\0') {
        if (*blank == 0) *blank = number;
        return RK_GO_ON;
    }
    if (*blank != 0) {
        rk_complain("%s: line %zu is empty: put one stamp per line", stamps->path, *blank);
        return RK_EXIT_BAD_DATA;
    }
    if (rk_parse_count(text, &stamp_ms) < 0) {
        rk_complain("%s: line %zu: \"%.40s\" is not a stamp: use whole milliseconds, as in 1500", stamps->path, number,
                    text);
        return RK_EXIT_BAD_DATA;
    }
    if (add(stamps, stamp_ms) == 0) return RK_GO_ON;
    rk_complain("out of memory for %zu stamps", stamps->count);
    return RK_EXIT_UNAVAILABLE;
}

static int read_lines(struct rk_stamps *stamps, FILE *file)
{
    char *line = NULL;
    size_t capacity = 0, number = 0, blank = 0;
    int code = RK_GO_ON;
    while (code == RK_GO_ON && getline(&line, &capacity, file) >= 0) code = add_line(stamps, line, ++number, &blank);
    free(line);
    if (code != RK_GO_ON || !ferror(file)) return code;
    rk_complain("%s: %s", stamps->path, strerror(errno));
    return RK_EXIT_NO_INPUT;
}

/* Times of day, most likely: nothing would move for years. */
static void doubt(const struct rk_stamps *stamps)
{
    if (stamps->count < 2 || stamps->list[0] < FIRST_MS_DOUBTED) return;
    rk_complain("%s: warning: the first stamp is %" PRIu64 ", so nothing moves for %" PRIu64
                " hours: stamps count from the start; \"svgcast --help\" shows how to make them of times of day",
                stamps->path, stamps->list[0], stamps->list[1] / MS_PER_HOUR);
}

int rk_stamps_read(struct rk_stamps *stamps, const char *path)
{
    stamps->path = path;
    FILE *file = fopen(path, "re");
    if (!file) {
        rk_complain("%s: %s", path, strerror(errno));
        return RK_EXIT_NO_INPUT;
    }
    int code = read_lines(stamps, file);
    fclose(file);
    if (code == RK_GO_ON) doubt(stamps);
    return code;
}

int rk_stamps_at(const struct rk_stamps *stamps, size_t index, const char *frame, uint64_t *at_ms)
{
    if (!stamps->path) {
        *at_ms = index * stamps->interval_ms;
        return RK_GO_ON;
    }
    if (index >= stamps->count) {
        rk_complain("%s: there is no stamp for it: it is frame %zu, and %s ends after %zu", frame, index + 1,
                    stamps->path, stamps->count);
        return RK_EXIT_BAD_DATA;
    }
    *at_ms = stamps->list[index];
    if (index == 0 || *at_ms > stamps->list[index - 1]) return RK_GO_ON;
    rk_complain("%s: its stamp %" PRIu64 " (%s, line %zu) is not after %" PRIu64
                ", the stamp of the frame before: stamps must increase",
                frame, *at_ms, stamps->path, index + 1, stamps->list[index - 1]);
    return RK_EXIT_BAD_DATA;
}

int rk_stamps_end(const struct rk_stamps *stamps, size_t frames)
{
    if (!stamps->path || stamps->count == frames) return RK_GO_ON;
    rk_complain("%s: %zu stamps for %zu frames: give one stamp per frame", stamps->path, stamps->count, frames);
    return RK_EXIT_BAD_DATA;
}

void rk_stamps_finish(struct rk_stamps *stamps)
{
    free(stamps->list);
    *stamps = (struct rk_stamps){0};
}
