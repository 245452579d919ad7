/* SPDX-License-Identifier: MIT */
/* Clients of the supervisor: from the connection to the last word.
 *
 *   SILENT -> WAITING -> WELCOMED -> ATTACHED -> LEAVING
 *
 * Everything a client says is checked; one that breaks the rules is told why and let go, and nobody else notices. A
 * client that is let go keeps its socket for a moment, so that it can read why. */
#include "clock.h"
#include "error.h"
#include "poison_messages.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEAVE_NS 1000000000u

static void on_readable(void *user);
static void on_drained(void *user);
static const struct rk_peer_calls client_calls = {.readable = on_readable, .drained = on_drained};

static void on_timer(void *user)
{
    struct rk_client *client = user;
    if (client->state == RK_CLIENT_LEAVING)
        rk_client_destroy(client);
    else
        rk_client_end(client, RK_REFUSED_PROTOCOL, "no %s within the time given to it",
                      client->state == RK_CLIENT_SILENT ? "HELLO" : "ATTACH");
}

void rk_client_time(struct rk_client *client, uint64_t ns)
{
    rk_timer_start(client->supervisor->reactor, &client->timer, rk_deadline_after(ns), on_timer, client);
}

/* What its session holds. */
static void drop_segments(struct rk_client *client)
{
    rk_fd_drop(client->request);
    rk_fd_drop(client->bell_fd);
    client->request = client->bell_fd = NULL;
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) {
        rk_fd_drop(client->extra[i]);
        client->extra[i] = NULL;
    }
}

static struct rk_client *create(struct rk_supervisor *supervisor, int fd, uint32_t uid)
{
    struct rk_client *client = calloc(1, sizeof(*client));
    if (!client) {
        rk_error(-ENOMEM, "the supervisor has no memory for another connection");
        return NULL;
    }
    client->supervisor = supervisor;
    client->uid = uid;
    client->other_user = uid != geteuid();
    client->peer = (struct rk_peer)RK_PEER_INIT;
    client->peer.queued_max = RK_CLIENT_QUEUED_MAX;
    client->peer.unacked_max = RK_CLIENT_UNACKED_MAX;
    client->control = client->bell = (struct rk_segment)RK_SEGMENT_INIT;
    if (rk_peer_open(&client->peer, supervisor->reactor, fd, &client_calls, client) < 0) {
        rk_error(-ENOMEM, "the supervisor cannot watch another connection");
        free(client);
        return NULL;
    }
    client->next = supervisor->clients;
    supervisor->clients = client;
    supervisor->client_count++;
    return client;
}

/* The reason is sent and the socket closed: it can still be read, and a flood of connections leaves nothing here. */
static void turn_away(struct rk_supervisor *supervisor, int fd, uint32_t reason)
{
    struct rk_message_text message = {.reason = reason};
    rk_message_init(&message.head, RK_REFUSED, sizeof(message));
    snprintf(message.text, sizeof(message.text), "%s", rask_last_error());
    rk_control_send(fd, &message, NULL, 0);
    close(fd);
    supervisor->sessions_refused++;
    rk_board_pool(supervisor);
}

static int files_are_short(void)
{
    return rk_error(-EMFILE, "the supervisor is short of descriptors, and running sessions need those that are left: "
                             "close sessions, or start it with a higher limit (ulimit -n)");
}

void rk_client_accept(struct rk_supervisor *supervisor, int fd)
{
    uid_t uid = (uid_t)-1;
    if (rk_access_check(&supervisor->config->access, fd, &uid) < 0) {
        turn_away(supervisor, fd, RK_REFUSED_PERMISSION);
        return;
    }
    bool short_of_files = rk_files_short(supervisor, fd, RK_FILES_FOR_NEWCOMERS) && files_are_short() < 0;
    if (short_of_files || rk_quota_connection(supervisor, uid) < 0) {
        turn_away(supervisor, fd, RK_REFUSED_BUSY);
        return;
    }
    struct rk_client *client = create(supervisor, fd, uid);
    if (!client) {
        turn_away(supervisor, fd, RK_REFUSED_MEMORY);
        return;
    }
    rk_client_time(client, supervisor->config->quota.handshake_ns);
    if (supervisor->phase == RK_PHASE_FAILING)
        rk_client_end(client, supervisor->failure_reason, "%s", supervisor->failure_text);
    else if (supervisor->phase > RK_PHASE_SERVING)
        rk_client_end(client, RK_REFUSED_SHUTDOWN, "the supervisor is shutting down");
}

