/* SPDX-License-Identifier: MIT */
/* The supervisor's table of requests that workers died in: by user and fingerprint (lib/poison.h), with the number of
 * deaths. RK_POISON_DEATHS of them make a poison, which the sessions of that user do not send any more. An entry is forgotten
 * when nobody has died of it for the time to live. No system calls, the clock is passed in. */
#ifndef RK_POISON_TABLE_H
#define RK_POISON_TABLE_H

#include "control.h"
#include <stdbool.h>
#include <sys/types.h>

#define RK_POISON_TTL_NS_DEFAULT 600000000000u

struct rk_poison_entry {
    uint64_t fingerprint;
    uint64_t last_ns; /* of the last death */
    uid_t uid;
    uint32_t method;
    uint32_t deaths;
};

struct rk_poison_table {
    uint64_t ttl_ns; /* 0: nothing is ever entered */
    uint32_t count;
    struct rk_poison_entry entry[RASK_POISONS_MAX];
};

/** One death more. A user with RASK_POISONS_PER_USER_MAX entries loses the one that is oldest; a full table takes no others.
 * Returns how many there are now of this fingerprint; 0: not entered. */
uint32_t rk_poison_enter(struct rk_poison_table *table, uid_t uid, uint64_t fingerprint, uint32_t method,
                         uint64_t now_ns);

/** Forget what is too old. True if anything was. */
bool rk_poison_expire(struct rk_poison_table *table, uint64_t now_ns);

/** When the next entry is too old; 0: there is none. */
uint64_t rk_poison_next_ns(const struct rk_poison_table *table);

/** Forget one fingerprint of every user, or (0) all. Returns how many entries went. */
uint32_t rk_poison_clear(struct rk_poison_table *table, uint64_t fingerprint);

/** How many are refused. */
uint32_t rk_poison_count(const struct rk_poison_table *table);

/** What a session of this user has to know, and what an administrator may see. */
void rk_poison_fill(const struct rk_poison_table *table, uid_t uid, struct rk_message_poisons *message);
void rk_poison_list(const struct rk_poison_table *table, uint64_t now_ns, struct rk_message_poison_list *message);

#endif
