/* SPDX-License-Identifier: MIT */
/* See patches.h for the definition and for why this is the same. One thread, no system call but for memory. */
#include "patches.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* A region while it grows; edges are inclusive. */
struct region {
    uint32_t left, right, top, bottom;
    bool gone; /* merged into a later one */
};

/* Numbers of regions. A row has at most as many active ones as pixels; near ones are active. */
struct numbers {
    uint32_t *list;
    uint32_t count;
};

struct scan {
    struct region *regions; /* in the order of their birth, `gone` ones included */
    uint32_t count;
    uint32_t capacity;
    struct numbers active; /* touched by the row above, by left edge */
    struct numbers near;   /* of this row: met, not passed */
    struct numbers passed; /* of this row: done, touched by it */
    uint32_t met;          /* how many of `active` the scan has met in this row */
};

/* A run of changed pixels in row y; both ends belong to it. */
struct run {
    uint32_t y, first, last;
};

static int append(struct scan *scan, struct region region, uint32_t *number)
{
    if (scan->count == scan->capacity) {
        uint32_t capacity = scan->capacity ? scan->capacity * 2 : 64;
        struct region *larger = realloc(scan->regions, capacity * sizeof(*larger));
        if (!larger) return -ENOMEM;
        scan->regions = larger;
        scan->capacity = capacity;
    }
    *number = scan->count;
    scan->regions[scan->count++] = region;
    return 0;
}

/* The scan is at column x: regions that begin here become near. */
static void meet(struct scan *scan, uint32_t x)
{
    while (scan->met < scan->active.count) {
        uint32_t number = scan->active.list[scan->met];
        if (scan->regions[number].left > x + 1) return;
        scan->near.list[scan->near.count++] = number;
        scan->met++;
    }
}

/* Near regions that end before column x - 1 can touch no pixel of this row any more. */
static void pass(struct scan *scan, const struct run *run, uint32_t x)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < scan->near.count; i++) {
        uint32_t number = scan->near.list[i];
        const struct region *region = &scan->regions[number];
        if (region->right + 1 >= x) {
            scan->near.list[kept++] = number;
        } else if (region->bottom == run->y) {
            scan->passed.list[scan->passed.count++] = number;
        }
    }
    scan->near.count = kept;
}

static void include(struct region *region, const struct region *other)
{
    if (other->left < region->left) region->left = other->left;
    if (other->right > region->right) region->right = other->right;
    if (other->top < region->top) region->top = other->top;
    if (other->bottom > region->bottom) region->bottom = other->bottom;
}

/* Pixel x of the run touches exactly the near regions: one of them grows, several become a new one. */
static int touch(struct scan *scan, const struct run *run, uint32_t x)
{
    struct region pixel = {.left = x, .right = x, .top = run->y, .bottom = run->y};
    if (scan->near.count == 1) {
        include(&scan->regions[scan->near.list[0]], &pixel);
        return 0;
    }
    for (uint32_t i = 0; i < scan->near.count; i++) {
        struct region *merged = &scan->regions[scan->near.list[i]];
        include(&pixel, merged);
        merged->gone = true;
    }
    scan->near.count = 1;
    return append(scan, pixel, &scan->near.list[0]);
}

/* The last pixel before the next region begins to touch, or the end of the run. */
static uint32_t quiet_until(const struct scan *scan, const struct run *run)
{
    if (scan->met == scan->active.count) return run->last;
    uint32_t left = scan->regions[scan->active.list[scan->met]].left; /* at least 2: it is right of what was met */
    return left - 2 < run->last ? left - 2 : run->last;
}

static int scan_run(struct scan *scan, const struct run *run)
{
    for (uint32_t x = run->first;;) {
        meet(scan, x);
        pass(scan, run, x);
        int error = touch(scan, run, x);
        if (error < 0) return error;
        x = quiet_until(scan, run);
        struct region *region = &scan->regions[scan->near.list[0]];
        if (x > region->right) region->right = x;
        if (x == run->last) return 0;
        x++;
    }
}

/* What this row touched is what the next one may touch, by left edge. They come nearly in order. */
static void end_row(struct scan *scan, uint32_t y)
{
    const struct run all = {.y = y};
    pass(scan, &all, UINT32_MAX);
    struct numbers free_list = scan->active;
    scan->active = scan->passed;
    scan->passed = free_list;
    scan->passed.count = 0;
    scan->met = 0;
    uint32_t *list = scan->active.list;
    for (uint32_t i = 1; i < scan->active.count; i++) {
        uint32_t number = list[i], at = i;
        for (; at > 0 && scan->regions[list[at - 1]].left > scan->regions[number].left; at--) list[at] = list[at - 1];
        list[at] = number;
    }
}

static int scan_row(struct scan *scan, const uint32_t *before, const uint32_t *after, uint32_t width, uint32_t y)
{
    for (uint32_t x = 0; x < width; x++) {
        if (before[x] == after[x]) continue;
        struct run run = {.y = y, .first = x};
        while (x + 1 < width && before[x + 1] != after[x + 1]) x++;
        run.last = x;
        int error = scan_run(scan, &run);
        if (error < 0) return error;
    }
    return 0;
}

static int scan_all(struct scan *scan, const struct rk_image *before, const struct rk_image *after)
{
    for (uint32_t y = 0; y < after->height; y++) {
        const uint32_t *old = rk_image_row(before, y), *new = rk_image_row(after, y);
        int error = 0;
        if (memcmp(old, new, after->width * sizeof(*old)) != 0) error = scan_row(scan, old, new, after->width, y);
        if (error < 0) return error;
        end_row(scan, y);
    }
    return 0;
}

static int collect(const struct scan *scan, struct rk_patches *patches)
{
    patches->list = malloc((scan->count > 0 ? scan->count : 1) * sizeof(*patches->list));
    if (!patches->list) return -ENOMEM;
    for (uint32_t i = 0; i < scan->count; i++) {
        const struct region *region = &scan->regions[i];
        if (region->gone) continue;
        patches->list[patches->count++] = (struct rk_rect){region->left, region->top, region->right - region->left + 1,
                                                           region->bottom - region->top + 1};
    }
    return 0;
}

int rk_patches_find(const struct rk_image *before, const struct rk_image *after, struct rk_patches *patches)
{
    /* Each active region has a pixel of its own in the row that touched it, and the scan adds one more. */
    size_t most = (size_t)after->width + 2;
    uint32_t *numbers = malloc(3 * most * sizeof(*numbers));
    if (!numbers) return -ENOMEM;
    struct scan scan = {.active.list = numbers, .near.list = numbers + most, .passed.list = numbers + 2 * most};
    *patches = (struct rk_patches){0};
    int error = scan_all(&scan, before, after);
    if (error == 0) error = collect(&scan, patches);
    free(scan.regions);
    free(numbers);
    return error;
}

void rk_patches_finish(struct rk_patches *patches)
{
    free(patches->list);
    *patches = (struct rk_patches){0};
}
