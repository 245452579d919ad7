/* SPDX-License-Identifier: MIT */
/* `rask bench wake`: what waiting costs. The parts of the suite (suite.h). */
#ifndef RK_WAKE_H
#define RK_WAKE_H

#include "suite.h"

enum rk_wake_part {
    RK_WAKE_PARKED,
    RK_WAKE_BUSY,
    RK_WAKE_GAPS,
    RK_WAKE_IDLE,
    RK_WAKE_WORKERS,
    RK_WAKE_BATCH,
    RK_WAKE_PARTS
};

extern const struct rk_suite_kind rk_wake;

int rk_wake_parked(struct rk_suite *wake);
int rk_wake_busy(struct rk_suite *wake);
int rk_wake_gaps(struct rk_suite *wake);
int rk_wake_idle(struct rk_suite *wake);
int rk_wake_workers(struct rk_suite *wake);
int rk_wake_batch(struct rk_suite *wake);

/** Draw the "cells" of the part gaps. As rk_suite_kind.draw. */
int rk_wake_draw(const char *path, const json_t *parts);

#endif
