/* SPDX-License-Identifier: MIT */
#include "spread.h"

/** A handler that takes longer than this is worth a switch to another process. */
#define WIDE_NS 5000u
#define CALLS_PER_STEP 1024u

void rk_spread_init(struct rk_spread *spread, uint32_t workers, uint32_t parallel)
{
    if (parallel == 0) parallel = 1;
    *spread =
        (struct rk_spread){.most = workers, .window = UINT32_MAX, .base = parallel < workers ? parallel : workers};
    spread->lanes = spread->base;
}

void rk_spread_look(struct rk_spread *spread, uint32_t service_ns, bool held_up, uint64_t answers)
{
    spread->window = service_ns >= RK_LATE_NS ? 1 : service_ns >= WIDE_NS ? 2 : UINT32_MAX;
    if (service_ns >= WIDE_NS || (held_up && service_ns == 0)) {
        spread->lanes = spread->most;
    } else if (held_up) {
        if (spread->lanes < spread->most) spread->lanes++;
    } else if (answers < spread->step_at) {
        return;
    } else {
        spread->lanes -= (spread->lanes - spread->base + 1) / 2;
    }
    spread->step_at = answers + CALLS_PER_STEP;
}
