/* SPDX-License-Identifier: MIT */
/* Poisons between the supervisor, its clients and its administrators; the table is in poison_table.h. */
#ifndef RK_POISON_MESSAGES_H
#define RK_POISON_MESSAGES_H

#include "control.h"

struct rk_client;
struct rk_supervisor;

/** A newcomer learns what not to send, before ATTACHED. */
void rk_poison_welcome(struct rk_client *client);
/** A client reports what a worker died of. 0, or -EPROTO with the reason in rask_last_error(). */
int rk_poison_told(struct rk_client *client, const struct rk_message_death *message);
/** Another plugin file: what killed the old one may be served by the new one. */
void rk_poison_forget(struct rk_supervisor *supervisor);
/** POISON instead of HELLO. */
void rk_poison_command(struct rk_client *client, const struct rk_message_poison *message);

#endif
