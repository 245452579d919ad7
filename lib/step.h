/* SPDX-License-Identifier: MIT */
/* Places between the stores of the protocol where a test ends a process: RK_STEP(name) stands behind the store it is named
 * after. In everything that is installed it is nothing; only the programs of tests/steps/ are built with RK_FAILPOINTS. */
#ifndef RK_STEP_H
#define RK_STEP_H

/* name, side that a test kills there, what has just happened. The order is that of one request's life. */
#define RK_STEPS(X)                                                         \
    X(REQUEST_PAYLOAD, CLIENT, "payload is in the slot or named by it")     \
    X(REQUEST_LENGTH, CLIENT, "deadline, ticket and length stored")         \
    X(REQUEST_FIELDS, CLIENT, "all of the slot but its sequence stored")    \
    X(REQUEST_SEQUENCE, CLIENT, "sequence stored: published")               \
    X(REQUEST_RUNG, CLIENT, "worker rung if it sleeps")                     \
    X(REQUEST_NOTED, CLIENT, "private notes made")                          \
    X(TAKEN, WORKER, "`taken` stored")                                      \
    X(TAKEN_BARRIER, WORKER, "barrier between `taken` and the mark")        \
    X(REQUEST_READ, WORKER, "slot read and checked")                        \
    X(STATUS_PAGE, WORKER, "session, method and ticket in the status page") \
    X(EPOCH_ODD, WORKER, "epoch odd: inside")                               \
    X(HANDLED, WORKER, "handler returned")                                  \
    X(RESPONSE_LENGTH, WORKER, "length of the response stored")             \
    X(RESPONSE_PAYLOAD, WORKER, "payload in the slot or named by it")       \
    X(RESPONSE_STATUS, WORKER, "ticket, code and status stored")            \
    X(RESPONSE_FIELDS, WORKER, "all of the slot but its sequence stored")   \
    X(RESPONSE_SEQUENCE, WORKER, "sequence stored: published")              \
    X(RESPONSE_NOTED, WORKER, "private notes made")                         \
    X(EPOCH_EVEN, WORKER, "epoch even: outside")                            \
    X(RESPONSE_RUNG, WORKER, "client rung if it sleeps, or to be later")    \
    X(RESPONSE_COPIED, CLIENT, "response copied, slot not passed")          \
    X(RESPONSE_PASSED, CLIENT, "slot passed")                               \
    X(RELEASED, CLIENT, "`released` stored")                                \
    X(MARKED, CLIENT, "cancel mark stored")                                 \
    X(MARK_BARRIER, CLIENT, "heavy barrier between mark and `taken`")       \
    X(RETRACTED, CLIENT, "`taken` read: retracted")                         \
    X(SKIPPED, WORKER, "marked request answered as skipped")                \
    X(CLIENT_PARKED, CLIENT, "client announced its sleep")                  \
    X(CLIENT_BARRIER, CLIENT, "client's barrier before the second look")    \
    X(CLIENT_AWAKE, CLIENT, "client withdrew the announcement")             \
    X(WORKER_PARKED, WORKER, "worker announced its sleep")                  \
    X(WORKER_BARRIER, WORKER, "worker's barrier before the second look")    \
    X(WORKER_AWAKE, WORKER, "worker withdrew the announcement")             \
    X(BUMPED, BOTH, "peer's bell bumped, peer not yet woken")               \
    RK_FLOW_STEPS(X)

/* Those of streams, upcalls and leases. */
#define RK_FLOW_STEPS(X)                                                   \
    X(EMISSION_FIELDS, WORKER, "emission written, not published")          \
    X(EMISSION_SEQUENCE, WORKER, "emission published")                     \
    X(UPCALL_FIELDS, WORKER, "upcall written, not published")              \
    X(UPCALL_SEQUENCE, WORKER, "upcall published")                         \
    X(ANSWER_FIELDS, CLIENT, "answer to an upcall written, not published") \
    X(ANSWER_SEQUENCE, CLIENT, "answer to an upcall published")            \
    X(LEASE_ENDED, WORKER, "end of a lease told, not yet counted")
#define RK_FLOW_STEPS_FIRST RK_STEP_EMISSION_FIELDS

#define RK_STEP_AS_ENUM(name, side, what) RK_STEP_##name,
enum rk_step { RK_STEPS(RK_STEP_AS_ENUM) RK_STEP_COUNT };

#ifdef RK_FAILPOINTS
void rk_step(enum rk_step step);
#define RK_STEP(name) rk_step(RK_STEP_##name)
#else
#define RK_STEP(name) ((void)0)
#endif

#endif
