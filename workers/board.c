/* SPDX-License-Identifier: MIT */
/* The supervisor's status segment; see board.h. */
#include "board.h"
#include "atomic.h"
#include "clock.h"
#include "error.h"
#include "log.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>
#include <sys/stat.h>
#include <unistd.h>

int rk_board_create(struct rk_supervisor *supervisor)
{
    uint32_t workers = supervisor->config->workers;
    int result = rk_segment_create(&supervisor->board, RK_SEGMENT_POOL, rk_pool_segment_bytes(workers));
    if (result < 0) return result;
    struct rk_pool_page *page = supervisor->board.base;
    page->started_ns = rask_now_ns();
    page->supervisor_pid = (uint32_t)getpid();
    page->workers = workers;
    return 0;
}

void rk_board_destroy(struct rk_supervisor *supervisor)
{
    rk_segment_finish(&supervisor->board);
}

void rk_board_place(struct rk_supervisor *supervisor)
{
    struct stat facts;
    struct rk_pool_page *page = supervisor->board.base;
    if (supervisor->listener.lock_fd < 0 || fstat(supervisor->listener.lock_fd, &facts) < 0) return;
    page->lock_device = facts.st_dev;
    rk_store_release(&page->lock_inode, facts.st_ino);
}

void rk_board_member(const struct rk_member *member)
{
    struct rk_pool_page *page = member->supervisor->board.base;
    if (page == NULL) return;
    struct rk_pool_member *row = &page->member[member->index];
    const struct rk_post *post = &member->supervisor->posts[member->index];
    const struct rk_past *past = &post->past;
    rk_store_relaxed(&row->restarts, past->starts > 0 ? past->starts - 1 : 0);
    rk_store_relaxed(&row->deaths, past->deaths);
    rk_store_relaxed(&row->requests, past->requests);
    rk_store_relaxed(&row->errors, past->errors);
    rk_store_relaxed(&row->refused, past->refused);
    rk_store_relaxed(&row->parks, past->parks);
    rk_store_relaxed(&row->rescues, past->rescues);
    rk_store_relaxed(&row->bad_peer, past->bad_peer);
    rk_store_relaxed(&row->log_dropped, past->log_dropped);
    rk_store_relaxed(&row->replacements, past->replacements);
    if (post->holder != member) return;
    rk_store_relaxed(&row->generation, member->generation);
    rk_store_relaxed(&row->pid, (uint32_t)member->pid);
    rk_store_relaxed(&row->status_fd, (uint32_t)(member->status.fd + 1));
    /* SYNC R9 release: pairs with rk_stats_look */
    rk_store_release(&row->state, (uint32_t)member->policy.state);
}

/* A counter of a worker's page: the words are the worker's, so whatever they say, they are only added up. */
static void keep(uint64_t now, uint64_t *kept, uint64_t *sum)
{
    if (now <= *kept) return;
    *sum += now - *kept;
    *kept = now;
}

void rk_board_keep(struct rk_member *member)
{
    const struct rk_status_page *page = member->status.base;
    struct rk_past *past = &member->supervisor->posts[member->index].past, *kept = &member->kept;
    if (page == NULL) return;
    uint64_t epoch = rk_load_relaxed(&page->epoch);
    keep(epoch / 2 + epoch % 2, &kept->requests, &past->requests);
    keep(rk_load_relaxed(&page->handler_errors), &kept->errors, &past->errors);
    keep(rk_load_relaxed(&page->refused), &kept->refused, &past->refused);
    keep(rk_load_relaxed(&page->parks), &kept->parks, &past->parks);
    keep(rk_load_relaxed(&page->rescues), &kept->rescues, &past->rescues);
    keep(rk_load_relaxed(&page->bad_peer), &kept->bad_peer, &past->bad_peer);
    keep(rk_load_relaxed(&page->log_dropped), &kept->log_dropped, &past->log_dropped);
}

static uint32_t attached(const struct rk_supervisor *supervisor)
{
    uint32_t count = 0;
    for (const struct rk_client *client = supervisor->clients; client; client = client->next)
        count += client->state == RK_CLIENT_ATTACHED;
    return count;
}

void rk_board_pool(const struct rk_supervisor *supervisor)
{
    struct rk_pool_page *page = supervisor->board.base;
    if (page == NULL) return;
    rk_store_relaxed(&page->sessions, attached(supervisor));
    rk_store_relaxed(&page->sessions_made, supervisor->sessions_made);
    rk_store_relaxed(&page->sessions_refused, supervisor->sessions_refused);
    rk_store_relaxed(&page->sessions_ended, supervisor->sessions_ended);
    rk_store_relaxed(&page->poisons, rk_poison_count(&supervisor->poisons));
    rk_store_relaxed(&page->log_dropped, rk_log_dropped());
    /* SYNC R9 release: pairs with rk_stats_look */
    rk_store_release(&page->phase, (uint32_t)supervisor->phase);
}
