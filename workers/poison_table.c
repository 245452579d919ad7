/* SPDX-License-Identifier: MIT */
/* The table of poisons; see poison_table.h. */
#include "poison_table.h"
#include <string.h>

static void drop(struct rk_poison_table *table, uint32_t index)
{
    table->count--;
    memmove(&table->entry[index], &table->entry[index + 1], (table->count - index) * sizeof(table->entry[0]));
}

/* The user's oldest entry goes when the user has too many. */
static void make_room(struct rk_poison_table *table, uid_t uid)
{
    uint32_t count = 0, oldest = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->entry[i].uid != uid) continue;
        if (count++ == 0 || table->entry[i].last_ns < table->entry[oldest].last_ns) oldest = i;
    }
    if (count >= RASK_POISONS_PER_USER_MAX) drop(table, oldest);
}

static struct rk_poison_entry *find(struct rk_poison_table *table, uid_t uid, uint64_t fingerprint)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entry[i].uid == uid && table->entry[i].fingerprint == fingerprint) return &table->entry[i];
    return NULL;
}

uint32_t rk_poison_enter(struct rk_poison_table *table, uid_t uid, uint64_t fingerprint, uint32_t method,
                         uint64_t now_ns)
{
    if (table->ttl_ns == 0) return 0;
    struct rk_poison_entry *entry = find(table, uid, fingerprint);
    if (!entry) {
        make_room(table, uid);
        if (table->count == RASK_POISONS_MAX) return 0;
        entry = &table->entry[table->count++];
        *entry = (struct rk_poison_entry){.fingerprint = fingerprint, .uid = uid, .method = method};
    }
    entry->last_ns = now_ns;
    return ++entry->deaths;
}

bool rk_poison_expire(struct rk_poison_table *table, uint64_t now_ns)
{
    uint32_t before = table->count;
    for (uint32_t i = table->count; i-- > 0;)
        if (now_ns - table->entry[i].last_ns >= table->ttl_ns) drop(table, i);
    return table->count != before;
}

uint64_t rk_poison_next_ns(const struct rk_poison_table *table)
{
    uint64_t next_ns = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        uint64_t last_ns = table->entry[i].last_ns;
        uint64_t end_ns = table->ttl_ns > UINT64_MAX - 1 - last_ns ? UINT64_MAX - 1 : last_ns + table->ttl_ns;
        if (next_ns == 0 || end_ns < next_ns) next_ns = end_ns;
    }
    return next_ns;
}

uint32_t rk_poison_clear(struct rk_poison_table *table, uint64_t fingerprint)
{
    uint32_t before = table->count;
    for (uint32_t i = table->count; i-- > 0;)
        if (fingerprint == 0 || table->entry[i].fingerprint == fingerprint) drop(table, i);
    return before - table->count;
}

uint32_t rk_poison_count(const struct rk_poison_table *table)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->count; i++) count += table->entry[i].deaths >= RK_POISON_DEATHS;
    return count;
}

void rk_poison_fill(const struct rk_poison_table *table, uid_t uid, struct rk_message_poisons *message)
{
    message->count = 0;
    for (uint32_t i = 0; i < table->count && message->count < RASK_POISONS_PER_USER_MAX; i++)
        if (table->entry[i].uid == uid)
            message->entry[message->count++] =
                (struct rk_poison){.fingerprint = table->entry[i].fingerprint, .deaths = table->entry[i].deaths};
}

void rk_poison_list(const struct rk_poison_table *table, uint64_t now_ns, struct rk_message_poison_list *message)
{
    message->count = table->count;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct rk_poison_entry *entry = &table->entry[i];
        uint64_t age_ns = now_ns - entry->last_ns;
        message->row[i] = (struct rk_poison_row){
            .fingerprint = entry->fingerprint,
            .left_ns = age_ns < table->ttl_ns ? table->ttl_ns - age_ns : 0,
            .uid = entry->uid,
            .method = entry->method,
            .deaths = entry->deaths,
        };
    }
}
