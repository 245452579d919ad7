/* SPDX-License-Identifier: MIT */
/* What the supervisor tells a worker: sessions come, grow and go; shut down. Runs between requests only. */
#include "control.h"
#include "error.h"
#include "leases.h"
#include "worker_state.h"
#include <errno.h>
#include <rask/client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** How long a message to the supervisor may wait for room. */
#define SEND_TIMEOUT_NS 100000000u

static int send_up(struct rk_worker *worker, const void *message, const int *fds, unsigned fd_count)
{
    return rk_control_send_within(worker->config.control_fd, message, fds, fd_count, SEND_TIMEOUT_NS);
}

static struct rk_served **find(struct rk_worker *worker, uint32_t session)
{
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (worker->sessions[i]->id == session) return &worker->sessions[i];
    return NULL;
}

static void drop(struct rk_worker *worker, struct rk_served **place)
{
    struct rk_served *served = *place;
    if (worker->in_handler) { /* afterwards: the plugin hears of the end of streams between its handlers only */
        served->gone = worker->drops = true;
        return;
    }
    *place = worker->sessions[--worker->session_count];
    rk_store_relaxed(&worker->page->sessions, worker->session_count);
    rk_streams_close_all(worker, served);
    if (!rk_leases_keep(worker, served)) rk_served_destroy(served);
}

bool rk_worker_drop_gone(struct rk_worker *worker, const struct rk_served *served)
{
    bool kept = !served->gone;
    worker->drops = false;
    for (uint32_t i = worker->session_count; i-- > 0;)
        if (worker->sessions[i]->gone) drop(worker, &worker->sessions[i]);
    return kept;
}

static void send_text(struct rk_worker *worker, uint32_t session, const char *why)
{
    struct rk_message_text message = {.reason = RK_REFUSED_PROTOCOL, .session = session};
    rk_message_init(&message.head, RK_SESSION_BAD, sizeof message);
    snprintf(message.text, sizeof message.text, "%s", why);
    send_up(worker, &message, NULL, 0);
}

void rk_worker_reject(struct rk_worker *worker, struct rk_served *served, const char *why)
{
    rk_store_relaxed(&worker->page->bad_peer, worker->page->bad_peer + 1);
    send_text(worker, served->id, why);
    drop(worker, find(worker, served->id));
}

/** Can this worker still sleep with one more session? Past the words of one futex_waitv it needs a ring, made now. */
static bool has_place(struct rk_worker *worker)
{
    if (worker->session_count >= RASK_SESSIONS_MAX) {
        rk_error(-EBUSY, "this worker has its limit of %u sessions", RASK_SESSIONS_MAX);
        return false;
    }
    if (worker->session_count < RASK_SESSIONS_MAX_CLASSIC || worker->crowd != NULL) return true;
    if (rk_crowd_create(&worker->crowd) == 0) return true;
    char why[256];
    snprintf(why, sizeof why, "%s", rask_last_error());
    rk_error(-EBUSY, "this worker cannot sleep on more than %u sessions: %s", RASK_SESSIONS_MAX_CLASSIC, why);
    return false;
}

static void on_session(struct rk_worker *worker, const struct rk_message_session *message, const int *fds)
{
    struct rk_served *served = NULL;
    bool twice = find(worker, message->session) != NULL;
    if (twice || !has_place(worker)) {
        close(fds[0]);
        close(fds[1]);
        send_text(worker, message->session, twice ? "this worker has that session already" : rask_last_error());
        return;
    }
    if (rk_served_create(&served, message, fds[0], fds[1]) != 0) {
        send_text(worker, message->session, rask_last_error());
        return;
    }
    served->control_fd = worker->config.control_fd;
    served->fenced = !worker->config.membarrier || !(message->flags & RK_PEER_MEMBARRIER);
    worker->sessions[worker->session_count++] = served;
    rk_store_relaxed(&worker->page->sessions, worker->session_count);
}

