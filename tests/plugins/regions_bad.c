/* SPDX-License-Identifier: MIT */
/* Has the method of svgcast's plugin, and does it badly: crashes, fails, hangs, lies, or asks for crops that there are not, as it is
 * compiled. */
#include <rask/ext/upcall.h>
#include <rask/plugin.h>
#include <stdlib.h>
#include <string.h>

#if defined(ASKS)
static const struct rask_upcall_host *upcalls;

static int open_asks(const struct rask_host *host, void **state)
{
    (void)state;
    upcalls = host->extension(host, RASK_EXT_UPCALL);
    return upcalls == NULL;
}

/* Is it refused to say how large a crop of this rectangle is? */
static int is_refused(struct rask_call *call, const uint32_t rectangle[4], size_t bytes)
{
    struct rask_upcall_reply reply;
    uint8_t *room = upcalls->reserve(call, 24);
    if (!room) return 0;
    memset(room, 0, 8); /* the number of the frame, which the caller does not need */
    memcpy(room + 8, rectangle, 16);
    int result = upcalls->call(call, upcalls->method("crop"), bytes, 0, &reply);
    return result == 0 && reply.code != 0 && reply.bytes == 0;
}

/* 43: whatever leads outside of the picture (20 x 20) was refused, and what does not was not. */
static int ask(struct rask_call *call)
{
    static const uint32_t good[] = {19, 0, 1, 20};
    static const uint32_t bad[][4] = {{0, 0, 21, 1}, {20, 0, 1, 1},         {0, 0, 0, 1},
                                      {0, 0, 1, 0},  {1, 0, UINT32_MAX, 1}, {0, UINT32_MAX, 1, 2}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (!is_refused(call, bad[i], 24)) return 44;
    if (!is_refused(call, good, 23) || !is_refused(call, good, 0) || is_refused(call, good, 24)) return 45;
    return 43;
}
#endif

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
#elif defined(ASKS)
    return ask(call);
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

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .method_count = 1,
    .name = "regions_bad",
    .version = "1.0",
    .methods = methods,
#if defined(ASKS)
    .open = open_asks,
#endif
};
