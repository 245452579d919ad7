/* SPDX-License-Identifier: MIT */
/* Load under the oracle: a mix of methods, sizes, deadlines and cancellations over several sessions of one thread, and a
 * thread that kills workers at random moments. */
#ifndef RK_TEST_ORACLE_LOAD_H
#define RK_TEST_ORACLE_LOAD_H

#include "oracle.h"
#include <pthread.h>

#define ORACLE_SESSIONS_MAX 4u

struct oracle_load {
    struct oracle *o;
    struct rask *session[ORACLE_SESSIONS_MAX];
    unsigned sessions;
    unsigned depth; /* in flight per session */
    uint64_t seed;
};

/** Open this many sessions, each waiting in its own way. */
void oracle_load_open(struct oracle_load *load, struct oracle *o, const struct kit_server *server, unsigned sessions,
                      unsigned depth, uint64_t seed);
/** One request of the mix. */
void oracle_load_send(struct oracle_load *load, struct rask *s);
/** Fill every session up and take what has come. */
void oracle_load_turn(struct oracle_load *load);
/** Wait for the end of everything in flight. */
void oracle_load_drain(struct oracle_load *load);
/** Drain and close. */
void oracle_load_close(struct oracle_load *load);

/** Calls until the session has so many lanes: what it holds does not grow any more. */
void oracle_warm(struct oracle *o, struct rask *s, uint32_t lanes);

struct oracle_killer {
    struct oracle *o;
    pid_t supervisor;
    uint64_t seed;
    uint32_t kills; /* wanted, then left */
    uint32_t gap_us_min;
    uint32_t gap_us_max;
    bool done;
    pthread_t thread;
};

/** SIGKILL a random worker after each random gap, until `kills` have hit. */
void oracle_killer_start(struct oracle_killer *killer);
bool oracle_killer_done(const struct oracle_killer *killer);
void oracle_killer_join(struct oracle_killer *killer);

/** A count from the environment, for ./dev soak, or what ./dev test runs. Makes the test's alarm fit `seconds` more. */
uint32_t oracle_scale(const char *variable, uint32_t usual, unsigned seconds);

#endif
