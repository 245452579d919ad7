/* SPDX-License-Identifier: MIT */
/* What a test tells the processes that were built with RK_FAILPOINTS: who dies where. A file that everybody maps, named by
 * RASK_STEP_PAGE in the environment. */
#ifndef RK_STEP_PAGE_H
#define RK_STEP_PAGE_H

#include <stdint.h>

struct step_page {
    uint32_t armed;   /* step + 1; 0: nothing happens */
    uint32_t victim;  /* pid */
    uint32_t reached; /* the victim is there, and dead in a moment */
};

#endif
