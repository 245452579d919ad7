/* SPDX-License-Identifier: MIT */
/* What the results of `rask bench wake` and `rask bench peers` have in common as JSON files. */
#ifndef RK_ENVIRONMENT_JSON_H
#define RK_ENVIRONMENT_JSON_H

#include "environment.h"
#include "json.h"

/** Machine, kernel, build, date, processors. */
json_t *rk_environment_json(const struct rk_environment *environment, int client_cpu, int worker_cpu);

/** Before minutes of measuring: can the file be written? NULL: none is wanted; "-": standard output. RK_GO_ON, or RK_EXIT_IO
 * after a message. */
int rk_json_check_file(const char *path);
/** Write `out` and give it up. RK_EXIT_OK, or RK_EXIT_IO after a message. */
int rk_json_write_file(const char *path, json_t *out);

#endif
