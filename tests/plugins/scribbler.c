/* SPDX-License-Identifier: MIT */
/* A handler that writes random bytes over all memory of rask that it can write: its own response rings and slabs, its status
 * page, the bells and the pairs of its lanes. `scribble`: 8 bytes seed; answers. `echo`: the request. */
#include <errno.h>
#include <rask/plugin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/** Some words of each page; now and then a whole one. */
static void scribble_over(uint8_t *from, uint8_t *to, uint64_t *seed)
{
    for (; from < to; from += 4096)
        for (unsigned i = next(seed) % 16 == 0 ? 512 : 8; i > 0; i--)
            __atomic_store_n((uint64_t *)(void *)(from + next(seed) % 512 * 8), next(seed), __ATOMIC_RELAXED);
}

static int scribble(struct rask_call *call)
{
    char line[512];
    uint64_t seed = 0;
    if (call->request_bytes != sizeof(seed)) return EINVAL;
    memcpy(&seed, call->request, sizeof(seed));
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char writable;
        if (sscanf(line, "%lx-%lx %*c%c", &from, &to, &writable) != 3 || writable != 'w') continue;
        if (strstr(line, "memfd:rask")) scribble_over((uint8_t *)from, (uint8_t *)to, &seed);
    }
    if (maps) fclose(maps);
    return 0;
}

static int echo(struct rask_call *call)
{
    uint8_t *reply = rask_reserve_reply(call, call->request_bytes);
    if (!reply) return ENOMEM;
    memcpy(reply, call->request, call->request_bytes);
    return rask_reply(call, call->request_bytes);
}

static const struct rask_method methods[] = {
    {.name = "echo", .handle = echo, .summary = "answers with the request"},
    {.name = "scribble", .handle = scribble, .summary = "writes over everything it can"},
};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "scribbler",
    .version = "1",
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .methods = methods,
    .method_count = sizeof(methods) / sizeof(methods[0]),
};
