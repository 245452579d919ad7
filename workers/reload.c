/* SPDX-License-Identifier: MIT */
/* A new plugin file, all or nothing. One worker with the new file comes up first; when it serves, one for every other
 * post does; when all serve, they take over at once and the old ones leave. If any of them fails, all of them go and
 * nothing has changed for anybody. One reload at a time: others wait for their turn, and signals are counted as one. */
#include "error.h"
#include "exit_codes.h"
#include "notify.h"
#include "poison_messages.h"
#include "supervisor_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rk_reload_busy(const struct rk_supervisor *supervisor)
{
    if (supervisor->reload.stage != RK_RELOAD_NONE || supervisor->reload.again) return true;
    for (const struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ASKING) return true;
    return false;
}

/* The outcome is known; it is told when the workers that are not wanted any more are gone. */
static void finish(struct rk_supervisor *supervisor, int exit_code, const char *text)
{
    struct rk_reload *reload = &supervisor->reload;
    reload->stage = RK_RELOAD_FINISHING;
    reload->exit_code = exit_code;
    snprintf(reload->text, sizeof(reload->text), "%s", text);
    rk_supervisor_log(supervisor, exit_code == RK_EXIT_OK ? RASK_LOG_INFO : RASK_LOG_ERROR, RK_LOG_NO_WORKER,
                      exit_code == RK_EXIT_OK ? "reloaded" : "rolled_back", "%s", reload->text);
    rk_generation_drop(reload->generation);
    reload->generation = NULL;
    rk_posts_look_soon(supervisor);
}

static void roll_back(struct rk_supervisor *supervisor, const char *check, const char *why)
{
    char text[RK_MESSAGE_TEXT_BYTES];
    if (supervisor->reload.stage == RK_RELOAD_FINISHING) return; /* the first failure is the reason */
    snprintf(text, sizeof(text), "rolled back, check %s: %.420s", check, why);
    supervisor->reload.stage = RK_RELOAD_FINISHING;
    rk_incoming_stop(supervisor);
    finish(supervisor, RK_EXIT_CONFIG, text);
}

static void take_over(struct rk_supervisor *supervisor)
{
    struct rk_reload *reload = &supervisor->reload;
    char text[RK_MESSAGE_TEXT_BYTES];
    rk_generation_drop(supervisor->generation);
    supervisor->generation = rk_generation_use(reload->generation);
    rk_poison_forget(supervisor);
    supervisor->plugin = supervisor->generation->table;
    reload->stage = RK_RELOAD_FINISHING;
    for (uint32_t i = 0; i < supervisor->config->workers; i++) rk_hand_over(&supervisor->posts[i]);
    snprintf(text, sizeof(text), "reloaded %.300s: %s %s, generation %u, %u worker%s", supervisor->generation->path,
             supervisor->plugin.plugin, supervisor->plugin.plugin_version, supervisor->generation->number,
             supervisor->config->workers, supervisor->config->workers == 1 ? "" : "s");
    finish(supervisor, RK_EXIT_OK, text);
}

static void start_from(struct rk_supervisor *supervisor, uint32_t first, uint32_t end)
{
    struct rk_reload *reload = &supervisor->reload;
    enum rk_reload_stage stage = reload->stage;
    for (uint32_t i = first; i < end && reload->stage == stage; i++)
        if (!rk_incoming_start(supervisor, i, reload->generation)) roll_back(supervisor, "memory", "out of memory");
}

static void begin(struct rk_supervisor *supervisor, const char *path)
{
    struct rk_reload *reload = &supervisor->reload;
    struct rk_load_error error;
    reload->stage = RK_RELOAD_CANARY;
    reload->stragglers = 0;
    rk_notify("RELOADING=1");
    uint32_t number = supervisor->generations_made + 1;
    if (rk_generation_create(&reload->generation, path, number, &error) < 0) {
        roll_back(supervisor, error.check == RK_LOAD_OK ? "memory" : rk_load_check_name(error.check), error.text);
        return;
    }
    supervisor->generations_made = number;
    start_from(supervisor, 0, 1);
}

