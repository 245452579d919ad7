/* SPDX-License-Identifier: MIT */
/* How long to spin before sleeping: spin (with pause) -> yield -> park.
 *
 * The budget is a time, turned into a number of looks by a calibration at start, so that no clock is read while
 * spinning. It is what a wake-up costs (spinning longer than that wastes more than sleeping), divided among the parties
 * that would spin on the processors this process may use; with one processor it is 0.
 *
 * `hybrid` spends the budget only while that helps. What came while it spun was worth it. After MISSES_MAX waits in a
 * row that spun in vain it sleeps at once; a wait that reaches the kernel then measures how long it slept (the only
 * place where a clock is read), and if that was short, so that spinning might have caught it, it tries again now and
 * then: after 4 short sleeps, after 8, 16 ... HOLD_MAX while trying does not help (two parties on one processor: what is
 * waited for comes only because this party sleeps). Long sleeps never make it try. So with gaps below the budget it
 * behaves like `spin`, above it like `park`, and neither a slow peer nor a crowd of workers makes it burn processors. */
#ifndef RK_LADDER_H
#define RK_LADDER_H

#include "check.h"
#include "cpus.h"
#include <rask/client.h>
#include <stdbool.h>
#include <stdint.h>

#define RK_SPIN_BUDGET_NS 50000u
#define RK_YIELDS 2u
/** A sleep this short might have been spared by spinning: the budget, and a wake-up. */
#define RK_SHORT_SLEEP_NS (2 * RK_SPIN_BUDGET_NS)

struct rk_ladder {
    uint32_t mode;      /* enum rask_wait_mode, never DEFAULT */
    uint32_t budget_ns; /* UINT32_MAX: spin for ever, 0: park at once */
    uint32_t spins;     /* the budget in looks with a pause; UINT32_MAX: for ever */
    uint32_t yields;    /* looks with a yield after that */
    uint32_t look_ns;   /* what one look costs */
    uint32_t cpus;      /* usable processors at the start */
    uint32_t parties;   /* that share them */
    /* What hybrid has learned. */
    uint32_t misses; /* waits in a row that spun in vain */
    uint32_t hold;   /* short sleeps before the next try */
    uint32_t held;   /* of those, how many are left; 0: it spins */
};

/** RASK_WAIT_DEFAULT -> RASK_WAIT from the environment, else hybrid. -EINVAL for a mode or variable that is none. */
int rk_wait_mode_resolve(uint32_t mode);

/** "spin", "hybrid", "park" -> mode; -EINVAL. */
int rk_wait_mode_parse(const char *name);
const char *rk_wait_mode_name(uint32_t mode);

/** `parties`: how many may spin at the same time on these processors, this one included. */
void rk_ladder_init(struct rk_ladder *ladder, uint32_t mode, uint32_t parties);

/** The number of parties has changed. */
void rk_ladder_share(struct rk_ladder *ladder, uint32_t parties);

/** A wait begins: may it spin and yield? */
static inline bool rk_ladder_spins(const struct rk_ladder *ladder)
{
    return RK_LIKELY(ladder->held == 0);
}

/** Does what is waited for come while this party spins? Then its peer runs at the same time, on another processor. */
static inline bool rk_ladder_meets(const struct rk_ladder *ladder)
{
    return ladder->misses == 0 && ladder->spins > 0;
}

/** Out of line part of rk_ladder_found(). */
void rk_ladder_found_again(struct rk_ladder *ladder, bool yielded);

/** The wait ended before it had to sleep. `yielded`: only after this party had given its processor away, so spinning was as
 * much in vain as before a sleep. */
static inline void rk_ladder_found(struct rk_ladder *ladder, bool yielded)
{
    if (RK_UNLIKELY(ladder->misses != 0 || yielded)) rk_ladder_found_again(ladder, yielded);
}

/** Does rk_ladder_slept() want to know how long the sleep that comes was? Then the clock is read around it. */
static inline bool rk_ladder_times(const struct rk_ladder *ladder)
{
    return ladder->held != 0;
}

/** The wait had to sleep, for `slept_ns` (0 when rk_ladder_times() did not ask). */
void rk_ladder_slept(struct rk_ladder *ladder, uint64_t slept_ns);

#endif
