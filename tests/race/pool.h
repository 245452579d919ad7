/* SPDX-License-Identifier: MIT */
/* A pool in one process: the real worker loop as threads, the real client, and a small stand-in for the supervisor as
 * another thread that passes messages on. Everything shares one address space, so that the thread sanitizer sees both
 * sides of every ring. Workers of a pool do not die; tests/process has those that do. */
#ifndef RK_TEST_POOL_H
#define RK_TEST_POOL_H

#include <rask/client.h>
#include <rask/plugin.h>
#include <stdint.h>

struct pool;

/** Start `workers` (1..8) worker threads that serve `plugin`, and one session with them. Aborts the test on failure. */
struct pool *pool_start(const struct rask_plugin *plugin, uint32_t workers, uint32_t wait_mode,
                        const struct rask_options *options);

/** The pool's session; belongs to the calling thread. */
struct rask *pool_session(struct pool *pool);

/** What the workers' status pages say, added up. */
struct pool_figures {
    uint64_t parks;
    uint64_t rescues;
    uint64_t bad_peer;
};
struct pool_figures pool_figures(struct pool *pool);

/** Close the session, stop the workers, free everything. */
void pool_stop(struct pool *pool);

#endif
