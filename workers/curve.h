/* SPDX-License-Identifier: MIT */
/* The backlog of a stream over time, in a fixed amount of memory: the most and the last of each span of time. Spans are 1 ms
 * at first; when there is no room for another one, each two become one of twice the length. Decision logic, no clock. */
#ifndef RK_CURVE_H
#define RK_CURVE_H

#include <stdint.h>

#define RK_CURVE_SPANS 1024u
#define RK_CURVE_SPAN_NS 1000000u

struct rk_curve_span {
    uint64_t most;
    uint64_t last;
};

/** Start with rk_curve_init(). */
struct rk_curve {
    uint64_t span_ns;
    uint32_t count; /* spans up to now */
    uint64_t most;  /* of all */
    struct rk_curve_span span[RK_CURVE_SPANS];
};

void rk_curve_init(struct rk_curve *backlog);

/** The backlog is `items`, `at_ns` after the start. Times do not go back. */
void rk_curve_note(struct rk_curve *backlog, uint64_t at_ns, uint64_t items);

#endif
