/* SPDX-License-Identifier: MIT */
/* Waiting for a run of messages; see run.h. */
#include "run.h"

#define PAUSES 4u
/* Looks for a run between two at the next message. */
#define NEXT_EVERY 8u

static void pause_a_little(void)
{
    for (unsigned i = 0; i < PAUSES; i++) rk_pause();
}

void rk_run_gather(struct rk_run *run, const struct rk_reading *at, uint64_t in_flight)
{
    if (!rk_slots_in_ring(at->ring, at->next, at->mask)) return; /* the first of many: it comes alone */
    if (run->left > 0) {
        run->left--;
        return;
    }
    uint32_t looks = RK_GATHER_LOOKS;
    for (uint32_t i = 0; i < looks; i++) {
        if (rk_run_look(run, at, in_flight)) {
            run->skips = 0;
            return;
        }
        pause_a_little();
        bool alone = i % NEXT_EVERY == NEXT_EVERY - 1 && rk_run_there(at, 0);
        if (alone && looks > i + RK_COMPANY_LOOKS) looks = i + RK_COMPANY_LOOKS;
    }
    uint32_t skips = run->skips * 2u + 1;
    run->skips = (uint16_t)(skips < RK_SKIPS_MAX ? skips : RK_SKIPS_MAX);
    run->left = run->skips;
}