static void on_lane_open(struct rk_worker *worker, const struct rk_message_lane *message)
{
    struct rk_served **place = find(worker, message->session);
    if (place == NULL) return; /* it was rejected, the supervisor knows */
    struct rk_served *served = *place;
    int response_fd = -1;
    if (rk_served_open_lane(served, message->lane, served->fenced, &response_fd) != 0) {
        rk_worker_reject(worker, served, rask_last_error());
        return;
    }
    struct rk_message_lane answer = *message;
    rk_message_init(&answer.head, RK_LANE_OPENED, sizeof answer);
    answer.worker = worker->config.index;
    answer.generation = worker->config.generation;
    answer.flags = worker->config.membarrier ? RK_PEER_MEMBARRIER : 0;
    answer.pid = worker->page->pid;
    if (send_up(worker, &answer, &response_fd, 1) != 0)
        rk_worker_reject(worker, served, "the worker could not hand over its response segment");
    else
        rk_segment_close_fd(&served->response[0]);
}

static void on_segment(struct rk_worker *worker, const struct rk_message_segment *message, int fd)
{
    struct rk_served **place = find(worker, message->session);
    if (place == NULL || message->kind != RK_SEGMENT_REQUEST_EXTRA) {
        close(fd);
        return;
    }
    if (rk_served_add_segment(*place, message->id, message->bytes, fd) != 0)
        rk_worker_reject(worker, *place, rask_last_error());
}

static void on_message(struct rk_worker *worker, const union rk_any_message *message, const int *fds)
{
    struct rk_served **place;
    switch (message->head.type) {
    case RK_SESSION:
        on_session(worker, &message->session, fds);
        break;
    case RK_LANE_OPEN:
        on_lane_open(worker, &message->lane);
        break;
    case RK_SEGMENT:
        on_segment(worker, &message->segment, fds[0]);
        break;
    case RK_SESSION_CLOSE:
        place = find(worker, message->session_id.session);
        if (place != NULL) drop(worker, place);
        break;
    case RK_SHUTDOWN:
        worker->stopping = true;
        break;
    case RK_LANE_LEAVING:
        worker->leaving = true;
        break;
    default: /* not for a worker */
        for (unsigned i = 0; i < rk_message_fd_count(message->head.type); i++) close(fds[i]);
    }
}

static void acknowledge(struct rk_worker *worker)
{
    struct rk_message ack;
    rk_message_init(&ack, RK_ACK, sizeof ack);
    send_up(worker, &ack, NULL, 0);
}

void rk_worker_ask_replacement(struct rk_worker *worker)
{
    struct rk_message ask;
    worker->spent_epoch = UINT64_MAX;
    rk_message_init(&ask, RK_RECYCLE, sizeof ask);
    send_up(worker, &ask, NULL, 0);
}

/** The message came, its descriptors did not fit: only the session it was about suffers. */
static void on_lost_descriptors(struct rk_worker *worker, const union rk_any_message *message)
{
    static const char why[] = "the worker is out of descriptors: raise the limit (ulimit -n)";
    if (message->head.type == RK_SESSION) send_text(worker, message->session.session, why);
    struct rk_served **place = message->head.type == RK_SEGMENT ? find(worker, message->segment.session) : NULL;
    if (place != NULL) rk_worker_reject(worker, *place, why);
}

void rk_worker_control(struct rk_worker *worker)
{
    /* SYNC R7 acquire: read before the socket, so that a message sent in between is noticed next time. */
    worker->control_seen = rk_load_acquire(worker->control_word);
    for (;;) {
        int fds[RK_MESSAGE_FDS_MAX];
        unsigned fd_count = 0;
        int result = rk_control_receive(worker->config.control_fd, worker->message, fds, &fd_count);
        if (result == -EAGAIN) return;
        if (result == -EMFILE) {
            on_lost_descriptors(worker, worker->message);
            acknowledge(worker);
            continue;
        }
        if (result != 0) { /* the supervisor is gone: nobody would restart or stop this process */
            worker->stopping = true;
            return;
        }
        on_message(worker, worker->message, fds);
        if (fd_count > 0) acknowledge(worker);
    }
}
