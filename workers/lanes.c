/* SPDX-License-Identifier: MIT */
/* Lanes and segments: how memory of a client comes to a worker and the other way round. The supervisor checks each
 * descriptor before it hands it on, so that neither party can give the other something unsealed or short.
 *
 *   FREE -> WANTED (worker does not serve yet, or no bytes left) -> OPENING (LANE_OPEN sent) -> OPEN -> GONE (it died) -> FREE
 *
 * A lane belongs to one incarnation of a worker, by its generation: what a worker says about a lane counts only if it
 * is that incarnation. A GONE lane is used again only after the client said that it has settled it. */
#include "error.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_live(const struct rk_place *place)
{
    return place->state == RK_PLACE_WANTED || place->state == RK_PLACE_OPENING || place->state == RK_PLACE_OPEN;
}

static void send_segment(struct rk_client *client, struct rk_member *member, uint32_t id)
{
    struct rk_message_segment message = {
        .session = client->session, .kind = RK_SEGMENT_REQUEST_EXTRA, .id = id, .bytes = client->extra_bytes[id]};
    rk_message_init(&message.head, RK_SEGMENT, sizeof(message));
    rk_peer_send(&member->peer, &message, client->session, client->extra[id], NULL);
}

/* Once per incarnation: the session, and the segments it has by now. */
static void introduce(struct rk_client *client, struct rk_member *member)
{
    if (client->known[member->seat] == member->generation) return;
    struct rk_message_session message = {
        .session = client->session,
        .flags = client->flags | (client->other_user ? RK_PEER_SNAPSHOT : 0),
        .params = client->params,
    };
    rk_message_init(&message.head, RK_SESSION, sizeof(message));
    rk_peer_send(&member->peer, &message, client->session, client->request, client->bell_fd);
    for (uint32_t id = 0; id < RK_SEGMENTS_MAX; id++)
        if (client->extra[id]) send_segment(client, member, id);
    client->known[member->seat] = member->generation;
}

static struct rk_message_lane lane_message(const struct rk_client *client, uint32_t lane, enum rk_message_type type)
{
    const struct rk_place *place = &client->place[lane];
    const struct rk_member *member = rk_member_find(client->supervisor, place->worker, place->generation);
    struct rk_message_lane message = {
        .session = client->session,
        .lane = lane,
        .worker = place->worker,
        .generation = place->generation,
        .pid = member ? (uint32_t)member->pid : 0,
    };
    rk_message_init(&message.head, type, sizeof(message));
    return message;
}

static void open_lane(struct rk_client *client, uint32_t lane)
{
    struct rk_place *place = &client->place[lane];
    if (!rk_quota_lane(client, place)) return; /* it stays WANTED */
    struct rk_member *member = rk_holder(client->supervisor, place->worker);
    introduce(client, member);
    place->state = RK_PLACE_OPENING;
    place->generation = member->generation;
    struct rk_message_lane message = lane_message(client, lane, RK_LANE_OPEN);
    rk_peer_send(&member->peer, &message, client->session, NULL, NULL);
}

static void send_gone(struct rk_client *client, uint32_t lane, struct rk_message_lane_gone *message)
{
    struct rk_place *place = &client->place[lane];
    rk_message_init(&message->head, RK_LANE_GONE, sizeof(*message));
    message->lane = lane;
    message->worker = place->worker;
    message->never_opened = place->state != RK_PLACE_OPEN;
    place->state = RK_PLACE_GONE;
    place->crashed = message->cause == RK_GONE_CRASHED;
    rk_peer_send(&client->peer, message, 0, NULL, NULL);
}

/* Lane and session of a client's message. */
static int check_lane(const struct rk_client *client, const struct rk_message_lane *message)
{
    if (message->session != client->session)
        return rk_error(-EPROTO, "%s for session %u on the socket of session %u",
                        rk_message_type_name(message->head.type), message->session, client->session);
    if (message->lane >= client->params.lanes)
        return rk_error(-EPROTO, "%s for lane %u of %u", rk_message_type_name(message->head.type), message->lane,
                        client->params.lanes);
    return 0;
}

/* A client holds the pidfd of an open lane's worker and may know of a death before this process does. So the worker is
 * looked at now. The LANE_GONE that follows comes too late for a client that has settled already, and is ignored there. */
static bool is_gone(const struct rk_client *client, const struct rk_place *place)
{
    struct rk_member *member = NULL;
    if (place->state == RK_PLACE_OPEN) member = rk_member_find(client->supervisor, place->worker, place->generation);
    if (member) rk_member_reap(member);
    return place->state == RK_PLACE_GONE;
}

