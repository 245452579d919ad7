/* SPDX-License-Identifier: MIT */
/* One request from a command line, shared by `rask call` and `rask replay`. */
#ifndef RK_CALL_H
#define RK_CALL_H

#include "options.h"
#include "target.h"
#include <rask/limits.h>

struct rk_call_options {
    struct rk_target target;
    const char *method;
    const char *data; /* NULL: empty; "-": standard input */
    bool json;
    uint64_t timeout_ns; /* of everything */
    uint64_t payload_bytes_max;
    bool idempotent;  /* send it again if its worker dies, */
    uint64_t retries; /* so often; 0: the library's default */
    uint64_t key;     /* 0: none */
};
#define RK_CALL_OPTIONS_INIT                                                            \
    {                                                                                   \
        .timeout_ns = 10000000000u, .payload_bytes_max = RASK_PAYLOAD_BYTES_MAX_DEFAULT \
    }

/* Rows for a command's option table, filling in the options at `c`. */
#define RK_OPTION_TIMEOUT(c)                                                                                          \
    {                                                                                                                 \
        .name = "timeout", .value = "DURATION", .help = "give up after this long, connecting included (default 10s)", \
        .min = 1, .duration_ns = &(c)->timeout_ns                                                                     \
    }
#define RK_OPTION_MAX_PAYLOAD(c)                                                                           \
    {                                                                                                      \
        .name = "max-payload", .value = "SIZE", .help = "largest request and response (default 16M)",      \
        .bytes = &(c)->payload_bytes_max, .min = RASK_BLOCK_BYTES_MIN, .max = RASK_PAYLOAD_BYTES_MAX_LIMIT \
    }
#define RK_OPTION_JSON(c)                                                                          \
    {                                                                                              \
        .name = "json", .help = "one JSON object instead of the bare response", .flag = &(c)->json \
    }

/** Send it, print the response or the failure under the name of the running command. Returns the exit code. */
int rk_call(const struct rk_call_options *options);

#endif
