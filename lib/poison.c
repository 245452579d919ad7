/* SPDX-License-Identifier: MIT */
/* The session's side of poisoned requests; see poison.h. */
#include "poison.h"
#include "session.h"
#include <stdlib.h>
#include <string.h>

struct rk_poisons {
    uint32_t count;
    uint32_t fatal;   /* of those, how many died often enough */
    uint32_t reports; /* sent by this session */
    struct rk_poison entry[RASK_POISONS_PER_USER_MAX];
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9fb21c651e98df25u;
    return hash ^ (hash >> 32);
}

uint64_t rk_fingerprint(uint32_t method, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t word, hash = mix(mix(0x243f6a8885a308d3u, method), length);
    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        hash = mix(hash, word);
    }
    word = 0;
    if (length > 0) memcpy(&word, bytes, length);
    return mix(mix(hash, word), 0x13198a2e03707344u);
}

static uint64_t fingerprint_of(struct rask *s, const struct rk_ticket *ticket)
{
    return rk_fingerprint(ticket->method, rk_reservation_data(s, ticket), ticket->length);
}

static struct rk_poison *find(struct rk_poisons *poisons, uint64_t fingerprint)
{
    for (uint32_t i = 0; i < poisons->count; i++)
        if (poisons->entry[i].fingerprint == fingerprint) return &poisons->entry[i];
    return NULL;
}

bool rk_poisoned(struct rask *s, const struct rk_ticket *ticket)
{
    if (s->poisons == NULL || s->poisons->fatal == 0 || (ticket->wishes & RK_WISH_STREAM)) return false;
    const struct rk_poison *poison = find(s->poisons, fingerprint_of(s, ticket));
    return poison != NULL && poison->deaths >= RK_POISON_DEATHS;
}

/** Without memory for the table a request that kills workers goes on doing so: no answer would be better. */
static struct rk_poisons *table(struct rask *s)
{
    if (s->poisons == NULL) s->poisons = calloc(1, sizeof *s->poisons);
    return s->poisons;
}

/** The table has changed: from here on every request is looked at, or none. */
static void look_at_requests(struct rask *s)
{
    s->poisons->fatal = 0;
    for (uint32_t i = 0; i < s->poisons->count; i++)
        s->poisons->fatal += s->poisons->entry[i].deaths >= RK_POISON_DEATHS;
    s->tickets.flags = s->poisons->fatal > 0 ? RK_TICKET_SPECIAL : 0;
    if (s->poisons->fatal > 0) rk_settle_poisoned(s);
}

/** Enter one death, in the place of the oldest entry when there are too many. */
static void count_death(struct rk_poisons *poisons, uint64_t fingerprint)
{
    struct rk_poison *poison = find(poisons, fingerprint);
    if (poison == NULL) {
        if (poisons->count == RASK_POISONS_PER_USER_MAX) {
            memmove(&poisons->entry[0], &poisons->entry[1], sizeof poisons->entry - sizeof poisons->entry[0]);
            poisons->count--;
        }
        poison = &poisons->entry[poisons->count++];
        *poison = (struct rk_poison){.fingerprint = fingerprint};
    }
    poison->deaths++;
}

void rk_poison_death(struct rask *s, const struct rk_lane *lane, const struct rk_ticket *ticket, bool counts)
{
    struct rk_poisons *poisons = table(s);
    if (poisons == NULL || !s->connected) return;
    struct rk_message_death message = {
        .session = s->id,
        .lane = lane->index,
        .fingerprint = fingerprint_of(s, ticket),
        .method = ticket->method,
    };
    rk_message_init(&message.head, RK_DEATH, sizeof message);
    if (rk_session_send(s, &message, NULL, 0) == 0) poisons->reports++;
    if (!counts) return;
    count_death(poisons, message.fingerprint);
    look_at_requests(s);
}

void rk_poison_update(struct rask *s, const struct rk_message_poisons *message)
{
    struct rk_poisons *poisons = table(s);
    if (poisons == NULL || message->count > RASK_POISONS_PER_USER_MAX) return;
    if (message->reports != poisons->reports) return; /* one that has our last report follows */
    poisons->count = message->count;
    memcpy(poisons->entry, message->entry, message->count * sizeof message->entry[0]);
    look_at_requests(s);
}
