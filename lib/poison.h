/* SPDX-License-Identifier: MIT */
/* Poisoned requests: the same method and payload killed RK_POISON_DEATHS workers, so it is answered POISONED instead of
 * being sent.
 *
 * A request is known by its fingerprint, a hash of method and payload that is computed only when a worker died inside it
 * and, from then on, while this session knows of a poison: then every new request is a special one (ticket.h), which the
 * usual path does not look at. The client that settles a death reports the fingerprint; the supervisor keeps the table of its
 * user and sends it to all sessions of that user whenever it changes. What died here counts at once, so that nothing is sent
 * a third time before the answer comes. */
#ifndef RK_POISON_H
#define RK_POISON_H

#include "control.h"
#include "ticket.h"

struct rask;
struct rk_lane;

/** Hash of method, length and payload. Not secret: who forges a collision poisons requests of his own user only. */
uint64_t rk_fingerprint(uint32_t method, const void *data, size_t length);

/** Is this request refused? */
bool rk_poisoned(struct rask *s, const struct rk_ticket *ticket);

/** The lane's worker died inside this request: report it. `counts`: it is known to be a crash. */
void rk_poison_death(struct rask *s, const struct rk_lane *lane, const struct rk_ticket *ticket, bool counts);

/** The supervisor's table, which replaces ours unless it is older than our last report. */
void rk_poison_update(struct rask *s, const struct rk_message_poisons *message);

#endif
