/* SPDX-License-Identifier: MIT */
/* svgcast: what changes from each frame of a stream to the next, merged where that saves bytes. The program of that name is
 * its caller.
 *
 * Items and answers of `regions`, and the upcall `crop`: see message.h in workers/cast. A frame stays where its caller wrote it,
 * leased, until it has been compared with the next one; then everything before that one is released: the watermark.
 * Headers are copied and checked before they are used. Pixels may be anything, also something else at every look, so the
 * items may be shared with the caller. */
#include "message.h"
#include "regions.h"
#include <errno.h>
#include <rask/ext/lease.h>
#include <rask/ext/stream.h>
#include <rask/ext/upcall.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The caller encodes crops one after the other, and a large one takes long. If it gives up it says so by cancelling, and if it
 * dies the host notices: this is for nothing but the case that neither happens. */
#define CROP_TIMEOUT_NS 3600000000000u

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum svgcast_error {
    SVGCAST_BAD_REQUEST = 1, /* the length does not fit the picture's size, or it is no stream */
    SVGCAST_NO_MEMORY = 2,
    SVGCAST_NO_ROOM = 3,  /* no room for the answer; the caller sees RASK_REPLY_TOO_LARGE */
    SVGCAST_NO_LEASE = 4, /* the frame cannot be kept */
    SVGCAST_NO_CROP = 5   /* the caller does not say how large a crop is */
};

static const struct rask_host *host;
static const struct rask_lease_host *leases;
static const struct rask_upcall_host *upcalls;
static uint32_t crop_method;

/* One stream: the frame before, and the lease that keeps it. */
struct before {
    struct rask_lease lease;
    struct rk_image image; /* width 0: there is none */
};

static int answer(struct rask_call *call, const struct rk_patches *patches)
{
    size_t bytes = rk_answer_bytes(patches->count);
    void *reply = rask_reserve_reply(call, bytes);
    if (!reply) return SVGCAST_NO_ROOM;
    rk_answer_put(reply, patches);
    return rask_reply(call, bytes);
}

/* The frame in hand, of which the caller is asked for sizes. */
struct asking {
    struct rask_call *call;
    uint64_t number;
};

static int size_of_crop(void *user, struct rk_rect rect, uint64_t *bytes)
{
    const struct asking *asking = user;
    struct rk_crop_request request = {.number = asking->number, .rect = rect};
    struct rask_upcall_reply reply;
    void *room = upcalls->reserve(asking->call, sizeof(request));
    if (!room) return SVGCAST_NO_ROOM;
    memcpy(room, &request, sizeof(request));
    int error = upcalls->call(asking->call, crop_method, sizeof(request), CROP_TIMEOUT_NS, &reply);
    if (error == -ECANCELED) return error;
    if (error != 0 || reply.code != 0 || reply.bytes != sizeof(*bytes)) return SVGCAST_NO_CROP;
    memcpy(bytes, reply.data, sizeof(*bytes));
    return 0;
}

static int compare(struct rask_call *call, const struct rk_image *before, const struct rk_frame *frame)
{
    struct rk_patches patches;
    struct asking asking = {.call = call, .number = frame->number};
    const struct rk_sizes sizes = {.size = size_of_crop, .user = &asking};
    if (rk_patches_find(before, &frame->image, &patches) < 0) return SVGCAST_NO_MEMORY;
    int error = rk_regions_choose(&patches, &sizes);
    if (error == 0) error = answer(call, &patches);
    rk_patches_finish(&patches);
    return error;
}

static bool comparable(const struct before *before, const struct rk_frame *frame)
{
    return !frame->begins && before->image.width == frame->image.width && before->image.height == frame->image.height;
}

static int on_item(struct rask_call *call, void *stream)
{
    struct before *before = stream, now = {0};
    struct rk_frame frame;
    if (rk_frame_get(call->request, call->request_bytes, &frame) < 0) {
        call->host->log(call->host, RASK_LOG_WARNING,
                        "svgcast: refused an item of %zu bytes: send a header of %zu bytes (width, height: 32 bits "
                        "each; number: 64; begins: 32; zeros), then a picture of that size in RGBA",
                        call->request_bytes, sizeof(struct rk_frame_header));
        return SVGCAST_BAD_REQUEST;
    }
    if (leases->retain(call, &now.lease) != 0) return SVGCAST_NO_LEASE;
    /* The host may have kept a copy: the pixels are where the lease says. The sizes are those that were checked. */
    frame.image.pixels = rk_frame_pixels((void *)(uintptr_t)now.lease.data);
    now.image = frame.image;
    int error =
        comparable(before, &frame) ? compare(call, &before->image, &frame) : answer(call, &(struct rk_patches){0});
    if (now.lease.item > 0) leases->release_up_to(call, now.lease.item - 1);
    *before = now;
    return error;
}

static int on_open(struct rask_call *call, void **stream)
{
    (void)call;
    *stream = calloc(1, sizeof(struct before));
    return *stream ? 0 : SVGCAST_NO_MEMORY;
}

static void on_close(void *stream, void *state)
{
    struct before *before = stream;
    (void)state;
    leases->release(host, &before->lease);
    free(before);
}

static const struct rask_stream_handlers handlers = {
    .size = sizeof(handlers), .on_open = on_open, .on_item = on_item, .on_close = on_close};

static int open_svgcast(const struct rask_host *table, void **state)
{
    (void)state;
    host = table;
    const struct rask_stream_host *streams = table->extension(table, RASK_EXT_STREAM);
    leases = table->extension(table, RASK_EXT_LEASE);
    upcalls = table->extension(table, RASK_EXT_UPCALL);
    if (!streams || !leases || !upcalls) {
        table->log(table, RASK_LOG_ERROR, "svgcast: this host has no streams, leases or upcalls: use a newer rask");
        return ENOSYS;
    }
    crop_method = upcalls->method(RK_CROP_UPCALL);
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}); /* so that waking it does not stop who captures */
    return streams->serve(table, "regions", &handlers);
}

static int not_a_stream(struct rask_call *call)
{
    call->host->log(call->host, RASK_LOG_WARNING, "svgcast: refused a call of \"regions\": open a stream");
    return SVGCAST_BAD_REQUEST;
}

static const struct rask_method methods[] = {
    {.name = "regions",
     .handle = not_a_stream,
     .summary = "a stream of frames in, what changed from each to the next out"},
};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .method_count = sizeof(methods) / sizeof(methods[0]),
    .name = "svgcast",
    .version = "2.0",
    .methods = methods,
    .open = open_svgcast,
};
