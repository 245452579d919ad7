/* SPDX-License-Identifier: MIT */
/* See svg.h. Blocks on the file. */
#include "svg.h"
#include "base64.h"
#include <errno.h>
#include <inttypes.h>

#define CHUNK_BYTES 3072u /* a multiple of three, so that chunks can be put one behind the other */

static int status_of(FILE *file)
{
    return ferror(file) ? (errno > 0 ? -errno : -EIO) : 0;
}

static void put_png(FILE *file, const void *png, size_t bytes)
{
    const uint8_t *data = png;
    char text[CHUNK_BYTES / 3 * 4];
    fputs("data:image/png;base64,", file);
    while (bytes > 0) {
        size_t count = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
        rk_base64(data, count, text);
        if (fwrite(text, 1, rk_base64_bytes(count), file) != rk_base64_bytes(count)) return;
        data += count;
        bytes -= count;
    }
}

int rk_svg_begin(FILE *file, uint32_t width, uint32_t height, const void *png, size_t bytes)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%" PRIu32 "\" height=\"%" PRIu32
            "\" viewBox=\"0 0 %" PRIu32 " %" PRIu32 "\">\n",
            width, height, width, height);
    fprintf(file, "<image width=\"%" PRIu32 "\" height=\"%" PRIu32 "\" href=\"", width, height);
    put_png(file, png, bytes);
    fputs("\"/>\n", file);
    return status_of(file);
}

int rk_svg_region(FILE *file, uint64_t at_ms, struct rk_rect rect, const void *png, size_t bytes)
{
    fprintf(file,
            "<image class=\"r\" visibility=\"hidden\" style=\"animation-delay:%" PRIu64 "ms\" x=\"%" PRIu32
            "\" y=\"%" PRIu32 "\" width=\"%" PRIu32 "\" height=\"%" PRIu32 "\" href=\"",
            at_ms, rect.x, rect.y, rect.width, rect.height);
    put_png(file, png, bytes);
    fputs("\"/>\n", file);
    return status_of(file);
}

int rk_svg_end(FILE *file)
{
    fputs(
        "<style>@keyframes show{to{visibility:visible}}"
        ".r{animation-name:show;animation-duration:0s;animation-timing-function:step-end;animation-fill-mode:forwards}"
        "</style>\n</svg>\n",
        file);
    return status_of(file);
}
