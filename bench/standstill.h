/* SPDX-License-Identifier: MIT */
/* Makes the spinning workers of a private supervisor stand still (SIGSTOP) while the floor is measured, and go on after
 * it (SIGCONT): on the processor of the floor's peer they would take turns with it, many milliseconds each. Nothing is in
 * flight then, so nobody waits for them. Workers of a supervisor that others may use are left alone. */
#ifndef RK_STANDSTILL_H
#define RK_STANDSTILL_H

#include <rask/limits.h>
#include <stdint.h>
#include <sys/types.h>

struct rk_standstill {
    uint32_t count;
    pid_t workers[RASK_WORKERS_MAX];
};

/** Find the workers: the children of `supervisor`. 0 means none, and the other functions then do nothing. */
void rk_standstill_init(struct rk_standstill *standstill, pid_t supervisor);
void rk_standstill_begin(const struct rk_standstill *standstill);
/** Harmless when repeated. */
void rk_standstill_end(const struct rk_standstill *standstill);

#endif
