/* SPDX-License-Identifier: MIT */
/* local_lat, remote_lat, local_thr and remote_thr of libzmq, over rask: the same command lines, the same lines of output, the
 * same arithmetic, so that people can put them beside numbers that they have. What is wrong is said on standard error.
 *
 * Mind the arithmetic: "average latency" is a mean, of half a round trip. It says nothing about how late a late message is,
 * and half a round trip is no measurement of one way. `rask bench` measures round trips and percentiles. */
#ifndef RK_PERF_H
#define RK_PERF_H

#include <stdbool.h>
#include <stdint.h>

struct rask;

struct perf_line {
    const char *program;
    char path[256]; /* of the socket */
    uint64_t size;
    uint64_t count;
};

/** Three arguments: endpoint, size of a message, how many. False after the usage (on standard output, as there) or a
 * complaint: the program ends with 1 then. */
bool perf_parse(struct perf_line *line, int argc, char **argv, const char *usage);
__attribute__((format(printf, 2, 3))) void perf_complain(const struct perf_line *line, const char *format, ...);

/** Serve until the last message has come; the time since the first one in *elapsed_ns. 0, or 1 after a complaint. */
int perf_serve(const struct perf_line *line, uint64_t *elapsed_ns);

/** Connect, waiting for as long as there is nobody. 0, or 1 after a complaint. */
int perf_connect(const struct perf_line *line, struct rask **session);

#endif
