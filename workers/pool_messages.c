/* SPDX-License-Identifier: MIT */
/* What workers say. A plugin's code runs in them, so nothing of it is believed: control.c checked the shape, here every
 * field is checked, and a worker that breaks the rules is killed and replaced. */
#include "error.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_status(struct rk_member *member, int fd)
{
    if (member->status.base) {
        close(fd);
        rk_member_bad(member, "it sent its status page twice");
    } else if (rk_segment_map(&member->status, fd, RK_SEGMENT_STATUS, RK_PAGE_BYTES, true) < 0) {
        rk_member_bad(member, "%s", rask_last_error());
    } else {
        rk_board_member(member);
    }
}

static bool is_method_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return name[0] != '\0' && name[strspn(name, allowed)] == '\0';
}

static bool is_table(const struct rk_message_ready *ready)
{
    if (ready->method_count == 0) return false;
    for (uint32_t i = 0; i < ready->method_count; i++)
        if (!is_method_name(ready->entry[i].name)) return false;
    return true;
}

/* Clients know methods by number, so all workers must number them alike. */
static bool same_methods(const struct rk_message_ready *a, const struct rk_message_ready *b)
{
    if (a->method_count != b->method_count) return false;
    for (uint32_t i = 0; i < a->method_count; i++)
        if (strcmp(a->entry[i].name, b->entry[i].name) != 0) return false;
    return true;
}

/* It was told to die and does not know yet: what it says about its start is of no interest. */
static bool is_doomed(const struct rk_member *member)
{
    return member->policy.state == RK_WORKER_KILLED || member->policy.state == RK_WORKER_STOPPED;
}

static void on_ready(struct rk_member *member, const struct rk_message_ready *ready)
{
    struct rk_supervisor *supervisor = member->supervisor;
    if (is_doomed(member)) return;
    if (member->policy.state != RK_WORKER_STARTING) {
        rk_member_bad(member, "READY while %s", rk_policy_state_name(member->policy.state));
    } else if (!is_table(ready)) {
        rk_member_bad(member, "READY with a bad table of methods");
    } else if (member->plugin->known && !same_methods(ready, &member->plugin->table)) {
        rk_member_bad(member, "its methods are not those that other workers have of the same file");
    } else if (supervisor->ever_ready &&
               rk_generation_check_methods(&supervisor->plugin, ready, &member->failure) < 0) {
        rk_member_event(member, RK_EVENT_FAILED);
    } else {
        member->plugin->table = *ready;
        member->plugin->known = true;
        if (!supervisor->ever_ready) supervisor->plugin = *ready;
        rk_member_event(member, RK_EVENT_READY);
    }
}

static void on_failed(struct rk_member *member, const struct rk_message_text *failed)
{
    if (is_doomed(member)) return;
    if (member->policy.state != RK_WORKER_STARTING) {
        rk_member_bad(member, "FAILED while %s", rk_policy_state_name(member->policy.state));
        return;
    }
    bool known = failed->reason > RK_LOAD_OK && failed->reason < RK_LOAD_CHECK_COUNT;
    member->failure.check = known ? failed->reason : RK_LOAD_DLOPEN;
    snprintf(member->failure.text, sizeof(member->failure.text), "%.*s", (int)sizeof(member->failure.text) - 1,
             failed->text);
    if (member->supervisor->ever_ready && member->role == RK_ROLE_HOLDER)
        rk_supervisor_log(member->supervisor, RASK_LOG_ERROR, member->index, "worker_not_ready", "worker %u: %s",
                          member->index, member->failure.text);
    rk_member_event(member, RK_EVENT_FAILED);
}

/* A session that this worker found broken. It may have ended meanwhile; one that the worker never knew is a lie. */
static void on_session_bad(struct rk_member *member, const struct rk_message_text *bad)
{
    struct rk_client *client = rk_client_find(member->supervisor, bad->session);
    if (client && client->known[member->seat] == member->generation)
        rk_client_end(client, RK_REFUSED_PROTOCOL, "worker %u ended the session: %.400s", member->index, bad->text);
    else if (client || bad->session == 0 || bad->session > member->supervisor->sessions_made)
        rk_member_bad(member, "SESSION_BAD for session %u, which it does not have", bad->session);
}

static void on_message(struct rk_member *member, const union rk_any_message *message, const int *fds, unsigned fd_count)
{
    int result = 0;
    switch (message->head.type) {
    case RK_STATUS:
        on_status(member, fds[0]);
        return;
    case RK_READY:
        on_ready(member, &message->ready);
        return;
    case RK_FAILED:
        on_failed(member, &message->text);
        return;
    case RK_SESSION_BAD:
        on_session_bad(member, &message->text);
        return;
    case RK_RECYCLE:
        rk_recycle_wanted(member, "--max-requests is reached");
        return;
    case RK_LANE_OPENED:
        result = rk_lane_opened(member, &message->lane, fds[0]);
        break;
    case RK_SEGMENT:
        result = rk_response_segment(member, &message->segment, fds[0]);
        break;
    case RK_ACK:
        result = rk_peer_acknowledged(&member->peer);
        if (result < 0) rk_error(result, "ACK with nothing to acknowledge");
        break;
    default:
        for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
        result = rk_error(-EPROTO, "%s, which is not for a supervisor", rk_message_type_name(message->head.type));
    }
    if (result < 0) rk_member_bad(member, "%s", rask_last_error());
}

/* The supervisor had no number left for a descriptor: that is not the worker's fault, and only the session that it was
 * for ends. */
static void on_lost_fds(struct rk_member *member, const union rk_any_message *message)
{
    uint32_t type = message->head.type;
    if (type == RK_STATUS) {
        rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "no_status_page",
                          "worker %u: no descriptor is left for its status page, messages will not tell what it did",
                          member->index);
        return;
    }
    if (type != RK_LANE_OPENED && type != RK_SEGMENT) {
        rk_member_bad(member, "%s, which is not for a supervisor", rk_message_type_name(type));
        return;
    }
    uint32_t session = type == RK_SEGMENT ? message->segment.session : message->lane.session;
    struct rk_client *client = rk_client_find(member->supervisor, session);
    if (client && client->known[member->seat] == member->generation) rk_client_end_for_files(client);
}

void rk_member_receive(struct rk_member *member, unsigned limit)
{
    union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    for (unsigned i = 0; i < limit && member->peer.socket >= 0; i++) {
        int result = rk_control_receive(member->peer.socket, &message, fds, &fd_count);
        if (result == -EAGAIN) return;
        if (result == -EPROTO || result == -EPROTONOSUPPORT) {
            rk_member_bad(member, "it sent something that is not a message");
        } else if (result == -EMFILE) {
            on_lost_fds(member, &message);
        } else if (result < 0) {
            rk_member_hung_up(member);
            return;
        } else {
            on_message(member, &message, fds, fd_count);
        }
    }
}
