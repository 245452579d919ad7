/* SPDX-License-Identifier: MIT */
/* How the two halves of the loader (loader.c, inspect.c) report a failed check. */
#ifndef RK_LOADER_ERROR_H
#define RK_LOADER_ERROR_H

#include "loader.h"

/** Fill in *error, cut to its room; returns -ENOEXEC, so that a failed check is one line. */
__attribute__((format(printf, 3, 4), cold)) int rk_load_refuse(struct rk_load_error *error, enum rk_load_check check,
                                                               const char *format, ...);

#endif
