/* SPDX-License-Identifier: MIT */
/* One plugin file as it was read: a private, sealed copy in memory that every worker of a generation loads. Overwriting,
 * truncating or deleting the file harms nobody, and a worker that is started again gets the same bytes. */
#ifndef RK_GENERATION_H
#define RK_GENERATION_H

#include "control.h"
#include "loader.h"
#include <stdbool.h>

struct rk_generation {
    uint32_t number; /* 1: the one the supervisor started with */
    uint32_t uses;
    int fd;     /* the copy, sealed */
    bool known; /* a worker has loaded it: `table` is filled in */
    struct rk_message_ready table;
    char path[4096]; /* of the file, for messages and for reading it again */
};

/** Copy the file. 0; -ENOEXEC with the reason in *error: the file is missing or is being written; -ENOMEM, -EMFILE. */
int rk_generation_create(struct rk_generation **out, const char *path, uint32_t number, struct rk_load_error *error);
struct rk_generation *rk_generation_use(struct rk_generation *generation);
/** NULL is allowed. */
void rk_generation_drop(struct rk_generation *generation);

/** Clients know methods by number, so a generation must number those of `old` as it does; it may add more behind them. 0,
 * or -ENOEXEC with the first difference in *error. */
int rk_generation_check_methods(const struct rk_message_ready *old, const struct rk_message_ready *next,
                                struct rk_load_error *error);

#endif
