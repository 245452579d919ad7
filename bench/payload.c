/* SPDX-License-Identifier: MIT */
/* See payload.h. */
#include "payload.h"
#include <errno.h>
#include <stdlib.h>

#define LINE_BYTES 64u
#define FILL 0x5a

/** Few enough to stay in the first-level cache, and two where even that cannot be had. */
static uint64_t copies_for(size_t size)
{
    if (size <= 256) return 16;
    return size <= (1u << 20) ? 4 : 2;
}

int rk_payload_init(struct rk_payload *payload, size_t size)
{
    *payload = (struct rk_payload){.size = size, .copies = copies_for(size)};
    payload->stride = (size / LINE_BYTES + 1) * LINE_BYTES;
    payload->bytes = aligned_alloc(LINE_BYTES, payload->copies * payload->stride);
    if (payload->bytes == NULL) return -ENOMEM;
    memset(payload->bytes, FILL, payload->copies * payload->stride);
    for (uint64_t number = 1; number <= payload->copies / 2; number++) rk_payload_mark(payload, number);
    return 0;
}

void rk_payload_finish(struct rk_payload *payload)
{
    free(payload->bytes);
    payload->bytes = NULL;
}