bool rk_lane_is_gone(const struct rk_client *client, uint32_t lane)
{
    return is_gone(client, &client->place[lane]);
}

/* May the client have this lane, to this worker? Asking for a lane whose worker is dead says that it is settled: its
 * LANE_CLOSED need not have come. */
static int check_wanted(const struct rk_client *client, const struct rk_message_lane *message)
{
    const struct rk_place *place = &client->place[message->lane];
    if (place->state != RK_PLACE_FREE && !is_gone(client, place))
        return rk_error(-EPROTO, "OPEN_LANE for lane %u, which is in use", message->lane);
    for (uint32_t i = 0; i < client->params.lanes; i++) {
        const struct rk_place *other = &client->place[i];
        if (is_live(other) && !other->leaving && other->worker == message->worker && !is_gone(client, other))
            return rk_error(-EPROTO, "OPEN_LANE for worker %u, to which lane %u leads", message->worker, i);
    }
    return 0;
}

int rk_lane_wanted(struct rk_client *client, const struct rk_message_lane *message)
{
    const struct rk_supervisor *supervisor = client->supervisor;
    int result = check_lane(client, message);
    if (result < 0) return result;
    if (message->worker >= supervisor->config->workers)
        return rk_error(-EPROTO, "OPEN_LANE for worker %u of %u", message->worker, supervisor->config->workers);
    result = check_wanted(client, message);
    if (result < 0 || client->state != RK_CLIENT_ATTACHED) return result; /* a worker's last words may have ended it */
    struct rk_place *place = &client->place[message->lane];
    rk_quota_return(client, place);
    *place =
        (struct rk_place){.state = RK_PLACE_WANTED, .worker = message->worker, .slab_bytes = client->params.slab_bytes};
    if (supervisor->phase != RK_PHASE_SERVING) {
        struct rk_message_lane_gone gone = {0};
        send_gone(client, message->lane, &gone);
    } else if (rk_member_serves(rk_holder(supervisor, message->worker))) {
        open_lane(client, message->lane);
    }
    return 0;
}

int rk_lane_settled(struct rk_client *client, const struct rk_message_lane *message)
{
    int result = check_lane(client, message);
    if (result < 0) return result;
    struct rk_place *place = &client->place[message->lane];
    if (!is_gone(client, place))
        return rk_error(-EPROTO, "LANE_CLOSED for lane %u, which is %s", message->lane,
                        place->state == RK_PLACE_OPEN ? "its living worker's" : "not open");
    place->state = RK_PLACE_FREE;
    rk_quota_return(client, place);
    *place = (struct rk_place){.state = RK_PLACE_FREE};
    return 0;
}

static bool bit(const uint64_t *bits, uint32_t index)
{
    return bits[index / 64] >> (index % 64) & 1;
}

/* An extra segment's numbers: kind, id, size, and the cap of its slab. `*slab_bytes` grows. */
static int check_segment(const struct rk_client *client, const struct rk_message_segment *message, uint32_t kind,
                         bool used, uint64_t *slab_bytes)
{
    uint64_t cap_bytes = client->params.slab_bytes_max;
    if (message->kind != kind)
        return rk_error(-EPROTO, "SEGMENT of kind %u instead of %s", message->kind, rk_segment_kind_name(kind));
    if (message->id == 0 || message->id >= RK_SEGMENTS_MAX || used)
        return rk_error(-EPROTO, "SEGMENT %u: not a free number below %u", message->id, RK_SEGMENTS_MAX);
    if (message->bytes <= RK_PAGE_BYTES || message->bytes % RK_PAGE_BYTES != 0)
        return rk_error(-EPROTO, "SEGMENT of %llu bytes", (unsigned long long)message->bytes);
    uint64_t more_bytes = message->bytes - RK_PAGE_BYTES; /* its first page is the header */
    if (more_bytes > cap_bytes || *slab_bytes > cap_bytes - more_bytes)
        return rk_error(-EPROTO, "SEGMENT of %llu bytes takes the slab over its cap of %llu",
                        (unsigned long long)message->bytes, (unsigned long long)cap_bytes);
    *slab_bytes += more_bytes;
    return 0;
}

/* Has this worker, if there is one, been told of the session? */
static bool knows(const struct rk_member *member, const struct rk_client *client)
{
    return member && member->pid != 0 && client->known[member->seat] == member->generation;
}

