/* SPDX-License-Identifier: MIT */
/* What the supervisor does about a worker, as data: actions[state][event]. No system calls; clock and chance are passed
 * in, so tests drive every pair.
 *
 * A worker that dies is started again at once, until it has died more than deaths_max times within window_ns; from then on
 * it waits before each start: RK_BACKOFF_NS_MIN doubling to RK_BACKOFF_NS_MAX, with up to a quarter of that on top, by
 * chance, so that workers which died together do not start together. An incarnation that lived as long as the window
 * clears the record. deaths_max 0: restarts are always immediate.
 *
 * A worker on trial is one that nobody depends on yet: the first of a pool, or the first of a new plugin file. It is not
 * started again: whatever happens to it fails its generation, because nothing would come of trying again. */
#ifndef RK_POLICY_H
#define RK_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define RK_DEATHS_MAX_DEFAULT 5u
#define RK_DEATHS_MAX_LIMIT 256u
#define RK_DEATHS_WINDOW_NS_DEFAULT 10000000000u
#define RK_BACKOFF_NS_MIN 100000000u
#define RK_BACKOFF_NS_MAX 24000000000u /* 30 s with the quarter */

/** --restart-limit. */
struct rk_restart_limit {
    uint32_t deaths_max; /* 0: no limit; at most RK_DEATHS_MAX_LIMIT */
    uint64_t window_ns;
};

enum rk_policy_state {
    RK_WORKER_IDLE = 0, /* no process, none wanted: before the start and after the end */
    RK_WORKER_STARTING, /* process runs, plugin not ready */
    RK_WORKER_SERVING,
    RK_WORKER_DRAINING, /* asked to finish; nothing follows its death */
    RK_WORKER_KILLED,   /* SIGKILL sent; another incarnation follows */
    RK_WORKER_STOPPED,  /* SIGKILL sent; nothing follows */
    RK_WORKER_BACKOFF,  /* dead; waits for the timer */
    RK_POLICY_STATE_COUNT
};

enum rk_policy_event {
    RK_EVENT_START = 0,     /* it is wanted */
    RK_EVENT_READY,         /* READY came */
    RK_EVENT_FAILED,        /* FAILED came: the plugin does not load */
    RK_EVENT_START_TIMEOUT, /* not ready in time */
    RK_EVENT_BAD,           /* broke the protocol, or closed its socket */
    RK_EVENT_DIED,          /* reaped */
    RK_EVENT_LATE,          /* reaped, killed for a request that was past its time: replaced at once, not counted */
    RK_EVENT_TIMER,         /* the back-off is over */
    RK_EVENT_SPAWN_FAILED,  /* no process could be made */
    RK_EVENT_DRAIN,         /* it is to go, finishing what it has */
    RK_EVENT_KILL,          /* it is to go at once */
    RK_POLICY_EVENT_COUNT
};

enum rk_policy_action {
    RK_ACT_NONE = 0,
    RK_ACT_SPAWN, /* start a process now */
    RK_ACT_WAIT,  /* start the timer with *delay_ns; RK_EVENT_TIMER when it fires */
    RK_ACT_SERVE, /* tell the sessions that this worker serves */
    RK_ACT_ASK,   /* send SHUTDOWN */
    RK_ACT_KILL,  /* SIGKILL */
    RK_ACT_FAIL,  /* on trial: its generation fails (kill what runs) */
    RK_POLICY_ACTION_COUNT
};

/** One worker's record. Zero is a worker that was never started. */
struct rk_policy {
    enum rk_policy_state state;
    uint64_t started_ns;
    uint64_t deaths_ns[RK_DEATHS_MAX_LIMIT]; /* the last ones, 0: none */
    unsigned deaths_next;
    uint64_t backoff_ns; /* 0: starts are immediate */
};

/** What a step depends on besides state and event. */
struct rk_policy_facts {
    struct rk_restart_limit limit;
    bool on_trial;
    uint64_t now_ns;
    uint32_t chance; /* any number, for the jitter */
};

/** Advance one worker. *delay_ns is set for RK_ACT_WAIT. */
enum rk_policy_action rk_policy_step(struct rk_policy *policy, enum rk_policy_event event,
                                     const struct rk_policy_facts *facts, uint64_t *delay_ns);

/** Does a process belong to this state? */
bool rk_policy_alive(enum rk_policy_state state);

const char *rk_policy_state_name(enum rk_policy_state state);
const char *rk_policy_event_name(enum rk_policy_event event);

#endif
