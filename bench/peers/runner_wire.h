/* SPDX-License-Identifier: MIT */
/* A wire as a contender: two processes, the client in the runner's, the server forked from it. See runner.h, wire.h. */
#ifndef RK_RUNNER_WIRE_H
#define RK_RUNNER_WIRE_H

#include "runner.h"
#include "wire.h"

/** plan.wire and plan.size say what is measured; plan.in_flight is the deepest that orders will ask for.
 * RK_RUN_TRIPS: samples->each go to the order's series. RK_RUN_PIPELINE: order.depth in flight, p50_ns is the time per call
 * (the inverse of the throughput), sampled latencies go to the series. */
extern const struct rk_runner_kind rk_runner_wire;

/** The request of `hello` and its answer, as rk_talk has them. */
void rk_talk_hello(struct rk_talk *talk);

/** main() of another program with wires: `PROGRAM FD` (see rk_runner_enter()), or --list: their names. */
int rk_wire_program(int argc, char **argv, const struct rk_wire *const *wires);

#endif
