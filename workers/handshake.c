/* SPDX-License-Identifier: MIT */
/* HELLO -> WELCOME, METHODS -> ATTACH -> ATTACHED: two parties make sure that they understand each other before they
 * share memory. A refusal says what each side has. */
#include "bell.h"
#include "error.h"
#include "poison_messages.h"
#include "reactor_crowd.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>
#include <rask/version.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t session_count(const struct rk_supervisor *supervisor)
{
    uint32_t count = 0;
    for (const struct rk_client *client = supervisor->clients; client; client = client->next)
        count += client->state == RK_CLIENT_WELCOMED || client->state == RK_CLIENT_ATTACHED ||
                 client->state == RK_CLIENT_WAITING;
    return count;
}

static void refuse_version(struct rk_client *client, const struct rk_message_hello *hello)
{
    rk_client_end(
        client, RK_REFUSED_VERSION,
        "the supervisor is rask %s (layout %u, fingerprint %#x), the client is rask %s (layout %u, fingerprint "
        "%#x): use the same build on both sides",
        RASK_VERSION, RK_LAYOUT, rk_layout_fingerprint(), hello->version, hello->layout, hello->fingerprint);
}

/* Can workers sleep on more sessions than one futex_waitv takes? Tried out once, when the first one too many comes. */
static bool takes_a_crowd(struct rk_supervisor *supervisor, char *why, size_t why_bytes)
{
    struct rk_crowd *crowd;
    snprintf(why, why_bytes, "the sandbox allows no io_uring in workers");
    if (supervisor->config->limits.sandbox) return false;
    snprintf(why, why_bytes, "the engine is classic");
    if (rk_reactor_engine(supervisor->reactor) != RK_ENGINE_URING) return false;
    if (supervisor->takes_a_crowd) return true;
    supervisor->takes_a_crowd = rk_crowd_create(&crowd) == 0;
    if (supervisor->takes_a_crowd)
        rk_crowd_destroy(crowd);
    else
        snprintf(why, why_bytes, "%s", rask_last_error());
    return supervisor->takes_a_crowd;
}

/* What one futex_waitv takes. Other users leave some of it to the supervisor's own. */
static uint32_t few_sessions(const struct rk_client *client)
{
    return rk_client_is_admin(client) ? RASK_SESSIONS_MAX_CLASSIC
                                      : RASK_SESSIONS_MAX_CLASSIC - RASK_SESSIONS_MAX_CLASSIC / 8;
}

void rk_client_hello(struct rk_client *client, const struct rk_message_hello *hello)
{
    struct rk_supervisor *supervisor = client->supervisor;
    char why[256];
    int result;
    client->params = hello->params;
    client->params.lanes = supervisor->lanes;
    client->flags = hello->flags & RK_PEER_MEMBARRIER;
    client->slab_bytes = hello->params.slab_bytes;
    if (hello->layout != RK_LAYOUT || hello->fingerprint != rk_layout_fingerprint()) {
        refuse_version(client, hello);
    } else if (rk_params_check(&client->params) < 0) {
        rk_client_end(client, RK_REFUSED_OPTIONS, "%s", rask_last_error());
    } else if (session_count(supervisor) >= few_sessions(client) && !takes_a_crowd(supervisor, why, sizeof(why))) {
        rk_client_end(
            client, RK_REFUSED_BUSY,
            "the supervisor has its limit of %u sessions (more, up to %u, need io_uring with FUTEX_WAITV; here: "
            "%s): close one, or start another supervisor",
            few_sessions(client), RASK_SESSIONS_MAX, why);
    } else if ((result = rk_quota_session(client)) < 0) {
        rk_client_end(client, result == -ENOMEM ? RK_REFUSED_MEMORY : RK_REFUSED_BUSY, "%s", rask_last_error());
    } else {
        client->state = RK_CLIENT_WAITING;
        rk_timer_stop(supervisor->reactor, &client->timer); /* it has its own */
        if (supervisor->ever_ready) rk_client_welcome(client);
    }
}

/* The first worker of the next session: the next one that serves, so that sessions spread, but over no more workers than can
 * run at once: two sessions with one worker between them are served faster than with two that take turns. */
static uint32_t pick_first_worker(const struct rk_supervisor *supervisor)
{
    uint32_t workers = supervisor->config->workers;
    uint32_t turn = supervisor->sessions_made % supervisor->parallel;
    for (uint32_t i = 0; i < workers; i++) {
        uint32_t candidate = (turn + i) % workers;
        if (rk_member_serves(rk_holder(supervisor, candidate))) return candidate;
    }
    return turn;
}

