/* SPDX-License-Identifier: MIT */
/* Outgoing messages of the supervisor; see peer.h. */
#include "peer.h"
#include "bell.h"
#include "check.h"
#include "clock.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_NS 10000000u

struct rk_packet {
    struct rk_packet *next;
    uint32_t session;
    unsigned fd_count;
    struct rk_fd *fd[2];
    union {
        struct rk_message head;
        uint64_t align;
    } message; /* as long as head.bytes says */
};

struct rk_fd *rk_fd_create(int fd)
{
    struct rk_fd *shared = malloc(sizeof(*shared));
    if (!shared) {
        close(fd);
        return NULL;
    }
    *shared = (struct rk_fd){.fd = fd, .uses = 1};
    return shared;
}

struct rk_fd *rk_fd_use(struct rk_fd *shared)
{
    shared->uses++;
    return shared;
}

void rk_fd_drop(struct rk_fd *shared)
{
    if (!shared || --shared->uses > 0) return;
    close(shared->fd);
    free(shared);
}

static void free_packet(struct rk_packet *packet)
{
    for (unsigned i = 0; i < packet->fd_count; i++) rk_fd_drop(packet->fd[i]);
    free(packet);
}

void rk_peer_clear(struct rk_peer *peer)
{
    while (peer->first) {
        struct rk_packet *packet = peer->first;
        peer->first = packet->next;
        free_packet(packet);
    }
    peer->last = &peer->first;
    peer->queued = peer->queued_fds = 0;
}

/* No more sending. The owner reads the end of the stream and does the rest. */
static void cut_off(struct rk_peer *peer)
{
    peer->cut_off = true;
    rk_peer_clear(peer);
    shutdown(peer->socket, SHUT_RDWR);
}

void rk_peer_wake(struct rk_peer *peer)
{
    /* The party's own word is what it sleeps on: ringing bumps it. Otherwise the word says why, and the bell wakes. */
    /* SYNC R7 release: pairs with rk_worker_called and rk_session_control */
    if (peer->word && peer->word != peer->bell) rk_store_release(peer->word, rk_load_relaxed(peer->word) + 1);
    if (peer->bell) rk_bell_ring(peer->bell);
}

static int send_packet(struct rk_peer *peer, const struct rk_packet *packet)
{
    int fds[2] = {-1, -1};
    for (unsigned i = 0; i < packet->fd_count; i++) fds[i] = packet->fd[i]->fd;
    return rk_control_send(peer->socket, &packet->message, fds, packet->fd_count);
}

static void pop(struct rk_peer *peer)
{
    struct rk_packet *packet = peer->first;
    peer->first = packet->next;
    if (!peer->first) peer->last = &peer->first;
    peer->queued--;
    peer->queued_fds -= packet->fd_count;
    if (packet->fd_count > 0) peer->unacked++;
    free_packet(packet);
}

static void watch_room(struct rk_peer *peer, bool wanted)
{
    if (peer->wants_room == wanted) return;
    peer->wants_room = wanted;
    rk_reactor_change(peer->reactor, peer->socket, wanted ? POLLIN | POLLOUT : POLLIN);
}

static void retry(void *user);

/* Sends what can be sent, and sees to it that the rest follows. */
static void flush(struct rk_peer *peer)
{
    int result = 0;
    bool sent = false;
    while (peer->first && (peer->first->fd_count == 0 || peer->unacked < peer->unacked_max)) {
        result = send_packet(peer, peer->first);
        if (result < 0) break;
        pop(peer);
        sent = true;
    }
    if (sent) rk_peer_wake(peer);
    if (result == -ETOOMANYREFS)
        rk_timer_start(peer->reactor, &peer->retry, rk_deadline_after(RETRY_NS), retry, peer);
    else if (result < 0 && result != -EAGAIN)
        cut_off(peer);
    watch_room(peer, result == -EAGAIN);
}

/* Flush for a reason of its own, after which an empty queue is news. */
static void flush_later(struct rk_peer *peer)
{
    bool waited = peer->first != NULL;
    flush(peer);
    if (waited && !peer->first && !peer->cut_off && peer->calls->drained) peer->calls->drained(peer->user);
}

static void retry(void *user)
{
    flush_later(user);
}

static void on_ready(void *user, int fd, uint32_t events)
{
    struct rk_peer *peer = user;
    (void)fd;
    if (events & POLLOUT) flush_later(peer);
    if (events & ~(uint32_t)POLLOUT) peer->calls->readable(peer->user);
}

int rk_peer_open(struct rk_peer *peer, struct rk_reactor *reactor, int socket, const struct rk_peer_calls *calls,
                 void *user)
{
    RK_CHECK(peer->socket < 0);
    int result = rk_reactor_watch(reactor, socket, POLLIN, on_ready, peer);
    if (result < 0) return result;
    *peer = (struct rk_peer){
        .reactor = reactor,
        .calls = calls,
        .user = user,
        .socket = socket,
        .queued_max = peer->queued_max,
        .unacked_max = peer->unacked_max,
        .last = &peer->first,
    };
    return 0;
}

void rk_peer_close(struct rk_peer *peer)
{
    if (peer->socket < 0) return;
    rk_timer_stop(peer->reactor, &peer->retry);
    rk_reactor_unwatch(peer->reactor, peer->socket);
    close(peer->socket);
    rk_peer_clear(peer);
    peer->socket = -1;
    peer->word = peer->bell = NULL;
}

void rk_peer_send(struct rk_peer *peer, const void *message, uint32_t session, struct rk_fd *first,
                  struct rk_fd *second)
{
    if (peer->socket < 0 || peer->cut_off) return;
    const struct rk_message *head = message;
    struct rk_packet *packet = malloc(offsetof(struct rk_packet, message) + head->bytes);
    if (!packet || peer->queued >= peer->queued_max) {
        free(packet);
        cut_off(peer);
        return;
    }
    packet->next = NULL;
    packet->session = session;
    packet->fd_count = 0;
    if (first) packet->fd[packet->fd_count++] = rk_fd_use(first);
    if (second) packet->fd[packet->fd_count++] = rk_fd_use(second);
    memcpy(&packet->message, message, head->bytes);
    *peer->last = packet;
    peer->last = &packet->next;
    peer->queued++;
    peer->queued_fds += packet->fd_count;
    flush(peer);
}

void rk_peer_send_latest(struct rk_peer *peer, const void *message)
{
    const struct rk_message *head = message;
    struct rk_packet *last = peer->first;
    while (last && last->next) last = last->next;
    if (last && last->message.head.type == head->type && last->message.head.bytes == head->bytes)
        memcpy(&last->message, message, head->bytes);
    else
        rk_peer_send(peer, message, 0, NULL, NULL);
}

int rk_peer_acknowledged(struct rk_peer *peer)
{
    if (peer->unacked == 0) return -EPROTO;
    peer->unacked--;
    flush_later(peer);
    return 0;
}

bool rk_peer_forget(struct rk_peer *peer, uint32_t session)
{
    bool unheard = false;
    struct rk_packet **place = &peer->first;
    if (peer->socket < 0) return false;
    while (*place) {
        struct rk_packet *packet = *place;
        if (packet->session != session) {
            place = &packet->next;
            continue;
        }
        unheard |= packet->message.head.type == RK_SESSION;
        *place = packet->next;
        peer->queued--;
        peer->queued_fds -= packet->fd_count;
        free_packet(packet);
    }
    peer->last = place;
    return unheard;
}
