/* SPDX-License-Identifier: MIT */
/* Publish, park, wake, as lib/bell.h describes it: two ringers, one sleeper, a supervisor, kills, and memory with store
 * buffers. docs/model.md says what is modelled and lists the mutants (the MUTANT_* below: each has to fail).
 *
 *   default     the sleeper is a client: one bell and one state word that both ringers (workers) use
 *   WORKER      the sleeper is a worker: a bell and a state word per ringer (client), and its control word; futex_waitv
 *   FENCED      no membarrier on one of the sides: FENCED from the start
 *   SWITCHING   light at first; the sleeper may switch to FENCED, back, and to FENCED again
 *   MIXED       (WORKER) ringer 0 is not registered for membarrier and is FENCED, ringer 1 is light
 *   SC          memory without store buffers, to show what the failures are about
 *   HOLD        a ringer may hold a ring back while it has more messages
 *   KILL        ringer 0 may be killed at any moment; KILL_BOTH: each of them
 *   GREETING    the supervisor sends a message of its own at any moment (GREETING=2: two) */
#ifdef KILL_BOTH
#define KILL
#endif
#if defined(GREETING) || (defined(KILL) && !defined(MUTANT_NO_KICK))
#define SUPERVISOR
#endif

#ifndef MESSAGES_0
#define MESSAGES_0 2 /* of ringer 0 */
#endif
#ifndef MESSAGES_1
#define MESSAGES_1 1 /* of ringer 1 */
#endif
#ifndef SPURIOUS
#define SPURIOUS 0 /* returns from the futex without a reason, at most */
#endif
#define RINGERS 2
#define SLEEPER 2 /* index of its store buffer */

#ifdef WORKER
#define STATES 2
#define WORDS 3
#define STATE_FOR(ringer) (ringer)
#define WORD_FOR(ringer) (1 + (ringer))
#else
#define STATES 1
#define WORDS 1
#define STATE_FOR(ringer) 0
#define WORD_FOR(ringer) 0
#endif

/* Shared words: their place in memory[]. */
#define PUBLISHED(ringer) (ringer)       /* sequence of the newest message, R1 and R2 */
#define STATE(index) (RINGERS + (index)) /* struct rk_waiter, R4 */
#define BELL(index) (4 + (index))        /* R10; of a worker, word 0 is its control word */
#define CONTROL 7                        /* R7 of a client */
#define PARKED 1
#define FENCE 2
#define SLEEP 4 /* the bits from here up count sleeps */
#define FLAGS (PARKED | FENCE)

byte memory[8];

/* ---- memory: each party's stores wait in a buffer and reach memory in order, at any time ---- */

#define STORES 4
chan stores[3] = [STORES] of {byte, byte};

#ifdef SC
#define STORE(party, where, what) memory[where] = what
#else
#define STORE(party, where, what) stores[party]!where, what
#endif
#define FULL_FENCE(party) empty(stores[party])
/* membarrier: there is a moment between call and return at which this party has executed a full barrier. */
#define REACHED_BY_BARRIER(party) empty(stores[party])

#ifndef SC
active proctype Memory() {
    byte where, what;
end:
    do
    :: atomic { stores[0]?where, what -> memory[where] = what; where = 0; what = 0 }
    :: atomic { stores[1]?where, what -> memory[where] = what; where = 0; what = 0 }
    :: atomic { stores[SLEEPER]?where, what -> memory[where] = what; where = 0; what = 0 }
    od
}
#endif

/* ---- kernel ---- */

bool queued[WORDS]; /* the sleeper waits on this word */
bool woken;         /* a wake found it there */
byte spurious;

inline wake(word) {
    d_step {
        if
        :: queued[word] -> queued[word] = false; woken = true
        :: else
        fi
    }
}

/* rk_bell_ring(): the bump is one locked instruction and orders what is before it, the wake is a system call. */
inline ring(party, word) {
#if defined(MUTANT_WAKE_WITHOUT_BUMP)
    skip;
#elif defined(MUTANT_PLAIN_BUMP)
    bumped = memory[BELL(word)] + 1;
    STORE(party, BELL(word), bumped);
    FULL_FENCE(party); /* the kernel's, on the way to the wake */
#else
    atomic { FULL_FENCE(party) -> memory[BELL(word)]++ };
#endif
#ifndef MUTANT_BUMP_WITHOUT_WAKE
    wake(word)
#else
    skip
#endif
}