int rk_request_segment(struct rk_client *client, const struct rk_message_segment *message, int fd)
{
    struct rk_supervisor *supervisor = client->supervisor;
    int result = message->session == client->session
                     ? check_segment(client, message, RK_SEGMENT_REQUEST_EXTRA,
                                     message->id < RK_SEGMENTS_MAX && client->extra[message->id], &client->slab_bytes)
                     : rk_error(-EPROTO, "SEGMENT for session %u", message->session);
    if (result == 0) result = rk_segment_verify(fd, RK_SEGMENT_REQUEST_EXTRA, message->bytes);
    /* It is kept for workers to come; running sessions may need the number. */
    if (result == 0 && (rk_files_short(supervisor, fd, RK_FILES_FOR_NEWCOMERS) || rk_quota_files_over(client)))
        result = -EMFILE;
    if (result == 0) result = rk_quota_charge(client, NULL, message->bytes);
    if (result < 0) {
        close(fd);
        return result;
    }
    client->extra[message->id] = rk_fd_create(fd);
    if (!client->extra[message->id]) return rk_error(-ENOMEM, "the supervisor has no memory for a segment");
    client->extra_bytes[message->id] = message->bytes;
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        const struct rk_post *post = &supervisor->posts[i];
        if (knows(post->holder, client)) send_segment(client, post->holder, message->id);
        if (knows(post->leaving, client))
            send_segment(client, post->leaving, message->id); /* it may be waiting for it */
    }
    return 0;
}

/* Session and lane of a worker's message. 1: fine; 0: the session has ended meanwhile; -EPROTO. */
static int find_place(struct rk_member *member, uint32_t session, uint32_t lane, enum rk_place_state state,
                      struct rk_client **client)
{
    *client = rk_client_find(member->supervisor, session);
    if (session == 0 || session > member->supervisor->sessions_made)
        return rk_error(-EPROTO, "a message about session %u, which never was", session);
    if (!*client) return 0;
    if (lane >= (*client)->params.lanes)
        return rk_error(-EPROTO, "a message about lane %u of %u", lane, (*client)->params.lanes);
    const struct rk_place *place = &(*client)->place[lane];
    if (place->state != state || place->worker != member->index || place->generation != member->generation)
        return rk_error(-EPROTO, "a message about lane %u of session %u, which is not its own", lane, session);
    return 1;
}

/* Hand a worker's segment on to the client. When descriptors are short only what goes out at once may: a client that lets
 * its messages wait is ended before others suffer. Takes `fd` over. */
static void pass_on(struct rk_client *client, const void *message, int fd, struct rk_fd *pidfd)
{
    struct rk_fd *segment = rk_fd_create(fd);
    if (!segment) {
        rk_client_end(client, RK_REFUSED_MEMORY, "the supervisor has no memory for a lane or segment");
        return;
    }
    rk_peer_send(&client->peer, message, 0, segment, pidfd);
    bool waits = segment->uses > 1;
    rk_fd_drop(segment);
    if (waits && (rk_files_short(client->supervisor, fd, RK_FILES_FOR_LANES) || rk_quota_files_over(client)))
        rk_client_end_for_files(client);
}

int rk_lane_opened(struct rk_member *member, const struct rk_message_lane *message, int fd)
{
    struct rk_client *client;
    int result = find_place(member, message->session, message->lane, RK_PLACE_OPENING, &client);
    if (result == 1) {
        int verified = rk_segment_verify(fd, RK_SEGMENT_RESPONSE, rk_response_segment_bytes(&client->params));
        if (verified < 0) result = verified;
    }
    if (result != 1) {
        close(fd);
        return result;
    }
    client->place[message->lane].state = RK_PLACE_OPEN;
    struct rk_message_lane lane = lane_message(client, message->lane, RK_LANE);
    lane.flags = message->flags & RK_PEER_MEMBARRIER;
    pass_on(client, &lane, fd, member->pidfd);
    return 0;
}

int rk_response_segment(struct rk_member *member, const struct rk_message_segment *message, int fd)
{
    struct rk_client *client;
    int result = find_place(member, message->session, message->lane, RK_PLACE_OPEN, &client);
    if (result == 1) {
        struct rk_place *place = &client->place[message->lane];
        bool used = message->id < RK_SEGMENTS_MAX && bit(place->segments, message->id);
        int checked = check_segment(client, message, RK_SEGMENT_RESPONSE_EXTRA, used, &place->slab_bytes);
        if (checked == 0) checked = rk_segment_verify(fd, RK_SEGMENT_RESPONSE_EXTRA, message->bytes);
        if (checked < 0) result = checked;
    }
    if (result != 1) {
        close(fd);
        return result;
    }
    struct rk_place *lane = &client->place[message->lane];
    lane->segments[message->id / 64] |= 1ull << (message->id % 64);
    if (rk_quota_charge(client, lane, message->bytes) < 0) { /* made already: only with the session can it go */
        close(fd);
        rk_client_end(client, RK_REFUSED_BUSY, "%s", rask_last_error());
        return 0;
    }
    struct rk_message_segment forward = {.session = client->session,
                                         .lane = message->lane,
                                         .kind = RK_SEGMENT_RESPONSE_EXTRA,
                                         .id = message->id,
                                         .bytes = message->bytes};
    rk_message_init(&forward.head, RK_SEGMENT, sizeof(forward));
    pass_on(client, &forward, fd, NULL);
    return 0;
}

