/* SPDX-License-Identifier: MIT */
/* Limits follow the size of the pictures: one must fit into an item, as many as there are places into memory, and the regions of
 * the worst one into an answer. That is one in which every second pixel of every second row changed. Its regions take as many
 * bytes as its pixels do, or up to twice as many if it is one pixel wide or high. */
#include "workers.h"
#include "exit_codes.h"
#include "message.h"
#include "options.h"
#include <errno.h>
#include <rask/rask.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_FACTOR 4u /* from one class of blocks to the next */

/* The `rask` beside this program, as in the build tree and where both are installed; NULL leaves it to librask. */
static const char *program_beside(char *path, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", path, bytes - 1);
    if (length <= 0 || (size_t)length >= bytes - sizeof("rask")) return NULL;
    path[length] = '\0';
    char *name = strrchr(path, '/');
    if (!name) return NULL;
    memcpy(name + 1, "rask", sizeof("rask"));
    return access(path, X_OK) == 0 ? path : NULL;
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static uint64_t payload_bytes(uint32_t width, uint32_t height)
{
    uint64_t regions = ((uint64_t)width + 1) / 2 * (((uint64_t)height + 1) / 2);
    uint64_t item = rk_frame_bytes(width, height), answer = rk_answer_bytes((uint32_t)regions);
    return item > answer ? item : answer;
}

static int find_method(struct rask *session, const char *plugin, uint32_t *method)
{
    int found = rask_method(session, "regions");
    if (found < 0) {
        rk_complain("--plugin %s: it has no method \"regions\": use svgcast, or a plugin with the same method", plugin);
        return RK_EXIT_USAGE;
    }
    *method = (uint32_t)found;
    return RK_GO_ON;
}

int rk_workers_start(const struct rk_pairs_options *options, uint32_t width, uint32_t height, uint32_t places,
                     struct rask **session, uint32_t *method)
{
    char program[4096];
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    struct rask_options limits = RASK_OPTIONS_INIT;
    uint64_t bytes = payload_bytes(width, height);
    limits.payload_bytes_max = (uint32_t)clamp(bytes, RASK_PAYLOAD_BYTES_MAX_DEFAULT, RASK_PAYLOAD_BYTES_MAX_LIMIT);
    limits.slab_bytes_max =
        clamp(bytes * BLOCK_FACTOR * (places + 1), RASK_SLAB_BYTES_MAX_DEFAULT, RASK_SLAB_BYTES_MAX_LIMIT);
    spawn.plugin = options->plugin;
    spawn.workers = options->workers;
    spawn.program = getenv("RASK_BIN") ? NULL : program_beside(program, sizeof(program));
    int error = rask_spawn(session, &spawn, &limits);
    if (error < 0) return rk_fail(error);
    int code = find_method(*session, options->plugin, method);
    if (code != RK_GO_ON) rask_close(*session);
    return code;
}