/* ---- ringers ---- */

bool killed[RINGERS]; /* SIGKILL was sent */
bool dead[RINGERS];   /* and it is proven: the pidfd is readable */
bool over[RINGERS];   /* dead, or all its messages are published */

/* rk_publish_slow(): one ring for each sleep. */
inline ring_sleeper(me) {
    seen = memory[STATE(STATE_FOR(me))];
#if defined(FENCED) || defined(SWITCHING) || defined(MIXED)
    if
    :: seen & FENCE ->
#ifndef MUTANT_NO_FENCE_OF_RINGER
        FULL_FENCE(me);
#endif
#ifndef MUTANT_NO_RELOAD
        seen = memory[STATE(STATE_FOR(me))];
#endif
        skip
    :: else
    fi;
#endif
#ifdef MUTANT_RUNG_FOR_ALL_SLEEPS
    seen = seen & FLAGS;
#endif
    seen = seen & (255 - FENCE);
    if
    :: (seen & PARKED) && seen != rung -> rung = seen; ring(me, WORD_FOR(me))
    :: else
    fi
}

/* rk_publish(), or rk_served_ring() later. The light barrier keeps the compiler's order: nothing waits for the buffer. */
inline publish(me) {
#ifdef MUTANT_NO_LIGHT_BARRIER
    seen = memory[STATE(STATE_FOR(me))];
    STORE(me, PUBLISHED(me), sequence + 1);
#else
    STORE(me, PUBLISHED(me), sequence + 1);
    seen = memory[STATE(STATE_FOR(me))];
#endif
#ifdef HOLD
    due = due || (seen & FLAGS) != 0;
    if
#ifdef MUTANT_HELD_FOR_EVER
    :: due /* held */
#else
    :: due && sequence + 1 < messages /* held */
#endif
    :: due -> ring_sleeper(me); due = false
    :: else
    fi;
#else
    if
    :: (seen & FLAGS) != 0 -> ring_sleeper(me)
    :: else
    fi;
#endif
    seen = 0
}

proctype Ringer(byte me; byte messages) {
    byte sequence, seen, rung;
#ifdef HOLD
    bool due;
#endif
#ifdef KILL
    byte at, what;
#endif
#ifdef MUTANT_PLAIN_BUMP
    byte bumped;
#endif
    {
        do
        :: sequence < messages -> publish(me); sequence++
        :: else -> break
        od
    } unless { killed[me] };
#ifdef KILL
    if
    :: killed[me] ->
        /* What was in its buffer gets out, or part of it never does. Either is over before the death is proven. */
        do
        :: empty(stores[me]) -> break
        :: atomic { nempty(stores[me]) -> do :: stores[me]?at, what :: empty(stores[me]) -> break od; at = 0; what = 0 }
        od;
        dead[me] = true
    :: else
    fi;
#endif
    sequence = 0;
    rung = 0;
    over[me] = true
}

/* Kills at any moment of a life or after it, or never. */
#ifdef KILL
active proctype Killer() {
    if
    :: killed[0] = true
    :: true
    fi;
#ifdef KILL_BOTH
    if
    :: killed[1] = true
    :: true
    fi
#endif
}
#endif

/* ---- supervisor: sends one message of its own, and rings for the dead ---- */

byte sent; /* messages on the sleeper's control socket: the kernel orders these */

/* rk_peer_wake(). A worker sleeps on its control word itself. */
inline tell() {
    sent++;
#ifndef WORKER
    memory[CONTROL]++;
#endif
#ifdef MUTANT_KICK_WITHOUT_BUMP
    wake(0)
#else
    memory[BELL(0)]++;
    wake(0)
#endif
}

#ifdef SUPERVISOR
#ifdef MUTANT_KICK_BEFORE_PROOF
#define DEATH(ringer) killed[ringer]
#else
#define DEATH(ringer) dead[ringer]
#endif

