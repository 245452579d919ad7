/* SPDX-License-Identifier: MIT */
/* See cast_meter.h. */
#include "cast_meter.h"
#include "options.h"
#include <rask/client.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define DRAW_NS 100000000u
#define BAR_COLUMNS 30u

static struct {
    bool on;
    bool drawn;
    size_t total;
    uint64_t drawn_ns;
} meter;

void rk_cast_meter_start(size_t total)
{
    meter.on = isatty(STDERR_FILENO) == 1;
    meter.total = total;
    rk_complain_first(rk_cast_meter_clear);
}

static void draw(size_t done, size_t waiting)
{
    static const char full[] = "##############################", empty[] = "..............................";
    if (meter.total == 0) {
        fprintf(stderr, "\r\033[Ksvgcast: %zu frames, %zu with the workers", done, waiting);
        return;
    }
    int filled = (int)(done * BAR_COLUMNS / meter.total);
    fprintf(stderr, "\r\033[Ksvgcast: [%.*s%.*s] %zu of %zu frames, %zu with the workers", filled, full,
            (int)BAR_COLUMNS - filled, empty, done, meter.total, waiting);
}

void rk_cast_meter_show(size_t done, size_t waiting)
{
    if (!meter.on) return;
    uint64_t now_ns = rask_now_ns();
    if (now_ns - meter.drawn_ns < DRAW_NS) return;
    meter.drawn_ns = now_ns;
    meter.drawn = true;
    draw(done, waiting);
    fflush(stderr);
}

void rk_cast_meter_clear(void)
{
    if (meter.drawn) fputs("\r\033[K", stderr);
    meter.drawn = false;
}
