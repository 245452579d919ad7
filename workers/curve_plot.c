/* SPDX-License-Identifier: MIT */
/* See curve_plot.h. Numbers are pixels of a picture of a fixed size, which a browser scales. */
#include "curve_plot.h"

#define WIDTH 720.0
#define HEIGHT 280.0
#define LEFT 56.0
#define RIGHT (WIDTH - 16.0)
#define TOP 36.0
#define BOTTOM (HEIGHT - 48.0)
#define TICKS_MAX 8.0

/* What is drawn: seconds and items that are at the right and at the top. */
struct frame {
    double end_s;
    double top;
};

static double x_of(const struct frame *frame, double s)
{
    return LEFT + s / frame->end_s * (RIGHT - LEFT);
}

static double y_of(const struct frame *frame, double items)
{
    return BOTTOM - items / frame->top * (BOTTOM - TOP);
}

/* The smallest of 1, 2 and 5 times a power of ten, from `least` on, of which at most TICKS_MAX fit. */
static double tick_step(double range, double least)
{
    static const double factors[] = {2.0, 2.5, 2.0}; /* 1 -> 2 -> 5 -> 10 */
    double step = least;
    for (unsigned i = 0; range / step > TICKS_MAX; i = (i + 1) % 3) step *= factors[i];
    return step;
}

static void put_axes(const struct frame *frame, FILE *to)
{
    double step = tick_step(frame->top, 1.0);
    fputs("<g stroke=\"#ddd\" fill=\"#333\" font-family=\"sans-serif\" font-size=\"12\">\n", to);
    for (double items = 0; items <= frame->top; items += step) {
        fprintf(to, "<path d=\"M%.1f %.1fH%.1f\"/>", LEFT, y_of(frame, items), RIGHT);
        fprintf(to, "<text stroke=\"none\" text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">%.0f</text>\n", LEFT - 6,
                y_of(frame, items) + 4, items);
    }
    step = tick_step(frame->end_s, 1e-4);
    for (unsigned i = 0; i * step <= frame->end_s * 1.0001; i++) {
        fprintf(to, "<path d=\"M%.1f %.1fV%.1f\"/>", x_of(frame, i * step), TOP, BOTTOM);
        fprintf(to, "<text stroke=\"none\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%g</text>\n",
                x_of(frame, i * step), BOTTOM + 17, i * step);
    }
    fputs("</g>\n", to);
}

static void put_texts(const char *title, FILE *to)
{
    fputs("<g fill=\"#333\" font-family=\"sans-serif\" font-size=\"13\" text-anchor=\"middle\">\n", to);
    fprintf(to, "<text x=\"%.0f\" y=\"22\" font-size=\"15\">%s</text>\n", (LEFT + RIGHT) / 2, title);
    fprintf(to, "<text x=\"%.0f\" y=\"%.0f\">seconds</text>\n", (LEFT + RIGHT) / 2, HEIGHT - 10);
    fprintf(to, "<text transform=\"translate(18 %.0f) rotate(-90)\">items not yet processed</text>\n</g>\n",
            (TOP + BOTTOM) / 2);
}

static void put_step(const struct frame *frame, double s, uint64_t items, FILE *to)
{
    fprintf(to, "H%.1fV%.1f", x_of(frame, s), y_of(frame, (double)items));
}

/* A span whose most is not its last goes up and down in one place. */
static void put_line(const struct frame *frame, const struct rk_curve *backlog, FILE *to)
{
    uint64_t shown = 0;
    fprintf(to, "<path fill=\"#3b82c4\" fill-opacity=\"0.25\" stroke=\"#1d5f9c\" stroke-width=\"1.5\" d=\"M%.1f %.1f",
            LEFT, BOTTOM);
    for (uint32_t i = 0; i < backlog->count; i++) {
        const struct rk_curve_span *span = &backlog->span[i];
        double s = (double)(i * backlog->span_ns) / 1e9;
        if (span->most != shown) put_step(frame, s, span->most, to);
        if (span->last != span->most) put_step(frame, s, span->last, to);
        shown = span->last;
    }
    put_step(frame, frame->end_s, 0, to);
    fputs("Z\"/>\n", to);
}

void rk_curve_plot(const struct rk_curve *backlog, const char *title, FILE *to)
{
    uint32_t spans = backlog->count > 0 ? backlog->count : 1;
    struct frame frame = {.end_s = (double)(spans * backlog->span_ns) / 1e9,
                          .top = backlog->most > 0 ? (double)backlog->most * 1.1 : 1.1};
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_axes(&frame, to);
    put_line(&frame, backlog, to);
    put_texts(title, to);
    fputs("</svg>\n", to);
}
