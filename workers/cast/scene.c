/* SPDX-License-Identifier: MIT */
/* See scene.h. */
#include "scene.h"
#include <string.h>

#define MARGIN 12
#define BAR 16
#define LINE 14
#define GRID 20

static const uint32_t desk = 0x1f4e5f, dots = 0x2c6478, bar = 0x0e2a33, frame = 0x9fb8c0, paper = 0x10181c,
                      ink = 0xd7e4e8, bright = 0x8fe388, note = 0xf2e3b3, note_ink = 0x3b3320;

static const char typed[] = "$ rask bench --size 32";
static const char *const printed[] = {
    "there and back: 32 bytes",
    "floor   94 ns",
    "rask   176 ns",
    "ratio    1.9",
    "no system call, no lock,",
    "no copy through it.",
    "a worker crashed: sigsegv",
    "executed: maybe",
    "its successor is ready.",
    "backlog: 5 4 3 2 1 0",
    "watermark: 9 of 9",
    "end of stream.",
    "every request ends once.",
    "quick, and in good health.",
};
#define PRINTED (sizeof(printed) / sizeof(printed[0]))

/* How far the step from `first` on is along its `length` frames: 0 .. length. */
static unsigned along(unsigned index, unsigned first, unsigned length)
{
    return index < first ? 0 : index - first < length ? index - first : length;
}

static void draw_desk(struct rk_canvas *canvas)
{
    rk_canvas_fill(canvas, 0, 0, canvas->width, canvas->height, desk);
    for (int y = BAR + GRID / 2; y < canvas->height; y += GRID) {
        for (int x = GRID / 2; x < canvas->width; x += GRID) rk_canvas_fill(canvas, x, y, 2, 2, dots);
    }
    rk_canvas_fill(canvas, 0, 0, canvas->width, BAR, bar);
    rk_canvas_text(canvas, MARGIN, 3, "rask", 4, bright);
}

static void draw_window(struct rk_canvas *canvas, int x, int y, int width, int height, const char *title,
                        uint32_t colour)
{
    rk_canvas_fill(canvas, x - 1, y - 1, width + 2, height + 2, frame);
    rk_canvas_fill(canvas, x, y, width, BAR, bar);
    rk_canvas_text(canvas, x + 4, y + 3, title, strlen(title), ink);
    rk_canvas_fill(canvas, x, y + BAR, width, height - BAR, colour);
}

/* Paper whose rows differ from their neighbours: what scrolls changes everywhere, and so is one region. */
static void draw_paper(struct rk_canvas *canvas, int x, int y, int width, int height, int scrolled)
{
    for (int row = 0; row < height; row++) {
        uint32_t shade = (uint32_t)((row + scrolled) % LINE);
        rk_canvas_fill(canvas, x, y + row, width, 1, paper + shade * 0x010101);
    }
}

static void draw_shell(struct rk_canvas *canvas, unsigned letters, int scrolled)
{
    int width = canvas->width - 2 * MARGIN, height = canvas->height - BAR - 2 * MARGIN, top = BAR + MARGIN;
    draw_window(canvas, MARGIN, top, width, height, "shell", paper);
    int x = MARGIN + 6, y = top + BAR + 4 - scrolled;
    rk_canvas_clip(canvas, MARGIN, top + BAR, width, height - BAR);
    draw_paper(canvas, MARGIN, top + BAR, width, height - BAR, scrolled);
    rk_canvas_text(canvas, x, y, typed, letters, bright);
    if (scrolled == 0) rk_canvas_fill(canvas, x + (int)letters * RK_LETTER_ADVANCE, y, 6, RK_LETTER_HEIGHT, ink);
    for (int line = 0; scrolled > 0 && y < canvas->height; line++) {
        const char *text = printed[(unsigned)line % PRINTED];
        y += LINE;
        rk_canvas_text(canvas, x, y, text, strlen(text), ink);
    }
    rk_canvas_clip(canvas, 0, 0, 0, 0);
}

static void draw_note(struct rk_canvas *canvas, unsigned at, unsigned of)
{
    int width = 96, height = 48;
    int x = MARGIN * 2 + (int)at * (canvas->width - width - 4 * MARGIN) / (int)of;
    int y = canvas->height - height - MARGIN - (int)at * (canvas->height - height - BAR * 2 - 3 * MARGIN) / (int)of / 2;
    draw_window(canvas, x, y, width, height, "note", note);
    rk_canvas_text(canvas, x + 6, y + BAR + 6, "crop, lease", 11, note_ink);
}

void rk_scene_draw(struct rk_canvas *canvas, unsigned index, unsigned count)
{
    unsigned third = count / 3 > 0 ? count / 3 : 1;
    unsigned letters = along(index, third, third) * (unsigned)(sizeof(typed) - 1) / third;
    int scrolled = (int)along(index, 2 * third, third) * 5;
    rk_canvas_clip(canvas, 0, 0, 0, 0);
    draw_desk(canvas);
    draw_shell(canvas, letters, scrolled);
    draw_note(canvas, along(index, 0, third), third);
}

/* splitmix64 (Vigna, 2015). */
static uint32_t grain_at(uint64_t place)
{
    uint64_t z = (place + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)(z >> 40);
}

void rk_scene_grain(struct rk_canvas *canvas, unsigned index)
{
    int width = canvas->width / 3, height = canvas->height / 3;
    for (int place = 0; place < 4; place++) {
        int left = (place % 2) * canvas->width / 2 + width / 4, top = (place / 2) * canvas->height / 2 + height / 4;
        for (int y = top; y < top + height; y++) {
            for (int x = left; x < left + width; x++) {
                uint64_t pixel = (uint64_t)index << 32 | (uint32_t)(y * canvas->width + x);
                rk_canvas_fill(canvas, x, y, 1, 1, grain_at(pixel) & 0xffffff);
            }
        }
    }
}
