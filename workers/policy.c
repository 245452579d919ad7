/* SPDX-License-Identifier: MIT */
/* The table of supervision and the arithmetic of restarts; see policy.h. */
#include "policy.h"
#include "check.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

/* What a cell says: the next state and the action, or one of two decisions that depend on the record. */
struct cell {
    enum rk_policy_state next;
    enum rk_policy_action action;
    enum { PLAIN = 0, RESTART, LOAD_FAILED } decide;
};

#define STAY(state)               \
    {                             \
        state, RK_ACT_NONE, PLAIN \
    }
#define GO(state, action)    \
    {                        \
        state, action, PLAIN \
    }
/* The process is dead, or could not be made: now or after a back-off, by the record. */
#define AGAIN                                   \
    {                                           \
        RK_WORKER_BACKOFF, RK_ACT_WAIT, RESTART \
    }
/* The plugin does not load: the end of the pool's start, or else one death more. */
#define NO_LOAD                                    \
    {                                              \
        RK_WORKER_KILLED, RK_ACT_KILL, LOAD_FAILED \
    }

/* Every pair is answered. What cannot happen by itself (a message of a dead process that was read late) changes nothing;
 * what a worker may do only once (READY) is BAD when repeated. */
static const struct cell table[RK_POLICY_STATE_COUNT][RK_POLICY_EVENT_COUNT] =
    {
        [RK_WORKER_IDLE] =
            {
                [RK_EVENT_START] = GO(RK_WORKER_STARTING, RK_ACT_SPAWN),
                [RK_EVENT_READY] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_FAILED] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_START_TIMEOUT] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_BAD] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_DIED] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_LATE] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_TIMER] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_SPAWN_FAILED] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_DRAIN] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_KILL] = STAY(RK_WORKER_IDLE),
            },
        [RK_WORKER_STARTING] =
            {
                [RK_EVENT_START] = STAY(RK_WORKER_STARTING),
                [RK_EVENT_READY] = GO(RK_WORKER_SERVING, RK_ACT_SERVE),
                [RK_EVENT_FAILED] = NO_LOAD,
                [RK_EVENT_START_TIMEOUT] = NO_LOAD,
                [RK_EVENT_BAD] = NO_LOAD,
                [RK_EVENT_DIED] = AGAIN,
                [RK_EVENT_LATE] = AGAIN,
                [RK_EVENT_TIMER] = STAY(RK_WORKER_STARTING),
                [RK_EVENT_SPAWN_FAILED] = AGAIN,
                [RK_EVENT_DRAIN] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
                [RK_EVENT_KILL] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
            },
        [RK_WORKER_SERVING] =
            {
                [RK_EVENT_START] = STAY(RK_WORKER_SERVING),
                [RK_EVENT_READY] = GO(RK_WORKER_KILLED, RK_ACT_KILL),
                [RK_EVENT_FAILED] = GO(RK_WORKER_KILLED, RK_ACT_KILL),
                [RK_EVENT_START_TIMEOUT] = STAY(RK_WORKER_SERVING),
                [RK_EVENT_BAD] = GO(RK_WORKER_KILLED, RK_ACT_KILL),
                [RK_EVENT_DIED] = AGAIN,
                [RK_EVENT_LATE] = GO(RK_WORKER_STARTING, RK_ACT_SPAWN),
                [RK_EVENT_TIMER] = STAY(RK_WORKER_SERVING),
                [RK_EVENT_SPAWN_FAILED] = STAY(RK_WORKER_SERVING),
                [RK_EVENT_DRAIN] = GO(RK_WORKER_DRAINING, RK_ACT_ASK),
                [RK_EVENT_KILL] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
            },
        [RK_WORKER_DRAINING] =
            {
                [RK_EVENT_START] = STAY(RK_WORKER_DRAINING),
                [RK_EVENT_READY] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
                [RK_EVENT_FAILED] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
                [RK_EVENT_START_TIMEOUT] = STAY(RK_WORKER_DRAINING),
                [RK_EVENT_BAD] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
                [RK_EVENT_DIED] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_LATE] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_TIMER] = STAY(RK_WORKER_DRAINING),
                [RK_EVENT_SPAWN_FAILED] =
                    STAY(RK_WORKER_DRAINING),
                [RK_EVENT_DRAIN] = STAY(RK_WORKER_DRAINING),
                [RK_EVENT_KILL] = GO(RK_WORKER_STOPPED, RK_ACT_KILL),
            },
        [RK_WORKER_KILLED] =
            {
                [RK_EVENT_START] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_READY] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_FAILED] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_START_TIMEOUT] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_BAD] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_DIED] = AGAIN,
                [RK_EVENT_LATE] = AGAIN,
                [RK_EVENT_TIMER] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_SPAWN_FAILED] = STAY(RK_WORKER_KILLED),
                [RK_EVENT_DRAIN] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_KILL] = STAY(RK_WORKER_STOPPED),
            },
        [RK_WORKER_STOPPED] =
            {
                [RK_EVENT_START] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_READY] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_FAILED] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_START_TIMEOUT] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_BAD] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_DIED] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_LATE] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_TIMER] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_SPAWN_FAILED] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_DRAIN] = STAY(RK_WORKER_STOPPED),
                [RK_EVENT_KILL] = STAY(RK_WORKER_STOPPED),
            },
        [RK_WORKER_BACKOFF] =
            {
                [RK_EVENT_START] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_READY] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_FAILED] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_START_TIMEOUT] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_BAD] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_DIED] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_LATE] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_TIMER] = GO(RK_WORKER_STARTING, RK_ACT_SPAWN),
                [RK_EVENT_SPAWN_FAILED] = STAY(RK_WORKER_BACKOFF),
                [RK_EVENT_DRAIN] = STAY(RK_WORKER_IDLE),
                [RK_EVENT_KILL] = STAY(RK_WORKER_IDLE),
            },
};

