/* SPDX-License-Identifier: MIT */
/* What has come: responses in the lanes, messages on the socket, and the rare looks that notice what nobody announces. */
#include "clock.h"
#include "error.h"
#include "events.h"
#include "lease.h"
#include "poison.h"
#include "session.h"
#include "stream.h"
#include "upcall.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** A response that names a segment which does not come for so long was a lie. */
#define STALL_NS 1000000000u

/** What workers have besides responses. */
static void take_asides(struct rask *s)
{
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (lane->stalled) continue;
        if (s->streams != NULL && rk_emissions_wait(s, lane)) rk_emissions_take(s, lane, false);
        if (lane->state != RK_LANE_IS_OPEN) continue; /* a message that was read on the way said that it is gone */
        if (lane->broken) continue;                   /* a look at the lanes will find it */
        if (s->upcalls != NULL) rk_upcall_look(s, lane);
        if (rk_leases_wait(lane)) rk_leases_look(s, lane);
    }
}

static bool any_asides(const struct rask *s, const struct rk_lane *lane)
{
    if (lane->broken || lane->stalled) return false;
    return (s->streams != NULL && rk_emissions_wait(s, lane)) || (s->upcalls != NULL && rk_upcall_waits(s, lane)) ||
           rk_leases_wait(lane);
}

uint32_t rk_progress(struct rask *s)
{
    uint32_t count = 0;
    if (RK_UNLIKELY(s->asides > 0)) take_asides(s);
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (lane->position != lane->response_position && rk_lane_ready(lane))
            count += rk_take_responses(s, lane, false);
    }
    s->deliveries += count;
    if (RK_UNLIKELY(rk_session_called(s))) rk_session_control(s);
    rk_dispatch_backlog(s);
    if (RK_UNLIKELY(s->deliveries >= RK_DELIVERIES_PER_CLOCK)) {
        s->deliveries = 0; /* a caller that always finds something needs the rare looks, too */
        if (s->with_deadline > 0 || s->workers > 1) rk_session_tick(s, rask_now_ns());
    }
    return count;
}

bool rk_session_anything(const struct rask *s)
{
    if (rk_session_called(s)) return true;
    for (uint32_t i = 0; i < s->open_count; i++) {
        const struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (lane->position != lane->response_position && !lane->broken && !lane->stalled && rk_lane_ready(lane))
            return true;
        if (RK_UNLIKELY(s->asides > 0) && any_asides(s, lane)) return true;
    }
    return false;
}

/** Responses that a dead worker managed to publish are delivered before the rest of its lane is settled. */
static void settle_dead(struct rask *s, struct rk_lane *lane, int32_t signal, enum rk_gone_cause cause)
{
    for (int i = 0; i < 2 && lane->state == RK_LANE_IS_OPEN && !lane->broken; i++) {
        lane->stalled = false; /* the second time round its segment has been received */
        rk_take_responses(s, lane, true);
        if (s->streams != NULL && lane->state == RK_LANE_IS_OPEN) rk_emissions_take(s, lane, true);
    }
    /* Reading messages on the way may have settled it already. */
    if (lane->state != RK_LANE_IS_FREE) rk_settle_lane(s, lane, signal, cause);
}

static void on_lane(struct rask *s, const struct rk_message_lane *message, int response_fd, int pidfd)
{
    struct rk_lane *lane = message->lane < s->params.lanes ? &s->lanes[message->lane] : NULL;
    if (lane == NULL || lane->state != RK_LANE_IS_OPENING) {
        close(response_fd);
        close(pidfd);
        return;
    }
    if (rk_lane_open(lane, &s->params, response_fd, pidfd) != 0) {
        rk_settle_end(s, rask_last_error());
        return;
    }
    if (!(message->flags & RK_PEER_MEMBARRIER) && !s->fenced) {
        s->fenced = true;
        uint64_t *state = &s->header->client.state;
        rk_store_release(state, rk_load_relaxed(state) | RK_WAITER_FENCED); /* its number stays: see bell.h */
        rk_heavy_barrier(); /* from here on workers of other lanes see it: see bell.h */
    }
    lane->worker = message->worker < s->workers ? message->worker : lane->worker;
    lane->generation = message->generation;
    s->opening--;
    s->open_lanes[s->open_count++] = lane->index;
    if (lane->leaving_generation == lane->generation) rk_dispatch_leave(s, lane);
}

/** The message may be older than the lane's present incarnation. */
static void on_lane_leaving(struct rask *s, const struct rk_message_lane *message)
{
    struct rk_lane *lane = message->lane < s->params.lanes ? &s->lanes[message->lane] : NULL;
    if (lane == NULL || message->generation == 0) return;
    if (lane->state == RK_LANE_IS_OPENING)
        lane->leaving_generation = message->generation;
    else if (lane->state == RK_LANE_IS_OPEN && lane->generation == message->generation && !lane->leaving)
        rk_dispatch_leave(s, lane);
}

static void on_lane_gone(struct rask *s, const struct rk_message_lane_gone *message)
{
    if (message->crash_file[0] != '\0')
        snprintf(s->crash_file, sizeof s->crash_file, "%.*s", (int)sizeof s->crash_file - 1, message->crash_file);
    if (message->lane >= s->params.lanes || s->lanes[message->lane].state == RK_LANE_IS_FREE) return;
    /* A lane settled by its pidfd and asked for again: this is about the incarnation before. */
    if (s->lanes[message->lane].state == RK_LANE_IS_OPENING && !message->never_opened) return;
    bool replaced = s->lanes[message->lane].leaving || s->lanes[message->lane].leaving_generation != 0;
    if (message->worker < s->workers && !replaced)
        s->serving[message->worker / 64] &= ~(1ull << (message->worker % 64));
    settle_dead(s, &s->lanes[message->lane], message->signal, message->cause);
}