proctype Supervisor() {
    bool told[RINGERS];
#ifdef GREETING
    byte greeted;
#endif
end:
    do
#ifdef GREETING
    :: greeted < GREETING -> greeted++; tell()
#endif
#if defined(KILL) && !defined(MUTANT_NO_KICK)
    :: DEATH(0) && !told[0] -> told[0] = true; tell()
#endif
#if defined(KILL_BOTH) && !defined(MUTANT_NO_KICK)
    :: DEATH(1) && !told[1] -> told[1] = true; tell()
#endif
    od
}

#endif

/* ---- sleeper ---- */

byte taken[RINGERS];
byte read; /* of `sent` */

inline heavy_barrier() {
    FULL_FENCE(SLEEPER);
#ifndef MUTANT_NO_HEAVY
    reached[0] = false;
    reached[1] = false;
    do /* in any order, and never both at once */
#ifndef MIXED
    :: !reached[0] && REACHED_BY_BARRIER(0) -> reached[0] = true
#endif
    :: !reached[1] && REACHED_BY_BARRIER(1) -> reached[1] = true
#ifdef MIXED
    :: reached[1] -> break
#else
    :: reached[0] && reached[1] -> break
#endif
    od;
    reached[0] = false;
    reached[1] = false;
    FULL_FENCE(SLEEPER)
#endif
}

inline store_state(index, bits) {
    STORE(SLEEPER, STATE(index), (bits) | mode[index] | sleeps * SLEEP)
}

inline store_states(bits) {
    store_state(0, bits);
#if STATES > 1
    store_state(1, bits)
#endif
}

inline read_bell(index) {
    seen[index] = memory[BELL(index)]
}

/* rk_park_barrier() */
inline park_barrier() {
#if defined(FENCED)
#ifdef MUTANT_NO_FENCE_OF_SLEEPER
    skip
#else
    FULL_FENCE(SLEEPER)
#endif
#elif defined(SWITCHING)
    if
#ifdef MUTANT_FENCE_AFTER_SWITCH_BACK
    :: switches > 0 -> FULL_FENCE(SLEEPER)
    :: switches == 0 -> heavy_barrier()
#else
    :: mode[0] == FENCE -> FULL_FENCE(SLEEPER)
    :: mode[0] == 0 -> heavy_barrier()
#endif
    fi
#else
    heavy_barrier()
#endif
}

/* The sleeper parks often: from now on its ringers fence. Or it stays busy, and they need not any more. */
inline maybe_switch() {
    if
    :: switches < 3 && mode[0] == 0 ->
        switches++;
        mode[0] = FENCE;
#if STATES > 1
        mode[1] = FENCE;
#endif
        store_states(0);
#ifndef MUTANT_SWITCH_WITHOUT_HEAVY
        heavy_barrier()
#endif
    :: switches < 3 && mode[0] == FENCE ->
        switches++;
        mode[0] = 0;
#if STATES > 1
        mode[1] = 0;
#endif
        store_states(0)
    :: true
    fi
}

inline announce() {
    sleeps++;
#ifdef WORKER
#ifndef MUTANT_BELL_READ_LATE
    read_bell(1);
#endif
    store_state(0, PARKED);
#ifndef MUTANT_BELL_READ_LATE
    read_bell(2);
#endif
    store_state(1, PARKED);
#else
#ifndef MUTANT_BELL_READ_LATE
    read_bell(0);
#endif
    store_state(0, PARKED);
#endif
    skip
}

#ifdef WORKER
#define CALLED (memory[BELL(0)] != seen[0])
#else
#define CALLED (memory[CONTROL] != control_seen)
#endif

/* The second look: anything() */
inline look() {
    found = CALLED;
    if
    :: !found -> found = memory[PUBLISHED(0)] != taken[0]
    :: else
    fi;
    if
    :: !found -> found = memory[PUBLISHED(1)] != taken[1]
    :: else
    fi
}

#ifdef MUTANT_WORD_LEFT_OUT
#define WAIT_WORDS (WORDS - 1)
#else
#define WAIT_WORDS WORDS
#endif

