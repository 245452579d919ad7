/* SPDX-License-Identifier: MIT */
/* A worker's life before and after serving: descriptors in, status page out, the plugin's open(). */
#include "worker.h"
#include "control.h"
#include "crash.h"
#include "error.h"
#include "leases.h"
#include "worker_state.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int send_status(struct rk_worker *worker)
{
    struct rk_message message;
    rk_message_init(&message, RK_STATUS, sizeof message);
    int result = rk_control_send(worker->config.control_fd, &message, &worker->status.fd, 1);
    if (result == 0) rk_segment_close_fd(&worker->status);
    return result;
}

int rk_worker_create(struct rk_worker **out, const struct rk_worker_config *config)
{
    *out = NULL;
    struct rk_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) return -ENOMEM;
    worker->config = *config;
    worker->spent_epoch = config->requests_max ? 2 * config->requests_max : UINT64_MAX;
    worker->control = (struct rk_segment)RK_SEGMENT_INIT;
    worker->status = (struct rk_segment)RK_SEGMENT_INIT;
    worker->message = malloc(sizeof *worker->message);
    worker->fork_guard = rk_fork_guard_create();
    int result = worker->message == NULL || worker->fork_guard == NULL ? -ENOMEM : 0;
    if (result == 0)
        result = rk_segment_map(&worker->control, config->control_word_fd, RK_SEGMENT_CONTROL, RK_PAGE_BYTES, false);
    else
        close(config->control_word_fd);
    if (result == 0) result = rk_segment_create(&worker->status, RK_SEGMENT_STATUS, RK_PAGE_BYTES);
    if (result != 0) goto fail;
    worker->control_word = &((const struct rk_control_page *)worker->control.base)->word;
    worker->control_seen = rk_load_relaxed(worker->control_word) - 1; /* look at the socket once at the start */
    worker->page = worker->status.base;
    worker->page->pid = (uint32_t)getpid();
    worker->page->index = config->index;
    worker->handling.worker = worker;
    worker->asking.block = RK_BLOCK_NONE;
    worker->handling.epoch = &worker->page->epoch;
    worker->handling.stop = &((const struct rk_control_page *)worker->control.base)->stop_epoch;
    worker->page->sample_every = RK_SAMPLE_EVERY;
    worker->until_sample = 1; /* the first one is, so that there is a figure soon */
    rk_ladder_init(&worker->ladder, config->wait_mode, config->parties);
    result = send_status(worker);
    if (result != 0) goto fail;
    *out = worker;
    return 0;
fail:
    rk_worker_destroy(worker);
    return result;
}

void rk_worker_stage(struct rk_worker *worker, uint32_t stage)
{
    /* SYNC R9 release: pairs with the readers of the status page */
    rk_store_release(&worker->page->stage, stage);
}

int rk_worker_open(struct rk_worker *worker, const struct rask_plugin *plugin)
{
    char prefix[80];
    snprintf(prefix, sizeof prefix, "rask worker %u", worker->config.index);
    worker->plugin = plugin;
    worker->shares_requests = (plugin->flags & RASK_PLUGIN_SHARED_REQUEST) != 0;
    rk_host_init(&worker->host, prefix, worker->config.settings);
    worker->host.worker = worker;
    worker->handling.call.host = &worker->host.table;
    rk_worker_stage(worker, RK_STAGE_OPENING);
    int result = plugin->open != NULL ? plugin->open(&worker->host.table, &worker->plugin_state) : 0;
    worker->handling.call.state = worker->plugin_state;
    return result;
}

void rk_worker_destroy(struct rk_worker *worker)
{
    if (worker == NULL) return;
    rk_crash_forget(worker);
    while (worker->session_count > 0) rk_served_destroy(worker->sessions[--worker->session_count]);
    rk_leases_finish(worker);
    free(worker->handlers);
    free(worker->asking.copy);
    rk_segment_finish(&worker->control);
    rk_segment_finish(&worker->status);
    rk_crowd_destroy(worker->crowd);
    rk_fork_guard_destroy(worker->fork_guard);
    free(worker->snapshot);
    free(worker->message);
    free(worker);
}
