/* SPDX-License-Identifier: MIT */
/* The table of keys; see keys.h. */
#include "keys.h"
#include "error.h"
#include "session.h"
#include <errno.h>
#include <stdlib.h>

#define NONE RK_KEYS_MAX

static uint32_t bucket_of(uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) % RK_KEY_BUCKETS;
}

static int create(struct rask *s)
{
    s->keys = malloc(sizeof *s->keys);
    if (s->keys == NULL) return rk_error(-ENOMEM, "out of memory for %u keys", RK_KEYS_MAX);
    s->keys->used = 0;
    for (uint32_t i = 0; i < RK_KEYS_LISTS; i++) s->keys->head[i] = s->keys->tail[i] = NONE;
    for (uint32_t i = 0; i < RK_KEY_BUCKETS; i++) s->keys->bucket[i] = NONE;
    return 0;
}

static void leave_list(struct rk_keys *keys, struct rk_key *key)
{
    if (key->list == RK_KEYS_BUSY) return;
    uint32_t *before = key->previous == NONE ? &keys->head[key->list] : &keys->entry[key->previous].next;
    uint32_t *after = key->next == NONE ? &keys->tail[key->list] : &keys->entry[key->next].previous;
    *before = key->next;
    *after = key->previous;
}

/** Its counts have changed: put it into the list where it belongs now. */
static void sort_in(struct rk_keys *keys, struct rk_key *key)
{
    uint16_t list = key->waiting.count > 0 ? RK_KEYS_WAITING : key->bound > 0 ? RK_KEYS_BUSY : RK_KEYS_IDLE;
    if (list == key->list) return;
    leave_list(keys, key);
    key->list = list;
    if (list == RK_KEYS_BUSY) return;
    uint32_t index = (uint32_t)(key - keys->entry);
    key->previous = keys->tail[list];
    key->next = NONE;
    *(key->previous == NONE ? &keys->head[list] : &keys->entry[key->previous].next) = index;
    keys->tail[list] = index;
}

/** An entry that was never used, or that of the key that has been idle for longest. NONE: all are in use. */
static uint32_t spare_entry(struct rk_keys *keys)
{
    if (keys->used < RK_KEYS_MAX) return keys->used++;
    uint32_t index = keys->head[RK_KEYS_IDLE];
    if (index == NONE) return NONE;
    struct rk_key *key = &keys->entry[index];
    uint32_t *place = &keys->bucket[bucket_of(key->key)];
    while (*place != index) place = &keys->entry[*place].chain;
    *place = key->chain;
    leave_list(keys, key);
    return index;
}

int rk_key_find(struct rask *s, uint64_t key, uint32_t *index)
{
    int result = s->keys == NULL ? create(s) : 0;
    if (result != 0) return result;
    struct rk_keys *keys = s->keys;
    uint32_t *bucket = &keys->bucket[bucket_of(key)];
    for (*index = *bucket; *index != NONE; *index = keys->entry[*index].chain)
        if (keys->entry[*index].key == key) return 0;
    *index = spare_entry(keys);
    if (*index == NONE)
        return rk_error(-EAGAIN, "%u keys are in flight, which is the limit: take completions first", RK_KEYS_MAX);
    struct rk_key *entry = &keys->entry[*index];
    *entry = (struct rk_key){.key = key, .chain = *bucket, .worker = UINT32_MAX};
    rk_list_init(&entry->waiting);
    *bucket = *index;
    sort_in(keys, entry);
    return 0;
}

struct rk_lane *rk_key_lane(struct rask *s, uint32_t index)
{
    const struct rk_key *key = &s->keys->entry[index];
    struct rk_lane *lane = &s->lanes[key->lane];
    bool same = key->worker != UINT32_MAX && lane->state == RK_LANE_IS_OPEN && lane->worker == key->worker;
    if (same && rk_lane_takes_more(lane)) return lane;
    return key->bound > 0 ? NULL : rk_dispatch_choose(s);
}

bool rk_key_upcalling(const struct rask *s, const struct rk_ticket *ticket)
{
    if (!(ticket->wishes & RK_WISH_KEY)) return false;
    const struct rk_key *key = &s->keys->entry[ticket->key];
    return key->bound > 0 && s->lanes[key->lane].upcalling;
}

void rk_key_bound(struct rask *s, const struct rk_ticket *ticket)
{
    struct rk_key *key = &s->keys->entry[ticket->key];
    RK_CHECK(key->bound == 0 || key->lane == ticket->lane);
    key->bound++;
    key->lane = ticket->lane;
    key->worker = s->lanes[ticket->lane].worker;
    sort_in(s->keys, key);
}

void rk_key_hold(struct rask *s, const struct rk_ticket *ticket)
{
    s->keys->entry[ticket->key].worker = UINT32_MAX;
}

void rk_key_unbound(struct rask *s, const struct rk_ticket *ticket)
{
    struct rk_key *key = &s->keys->entry[ticket->key];
    key->bound--;
    sort_in(s->keys, key);
}

/** First of those that wait whose turn is after `turn`; NULL: none. */
static struct rk_ticket *first_behind(struct rask *s, const struct rk_key *key, uint32_t turn)
{
    if (key->waiting.count == 0 || (int32_t)(s->tickets.table[key->waiting.tail].turn - turn) < 0) return NULL;
    struct rk_ticket *ticket = rk_list_first(&s->tickets, &key->waiting);
    while ((int32_t)(ticket->turn - turn) < 0) ticket = &s->tickets.table[ticket->next];
    return ticket;
}

void rk_key_wait(struct rask *s, struct rk_ticket *ticket)
{
    struct rk_key *key = &s->keys->entry[ticket->key];
    struct rk_ticket *behind = first_behind(s, key, ticket->turn);
    if (behind != NULL)
        rk_list_put_before(&s->tickets, &key->waiting, ticket, behind);
    else
        rk_list_push_back(&s->tickets, &key->waiting, ticket);
    s->backlog.count++;
    sort_in(s->keys, key);
}

void rk_key_unwait(struct rask *s, struct rk_ticket *ticket)
{
    struct rk_key *key = &s->keys->entry[ticket->key];
    rk_list_remove(&s->tickets, &key->waiting, ticket);
    s->backlog.count--;
    sort_in(s->keys, key);
}

struct rk_ticket *rk_key_first(const struct rask *s, uint32_t index)
{
    return rk_list_first(&s->tickets, &s->keys->entry[index].waiting);
}

uint32_t rk_key_next_waiting(const struct rask *s, uint32_t index)
{
    if (s->keys == NULL) return NONE;
    return index == NONE ? s->keys->head[RK_KEYS_WAITING] : s->keys->entry[index].next;
}