void rk_client_destroy(struct rk_client *client)
{
    struct rk_supervisor *supervisor = client->supervisor;
    struct rk_client **place = &supervisor->clients;
    if (client->state == RK_CLIENT_ATTACHED) {
        rk_lanes_close(client);
        rk_late_look_soon(supervisor);
    }
    if (client->state == RK_CLIENT_ASKING) rk_reload_forget(client);
    while (*place != client) place = &(*place)->next;
    *place = client->next;
    supervisor->client_count--;
    rk_timer_stop(supervisor->reactor, &client->timer);
    rk_peer_close(&client->peer);
    rk_segment_finish(&client->control);
    rk_segment_finish(&client->bell);
    drop_segments(client);
    free(client->reload);
    rk_quota_forget(client);
    free(client);
    rk_board_pool(supervisor);
    rk_supervisor_look(supervisor);
}

void rk_client_end(struct rk_client *client, uint32_t reason, const char *format, ...)
{
    if (client->state == RK_CLIENT_LEAVING) return;
    bool attached = client->state == RK_CLIENT_ATTACHED;
    struct rk_message_text message = {.reason = reason, .session = client->session};
    rk_message_init(&message.head, attached ? RK_ENDED : RK_REFUSED, sizeof(message));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message.text, sizeof(message.text), format, arguments);
    va_end(arguments);
    rk_peer_clear(&client->peer); /* nothing else matters now, and it must not wait for an ACK */
    rk_peer_send(&client->peer, &message, 0, NULL, NULL);
    if (attached) rk_lanes_close(client);
    if (client->state == RK_CLIENT_ASKING) rk_reload_forget(client);
    drop_segments(client);
    rk_client_leave(client);
    *(attached ? &client->supervisor->sessions_ended : &client->supervisor->sessions_refused) += 1;
    rk_board_pool(client->supervisor);
}

void rk_client_leave(struct rk_client *client)
{
    client->state = RK_CLIENT_LEAVING;
    rk_late_look_soon(client->supervisor); /* nobody tells of its requests from now on */
    rk_quota_forget(client);
    rk_client_time(client, LEAVE_NS);
}

void rk_client_answer(struct rk_client *client, int exit_code, const char *text)
{
    struct rk_message_text message = {.reason = (uint32_t)exit_code};
    rk_message_init(&message.head, RK_RELOADED, sizeof(message));
    snprintf(message.text, sizeof(message.text), "%s", text);
    rk_peer_send(&client->peer, &message, 0, NULL, NULL);
    rk_client_leave(client);
}

void rk_client_end_for_files(struct rk_client *client)
{
    files_are_short();
    rk_client_end(client, RK_REFUSED_BUSY, "%s", rask_last_error());
}

struct rk_client *rk_client_find(struct rk_supervisor *supervisor, uint32_t session)
{
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->session == session && client->state == RK_CLIENT_ATTACHED) return client;
    return NULL;
}

void rk_clients_welcome(struct rk_supervisor *supervisor)
{
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_WAITING) rk_client_welcome(client);
}

void rk_client_workers(struct rk_client *client)
{
    const struct rk_supervisor *supervisor = client->supervisor;
    struct rk_message_workers message = {.count = supervisor->config->workers};
    rk_message_init(&message.head, RK_WORKERS, sizeof(message));
    message.flags = supervisor->broken ? RK_POOL_BROKEN : 0;
    for (uint32_t i = 0; i < message.count; i++)
        if (rk_member_serves(rk_holder(supervisor, i))) message.serving[i / 64] |= 1ull << (i % 64);
    rk_peer_send_latest(&client->peer, &message);
}

void rk_clients_workers(struct rk_supervisor *supervisor)
{
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ATTACHED) rk_client_workers(client);
}

static void on_drained(void *user)
{
    const struct rk_client *client = user;
    rk_supervisor_look(client->supervisor);
}

void rk_clients_shutdown(struct rk_supervisor *supervisor)
{
    struct rk_message message;
    rk_message_init(&message, RK_SHUTDOWN, sizeof(message));
    for (struct rk_client *client = supervisor->clients; client; client = client->next) {
        if (client->state == RK_CLIENT_ATTACHED)
            rk_peer_send(&client->peer, &message, 0, NULL, NULL);
        else
            rk_client_end(client, RK_REFUSED_SHUTDOWN, "the supervisor is shutting down");
    }
}

