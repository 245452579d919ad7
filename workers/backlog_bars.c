/* SPDX-License-Identifier: MIT */
/* See backlog_bars.h. What is drawn of a tick is the most that was noted in it. */
#include "backlog_bars.h"
#include "options.h"
#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 120u
#define COLUMNS_MIN 10u
#define TEXT_COLUMNS 40u /* of the terminal's line, beside the bars */
#define PLAIN_BAR_MAX 60u
#define LEVELS 8u
#define LEVEL_BYTES_MAX 3u

static const char *const blocks[LEVELS + 1] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const ascii[LEVELS + 1] = {" ", ".", ".", ":", "-", "=", "+", "*", "#"};

static struct {
    bool on, terminal, drawn;
    const char *const *levels;
    uint64_t tick;         /* number of the tick that is being noted */
    uint64_t at_ns;        /* of the last note */
    uint64_t now, in_tick; /* the backlog; the most in this tick */
    uint64_t most;
    uint64_t shown; /* the last plain line's */
    uint64_t column[COLUMNS_MAX];
    unsigned columns; /* that are filled */
} bars;

void rk_bars_start(void)
{
    memset(&bars, 0, sizeof(bars));
    bars.on = true;
    bars.terminal = isatty(STDERR_FILENO) == 1;
    bars.shown = UINT64_MAX;
    setlocale(LC_CTYPE, "");
    bars.levels = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? blocks : ascii;
    rk_complain_first(rk_bars_clear);
}

/* `items` of `top` as a part of `levels`, rounded up: what is there is seen. */
static unsigned share(uint64_t items, unsigned levels, uint64_t top)
{
    return (unsigned)((items * levels + top - 1) / top);
}

/* ---- on a terminal --------------------------------------------------------------------------------------------- */

static unsigned columns_to_draw(void)
{
    struct winsize size;
    unsigned width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    unsigned room = width > TEXT_COLUMNS + COLUMNS_MIN ? width - TEXT_COLUMNS : COLUMNS_MIN;
    if (room > COLUMNS_MAX) room = COLUMNS_MAX;
    return room < bars.columns ? room : bars.columns;
}

static void add_column(uint64_t items)
{
    if (bars.columns == COLUMNS_MAX) {
        memmove(bars.column, bars.column + 1, (COLUMNS_MAX - 1) * sizeof(bars.column[0]));
        bars.columns--;
    }
    bars.column[bars.columns++] = items;
}

/* The highest bar in sight is full, but up to eight items each item is one step. */
static void draw(void)
{
    char line[COLUMNS_MAX * LEVEL_BYTES_MAX + 1], *end = line;
    unsigned first = bars.columns - columns_to_draw();
    uint64_t top = LEVELS;
    for (unsigned i = first; i < bars.columns; i++) {
        if (bars.column[i] > top) top = bars.column[i];
    }
    for (unsigned i = first; i < bars.columns; i++) end = stpcpy(end, bars.levels[share(bars.column[i], LEVELS, top)]);
    *end = '\0';
    fprintf(stderr, "\r\033[Kbacklog %s %llu (most %llu)", line, (unsigned long long)bars.now,
            (unsigned long long)bars.most);
    bars.drawn = true;
}

void rk_bars_clear(void)
{
    if (bars.drawn) fputs("\r\033[K", stderr);
    bars.drawn = false;
}

/* ---- elsewhere ------------------------------------------------------------------------------------------------- */

static void print_line(uint64_t at_ns, uint64_t items)
{
    static const char full[] = "############################################################";
    _Static_assert(sizeof(full) == PLAIN_BAR_MAX + 1, "the longest bar");
    char scale[32] = "";
    uint64_t each = 1;
    while ((bars.most + each - 1) / each > PLAIN_BAR_MAX) each *= 2;
    if (each > 1) snprintf(scale, sizeof(scale), " x%llu", (unsigned long long)each);
    fprintf(stderr, "backlog %8.3f s %6llu%s%.*s%s\n", (double)at_ns / 1e9, (unsigned long long)items,
            items > 0 ? " " : "", (int)((items + each - 1) / each), full, items > 0 ? scale : "");
    bars.shown = items;
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

static void end_tick(uint64_t at_ns)
{
    if (bars.terminal) {
        add_column(bars.in_tick);
        draw();
    } else if (bars.in_tick != bars.shown) {
        print_line(at_ns, bars.in_tick);
    }
    bars.in_tick = bars.now;
}

void rk_bars_note(uint64_t at_ns, uint64_t items)
{
    uint64_t tick = at_ns / RK_BARS_TICK_NS;
    if (!bars.on) return;
    if (tick != bars.tick) end_tick(bars.at_ns);
    bars.tick = tick;
    bars.at_ns = at_ns;
    bars.now = items;
    if (items > bars.in_tick) bars.in_tick = items;
    if (items > bars.most) bars.most = items;
}

void rk_bars_finish(void)
{
    if (!bars.on) return;
    end_tick(bars.at_ns);
    if (bars.shown != bars.now) end_tick(bars.at_ns); /* the most in its tick was not the end of it */
    if (bars.drawn) fputc('\n', stderr);
    bars.drawn = bars.on = false;
}
