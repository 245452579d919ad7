/* SPDX-License-Identifier: MIT */
/* remote_lat <connect-to> <message-size> <roundtrip-count>: that many round trips, one at a time, and their mean, halved, as
 * libzmq's. */
#include "perf.h"
#include <rask/rask.h>
#include <stdio.h>
#include <stdlib.h>

/** 0, or 1 after a complaint. */
static int round_trips(const struct perf_line *line, struct rask *session, const void *message)
{
    uint32_t method = (uint32_t)rask_method(session, "echo");
    for (uint64_t i = 0; i < line->count; i++) {
        struct rask_completion done;
        int error = rask_call(session, method, message, line->size, 0, &done);
        uint64_t length = done.length;
        uint32_t status = done.status;
        rask_release(session, &done);
        if (error != 0) {
            perf_complain(line, "%s: %s", rask_status_text(status), rask_strerror(error));
            return 1;
        }
        if (length == line->size) continue;
        printf("message of incorrect size received\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct perf_line line;
    struct rask *session;
    if (!perf_parse(&line, argc, argv, "<connect-to> <message-size> <roundtrip-count>")) return 1;
    void *message = calloc(1, line.size > 0 ? line.size : 1);
    if (message == NULL || perf_connect(&line, &session) != 0) {
        free(message);
        return 1;
    }
    uint64_t start_ns = rask_now_ns();
    int code = round_trips(&line, session, message);
    double elapsed_us = (double)(rask_now_ns() - start_ns) / 1e3;
    if (code == 0) {
        printf("message size: %llu [B]\n", (unsigned long long)line.size);
        printf("roundtrip count: %llu\n", (unsigned long long)line.count);
        printf("average latency: %.3f [us]\n", elapsed_us / (double)(line.count * 2));
    }
    rask_close(session);
    free(message);
    return code;
}
