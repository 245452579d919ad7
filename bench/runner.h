/* SPDX-License-Identifier: MIT */
/* A contender of `rask bench wake` or `rask bench peers`, in a process of its own: it opens what it needs (a session with a
 * private supervisor, a bare futex ping-pong, a queue of another library), then sleeps in read(2) until it is told to run a slice, and answers with what it measured. So
 * several can be compared in turns: none takes a processor while another is measured, each may have its own environment
 * (RASK_BARRIER is read once per process), and processor time is that of the process.
 *
 * A runner may be another program (plan.program), so that rask itself is not linked with what it is compared with: it is
 * given the plan over the same socket and goes on as rk_runner_enter() says.
 *
 * Runners lead process groups of their own, so Ctrl-C does not reach them; they end with their parent. */
#ifndef RK_RUNNER_H
#define RK_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RK_RUNNER_SERIES_MAX 32u
#define RK_RUNNER_NAME_MAX 32u

struct rk_histogram;

enum rk_runner_verb {
    RK_RUN_END,
    RK_RUN_TRIPS,    /* round trips, one at a time */
    RK_RUN_PIPELINE, /* order.depth in flight, in each of order.sessions sessions */
    RK_RUN_PACED,    /* round trips with a pause of gap_ns before each */
    RK_RUN_PAUSES,   /* the pauses alone: what pacing itself costs */
    RK_RUN_BATCH,    /* batches of `depth` requests to as many sleeping workers */
    RK_RUN_SERIES,   /* measure nothing: the histogram of a series, for rk_runner_series() alone */
    RK_RUN_BUSY,     /* rask and the floor of a busy round trip in turns, as `rask bench` does */
    RK_RUN_LOAD,     /* an open loop at order.rate */
    /* Of rk_runner_work: */
    RK_RUN_WORK,    /* order.depth requests in flight that burn order.cost_ns each */
    RK_RUN_MIXTURE, /* an open loop of fast and slow requests, beside the ideal queue */
    RK_RUN_BULK,    /* order.depth payloads in flight, by reference or touched, or without another process */
    RK_RUN_FLOW     /* streams, upcalls, leases, and calls beside them: order.way is an enum rk_flow_way */
};

struct rk_runner_order {
    uint32_t verb;
    uint32_t depth;
    uint32_t sessions;
    uint32_t series;  /* where latencies are collected over all slices, under RK_RUNNER_SERIES_MAX */
    bool count_calls; /* count system calls: the times of such a slice are not to be used */
    bool one_by_one;  /* batch: no hint that more comes */
    uint64_t duration_ns;
    uint64_t gap_ns;
    double rate;       /* calls per second; arrivals by chance */
    uint64_t seed;     /* of the arrivals */
    uint64_t cost_ns;  /* processor time of a (fast) request */
    uint64_t sleep_ns; /* a slow request sleeps so long instead */
    uint64_t size;     /* RK_RUN_BULK */
    uint32_t way;      /* enum rk_bulk_way, enum rk_flow_way */
};

struct rk_runner_result {
    int32_t error; /* negative errno; text says more */
    char text[240];
    uint64_t calls;
    uint64_t took_ns;
    uint64_t client_cpu_ns;
    uint64_t worker_cpu_ns; /* of all workers together */
    bool counted;           /* system_calls is valid */
    uint64_t system_calls;
    uint64_t sleeps; /* voluntary context switches of client and workers */
    double p50_ns;   /* of this slice */
    /* Of the order's series, all slices so far. */
    uint64_t series_count;
    double series_p50_ns;
    double series_p99_ns; /* 0: fewer than RK_RUNNER_BEYOND_MIN samples beyond it */
    /* RK_RUN_BUSY */
    double floor_p50_ns, ratio, ratio_p10, ratio_p90;
    double sealed_p50_ns, ratio_sealed;
    uint32_t slices;
    double
        fairness; /* Jain's index over sessions: of their calls, or RK_RUN_MIXTURE: of the mean latency of fast requests */
    /* RK_RUN_LOAD, RK_RUN_MIXTURE */
    uint64_t due, late; /* requests that should have been sent; sent over 1 us after they should have been */
    uint64_t in_time, in_time_ideal; /* RK_RUN_MIXTURE: answered within RK_MIXTURE_SLACK_... of their cost */
    /* Facts. */
    int32_t client_pid, supervisor_pid;
    uint32_t spin_budget_ns;
    uint32_t lanes_open;
    uint32_t depth; /* requests that can be in flight; 0: as many as asked for */
    char barrier[16];
    char engine[16];
};