void rk_lanes_serve(struct rk_member *member)
{
    for (struct rk_client *client = member->supervisor->clients; client; client = client->next) {
        if (client->state != RK_CLIENT_ATTACHED) continue;
        for (uint32_t lane = 0; lane < client->params.lanes; lane++)
            if (client->place[lane].state == RK_PLACE_WANTED && client->place[lane].worker == member->index)
                open_lane(client, lane);
    }
}

/* What the client may conclude about the request the worker was in. */
static enum rk_gone_cause cause_of(const struct rk_member *member, uint32_t session)
{
    if (member->late.killed && member->late.session == session) return RK_GONE_LATE;
    if (member->supervisor->config->poison_ttl_ns == 0) return RK_GONE_KILLED; /* nobody is to conclude anything */
    return member->killed ? RK_GONE_KILLED : RK_GONE_CRASHED;
}

static bool is_of(const struct rk_place *place, const struct rk_member *member)
{
    return place->worker == member->index && place->generation == member->generation &&
           (place->state == RK_PLACE_OPENING || place->state == RK_PLACE_OPEN);
}

/* A client whose lane was open is rung as well, message or not: the worker may have died between publishing a response
 * and waking it, or the message may have to wait for its turn. */
static void tell_gone(struct rk_client *client, const struct rk_member *member,
                      const struct rk_message_lane_gone *death)
{
    bool any = false;
    for (uint32_t lane = 0; lane < client->params.lanes; lane++) {
        if (!is_of(&client->place[lane], member)) continue;
        struct rk_message_lane_gone message = *death;
        message.cause = cause_of(member, client->session);
        if (client->session == member->crash_session)
            memcpy(message.crash_file, member->crash_file, sizeof(message.crash_file));
        send_gone(client, lane, &message);
        any = true;
    }
    client->known[member->seat] = 0;
    if (any) rk_peer_wake(&client->peer);
}

void rk_lanes_gone(struct rk_member *member, int signal, int exit_code, uint32_t stage)
{
    const struct rk_message_lane_gone death = {.signal = signal, .exit_code = exit_code, .stage = stage};
    for (struct rk_client *client = member->supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ATTACHED) tell_gone(client, member, &death);
}

static void tell_leaving(struct rk_client *client, const struct rk_member *member)
{
    for (uint32_t lane = 0; lane < client->params.lanes; lane++) {
        struct rk_place *place = &client->place[lane];
        if (!is_of(place, member)) continue;
        place->leaving = true;
        struct rk_message_lane message = lane_message(client, lane, RK_LANE_LEAVING);
        rk_peer_send(&client->peer, &message, 0, NULL, NULL);
    }
}

void rk_lanes_leave(struct rk_member *member)
{
    for (struct rk_client *client = member->supervisor->clients; client; client = client->next)
        if (client->state == RK_CLIENT_ATTACHED) tell_leaving(client, member);
}

void rk_lanes_give_up(struct rk_supervisor *supervisor)
{
    for (struct rk_client *client = supervisor->clients; client; client = client->next) {
        if (client->state != RK_CLIENT_ATTACHED) continue;
        for (uint32_t lane = 0; lane < client->params.lanes; lane++) {
            struct rk_message_lane_gone gone = {0};
            if (client->place[lane].state == RK_PLACE_WANTED) send_gone(client, lane, &gone);
        }
    }
}

static void close_session(struct rk_client *client, struct rk_member *member)
{
    if (!knows(member, client)) return;
    struct rk_message_session_id message = {.session = client->session};
    rk_message_init(&message.head, RK_SESSION_CLOSE, sizeof(message));
    client->known[member->seat] = 0;
    if (!rk_peer_forget(&member->peer, client->session)) rk_peer_send(&member->peer, &message, 0, NULL, NULL);
}

void rk_lanes_close(struct rk_client *client)
{
    struct rk_supervisor *supervisor = client->supervisor;
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        close_session(client, supervisor->posts[i].holder);
        close_session(client, supervisor->posts[i].leaving);
    }
}
