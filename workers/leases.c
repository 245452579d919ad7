/* SPDX-License-Identifier: MIT */
/* The host's functions for leases; see leases.h. A lease of the client's block is a number in its response and, at its end, a word
 * in the worker's memory: neither needs the kernel. Where the handler has a private copy the lease is of that copy, and the
 * client's memory is free as always. */
#include "leases.h"
#include "host.h"
#include "slab.h"
#include "worker_state.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void count(struct rk_worker *worker, struct rk_served *served, int change, uint64_t bytes)
{
    struct rk_served_leases *leases = served->leases;
    struct rk_status_page *page = worker->page;
    leases->count += (uint32_t)change;
    leases->bytes += change > 0 ? bytes : -bytes;
    rk_store_relaxed(&page->leases, page->leases + (uint64_t)(int64_t)change);
    rk_store_relaxed(&page->leased_bytes, page->leased_bytes + (change > 0 ? bytes : -bytes));
}

static uint64_t id_of(const struct rk_served *served, uint32_t index)
{
    return (uint64_t)served->id << 32 | (served->leases->at[index].generation & 0xffffffu) << 8 | index;
}

/** What is in hand counts as this item. */
static uint64_t item_of(const struct rk_handling *handling)
{
    const struct rk_served *served = handling->served;
    if (handling->kind == RK_REQUEST_CALL) return served->position;
    return served->streams->at[handling->stream].processed;
}

/** Which stream it is of; 0: none. */
static uint32_t serial_of(const struct rk_handling *handling)
{
    if (handling->kind == RK_REQUEST_CALL) return 0;
    return handling->served->streams->at[handling->stream].serial;
}

/** Do the bytes in hand lie in the client's block? */
static bool is_shared(const struct rk_handling *handling)
{
    const struct rk_worker *worker = handling->worker;
    return handling->call.request_bytes > RASK_INLINE_BYTES && worker->shares_requests && !handling->served->snapshot;
}

static struct rk_held *free_place(struct rk_served *served)
{
    if (served->leases == NULL) served->leases = calloc(1, sizeof *served->leases);
    for (uint32_t i = 0; served->leases != NULL && i < RASK_LEASES_MAX; i++)
        if (!served->leases->at[i].used) return &served->leases->at[i];
    return NULL;
}

static int host_retain(struct rask_call *call, struct rask_lease *lease)
{
    struct rk_handling *handling = (struct rk_handling *)(void *)call;
    struct rk_served *served = handling->served;
    uint64_t bytes = rk_class_bytes(rk_class_of(call->request_bytes));
    *lease = (struct rask_lease){0};
    if (handling->worker == NULL) return -EDQUOT; /* it has no caller: see alone.h */
    if (handling->retained) return -EALREADY;
    struct rk_held *held = free_place(served);
    if (held == NULL) return served->leases == NULL ? -ENOMEM : -EDQUOT;
    if (served->leases->bytes + bytes > served->params.slab_bytes_max / 2) return -EDQUOT;
    void *copy = NULL;
    if (!is_shared(handling)) {
        copy = malloc(call->request_bytes > 0 ? call->request_bytes : 1);
        if (copy == NULL) return -ENOMEM;
        memcpy(copy, call->request, call->request_bytes);
    }
    uint32_t index = (uint32_t)(held - served->leases->at), generation = held->generation + 1;
    *held = (struct rk_held){.used = true,
                             .serial = serial_of(handling),
                             .generation = generation,
                             .item = item_of(handling),
                             .bytes = bytes,
                             .copy = copy};
    handling->retained = true;
    if (copy == NULL) {
        handling->lease = index;
        handling->lease_generation = held->generation;
    }
    count(handling->worker, served, 1, bytes);
    *lease = (struct rask_lease){.data = copy != NULL ? copy : handling->whole,
                                 .bytes = call->request_bytes,
                                 .item = held->item,
                                 .id = id_of(served, index)};
    return 0;
}

static struct rk_served *session_of(struct rk_worker *worker, uint32_t id)
{
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (worker->sessions[i]->id == id) return worker->sessions[i];
    for (struct rk_served *kept = worker->kept; kept != NULL; kept = kept->next_kept)
        if (kept->id == id) return kept;
    return NULL;
}

/** A session that is gone and of which nothing is held any more. */
static void drop_kept(struct rk_worker *worker, struct rk_served *served)
{
    struct rk_served **place = &worker->kept;
    while (*place != NULL && *place != served) place = &(*place)->next_kept;
    if (*place == NULL) return; /* it lives */
    *place = served->next_kept;
    rk_served_destroy(served);
}

/** Give one back. The session may be gone afterwards. */
static void end(struct rk_worker *worker, struct rk_served *served, struct rk_held *held)
{
    struct rk_served_leases *leases = served->leases;
    held->used = false;
    if (held->copy == NULL) {
        /* SYNC R16 release: pairs with rk_leases_look; the counter after the word */
        rk_store_release(&served->response_header->lease_ended[held - leases->at], held->generation);
        RK_STEP(LEASE_ENDED);
        rk_store_release(&served->response_header->leases_ended, ++leases->ended);
        bool answers_soon = worker->handling.served == served && (worker->page->epoch & 1);
        if (!answers_soon && !served->gone) rk_publish(served->client_state, served->client_bell, &served->rung);
    }
    free(held->copy);
    held->copy = NULL;
    count(worker, served, -1, held->bytes);
    if (served->gone && leases->count == 0) drop_kept(worker, served);
}

static void host_release(const struct rask_host *table, struct rask_lease *lease)
{
    struct rk_worker *worker = ((const struct rk_host *)table)->worker;
    struct rk_served *served =
        lease->data != NULL && worker != NULL ? session_of(worker, (uint32_t)(lease->id >> 32)) : NULL;
    uint32_t index = (uint32_t)lease->id & 0xffu;
    struct rk_held *held = served != NULL && served->leases != NULL ? &served->leases->at[index] : NULL;
    if (held != NULL && held->used && id_of(served, index) == lease->id) end(worker, served, held);
    lease->data = NULL;
}

static uint32_t host_release_up_to(struct rask_call *call, uint64_t item)
{
    const struct rk_handling *handling = (const struct rk_handling *)(const void *)call;
    struct rk_served *served = handling->served;
    uint32_t serial = serial_of(handling), ended = 0;
    if (handling->worker == NULL) return 0;
    for (uint32_t i = 0; served->leases != NULL && i < RASK_LEASES_MAX && served->leases->count > 0; i++) {
        struct rk_held *held = &served->leases->at[i];
        if (!held->used || held->serial != serial || held->item > item) continue;
        end(handling->worker, served, held);
        ended++;
    }
    return ended;
}

void rk_leases_free(struct rk_served_leases *leases)
{
    for (uint32_t i = 0; leases != NULL && i < RASK_LEASES_MAX; i++) free(leases->at[i].copy);
    free(leases);
}

bool rk_leases_keep(struct rk_worker *worker, struct rk_served *served)
{
    served->gone = true;
    if (served->leases == NULL || served->leases->count == 0) return false;
    served->next_kept = worker->kept;
    worker->kept = served;
    return true;
}

void rk_leases_finish(struct rk_worker *worker)
{
    while (worker->kept != NULL) drop_kept(worker, worker->kept);
}

const struct rask_lease_host rk_lease_host = {
    .size = sizeof(struct rask_lease_host),
    .retain = host_retain,
    .release = host_release,
    .release_up_to = host_release_up_to,
};
