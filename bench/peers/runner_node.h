/* SPDX-License-Identifier: MIT */
/* Worker pools of Node.js as contenders: a program of two threads (node/hello.mjs) that is given orders by lines of text.
 * plan.name is what the script calls it: "piscina" or "port"; plan.folder is where the script and node_modules are. */
#ifndef RK_RUNNER_NODE_H
#define RK_RUNNER_NODE_H

#include "runner.h"

extern const struct rk_runner_kind rk_runner_node;

#endif
