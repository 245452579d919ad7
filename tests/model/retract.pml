/* SPDX-License-Identifier: MIT */
/* Taking requests back from a worker that may be alive, stopped or dead: retract() and rk_dispatch_rebalance() against
 * rk_served_take(), and settling after a death. Two requests are published on one lane; the client may want any of them
 * back at any moment (one mark each, then one barrier for all), and what it gets back it runs elsewhere.
 *
 *   default  light: the client's barrier is membarrier, the worker has none
 *   FENCED   a full fence on each side
 *   KILL     the worker may be killed at any moment; the client settles the lane after proof of death
 * The MUTANT_* have to fail: docs/model.md lists them. */

#define REQUESTS 2
#define CLIENT 0
#define WORKER 1

#define MARK(position) (position) /* R3: cancel, in the client's slot */
#define TAKEN 2                   /* R3: positions below it have been entered */
#define ANSWERED 3                /* R2: sequence of the newest response */
byte memory[4];

/* Each party's stores wait in a buffer and reach memory in order, at any time. */
chan stores[2] = [5] of {byte, byte};
#define STORE(party, where, what) stores[party]!where, what
#define FULL_FENCE(party) empty(stores[party])
#define REACHED_BY_BARRIER(party) empty(stores[party])

active proctype Memory() {
    byte where, what;
end:
    do
    :: atomic { stores[CLIENT]?where, what -> memory[where] = what; where = 0; what = 0 }
    :: atomic { stores[WORKER]?where, what -> memory[where] = what; where = 0; what = 0 }
    od
}

byte runs[REQUESTS];    /* how often a handler was called for it, anywhere */
bool skipped[REQUESTS]; /* what the response says: with the response, R2 */
bool killed, dead, ran_twice, ran_and_not_executed, not_settled;

/* A handler is called: what it does cannot be taken back. */
inline handle(position) {
    atomic {
        runs[position]++;
        ran_twice = runs[position] > 1;
        assert(!ran_twice)
    }
}

/* rk_served_take(): nothing of the slot but its sequence is read before `taken` is stored. */
inline serve() {
#ifdef MUTANT_MARK_READ_FIRST
    marked = memory[MARK(position)];
    STORE(WORKER, TAKEN, position + 1);
#else
    STORE(WORKER, TAKEN, position + 1);
#if defined(FENCED) && !defined(MUTANT_NO_FENCE_OF_WORKER)
    FULL_FENCE(WORKER);
#endif
    marked = memory[MARK(position)];
#endif
    if
    :: marked -> skipped[position] = true
    :: else -> handle(position)
    fi;
    marked = 0;
    STORE(WORKER, ANSWERED, position + 1);
    position++
}

active proctype Worker() {
    byte position, marked;
    {
        do
        :: position < REQUESTS -> serve()
        :: else -> break
        od
    } unless { killed };
#ifdef KILL
    if
    :: killed ->
        /* A store that was executed reaches memory: the kernel passes full barriers before the pidfd tells the death. */
        FULL_FENCE(WORKER);
        dead = true
    :: else
    fi
#endif
}

#ifdef KILL
active proctype Killer() {
    if
    :: killed = true
    :: true
    fi
}
#endif

inline heavy_barrier() {
    FULL_FENCE(CLIENT);
#if !defined(FENCED) && !defined(MUTANT_NO_HEAVY)
    REACHED_BY_BARRIER(WORKER);
    FULL_FENCE(CLIENT)
#endif
}

#define WAITING 0
#define RETRACTED 1
#define FINISHED 2
#define MAYBE 3

/* It will never run there, says the client, and lets somebody else run it. */
inline not_executed(position) {
    ran_and_not_executed = runs[position] > 0;
    assert(!ran_and_not_executed);
    outcome[position] = RETRACTED;
    handle(position)
}

inline take_back(position) {
    if
    :: wanted[position] && outcome[position] == WAITING && taken <= position -> not_executed(position)
    :: else
    fi
}

inline retract() {
#ifdef MUTANT_TAKEN_READ_FIRST
    taken = memory[TAKEN];
#endif
    if
    :: wanted[0] -> STORE(CLIENT, MARK(0), 1)
    :: else
    fi;
    if
    :: wanted[1] -> STORE(CLIENT, MARK(1), 1)
    :: else
    fi;
#ifdef MUTANT_NO_FENCE_OF_CLIENT
    skip;
#else
    heavy_barrier();
#endif
#ifndef MUTANT_TAKEN_READ_FIRST
    taken = memory[TAKEN];
#endif
    take_back(0);
    take_back(1);
    taken = 0
}

/* Responses come in order; that of a request that was taken back is passed over. */
inline receive() {
    if
    :: outcome[answered] == RETRACTED -> assert(skipped[answered])
    :: outcome[answered] == WAITING ->
        outcome[answered] = FINISHED;
        ran_and_not_executed = skipped[answered] == (runs[answered] > 0);
        assert(!ran_and_not_executed)
    fi;
    answered++
}

inline settle(position) {
    if
    :: position >= answered && outcome[position] == WAITING && taken <= position -> not_executed(position)
    :: position >= answered && outcome[position] == WAITING && taken > position -> outcome[position] = MAYBE
    :: else
    fi
}

/* rk_settle_lane(): what was answered is delivered first. */
inline settle_lane() {
    do
    :: answered < memory[ANSWERED] -> receive()
    :: else -> break
    od;
    taken = memory[TAKEN];
    settle(0);
    settle(1);
    taken = 0;
    answered = REQUESTS
}

#ifdef MUTANT_SETTLED_WITHOUT_PROOF
#define DEATH killed
#else
#define DEATH dead
#endif

active proctype Client() {
    byte taken, answered;
    byte outcome[REQUESTS];
    bool wanted[REQUESTS];
    bool retracted;
    do
    :: answered < REQUESTS && !retracted ->
        retracted = true;
        if
        :: wanted[0] = true
        :: wanted[1] = true
        :: wanted[0] = true; wanted[1] = true
        fi;
        retract()
    :: answered < REQUESTS && memory[ANSWERED] > answered -> receive()
#ifdef KILL
    :: answered < REQUESTS && DEATH -> settle_lane()
#endif
    :: answered == REQUESTS -> break
    od;
    not_settled = outcome[0] == WAITING || outcome[1] == WAITING;
    assert(!not_settled)
}
