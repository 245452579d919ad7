/* SPDX-License-Identifier: MIT */
/* See arrivals.h. The numbers are those of SplitMix64. */
#include "arrivals.h"
#include "open_loop.h"
#include <math.h>

void rk_arrivals_init(struct rk_arrivals *arrivals, double rate, bool poisson, uint64_t seed)
{
    *arrivals = (struct rk_arrivals){.state = seed, .rate = rate, .poisson = poisson};
}

double rk_arrivals_chance(struct rk_arrivals *arrivals)
{
    uint64_t mixed = arrivals->state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return (double)((mixed ^ mixed >> 31) >> 11) * 0x1p-53;
}

uint64_t rk_arrivals_next(struct rk_arrivals *arrivals)
{
    if (!arrivals->poisson) return rk_open_loop_due_ns(arrivals->index++, (uint64_t)arrivals->rate);
    arrivals->at_ns += -log(1 - rk_arrivals_chance(arrivals)) * 1e9 / arrivals->rate;
    return (uint64_t)arrivals->at_ns;
}
