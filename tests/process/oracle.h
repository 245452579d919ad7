/* SPDX-License-Identifier: MIT */
/* The oracle: what must hold after every fault, checked on the client's side against a ledger that the handlers write.
 *
 *   A  every ticket gets exactly one completion          oracle_end, oracle_check
 *   B  a request runs at most once, or 1 + retries       oracle_end, oracle_check
 *   C  OK: it ran, and the answer is the right one       oracle_end
 *   D  "not executed": it did not run, and never will    oracle_end, oracle_check
 *   E  descriptors by kind, mappings, processes, zombies,
 *      files: as before, within a second                 oracle_baseline, oracle_settled
 *   F  how long until the caller knew of a death         oracle_death, oracle_report
 *   G  other sessions saw no error                       oracle_bystander
 *   H  no wait was rescued by its time limit             oracle_leave, oracle_check
 *
 * A broken rule fails the running test with the request's number and the words of its end. One thread uses an oracle;
 * oracle_death() is for any thread. */
#ifndef RK_TEST_ORACLE_H
#define RK_TEST_ORACLE_H

#include "kit.h"

#define ORACLE_TIMES_MAX 65536u
#define ORACLE_DEATHS_MAX 4096u
#define ORACLE_PATIENCE_NS ((kit_sanitized ? 20 : 5) * KIT_S)

/** Figures in nanoseconds; beyond the capacity the oldest are overwritten. */
struct oracle_times {
    uint64_t ns[ORACLE_TIMES_MAX];
    uint64_t count;
};

/** What a supervisor, its workers and this process hold. */
struct oracle_footprint {
    unsigned memory; /* descriptors of memfds */
    unsigned sockets;
    unsigned events; /* anonymous inodes: eventfd, pidfd, epoll, io_uring, signalfd */
    unsigned other;  /* pipes, files, devices */
    unsigned mappings;
    unsigned processes;
    unsigned zombies;
    unsigned files; /* in the supervisor's folder */
};

struct oracle_record {
    uint32_t bytes;
    uint8_t ends; /* completions seen */
    uint8_t said_no;
};

struct oracle_death {
    pid_t pid;
    uint64_t at_ns;
};

struct oracle {
    struct kit_ledger ledger;
    uint32_t retries; /* that the callers allow */
    struct oracle_record record[LEDGER_NUMBERS];
    uint64_t submitted; /* over all ledgers */
    uint64_t ended;
    uint64_t said_no;
    uint64_t rescues;
    uint64_t by_status[RASK_STATUS_COUNT];
    struct oracle_footprint baseline;
    uint64_t settled_ns; /* longest wait for the baseline */
    struct oracle_death death[ORACLE_DEATHS_MAX];
    uint32_t deaths;
    struct oracle_times told;      /* death to the caller's completion */
    struct oracle_times recovered; /* death to the next answer, where the test notes it */
};

/** Allocated: it is large. Opens a ledger. */
struct oracle *oracle_create(void);
/** Checks everything a last time, prints the report, frees. */
void oracle_destroy(struct oracle *o);

/** E: the state to come back to. No session of this process is open, all workers are ready. */
void oracle_baseline(struct oracle *o, const struct kit_server *server);
/** E: it is reached within a second (times patience). */
void oracle_settled(struct oracle *o, const struct kit_server *server);

/** Submit to `method` with the next number. */
uint64_t oracle_submit(struct oracle *o, struct rask *s, const char *method, uint32_t argument, uint32_t bytes,
                       uint64_t deadline_ns);
/** A completion has come: judged against A, B, C and D, counted, released. */
void oracle_end(struct oracle *o, struct rask *s, struct rask_completion *completion);
/** Take up to 16 completions of a session: poll (0), or wait so long. To wait ORACLE_PATIENCE_NS in vain breaks rule A.
 * Returns how many. */
unsigned oracle_take(struct oracle *o, struct rask *s, uint64_t wait_ns);
/** Every number so far: A, B and D again, now that everything has ended. Then the ledger starts afresh. */
void oracle_check(struct oracle *o);
/** Close a session; its rescues count (H). */
void oracle_leave(struct oracle *o, struct rask *s);

/** F: this process is about to be killed. Any thread. */
void oracle_death(struct oracle *o, pid_t pid);
void oracle_time(struct oracle_times *times, uint64_t ns);
/** The value that `percent` of the times do not exceed; 0 when there are none. */
uint64_t oracle_quantile(const struct oracle_times *times, double percent);
void oracle_report(const struct oracle *o);

/** G: one call that must be OK; returns how long it took. */
uint64_t oracle_bystander(struct oracle *o, struct rask *s, uint32_t bytes);

#endif
