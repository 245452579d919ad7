/* SPDX-License-Identifier: MIT */
/* How many of its workers a session keeps busy at once.
 *
 * More workers than processors pay only if handlers sleep or take long: a worker that answers in less time than it takes to
 * switch to it makes every call slower, and with 64 of them on two processors nothing is left of a pipeline. So requests
 * keep to `base` lanes, as many as the processors run beside the client, and go wider on evidence only:
 *
 * - the workers say what the middle one of their requests takes (layout.h, a hint); from WIDE_NS on all of them are used;
 * - a lane stuck inside a handler that left others waiting adds one, and as long as nothing has been answered yet, all.
 *   What it added goes again, half of it per CALLS_PER_STEP answers.
 *
 * A lane that is stuck counts for nothing, so one hung worker narrows nobody's way.
 *
 * And how many requests a lane may hold: where one takes long, what is bound early waits behind it while another worker is
 * free. So from WIDE_NS on a lane holds one that waits, and from RK_LATE_NS on, where the time until the next one comes does not
 * count, none: then the backlog is one queue for all workers.
 *
 * Of other sessions' requests a client knows nothing. So from RK_LATE_NS on a worker also says when it is inside one of them,
 * and since when: free workers come first, then those that should be free soon, and one that has been inside for long last. */
#ifndef RK_SPREAD_H
#define RK_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

/** A request that takes longer than it takes a client to wake up and send the next one. */
#define RK_LATE_NS 50000u
/** Where requests take less, a worker may hold back the bell of a client that sleeps (worker_serve.c). */
#define RK_HOLD_SERVICE_NS 5000u

struct rk_spread {
    uint32_t lanes; /* requests go to at most so many lanes that move */
    uint32_t base;
    uint32_t most;
    uint64_t step_at; /* answers at which it becomes narrower */
    uint32_t window;  /* requests that one lane may hold, at most */
};

/** A session with `workers` workers, `parallel` of which can run at once beside it (0 counts as 1). */
void rk_spread_init(struct rk_spread *spread, uint32_t workers, uint32_t parallel);

/** A look now and then. `service_ns`: the hint, 0 if there is none yet; `held_up`: a handler holds up others; `answers`: how
 * many requests of the session have ended so far. */
void rk_spread_look(struct rk_spread *spread, uint32_t service_ns, bool held_up, uint64_t answers);

#define RK_RANK_HELD_UP 2u
/** How good a worker is for one more request, 0 the best. `since_ns`: since when it is inside a request of others, 0 it is not. */
static inline uint32_t rk_spread_rank(uint64_t since_ns, uint64_t now_ns, uint32_t service_ns)
{
    if (since_ns == 0) return 0;
    return now_ns - since_ns < 2ull * service_ns ? 1 : RK_RANK_HELD_UP;
}
#endif
