/* SPDX-License-Identifier: MIT */
/* A worker's serve loop: takes requests of all attached sessions, runs the plugin's handler, publishes responses.
 * It gets descriptors and a loaded plugin, so that a test can run it as a thread over the same mappings as the client. */
#ifndef RK_WORKER_H
#define RK_WORKER_H

#include <rask/plugin.h>
#include <stdbool.h>
#include <stdint.h>

struct rk_host;

struct rk_worker_config {
    uint32_t index;
    uint32_t generation;
    uint32_t wait_mode;          /* enum rask_wait_mode */
    uint32_t parties;            /* how many may spin: workers + 1 */
    int control_fd;              /* SEQPACKET socket to the supervisor, non-blocking; owned by the caller */
    int control_word_fd;         /* RK_SEGMENT_CONTROL; consumed */
    bool membarrier;             /* rk_membarrier_register() said so */
    const char *plugin_path;     /* for messages */
    uint64_t caller_timeout_ns;  /* how long a handler waits for its caller */
    uint64_t requests_max;       /* ask to be replaced after so many; 0: never */
    const char *const *settings; /* "KEY=VALUE", NULL-terminated, or NULL */
};

struct rk_worker;

/** Map the control word, create the status page and send it to the supervisor (STATUS). 0 or -errno. */
int rk_worker_create(struct rk_worker **out, const struct rk_worker_config *config);

/** The stage shown in the status page, for whoever reads it after a death. */
void rk_worker_stage(struct rk_worker *worker, uint32_t stage);

/** Call the plugin's open(). 0, or what open() returned. Stage OPENING. */
int rk_worker_open(struct rk_worker *worker, const struct rask_plugin *plugin);

/** Serve until SHUTDOWN comes or the supervisor closes the socket; then drain() and close(). Returns the exit code: 0. */
int rk_worker_serve(struct rk_worker *worker);

void rk_worker_destroy(struct rk_worker *worker);

#endif
