/* SPDX-License-Identifier: MIT */
/* Each crop is memory of its own. */
#include "local_crops.h"
#include "png_file.h"

static int crop(void *user, struct rk_rect rect, struct rk_crop *out)
{
    const struct rk_image *image = user;
    struct rk_bytes bytes = {0};
    int error = rk_png_write(image, rect, &bytes);
    if (error < 0) rk_bytes_finish(&bytes);
    *out = (struct rk_crop){.data = bytes.data, .bytes = bytes.length, .handle = bytes.data};
    return error;
}

static void release(void *user, struct rk_crop *crop)
{
    (void)user;
    free(crop->handle);
    *crop = (struct rk_crop){0};
}

struct rk_crops rk_local_crops(const struct rk_image *image)
{
    return (struct rk_crops){.crop = crop, .release = release, .user = (void *)(uintptr_t)image};
}
