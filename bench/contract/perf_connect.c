/* SPDX-License-Identifier: MIT */
/* The side that connects. See perf.h. */
#include "perf.h"
#include <errno.h>
#include <rask/rask.h>
#include <unistd.h>

#define AGAIN_US 10000

int perf_connect(const struct perf_line *line, struct rask **session)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    int error;
    if (line->size > RASK_PAYLOAD_BYTES_MAX_DEFAULT) {
        options.payload_bytes_max = (uint32_t)line->size;
        options.slab_bytes_max = 64 * line->size;
    }
    while ((error = rask_connect(session, line->path, &options)) == -ENOENT || error == -ECONNREFUSED)
        usleep(AGAIN_US); /* whoever binds may come later, as with libzmq */
    if (error == 0) return 0;
    perf_complain(line, "%s: %s: %s", line->path, rask_strerror(error), rask_last_error());
    return 1;
}