static unsigned deaths_in_window(const struct rk_policy *policy, uint64_t now_ns)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RK_DEATHS_MAX; i++)
        count += policy->deaths_ns[i] != 0 && now_ns - policy->deaths_ns[i] < RK_DEATHS_WINDOW_NS;
    return count;
}

/* Enters a death. Returns how long to wait before the next start. */
static uint64_t record_death(struct rk_policy *policy, uint64_t now_ns)
{
    if (now_ns - policy->started_ns >= RK_DEATHS_WINDOW_NS) { /* it had recovered: forget */
        policy->backoff_ns = 0;
        memset(policy->deaths_ns, 0, sizeof(policy->deaths_ns));
    }
    bool too_many = deaths_in_window(policy, now_ns) == RK_DEATHS_MAX;
    policy->deaths_ns[policy->deaths_next] = now_ns;
    policy->deaths_next = (policy->deaths_next + 1) % RK_DEATHS_MAX;
    if (policy->backoff_ns != 0)
        policy->backoff_ns = policy->backoff_ns >= RK_BACKOFF_NS_MAX / 2 ? RK_BACKOFF_NS_MAX : policy->backoff_ns * 2;
    else if (too_many)
        policy->backoff_ns = RK_BACKOFF_NS_MIN;
    return policy->backoff_ns;
}

/* A failure to make a process is not the worker's: it always waits, so that a full machine is not hammered. */
static struct cell decide_restart(struct rk_policy *policy, enum rk_policy_event event, uint64_t now_ns,
                                  uint64_t *delay)
{
    *delay = record_death(policy, now_ns);
    if (*delay == 0 && event == RK_EVENT_SPAWN_FAILED) *delay = RK_BACKOFF_NS_MIN;
    if (*delay == 0) return (struct cell)GO(RK_WORKER_STARTING, RK_ACT_SPAWN);
    return (struct cell)GO(RK_WORKER_BACKOFF, RK_ACT_WAIT);
}

enum rk_policy_action rk_policy_step(struct rk_policy *policy, enum rk_policy_event event, bool ever_ready,
                                     uint64_t now_ns, uint64_t *delay_ns)
{
    RK_CHECK((unsigned)policy->state < RK_POLICY_STATE_COUNT && (unsigned)event < RK_POLICY_EVENT_COUNT);
    struct cell cell = table[policy->state][event];
    *delay_ns = 0;
    bool start_failed = !ever_ready && policy->state == RK_WORKER_STARTING;
    if (cell.decide != PLAIN && start_failed)
        cell = (struct cell)GO(event == RK_EVENT_DIED || event == RK_EVENT_LATE || event == RK_EVENT_SPAWN_FAILED
                                   ? RK_WORKER_IDLE
                                   : RK_WORKER_STOPPED,
                               RK_ACT_FAIL_POOL);
    else if (cell.decide == RESTART)
        cell = decide_restart(policy, event, now_ns, delay_ns);
    policy->state = cell.next;
    if (cell.action == RK_ACT_SPAWN) policy->started_ns = now_ns;
    return cell.action;
}

bool rk_policy_alive(enum rk_policy_state state)
{
    return state != RK_WORKER_IDLE && state != RK_WORKER_BACKOFF;
}

const char *rk_policy_state_name(enum rk_policy_state state)
{
    static const char *const names[] = {"idle", "starting", "serving", "draining", "killed", "stopped", "backing off"};
    static_assert(sizeof(names) / sizeof(names[0]) == RK_POLICY_STATE_COUNT, "one name per state");
    return names[state];
}

const char *rk_policy_event_name(enum rk_policy_event event)
{
    static const char *const names[] = {"start", "ready", "failed",       "start timeout", "bad", "died",
                                        "late",  "timer", "spawn failed", "drain",         "kill"};
    static_assert(sizeof(names) / sizeof(names[0]) == RK_POLICY_EVENT_COUNT, "one name per event");
    return names[event];
}
