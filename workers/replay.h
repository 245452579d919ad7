/* SPDX-License-Identifier: MIT */
/* A handler called in this very process, for debuggers: no supervisor, no worker, no shared memory. */
#ifndef RK_REPLAY_H
#define RK_REPLAY_H

#include <stdint.h>

struct rk_replay {
    const char *plugin; /* name or path */
    const char *const *settings;
    const char *method;
    const void *request;
    uint64_t request_bytes;
};

/** Load, open, handle, close. Prints the response, or what went wrong; returns the exit code that `rask call` would. */
int rk_replay_here(const struct rk_replay *replay);

#endif
