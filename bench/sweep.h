/* SPDX-License-Identifier: MIT */
/* `rask bench sweep`: rask over everything that can be turned: size, depth, number of workers and of clients, cost of a
 * handler, load, and a mixture of fast and slow requests. The parts of the suite (suite.h). */
#ifndef RK_SWEEP_H
#define RK_SWEEP_H

#include "suite.h"

enum rk_sweep_part {
    RK_SWEEP_SIZES,
    RK_SWEEP_INFLIGHT,
    RK_SWEEP_WORKERS,
    RK_SWEEP_CLIENTS,
    RK_SWEEP_HANDLERS,
    RK_SWEEP_PAYLOAD,
    RK_SWEEP_LOAD,
    RK_SWEEP_MIXTURE,
    RK_SWEEP_FLOW,
    RK_SWEEP_PARTS
};

extern const struct rk_suite_kind rk_sweep;

int rk_sweep_sizes(struct rk_suite *sweep);
int rk_sweep_inflight(struct rk_suite *sweep);
int rk_sweep_workers(struct rk_suite *sweep);
int rk_sweep_clients(struct rk_suite *sweep);
int rk_sweep_handlers(struct rk_suite *sweep);
int rk_sweep_payload(struct rk_suite *sweep);
int rk_sweep_load(struct rk_suite *sweep);
int rk_sweep_mixture(struct rk_suite *sweep);
int rk_sweep_flow(struct rk_suite *sweep);

/** Are there two processors, so that both sides can be busy at once? Where not, it is said, and the part has no rows. */
bool rk_sweep_has_two(struct rk_suite *sweep);

/** A row of a part's table as JSON: what is swept and where, "size": 32, with a name for `rask bench compare`. */
json_t *rk_sweep_row(json_t *list, const char *name, const char *key, uint64_t value);

/** Draw a panel for each part that has a curve. As rk_suite_kind.draw. */
int rk_sweep_draw(const char *path, const json_t *parts);

#endif
