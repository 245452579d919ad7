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
    enum { PLAIN = 0, RESTART, LOAD_FAILED } decide; /* RESTART, LOAD_FAILED: the end of a trial */
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
/* The plugin does not load: the end of a trial, or else one death more. */
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
                [RK_EVENT_LATE] = AGAIN,
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

static unsigned deaths_in_window(const struct rk_policy *policy, const struct rk_policy_facts *facts)
{
    unsigned count = 0;
    for (unsigned i = 0; i < facts->limit.deaths_max; i++)
        count += policy->deaths_ns[i] != 0 && facts->now_ns - policy->deaths_ns[i] < facts->limit.window_ns;
    return count;
}

static uint64_t doubled(uint64_t backoff_ns)
{
    if (backoff_ns == 0) return RK_BACKOFF_NS_MIN;
    return backoff_ns >= RK_BACKOFF_NS_MAX / 2 ? RK_BACKOFF_NS_MAX : backoff_ns * 2;
}

static uint64_t with_jitter(uint64_t ns, uint32_t chance)
{
    return ns + (ns / 4 >> 16) * (chance >> 16);
}

/* Enters a death. Returns how long to wait before the next start, without jitter. */
static uint64_t record_death(struct rk_policy *policy, const struct rk_policy_facts *facts)
{
    if (facts->limit.deaths_max == 0) return 0;
    if (facts->now_ns - policy->started_ns >= facts->limit.window_ns) { /* it had recovered: forget */
        policy->backoff_ns = 0;
        memset(policy->deaths_ns, 0, sizeof(policy->deaths_ns));
    }
    bool too_many = deaths_in_window(policy, facts) == facts->limit.deaths_max;
    policy->deaths_ns[policy->deaths_next] = facts->now_ns;
    policy->deaths_next = (policy->deaths_next + 1) % facts->limit.deaths_max;
    if (policy->backoff_ns != 0 || too_many) policy->backoff_ns = doubled(policy->backoff_ns);
    return policy->backoff_ns;
}

/* A failure to make a process is not the worker's: it always waits, so that a full machine is not hammered. A death for a
 * late request was ours: it is not counted. */
static struct cell decide_restart(struct rk_policy *policy, enum rk_policy_event event,
                                  const struct rk_policy_facts *facts, uint64_t *delay)
{
    *delay = event == RK_EVENT_LATE ? 0 : record_death(policy, facts);
    if (*delay == 0 && event == RK_EVENT_SPAWN_FAILED) *delay = RK_BACKOFF_NS_MIN;
    if (*delay == 0) return (struct cell)GO(RK_WORKER_STARTING, RK_ACT_SPAWN);
    *delay = with_jitter(*delay, facts->chance);
    return (struct cell)GO(RK_WORKER_BACKOFF, RK_ACT_WAIT);
}

/* A worker on trial ends; the process is gone, or is still to be killed. */
static struct cell decide_trial(enum rk_policy_event event)
{
    bool gone = event == RK_EVENT_DIED || event == RK_EVENT_LATE || event == RK_EVENT_SPAWN_FAILED;
    return (struct cell)GO(gone ? RK_WORKER_IDLE : RK_WORKER_STOPPED, RK_ACT_FAIL);
}

enum rk_policy_action rk_policy_step(struct rk_policy *policy, enum rk_policy_event event,
                                     const struct rk_policy_facts *facts, uint64_t *delay_ns)
{
    RK_CHECK((unsigned)policy->state < RK_POLICY_STATE_COUNT && (unsigned)event < RK_POLICY_EVENT_COUNT);
    RK_CHECK(facts->limit.deaths_max <= RK_DEATHS_MAX_LIMIT);
    struct cell cell = table[policy->state][event];
    *delay_ns = 0;
    if (cell.decide != PLAIN && facts->on_trial)
        cell = decide_trial(event);
    else if (cell.decide == RESTART)
        cell = decide_restart(policy, event, facts, delay_ns);
    policy->state = cell.next;
    if (cell.action == RK_ACT_SPAWN) policy->started_ns = facts->now_ns;
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