static void send_welcome(struct rk_client *client, struct rk_fd *control)
{
    const struct rk_supervisor *supervisor = client->supervisor;
    struct rk_message_welcome message = {
        .layout = RK_LAYOUT,
        .fingerprint = rk_layout_fingerprint(),
        .flags = rk_membarrier_register() ? RK_PEER_MEMBARRIER : 0,
        .session = client->session,
        .workers = supervisor->config->workers,
        .lanes = supervisor->lanes,
        .first_worker = pick_first_worker(supervisor),
        .parallel = supervisor->parallel,
        .worker_wait_mode = supervisor->config->wait_mode,
        .method_count = supervisor->plugin.method_count,
        .supervisor_pid = (uint32_t)getpid(),
        .slab_bytes_max = client->params.slab_bytes_max,
        .version = RASK_VERSION,
    };
    rk_message_init(&message.head, RK_WELCOME, sizeof(message));
    snprintf(message.engine, sizeof(message.engine), "%s", rk_engine_name(rk_reactor_engine(supervisor->reactor)));
    memcpy(message.plugin, supervisor->plugin.plugin, sizeof(message.plugin));
    memcpy(message.plugin_version, supervisor->plugin.plugin_version, sizeof(message.plugin_version));
    rk_peer_send(&client->peer, &message, 0, control, NULL);
}

static void send_methods(struct rk_client *client)
{
    static struct rk_message_methods message; /* large, so not on the stack */
    const struct rk_message_ready *plugin = &client->supervisor->plugin;
    size_t entries_bytes = plugin->method_count * sizeof(plugin->entry[0]);
    rk_message_init(&message.head, RK_METHODS, offsetof(struct rk_message_methods, entry) + entries_bytes);
    message.count = plugin->method_count;
    memcpy(message.entry, plugin->entry, entries_bytes);
    rk_peer_send(&client->peer, &message, 0, NULL, NULL);
}

void rk_client_welcome(struct rk_client *client)
{
    struct rk_supervisor *supervisor = client->supervisor;
    struct rk_fd *control = NULL;
    if (rk_segment_create(&client->control, RK_SEGMENT_CONTROL, RK_PAGE_BYTES) == 0) {
        control = rk_fd_create(client->control.fd);
        client->control.fd = -1;
    }
    if (!control) {
        rk_client_end(client, RK_REFUSED_MEMORY, "the supervisor has no memory or descriptor for another session");
        return;
    }
    client->peer.word = &((struct rk_control_page *)client->control.base)->word;
    client->session = ++supervisor->sessions_made;
    client->state = RK_CLIENT_WELCOMED;
    send_welcome(client, control);
    send_methods(client);
    rk_fd_drop(control);
    rk_client_time(client, supervisor->config->quota.handshake_ns);
}

/* Takes both descriptors over. The bell is mapped here, too: the supervisor rings it. */
static int take_segments(struct rk_client *client, const int fds[2])
{
    int result = rk_segment_verify(fds[0], RK_SEGMENT_REQUEST, rk_request_segment_bytes(&client->params));
    if (result < 0) {
        close(fds[0]);
        close(fds[1]);
        return result;
    }
    client->request = rk_fd_create(fds[0]);
    result = rk_segment_map(&client->bell, fds[1], RK_SEGMENT_BELL, rk_bell_segment_bytes(&client->params), true);
    if (result < 0) return result;
    client->bell_fd = rk_fd_create(client->bell.fd);
    client->bell.fd = -1;
    return client->request && client->bell_fd ? 0 : rk_error(-ENOMEM, "the supervisor has no memory for a session");
}

void rk_client_attach(struct rk_client *client, const int fds[2])
{
    struct rk_message attached;
    bool too_many = rk_files_short(client->supervisor, fds[0] > fds[1] ? fds[0] : fds[1], RK_FILES_FOR_NEWCOMERS);
    int result = take_segments(client, fds);
    too_many |= rk_quota_files_over(client);
    if (result == 0 && too_many) {
        rk_client_end_for_files(client);
        return;
    }
    if (result < 0) {
        rk_client_end(client, result == -ENOMEM ? RK_REFUSED_MEMORY : RK_REFUSED_PROTOCOL, "%s", rask_last_error());
        return;
    }
    rk_timer_stop(client->supervisor->reactor, &client->timer);
    client->peer.bell = &((struct rk_bell_page *)client->bell.base)->client.word;
    client->peer.unacked = 0; /* whoever attaches has WELCOME's descriptor */
    client->state = RK_CLIENT_ATTACHED;
    rk_poison_welcome(client);
    rk_late_look_soon(client->supervisor);
    rk_board_pool(client->supervisor);
    rk_message_init(&attached, RK_ATTACHED, sizeof(attached));
    rk_peer_send(&client->peer, &attached, 0, NULL, NULL);
    rk_client_workers(client);
}