void rk_reload_ready(struct rk_supervisor *supervisor)
{
    struct rk_reload *reload = &supervisor->reload;
    uint32_t workers = supervisor->config->workers, ready = 0;
    for (uint32_t i = 0; i < workers; i++)
        ready += supervisor->posts[i].incoming && rk_member_serves(supervisor->posts[i].incoming);
    if (ready == workers) {
        take_over(supervisor);
    } else if (reload->stage == RK_RELOAD_CANARY) {
        reload->stage = RK_RELOAD_STARTING;
        start_from(supervisor, 1, workers);
    }
}

void rk_reload_failed(struct rk_member *member)
{
    uint32_t check = member->failure.check;
    roll_back(member->supervisor, check == RK_LOAD_OK ? "process" : rk_load_check_name(check), member->failure.text);
}

static void tell_outcome(struct rk_supervisor *supervisor)
{
    struct rk_reload *reload = &supervisor->reload;
    size_t used = strlen(reload->text);
    if (reload->stragglers > 0)
        snprintf(reload->text + used, sizeof(reload->text) - used, "; %u of the old did not finish in time: killed",
                 reload->stragglers);
    reload->stage = RK_RELOAD_NONE;
    rk_notify("READY=1");
    if (reload->asker) rk_client_answer(reload->asker, reload->exit_code, reload->text);
    reload->asker = NULL;
}

/* The client that has waited longest; newer ones are in front. */
static struct rk_client *next_asker(struct rk_supervisor *supervisor)
{
    struct rk_client *next = NULL;
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ASKING && client->reload) next = client;
    return next;
}

static void begin_next(struct rk_supervisor *supervisor)
{
    struct rk_client *asker = next_asker(supervisor);
    char path[sizeof(supervisor->generation->path)];
    if (!asker && !supervisor->reload.again) return;
    snprintf(path, sizeof(path), "%s", asker && asker->reload[0] ? asker->reload : supervisor->generation->path);
    if (asker) {
        free(asker->reload);
        asker->reload = NULL;
    } else {
        supervisor->reload.again = false;
    }
    supervisor->reload.asker = asker;
    begin(supervisor, path);
}

void rk_reload_look(struct rk_supervisor *supervisor)
{
    if (!rk_posts_settled(supervisor)) return;
    if (supervisor->reload.stage == RK_RELOAD_FINISHING) tell_outcome(supervisor);
    if (supervisor->reload.stage == RK_RELOAD_NONE && supervisor->phase == RK_PHASE_SERVING) begin_next(supervisor);
}

void rk_reload_signal(struct rk_supervisor *supervisor)
{
    if (supervisor->phase != RK_PHASE_SERVING) {
        rk_supervisor_log(supervisor, RASK_LOG_WARNING, RK_LOG_NO_WORKER, "reload_ignored",
                          "SIGHUP is ignored while the pool %s",
                          supervisor->phase == RK_PHASE_STARTING ? "starts" : "ends");
        return;
    }
    supervisor->reload.again = true;
    rk_reload_look(supervisor);
}

void rk_reload_asked(struct rk_client *client, const struct rk_message_reload *message)
{
    struct rk_supervisor *supervisor = client->supervisor;
    if (!rk_client_is_admin(client)) {
        rk_client_end(client, RK_REFUSED_PERMISSION, "only the supervisor's user and root may reload it");
    } else if (supervisor->phase != RK_PHASE_SERVING) {
        rk_client_end(client, RK_REFUSED_BUSY, "the pool is still starting: try again when it is ready");
    } else if (message->path[0] != '\0' && message->path[0] != '/') {
        rk_client_end(client, RK_REFUSED_OPTIONS, "the path of the plugin must be absolute, it is \"%.100s\"",
                      message->path);
    } else if (!(client->reload = strdup(message->path))) {
        rk_client_end(client, RK_REFUSED_MEMORY, "the supervisor is out of memory");
    } else {
        client->state = RK_CLIENT_ASKING;
        rk_timer_stop(supervisor->reactor, &client->timer);
        rk_reload_look(supervisor);
    }
}

void rk_reload_forget(struct rk_client *client)
{
    if (client->supervisor->reload.asker == client) client->supervisor->reload.asker = NULL;
}
