/* SPDX-License-Identifier: MIT */
/* Requests whose bytes handlers keep; see lease.h. */
#include "lease.h"
#include "error.h"
#include "events.h"
#include <errno.h>
#include <stdlib.h>

static struct rk_leases *table(struct rask *s)
{
    if (s->leases == NULL) s->leases = calloc(1, sizeof *s->leases);
    return s->leases;
}

int rask_on_lease_end(struct rask *s, rask_lease_fn function, void *user)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (table(s) == NULL) return rk_error(-ENOMEM, "out of memory for leases");
    s->leases->function = function;
    s->leases->user = user;
    return 0;
}

static struct rk_lane_leases *lane_table(struct rk_lane *lane)
{
    if (lane->leases != NULL) return lane->leases;
    lane->leases = calloc(1, sizeof *lane->leases);
    for (uint32_t i = 0; lane->leases != NULL && i < RASK_LEASES_MAX; i++) lane->leases->entry[i].block = RK_BLOCK_NONE;
    return lane->leases;
}

/** Room to tell of every lease that may end. */
static bool make_room(struct rk_leases *leases)
{
    if (leases->waiting + leases->count < leases->capacity) return true;
    uint32_t capacity = leases->capacity < RASK_LEASES_MAX ? RASK_LEASES_MAX : 2 * leases->capacity;
    struct rask_lease_event *bigger = malloc(capacity * sizeof *bigger);
    if (bigger == NULL) return false;
    for (uint32_t i = 0; i < leases->waiting; i++) bigger[i] = leases->event[(leases->first + i) % leases->capacity];
    free(leases->event);
    leases->event = bigger;
    leases->capacity = capacity;
    leases->first = 0;
    return true;
}

static uint64_t bytes_of(const struct rask *s, uint32_t block)
{
    return rk_class_bytes(s->slab.blocks[block].class_index);
}

static void end(struct rask *s, struct rk_lane_leases *leases, struct rk_lease *lease, uint32_t how)
{
    struct rk_leases *all = s->leases;
    uint64_t bytes = bytes_of(s, lease->block);
    rk_slab_put(&s->slab, lease->block);
    lease->block = RK_BLOCK_NONE;
    leases->count--;
    all->count--;
    all->bytes -= bytes;
    s->asides--;
    s->finished++; /* who waits for room looks again */
    if (all->function == NULL) return;
    all->event[(all->first + all->waiting++) % all->capacity] =
        (struct rask_lease_event){.ticket = lease->ticket, .user_data = lease->user_data, .bytes = bytes, .end = how};
    s->asides_due++;
    if (s->events != NULL) rk_events_disturb(s);
}

/** Does its word say so: this one, or a later one with the same word? */
static bool has_ended(const struct rk_lane *lane, const struct rk_lane_leases *leases, const struct rk_lease *lease)
{
    /* SYNC R16 acquire: pairs with rk_lease_end */
    uint32_t ended = rk_load_acquire(&lane->header->lease_ended[lease - leases->entry]);
    return (int32_t)(ended - lease->generation) >= 0;
}

void rk_lease_begin(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket)
{
    struct rk_lane_leases *leases = lane_table(lane);
    struct rk_lease *lease = leases != NULL ? &leases->entry[lane->lease] : NULL;
    /* The word may have said the end already, and the response the next lease of the word. */
    if (lease != NULL && lease->block != RK_BLOCK_NONE) rk_leases_look(s, lane);
    bool fine = lease != NULL && lease->block == RK_BLOCK_NONE && table(s) != NULL && make_room(s->leases);
    if (!fine) {
        lane->broken = true;
        rk_error(-EPROTO, "worker %u: lease %u, which it has already, or there is no memory for it", lane->worker,
                 lane->lease);
        return;
    }
    *lease = (struct rk_lease){ticket->id, ticket->user_data, ticket->block, lane->lease_generation};
    leases->count++;
    s->leases->count++;
    s->leases->bytes += bytes_of(s, ticket->block);
    s->asides++;
    ticket->block = RK_BLOCK_NONE;
    /* The counter may have been seen at a look that did not know of this one yet: it does not change for it again. */
    if (has_ended(lane, leases, lease)) end(s, leases, lease, RASK_LEASE_RELEASED);
}

bool rk_leases_wait(const struct rk_lane *lane)
{
    return lane->leases != NULL && lane->leases->count > 0 &&
           rk_load_relaxed(&lane->header->leases_ended) != lane->leases->ended_seen;
}

void rk_leases_look(struct rask *s, struct rk_lane *lane)
{
    struct rk_lane_leases *leases = lane->leases;
    /* SYNC R16 acquire: pairs with rk_lease_end; the counter is bumped after its word */
    leases->ended_seen = rk_load_acquire(&lane->header->leases_ended);
    for (uint32_t i = 0; i < RASK_LEASES_MAX && leases->count > 0; i++) {
        struct rk_lease *lease = &leases->entry[i];
        if (lease->block == RK_BLOCK_NONE) continue;
        if (has_ended(lane, leases, lease)) end(s, leases, lease, RASK_LEASE_RELEASED);
    }
}

void rk_leases_died(struct rask *s, struct rk_lane *lane)
{
    struct rk_lane_leases *leases = lane->leases;
    if (leases == NULL) return;
    rk_leases_look(s, lane); /* some were released before */
    for (uint32_t i = 0; i < RASK_LEASES_MAX; i++)
        if (leases->entry[i].block != RK_BLOCK_NONE) end(s, leases, &leases->entry[i], RASK_LEASE_DIED);
    free(leases);
    lane->leases = NULL;
}

uint32_t rk_leases_tell(struct rask *s)
{
    struct rk_leases *leases = s->leases;
    uint32_t count = 0;
    while (leases->waiting > 0) {
        struct rask_lease_event event = leases->event[leases->first];
        leases->first = (leases->first + 1) % leases->capacity;
        leases->waiting--;
        s->asides_due--;
        count++;
        if (leases->function != NULL) leases->function(s, &event, leases->user);
    }
    return count;
}

int rask_leased(const struct rask *s, uint64_t ticket)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    for (uint32_t i = 0; s->leases != NULL && i < s->open_count; i++) {
        const struct rk_lane_leases *leases = s->lanes[s->open_lanes[i]].leases;
        for (uint32_t k = 0; leases != NULL && k < RASK_LEASES_MAX; k++)
            if (leases->entry[k].block != RK_BLOCK_NONE && leases->entry[k].ticket == ticket) return 1;
    }
    return 0;
}

void rk_leases_destroy(struct rask *s)
{
    if (s->leases == NULL) return;
    free(s->leases->event);
    free(s->leases);
    s->leases = NULL;
}
