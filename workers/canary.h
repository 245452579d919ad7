/* SPDX-License-Identifier: MIT */
/* The canary: a request on which the first worker of every generation is tried before it counts as ready. A file that loads and
 * opens can still be unable to do its work; with a canary a reload finds out while the old workers serve. */
#ifndef RK_CANARY_H
#define RK_CANARY_H

#include "input.h"

struct rk_load_error;
struct rk_worker;

struct rk_canary {
    char *method; /* NULL: there is none */
    struct rk_input request;
};

/** From the command line: METHOD, METHOD=DATA or METHOD=@FILE, which is read now. RK_GO_ON, or the exit code of what was
 * wrong, which is printed. */
int rk_canary_parse(struct rk_canary *canary, const char *text);
void rk_canary_finish(struct rk_canary *canary);

/** In a worker whose plugin is open: run the handler and throw its answer away. 0, or -ENOEXEC with the reason. */
int rk_canary_try(const struct rk_canary *canary, struct rk_worker *worker, struct rk_load_error *error);

#endif
