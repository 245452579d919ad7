/* SPDX-License-Identifier: MIT */
/* Has the method of svgcast's plugin, and does it badly: crashes, fails, hangs or lies, as it is compiled. */
#include <rask/plugin.h>
#include <stdlib.h>
#include <string.h>

static int regions(struct rask_call *call)
{
#if defined(CRASHES)
    (void)call;
    abort();
#elif defined(FAILS)
    (void)call;
    return 42;
#elif defined(HANGS)
    (void)call;
    volatile int going = 1;
    while (going) continue; /* until it is killed */
    return 0;
#else
    static const uint32_t lie[] = {1, 0, 0, 0, 0, 0, 1u << 20, 1}; /* one region, far wider than any picture */
    void *reply = rask_reserve_reply(call, sizeof(lie));
    if (!reply) return 1;
    memcpy(reply, lie, sizeof(lie));
    return rask_reply(call, sizeof(lie));
#endif
}

static const struct rask_method methods[] = {
    {.name = "regions", .handle = regions, .summary = "a stream of frames in, nothing good out"},
};

RASK_PLUGIN("regions_bad", "1.0", 0, methods);