static void on_segment(struct rask *s, const struct rk_message_segment *message, int fd)
{
    struct rk_lane *lane = message->lane < s->params.lanes ? &s->lanes[message->lane] : NULL;
    if (lane == NULL || lane->state != RK_LANE_IS_OPEN || message->kind != RK_SEGMENT_RESPONSE_EXTRA) {
        close(fd);
        return;
    }
    lane->stalled = false;
    lane->stalled_ns = 0;
    if (rk_lane_add_segment(lane, message->id, message->bytes, fd) != 0) {
        lane->broken = true;
        rk_settle_end(s, rask_last_error());
    }
}

static void on_workers(struct rask *s, const struct rk_message_workers *message)
{
    memcpy(s->serving, message->serving, sizeof s->serving);
    s->broken = (message->flags & RK_POOL_BROKEN) != 0;
    if (s->broken) rk_settle_broken(s);
    if (s->open_count == 0 || s->backlog.count > 0) rk_dispatch_open_lane(s, false);
}

static void on_message(struct rask *s, const union rk_any_message *message, const int *fds)
{
    switch (message->head.type) {
    case RK_LANE:
        on_lane(s, &message->lane, fds[0], fds[1]);
        break;
    case RK_LANE_GONE:
        on_lane_gone(s, &message->lane_gone);
        break;
    case RK_SEGMENT:
        on_segment(s, &message->segment, fds[0]);
        break;
    case RK_WORKERS:
        on_workers(s, &message->workers);
        break;
    case RK_LANE_LEAVING:
        on_lane_leaving(s, &message->lane);
        break;
    case RK_POISONS:
        rk_poison_update(s, &message->poisons);
        break;
    case RK_SHUTDOWN:
        rk_settle_shutdown(s);
        break;
    case RK_ENDED:
        rk_settle_end(s, message->text.text);
        break;
    default: /* not for a client */
        for (unsigned i = 0; i < rk_message_fd_count(message->head.type); i++) close(fds[i]);
    }
}

void rk_session_control(struct rask *s)
{
    /* SYNC R7 acquire: read before the socket, so that a message sent in between is noticed next time. */
    s->control_seen = rk_load_acquire(s->control_word);
    while (s->socket >= 0) {
        int fds[RK_MESSAGE_FDS_MAX];
        unsigned fd_count = 0;
        int result = rk_control_receive(s->socket, s->message, fds, &fd_count);
        if (result == -EAGAIN) return;
        if (result == -EMFILE) {
            rk_settle_end(s, "this process is out of descriptors: raise the limit (ulimit -n)");
            return;
        }
        if (result != 0) {
            rk_events_unwatch(s);
            close(s->socket);
            s->socket = -1;
            rk_settle_disconnect(s);
            return;
        }
        on_message(s, s->message, fds);
        if (fd_count > 0) {
            struct rk_message ack;
            rk_message_init(&ack, RK_ACK, sizeof ack);
            rk_session_send(s, &ack, NULL, 0);
        }
    }
}

/** Death proof without the supervisor: a worker's pidfd is readable. The supervisor knows the signal, so it gets a little
 * time to tell it, if there is one. */
static void look_at_workers(struct rask *s, uint64_t now_ns)
{
    bool waiting = false;
    for (uint32_t i = s->params.lanes; i-- > 0;) {
        struct rk_lane *lane = &s->lanes[i];
        struct pollfd pidfd = {.fd = lane->pidfd, .events = POLLIN};
        if (lane->state != RK_LANE_IS_OPEN || poll(&pidfd, 1, 0) != 1) continue;
        if (s->connected && !lane->dead_seen) {
            lane->dead_seen = true;
            s->death_seen_ns = now_ns;
        }
        if (!s->connected || now_ns - s->death_seen_ns >= RK_DEATH_GRACE_NS)
            settle_dead(s, lane, 0, RK_GONE_UNKNOWN);
        else
            waiting = true;
    }
    if (!waiting) s->death_seen_ns = 0;
}

/** Lanes whose worker broke the rules in a way that no response showed. */
static void look_at_lanes(struct rask *s, uint64_t now_ns)
{
    for (uint32_t i = 0; i < s->open_count && !s->ended; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (lane->stalled && lane->stalled_ns == 0) lane->stalled_ns = now_ns;
        if (lane->stalled && now_ns - lane->stalled_ns > STALL_NS) {
            lane->broken = true;
            rk_error(-EPROTO, "worker %u: a response names a segment that never came", lane->worker);
        }
        if (rk_lane_garbled(lane)) {
            lane->broken = true;
            rk_error(-EPROTO, "worker %u: the slot of its next response was written over", lane->worker);
        }
        if (lane->broken) rk_settle_end(s, rask_last_error());
    }
}

uint64_t rk_session_next_tick(const struct rask *s)
{
    uint64_t next_ns = s->next_look_ns;
    if (s->pending > (s->workers > 1 ? 0u : 1u)) next_ns = rk_earlier(next_ns, s->next_move_ns);
    return rk_earlier(next_ns, s->with_deadline > 0 ? s->nearest_deadline_ns : 0);
}

void rk_session_tick(struct rask *s, uint64_t now_ns)
{
    rk_settle_expired(s, now_ns);
    rk_dispatch_rebalance(s, now_ns);
    if (now_ns < s->next_look_ns) return;
    s->next_look_ns = now_ns + (s->connected ? RK_LOOK_NS : RK_LOOK_NS / 10);
    if (s->late_untold > 0) rk_settle_tell_late(s);
    rk_session_control(s);
    look_at_lanes(s, now_ns);
    look_at_workers(s, now_ns);
}
