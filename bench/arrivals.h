/* SPDX-License-Identifier: MIT */
/* When requests come: evenly, or by chance as those of many people who do not know of each other do (a Poisson process: gaps
 * are exponentially distributed). The same seed gives the same arrivals. */
#ifndef RK_ARRIVALS_H
#define RK_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

struct rk_arrivals {
    uint64_t state;
    double rate; /* per second */
    double at_ns;
    uint64_t index;
    bool poisson;
};

void rk_arrivals_init(struct rk_arrivals *arrivals, double rate, bool poisson, uint64_t seed);
/** The next arrival, in ns after the start; the first even one is at 0. */
uint64_t rk_arrivals_next(struct rk_arrivals *arrivals);

/** A number in [0, 1), from the same source: for what a request is like. */
double rk_arrivals_chance(struct rk_arrivals *arrivals);

#endif
