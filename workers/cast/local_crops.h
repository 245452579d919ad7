/* SPDX-License-Identifier: MIT */
/* Crops encoded by this very process, from a picture it can see. */
#ifndef RK_LOCAL_CROPS_H
#define RK_LOCAL_CROPS_H

#include "regions.h"

/** The picture must outlive the crops. */
struct rk_crops rk_local_crops(const struct rk_image *image);

#endif