int rk_client_adopt(struct rk_supervisor *supervisor, int fd)
{
    int domain = 0, type = 0, listens = 0;
    socklen_t bytes = sizeof(int);
    bool fits = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 && domain == AF_UNIX &&
                getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET &&
                getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) == 0 && !listens;
    if (!fits) {
        close(fd);
        return rk_error(-EPROTO, "descriptor %d, handed over for a client, is not a connected SOCK_SEQPACKET socket",
                        fd);
    }
    rk_client_accept(supervisor, fd);
    return 0;
}

/* A socket's other end may be anybody's: whoever hands it over answers for it. */
static int adopt_for(const struct rk_client *client, int fd)
{
    if (rk_client_is_admin(client)) return rk_client_adopt(client->supervisor, fd);
    close(fd);
    return rk_error(-EPROTO, "ADOPT from user %u: only the supervisor's own user and root may hand connections over",
                    client->uid);
}

static uint32_t reason_of(int error)
{
    if (error == -EDQUOT) return RK_REFUSED_BUSY;
    return error == -ENOMEM ? RK_REFUSED_MEMORY : RK_REFUSED_PROTOCOL;
}

static int on_request(struct rk_client *client, const union rk_any_message *message, const int *fds)
{
    switch (message->head.type) {
    case RK_OPEN_LANE:
        return rk_lane_wanted(client, &message->lane);
    case RK_LANE_CLOSED:
        return rk_lane_settled(client, &message->lane);
    case RK_SEGMENT:
        return rk_request_segment(client, &message->segment, fds[0]);
    case RK_LATE:
        return rk_late_told(client, &message->late);
    case RK_DEATH:
        return rk_poison_told(client, &message->death);
    default:
        return adopt_for(client, fds[0]);
    }
}

static bool is_request(uint32_t type)
{
    return type == RK_OPEN_LANE || type == RK_LANE_CLOSED || type == RK_SEGMENT || type == RK_ADOPT ||
           type == RK_LATE || type == RK_DEATH;
}

static void on_message(struct rk_client *client, const union rk_any_message *message, const int *fds, unsigned fd_count)
{
    uint32_t type = message->head.type;
    int result = 0;
    if (type == RK_ACK) {
        result = rk_peer_acknowledged(&client->peer);
        if (result < 0) rk_error(result, "ACK with nothing to acknowledge");
    } else if (type == RK_HELLO && client->state == RK_CLIENT_SILENT) {
        rk_client_hello(client, &message->hello);
    } else if (type == RK_POISON && client->state == RK_CLIENT_SILENT) {
        rk_poison_command(client, &message->poison);
    } else if (type == RK_RELOAD && client->state == RK_CLIENT_SILENT) {
        rk_reload_asked(client, &message->reload);
    } else if (type == RK_ATTACH && client->state == RK_CLIENT_WELCOMED) {
        rk_client_attach(client, fds);
    } else if (is_request(type) && client->state == RK_CLIENT_ATTACHED) {
        result = on_request(client, message, fds);
    } else {
        for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
        result = rk_error(-EPROTO, "%s is not what this supervisor expects now", rk_message_type_name(type));
    }
    if (result == -EMFILE)
        rk_client_end_for_files(client);
    else if (result < 0)
        rk_client_end(client, reason_of(result), "%s", rask_last_error());
}

/* Something that is no message of this protocol, or one whose descriptors are lost. */
static void on_nonsense(struct rk_client *client, int error, const union rk_any_message *message)
{
    if (error == -EMFILE)
        rk_client_end_for_files(client);
    else if (error == -EPROTONOSUPPORT)
        rk_client_end(client, RK_REFUSED_VERSION,
                      "the supervisor is rask %s and speaks protocol %u, the client speaks protocol %u: use the same "
                      "version on both sides",
                      RASK_VERSION, RK_PROTOCOL, message->head.protocol);
    else
        rk_client_end(client, RK_REFUSED_PROTOCOL, "what the client sent is not a message of rask");
}

static void on_readable(void *user)
{
    struct rk_client *client = user;
    union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    for (unsigned i = 0; i < RK_ROUND_MESSAGES_MAX; i++) {
        int result = rk_control_receive(client->peer.socket, &message, fds, &fd_count);
        if (result == -EAGAIN) return;
        if (result < 0 && result != -EPROTO && result != -EPROTONOSUPPORT && result != -EMFILE) {
            rk_client_destroy(client);
            return;
        }
        if (client->state == RK_CLIENT_LEAVING) { /* whatever it says now comes too late */
            for (unsigned fd = 0; fd < fd_count; fd++) close(fds[fd]);
        } else if (result < 0) {
            on_nonsense(client, result, &message);
        } else {
            on_message(client, &message, fds, fd_count);
        }
    }
}
