/* SPDX-License-Identifier: MIT */
/* Wait modes, the spin budget, and what hybrid learns; see ladder.h. */
#include "ladder.h"
#include "atomic.h"
#include "clock.h"
#include "error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_names[] = {"default", "spin", "hybrid", "park"};

const char *rk_wait_mode_name(uint32_t mode)
{
    return mode <= RASK_WAIT_PARK ? mode_names[mode] : "unknown";
}

int rk_wait_mode_parse(const char *name)
{
    for (int mode = RASK_WAIT_SPIN; mode <= RASK_WAIT_PARK; mode++)
        if (strcmp(name, mode_names[mode]) == 0) return mode;
    return rk_error(-EINVAL, "\"%s\" is not a wait mode: use spin, hybrid or park", name);
}

int rk_wait_mode_resolve(uint32_t mode)
{
    if (mode > RASK_WAIT_PARK) return rk_error(-EINVAL, "wait_mode is %u: use 0 to %d", mode, RASK_WAIT_PARK);
    if (mode != RASK_WAIT_DEFAULT) return (int)mode;
    const char *wanted = getenv("RASK_WAIT");
    if (wanted == NULL || *wanted == '\0') return RASK_WAIT_HYBRID;
    int parsed = rk_wait_mode_parse(wanted);
    return parsed > 0 ? parsed : rk_error(-EINVAL, "RASK_WAIT is \"%s\": use spin, hybrid or park", wanted);
}

/** Duration of one look with a pause, measured: it varies tenfold between processors. */
static uint32_t look_cost_ns(void)
{
    enum { LOOKS = 256 };
    uint32_t word = 0;
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < 3; round++) {
        uint64_t start = rask_now_ns();
        for (int i = 0; i < LOOKS; i++) {
            if (rk_load_acquire(&word) != 0) break;
            rk_pause();
        }
        uint64_t took = rask_now_ns() - start;
        if (took < best) best = took;
    }
    return best / LOOKS > 0 ? (uint32_t)(best / LOOKS) : 1;
}

#define MISSES_MAX 2u
#define HOLD_MIN 4u
#define HOLD_MAX 256u

/** What spinning may cost in hybrid mode: a wake-up's price, shared among those who spin at the same time. */
static uint32_t hybrid_budget_ns(uint32_t cpus, uint32_t parties)
{
    if (cpus < 2) return 0;
    if (parties <= cpus) return RK_SPIN_BUDGET_NS;
    return (uint32_t)((uint64_t)RK_SPIN_BUDGET_NS * cpus / parties / 2);
}

void rk_ladder_share(struct rk_ladder *ladder, uint32_t parties)
{
    ladder->parties = parties;
    if (ladder->mode != RASK_WAIT_HYBRID) return;
    ladder->budget_ns = hybrid_budget_ns(ladder->cpus, parties);
    ladder->spins = ladder->budget_ns / ladder->look_ns;
}

void rk_ladder_init(struct rk_ladder *ladder, uint32_t mode, uint32_t parties)
{
    *ladder = (struct rk_ladder){.mode = mode, .look_ns = 1, .cpus = rk_cpus_usable(), .hold = HOLD_MIN};
    if (mode == RASK_WAIT_SPIN) {
        ladder->budget_ns = UINT32_MAX;
        ladder->spins = UINT32_MAX;
    } else if (mode == RASK_WAIT_HYBRID) {
        ladder->look_ns = look_cost_ns();
        ladder->yields = RK_YIELDS;
    }
    rk_ladder_share(ladder, parties);
}

static void spun_in_vain(struct rk_ladder *ladder)
{
    if (++ladder->misses < MISSES_MAX) return;
    ladder->misses = MISSES_MAX - 1; /* one try in vain is enough the next time */
    ladder->held = ladder->hold;
    if (ladder->hold < HOLD_MAX) ladder->hold *= 2;
}

void rk_ladder_found_again(struct rk_ladder *ladder, bool yielded)
{
    if (yielded && ladder->spins > 0) {
        spun_in_vain(ladder);
    } else {
        ladder->misses = 0;
        ladder->hold = HOLD_MIN;
    }
}

void rk_ladder_slept(struct rk_ladder *ladder, uint64_t slept_ns)
{
    if (ladder->mode != RASK_WAIT_HYBRID) return;
    if (ladder->held == 0)
        spun_in_vain(ladder);
    else if (slept_ns < RK_SHORT_SLEEP_NS)
        ladder->held--;
}
