/* SPDX-License-Identifier: MIT */
/* Deaths that clients report, and what their user's sessions and administrators are told; the table is in poison_table.h. */
#include "poison_messages.h"
#include "clock.h"
#include "error.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>
#include <rask/plugin.h>

static void send_poisons(struct rk_client *client)
{
    struct rk_message_poisons message = {.reports = client->deaths_told};
    rk_message_init(&message.head, RK_POISONS, sizeof(message));
    rk_poison_fill(&client->supervisor->poisons, client->uid, &message);
    rk_peer_send_latest(&client->peer, &message);
}

void rk_poison_welcome(struct rk_client *client)
{
    const struct rk_poison_table *table = &client->supervisor->poisons;
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entry[i].uid == client->uid) {
            send_poisons(client);
            return;
        }
}

static void tell_user(struct rk_supervisor *supervisor, uid_t uid)
{
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ATTACHED && client->uid == uid) send_poisons(client);
}

static void tell_everybody(struct rk_supervisor *supervisor)
{
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ATTACHED) send_poisons(client);
}

static void on_expiry(void *user);

/* The board has the count, the timer the next end. */
static void changed(struct rk_supervisor *supervisor)
{
    uint64_t next_ns = rk_poison_next_ns(&supervisor->poisons);
    if (next_ns == 0)
        rk_timer_stop(supervisor->reactor, &supervisor->poison_timer);
    else
        rk_timer_start(supervisor->reactor, &supervisor->poison_timer, next_ns, on_expiry, supervisor);
    rk_board_pool(supervisor);
}

static void on_expiry(void *user)
{
    struct rk_supervisor *supervisor = user;
    if (rk_poison_expire(&supervisor->poisons, rask_now_ns())) tell_everybody(supervisor);
    changed(supervisor);
}

/* A name is in the plugin's table of methods, or the client made the number up. */
static const char *method_name(const struct rk_supervisor *supervisor, uint32_t method)
{
    return method < supervisor->plugin.method_count ? supervisor->plugin.entry[method].name : "?";
}

int rk_poison_told(struct rk_client *client, const struct rk_message_death *message)
{
    struct rk_supervisor *supervisor = client->supervisor;
    if (message->session != client->session || message->lane >= client->params.lanes)
        return rk_error(-EPROTO, "DEATH for lane %u of session %u on the socket of session %u", message->lane,
                        message->session, client->session);
    client->deaths_told++;
    struct rk_place *place = &client->place[message->lane];
    bool counts = rk_lane_is_gone(client, message->lane) && place->crashed;
    if (client->state != RK_CLIENT_ATTACHED) return 0; /* a worker's last words may have ended it */
    place->crashed = false;                            /* one death, one request */
    uint32_t deaths = 0;
    if (counts)
        deaths =
            rk_poison_enter(&supervisor->poisons, client->uid, message->fingerprint, message->method, rask_now_ns());
    if (deaths == RK_POISON_DEATHS)
        rk_supervisor_log(supervisor, RASK_LOG_WARNING, place->worker, "request_poisoned",
                          "request %016llx (method %s) of user %u is poisoned: it killed %u workers and is refused "
                          "from now on; see \"rask poison list\"",
                          (unsigned long long)message->fingerprint, method_name(supervisor, message->method),
                          client->uid, deaths);
    changed(supervisor);
    if (deaths > 0)
        tell_user(supervisor, client->uid);
    else
        send_poisons(client);
    return 0;
}

static uint32_t forget(struct rk_supervisor *supervisor, uint64_t fingerprint)
{
    uint32_t count = rk_poison_clear(&supervisor->poisons, fingerprint);
    if (count > 0) tell_everybody(supervisor);
    changed(supervisor);
    return count;
}

void rk_poison_forget(struct rk_supervisor *supervisor)
{
    forget(supervisor, 0);
}

void rk_poison_command(struct rk_client *client, const struct rk_message_poison *message)
{
    static struct rk_message_poison_list list; /* large, so not on the stack */
    struct rk_supervisor *supervisor = client->supervisor;
    if (!rk_client_is_admin(client)) {
        rk_client_end(client, RK_REFUSED_PERMISSION, "only the supervisor's user and root may see and clear poisons");
        return;
    }
    if (message->command != RK_POISON_SHOW && message->command != RK_POISON_CLEAR) {
        rk_client_end(client, RK_REFUSED_PROTOCOL, "POISON with command %u", message->command);
        return;
    }
    list.cleared = message->command == RK_POISON_CLEAR ? forget(supervisor, message->fingerprint) : 0;
    rk_message_init(&list.head, RK_POISON_LIST, sizeof(list));
    rk_poison_list(&supervisor->poisons, rask_now_ns(), &list);
    rk_peer_send(&client->peer, &list, 0, NULL, NULL);
    rk_client_leave(client);
}
