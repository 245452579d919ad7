/* SPDX-License-Identifier: MIT */
/* See curve.h. */
#include "curve.h"
#include "check.h"

void rk_curve_init(struct rk_curve *backlog)
{
    backlog->span_ns = RK_CURVE_SPAN_NS;
    backlog->count = 0;
    backlog->most = 0;
}

static void halve(struct rk_curve *backlog)
{
    for (uint32_t i = 0; i < backlog->count; i += 2) {
        const struct rk_curve_span *one = &backlog->span[i];
        const struct rk_curve_span *other = i + 1 < backlog->count ? one + 1 : one;
        backlog->span[i / 2] =
            (struct rk_curve_span){.most = one->most > other->most ? one->most : other->most, .last = other->last};
    }
    backlog->count = (backlog->count + 1) / 2;
    backlog->span_ns *= 2;
}

/* Spans in which nothing was noted go on as the one before ended. */
static struct rk_curve_span *span_at(struct rk_curve *backlog, uint64_t at_ns)
{
    while (at_ns / backlog->span_ns >= RK_CURVE_SPANS) halve(backlog);
    uint32_t index = (uint32_t)(at_ns / backlog->span_ns);
    for (; backlog->count <= index; backlog->count++) {
        uint64_t before = backlog->count > 0 ? backlog->span[backlog->count - 1].last : 0;
        backlog->span[backlog->count] = (struct rk_curve_span){.most = before, .last = before};
    }
    return &backlog->span[index];
}

void rk_curve_note(struct rk_curve *backlog, uint64_t at_ns, uint64_t items)
{
    struct rk_curve_span *span = span_at(backlog, at_ns);
    RK_CHECK(span == &backlog->span[backlog->count - 1]);
    if (items > span->most) span->most = items;
    if (items > backlog->most) backlog->most = items;
    span->last = items;
}
