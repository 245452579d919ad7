/* SPDX-License-Identifier: MIT */
/* The animated picture. The first frame is an `image`; every changed region is a hidden `image` above it, which a CSS animation
 * shows from its time on. No scripts. Regions stay, so each frame lies on the ones before, exactly as it was compared.
 *
 * The style sheet comes last: until it is there nothing moves, and then all animations start at the same moment, however
 * slowly a long file arrives. */
#ifndef RK_SVG_H
#define RK_SVG_H

#include "image.h"
#include <stdio.h>

/** Each returns 0 or -errno of the file. Crops are PNG files; each byte is read once. */
int rk_svg_begin(FILE *file, uint32_t width, uint32_t height, const void *png, size_t bytes);
int rk_svg_region(FILE *file, uint64_t at_ms, struct rk_rect rect, const void *png, size_t bytes);
int rk_svg_end(FILE *file);

#endif
