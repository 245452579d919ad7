/* SPDX-License-Identifier: MIT */
/* One end of a control socket at the supervisor: its watch, its queue of outgoing messages, and its wake-up.
 *
 * Sending never blocks and never fails for the caller. What the socket does not take waits here, in order, and goes when
 * the socket is writable, when a descriptor message is acknowledged, or (too many descriptors in flight) a little later.
 * A peer whose queue overflows is cut off: its socket is shut down, and its owner learns of that where it reads. */
#ifndef RK_PEER_H
#define RK_PEER_H

#include "control.h"
#include "reactor.h"
#include <stdbool.h>
#include <stdint.h>

/** A descriptor with several users: sessions, workers, queued messages. */
struct rk_fd {
    int fd;
    uint32_t uses;
};

/** Takes `fd` over, also on failure. NULL when out of memory (then it is closed). */
struct rk_fd *rk_fd_create(int fd);
struct rk_fd *rk_fd_use(struct rk_fd *shared);
/** NULL is allowed. */
void rk_fd_drop(struct rk_fd *shared);

struct rk_packet;

/** What an owner gives to rk_peer_open(). Both run from the event loop. */
struct rk_peer_calls {
    void (*readable)(void *user); /* messages, or the end, wait on the socket; may close the peer */
    void (*drained)(void *user);  /* the queue has become empty; may be NULL; may send, must not close the peer */
};

struct rk_peer {
    struct rk_reactor *reactor;
    const struct rk_peer_calls *calls;
    void *user;
    int socket;              /* -1: closed */
    uint32_t *word;          /* control word; NULL: none yet */
    uint32_t *bell;          /* futex word the party sleeps on; may be `word` itself; NULL: none yet */
    struct rk_packet *first; /* queue */
    struct rk_packet **last;
    uint32_t queued;
    uint32_t queued_max;
    uint32_t queued_fds; /* descriptors in the queue */
    uint32_t unacked;    /* descriptor messages sent and not acknowledged */
    uint32_t unacked_max;
    struct rk_timer retry;
    bool wants_room; /* POLLOUT is watched */
    bool cut_off;
};
#define RK_PEER_INIT \
    {                \
        .socket = -1 \
    }

/** Start with a connected socket, which becomes the peer's. 0, or -errno (then the socket is still the caller's). */
int rk_peer_open(struct rk_peer *peer, struct rk_reactor *reactor, int socket, const struct rk_peer_calls *calls,
                 void *user);
/** Close the socket and drop the queue. Harmless when repeated, and on RK_PEER_INIT. */
void rk_peer_close(struct rk_peer *peer);

/** Queue a message (header filled in) with up to two descriptors, then send what can be sent. `session` marks what
 * rk_peer_forget() removes; 0: nothing does. */
void rk_peer_send(struct rk_peer *peer, const void *message, uint32_t session, struct rk_fd *first,
                  struct rk_fd *second);

/** Queue a message without descriptors that replaces one of its type, if that is the last that waits: what is repeated
 * while a party does not read does not pile up. */
void rk_peer_send_latest(struct rk_peer *peer, const void *message);

/** An ACK came. -EPROTO if there was nothing to acknowledge. */
int rk_peer_acknowledged(struct rk_peer *peer);

/** Drop queued messages of a session. True if its SESSION was among them: the party never heard of it. */
bool rk_peer_forget(struct rk_peer *peer, uint32_t session);

/** Drop everything that is queued. */
void rk_peer_clear(struct rk_peer *peer);

/** Make the party look at its socket and at its memory, whether or not there is a message. */
void rk_peer_wake(struct rk_peer *peer);

#endif
