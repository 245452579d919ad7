/* SPDX-License-Identifier: MIT */
/* A handler that writes nonsense all over its worker's status page, which it finds by its name in /proc/self/maps. */
#include <rask/plugin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint8_t *find_page(void)
{
    char line[512];
    void *start = NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return NULL;
    while (!start && fgets(line, sizeof(line), maps))
        if (strstr(line, "memfd:rask-status")) sscanf(line, "%p", &start);
    fclose(maps);
    return start;
}

static int scribble(struct rask_call *call)
{
    uint32_t seed = 1;
    uint8_t *page = find_page();
    if (!page || call->request_bytes < sizeof(seed)) return 1;
    memcpy(&seed, call->request, sizeof(seed));
    uint32_t from = seed % 2 ? 64 : 0, pid; /* every other time the header, too */
    memcpy(&pid, page + 68, sizeof(pid));
    for (uint32_t i = from; i < 4096; i++) page[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 7);
    if (seed % 3) memcpy(page + 68, &pid, sizeof(pid)); /* still believed to be this worker's */
    return 0;
}

static const struct rask_method methods[] = {{.name = "scribble", .handle = scribble, .summary = "spoils its page"}};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "scribble",
    .version = "1",
    .methods = methods,
    .method_count = 1,
};
