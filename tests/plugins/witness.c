/* SPDX-License-Identifier: MIT */
/* A handler that looks at its request again and again, and says whether it changed meanwhile. */
#include <rask/plugin.h>
#include <stdint.h>
#include <time.h>

enum { LOOKS = 50, CHANGED = 7 };

static uint64_t sum_of(const struct rask_call *call)
{
    const volatile uint8_t *bytes = call->request;
    uint64_t sum = call->request_bytes;
    for (size_t i = 0; i < call->request_bytes; i++) sum = sum * 31 + bytes[i];
    return sum;
}

static int witness(struct rask_call *call)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    uint64_t sum = sum_of(call);
    for (unsigned i = 0; i < LOOKS; i++) {
        nanosleep(&moment, NULL);
        if (sum_of(call) != sum) return CHANGED;
    }
    return rask_reply(call, 0);
}

static const struct rask_method methods[] = {
    {.name = "witness", .handle = witness, .summary = "code 7 if the request changed while it was looked at"},
};

RASK_PLUGIN("witness", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
