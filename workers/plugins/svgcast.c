/* SPDX-License-Identifier: MIT */
/* svgcast: the heavy work of the program of that name: which regions of a picture changed, merged where that saves bytes,
 * each with its PNG file.
 *
 * Request and response of `regions`: see message.h in workers/cast.
 * The header is copied and checked before it is used. Pixels may be anything, also something else at every look, so the
 * request may be shared with the caller. */
#include "local_crops.h"
#include "message.h"
#include <errno.h>
#include <rask/plugin.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum svgcast_error {
    SVGCAST_BAD_REQUEST = 1, /* the length does not fit the pictures' size */
    SVGCAST_NO_MEMORY = 2,
    SVGCAST_NO_ROOM = 3 /* no room for the response; the caller sees RASK_REPLY_TOO_LARGE */
};

static int answer(struct rask_call *call, const struct rk_regions *regions)
{
    size_t bytes = rk_answer_bytes(regions);
    void *reply = rask_reserve_reply(call, bytes);
    if (!reply) return SVGCAST_NO_ROOM;
    rk_answer_put(reply, regions);
    return rask_reply(call, bytes);
}

/* -ECANCELED when the caller has lost interest. */
struct crops_of_call {
    struct rask_call *call;
    struct rk_crops crops;
};

static int crop_unless_cancelled(void *user, struct rk_rect rect, struct rk_crop *out)
{
    const struct crops_of_call *own = user;
    return rask_cancelled(own->call) ? -ECANCELED : own->crops.crop(own->crops.user, rect, out);
}

static void release_crop(void *user, struct rk_crop *crop)
{
    const struct crops_of_call *own = user;
    own->crops.release(own->crops.user, crop);
}

static int regions(struct rask_call *call)
{
    struct rk_image before, after;
    struct rk_patches patches;
    struct rk_regions chosen;
    if (rk_pair_get(call->request, call->request_bytes, &before, &after) < 0) {
        call->host->log(
            call->host, RASK_LOG_WARNING,
            "svgcast: refused a request of %zu bytes: send width, height, two zeros (32 bits each), then two "
            "pictures of that size in RGBA",
            call->request_bytes);
        return SVGCAST_BAD_REQUEST;
    }
    struct crops_of_call own = {.call = call, .crops = rk_local_crops(&after)};
    const struct rk_crops crops = {.crop = crop_unless_cancelled, .release = release_crop, .user = &own};
    if (rk_patches_find(&before, &after, &patches) < 0) return SVGCAST_NO_MEMORY;
    int error = rk_regions_choose(&patches, &crops, &chosen);
    rk_patches_finish(&patches);
    if (error < 0) return error == -ECANCELED ? error : SVGCAST_NO_MEMORY;
    error = answer(call, &chosen);
    rk_regions_finish(&chosen, &crops);
    return error;
}

static const struct rask_method methods[] = {
    {.name = "regions",
     .handle = regions,
     .summary = "two pictures in, what changed out: regions with their PNG files"},
};

RASK_PLUGIN("svgcast", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
