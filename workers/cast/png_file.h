/* SPDX-License-Identifier: MIT */
/* PNG files in, PNG bytes out. Its two files are the only ones that call libpng. */
#ifndef RK_PNG_FILE_H
#define RK_PNG_FILE_H

#include "bytes.h"
#include "image.h"
#include <stdio.h>

/** What went wrong with a file, for people. */
struct rk_png_fault {
    char text[192];
};

/** Read a file of any colour type and depth, interlaced or not, as 8-bit RGBA. Samples are taken as they are: gamma and
 * colour profiles are not applied; 16-bit samples are scaled to 8 bits. Free *image with rk_image_free().
 * Errors, with the reason in *fault: -errno of fopen(); -EBADMSG not a PNG file, or a damaged one; -EFBIG more than
 * `pixels_max`; -ENOMEM; -EIO. */
int rk_png_read(const char *path, uint64_t pixels_max, struct rk_image *image, struct rk_png_fault *fault);

/** Where the pixels of a file go. find() is called once, when the size is known, and fills pixels[0], and pixels[1] if they are to be
 * written to a second place, too. Another value than 0 ends the reading: rk_png_read_into() returns it. */
struct rk_png_room {
    int (*find)(void *user, uint32_t width, uint32_t height, uint32_t *pixels[2]);
    void *user;
};

/** The same, into memory that the caller has. After an error there may be anything in it. */
int rk_png_read_into(const char *path, uint64_t pixels_max, const struct rk_png_room *room, struct rk_png_fault *fault);

/** Append one rectangle of the picture as a PNG file: with a palette where that is smaller as a rule (few colours), else
 * RGB, and RGBA if a pixel is not opaque. The same pixels give the same bytes. They may change meanwhile: then the
 * bytes are still a PNG file of that size. 0 or -ENOMEM, and *out as it was. */
int rk_png_write(const struct rk_image *image, struct rk_rect rect, struct rk_bytes *out);

#endif