/* futex and futex_waitv: compare and queue each word in turn, each under its lock; sleep when all are queued. */
inline wait() {
    do
    :: word < WAIT_WORDS ->
        atomic {
            if
            :: memory[BELL(word)] == seen[word] -> queued[word] = true; word++
            :: else -> break
            fi
        }
    :: word == WAIT_WORDS ->
end_asleep:
        if
        :: woken -> break
#if SPURIOUS > 0
        :: spurious > 0 -> spurious--; break
#endif
        fi
    od;
    atomic {
        word = 0;
        do
        :: word < WORDS -> queued[word] = false; word++
        :: else -> break
        od;
        word = 0;
        woken = false
    }
}
/* Not read again before the next announcement; the fewer values, the fewer states. */
inline forget() {
#ifdef WORKER
    d_step { seen[1] = 0; seen[2] = 0 }
#else
    seen[0] = 0
#endif
}

/* Everything that can be seen, like rk_progress() and a worker's round of turns. */
inline take() {
    taken[0] = memory[PUBLISHED(0)];
    taken[1] = memory[PUBLISHED(1)];
#ifdef SUPERVISOR
    if
    :: CALLED ->
#ifdef MUTANT_CONTROL_READ_LATE
        read = sent;
#endif
#ifdef WORKER
        read_bell(0);
#else
        control_seen = memory[CONTROL];
#endif
#ifndef MUTANT_CONTROL_READ_LATE
        read = sent
#endif
    :: else
    fi
#endif
}

proctype Sleeper() {
    byte seen[WORDS];
    byte mode[STATES];
    byte word, sleeps;
    bool found, reached[RINGERS];
#ifndef WORKER
    byte control_seen;
#endif
#ifdef SWITCHING
    byte switches;
#endif
#ifdef FENCED
    mode[0] = FENCE;
#if STATES > 1
    mode[1] = FENCE;
#endif
#endif
#if defined(MIXED) && !defined(MUTANT_UNREGISTERED_NOT_FENCED)
    mode[0] = FENCE;
#endif
    do
    :: true ->
#ifdef SWITCHING
        maybe_switch();
#endif
#ifdef MUTANT_PARKED_LATE
#ifdef WORKER
        read_bell(1);
        read_bell(2);
#else
        read_bell(0);
#endif
        look();
        sleeps++;
        store_states(PARKED);
        park_barrier();
#else
        announce();
        park_barrier();
#ifndef MUTANT_NO_SECOND_LOOK
        look();
#endif
#endif
#ifdef MUTANT_BELL_READ_LATE
#ifdef WORKER
        read_bell(1);
        read_bell(2);
#else
        read_bell(0);
#endif
#endif
        if
        :: !found -> wait()
        :: else -> found = false
        fi;
        store_states(0);
        forget();
        take()
    od
}

/* ---- the property: when nothing can happen any more, the sleeper has taken all there is ---- */

bool lost_wake_up, unfinished;

init {
    atomic {
#if defined(FENCED)
        memory[STATE(0)] = FENCE;
        memory[STATE(STATES - 1)] = FENCE;
#elif defined(MIXED) && !defined(MUTANT_UNREGISTERED_NOT_FENCED)
        memory[STATE(0)] = FENCE;
#endif
        if
        :: spurious = 0
        :: spurious = SPURIOUS
        fi;
        run Ringer(0, MESSAGES_0);
        run Ringer(1, MESSAGES_1);
#ifdef SUPERVISOR
        run Supervisor();
#endif
        run Sleeper()
    }
    timeout; /* true only when no other process can take a step: no time-out rescues anybody here */
    unfinished = !over[0] || !over[1] || (!dead[0] && memory[PUBLISHED(0)] != MESSAGES_0) ||
                 (!dead[1] && memory[PUBLISHED(1)] != MESSAGES_1);
    assert(!unfinished);
    lost_wake_up = memory[PUBLISHED(0)] != taken[0] || memory[PUBLISHED(1)] != taken[1] || read != sent;
    assert(!lost_wake_up)
}