/** A percentile is given when at least this many samples lie beyond it. */
#define RK_RUNNER_BEYOND_MIN 100u

struct rk_runner_kind;

struct rk_runner_plan {
    const char *name;
    const struct rk_runner_kind *kind;
    uint32_t wait_mode; /* of both sides */
    uint32_t workers;
    uint32_t sessions;
    uint32_t in_flight;
    const char *barrier; /* RASK_BARRIER; NULL: as rask has it */
    int client_cpu;      /* -1: not pinned */
    int worker_cpu;
    bool spread_workers; /* not on worker_cpu, but on all processors that can be used except the client's */
    /* Kinds of `rask bench peers` (wire.h). */
    uint64_t size;              /* of a message */
    const struct rk_wire *wire; /* NULL in another program, which finds it by its name */
    const char *program;        /* NULL: this one */
    const char *folder;         /* where the scripts of Node.js are */
};

/** What a kind does, in the runner's process. `serve` fills in the result; `open` too, with an error or the facts. */
struct rk_runner_kind {
    void *(*open)(const struct rk_runner_plan *plan, struct rk_runner_result *result);
    void (*serve)(void *self, const struct rk_runner_order *order, struct rk_runner_result *result);
    void (*close)(void *self);
    /** The latencies collected so far; NULL, or the kind has no such function: none. */
    const struct rk_histogram *(*series)(void *self, uint32_t index);
};

/** A session with the echo plugin. */
extern const struct rk_runner_kind rk_runner_rask;
/** Sessions with the plugin `work` (runner_work.h). */
extern const struct rk_runner_kind rk_runner_work;
/** A session with the echo plugin beside the floor of a busy round trip, for RK_RUN_BUSY alone. */
extern const struct rk_runner_kind rk_runner_busy;
/** Two words and futex(2): the least that a round trip of sleepers can cost (floor_futex.c). */
extern const struct rk_runner_kind rk_runner_futex;

struct rk_runner;

/** Fork it and wait until it is open; in a program without threads. 0 with the facts in *ready, or -errno with its text. */
int rk_runner_start(struct rk_runner **out, const struct rk_runner_plan *plan, struct rk_runner_result *ready);
const char *rk_runner_name(const struct rk_runner *runner);
/** Run one slice. 0, or -errno with the text in the result; -ECHILD it is gone, -ETIMEDOUT it does not answer. */
int rk_runner_run(struct rk_runner *runner, const struct rk_runner_order *order, struct rk_runner_result *result);
/** Add the latencies of a series to `into`. As rk_runner_run(). */
int rk_runner_series(struct rk_runner *runner, uint32_t series, struct rk_histogram *into,
                     struct rk_runner_result *result);
/** End it and reap it. NULL is allowed. */
void rk_runner_stop(struct rk_runner *runner);

/** The life of a runner in another program: `fd` is the socket it was started with. `kind_of` makes the plan complete, which
 * holds the name and all numbers, and returns the kind; NULL: there is no such contender. */
__attribute__((noreturn)) void rk_runner_enter(int fd,
                                               const struct rk_runner_kind *(*kind_of)(struct rk_runner_plan *));

/** For kinds. */
void rk_runner_pin(int cpu);
__attribute__((format(printf, 3, 4))) void rk_runner_fail(struct rk_runner_result *result, int error,
                                                          const char *format, ...);

#endif
