/* SPDX-License-Identifier: MIT */
/* Wires that the kernel keeps as messages: a UNIX SEQPACKET socket pair, and a pair of POSIX message queues. A system call
 * per message: neither can take several in one. (recvmmsg(2) can of a socket, but where it waits for the first it waits
 * for all; with MSG_WAITFORONE it makes a second pass through the kernel for nothing at depth 1.) */
#include "wire_loops.h"
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM_WANTED (1 << 20)
#define QUEUE_LENGTH_MAX 1024

struct packets {
    size_t size;
    bool spin;
    int pair[2];
    mqd_t there, back;
    int fd;        /* socket: of this side */
    mqd_t in, out; /* queues: of this side */
    uint8_t *got;
};

static int nothing(void *self)
{
    (void)self;
    return 0;
}

static bool never(void *self)
{
    (void)self;
    return false;
}

static int packet_put(void *self, const uint8_t *data, size_t bytes)
{
    const struct packets *wire = self;
    ssize_t wrote;
    do wrote = send(wire->fd, data, bytes, MSG_NOSIGNAL);
    while (wrote < 0 && (errno == EINTR || errno == EAGAIN));
    return wrote == (ssize_t)bytes ? 0 : -errno;
}

static int packet_take(void *self, const uint8_t **data, size_t *bytes)
{
    const struct packets *wire = self;
    ssize_t got;
    do got = recv(wire->fd, wire->got, wire->size, wire->spin ? MSG_DONTWAIT : 0);
    while (got < 0 && (errno == EINTR || errno == EAGAIN));
    *data = wire->got;
    *bytes = got > 0 ? (size_t)got : 0;
    return got > 0 ? 0 : got < 0 ? -errno : -EPIPE;
}

static int queue_put(void *self, const uint8_t *data, size_t bytes)
{
    const struct packets *wire = self;
    int failed;
    do failed = mq_send(wire->out, (const char *)data, bytes, 0);
    while (failed != 0 && (errno == EINTR || errno == EAGAIN));
    return failed == 0 ? 0 : -errno;
}

static int queue_take(void *self, const uint8_t **data, size_t *bytes)
{
    const struct packets *wire = self;
    ssize_t got;
    do got = mq_receive(wire->in, (char *)wire->got, wire->size, NULL);
    while (got < 0 && (errno == EINTR || errno == EAGAIN));
    *data = wire->got;
    *bytes = got > 0 ? (size_t)got : 0;
    return got > 0 ? 0 : -errno;
}

RK_WIRE_LOOPS(packet, packet_put, nothing, packet_take, never)
RK_WIRE_LOOPS(queue, queue_put, nothing, queue_take, never)

static int create(void **self, const struct rk_wire_plan *plan)
{
    struct packets *wire = calloc(1, sizeof *wire);
    *self = wire;
    if (wire == NULL) return -ENOMEM;
    *wire = (struct packets){.size = plan->size,
                             .spin = plan->wait_mode == RASK_WAIT_SPIN,
                             .pair = {-1, -1},
                             .there = (mqd_t)-1,
                             .back = (mqd_t)-1,
                             .fd = -1};
    wire->got = malloc(plan->size);
    return wire->got != NULL ? 0 : -ENOMEM;
}

static int open_packets(void **self, struct rk_wire_plan *plan)
{
    int room = ROOM_WANTED;
    socklen_t length = sizeof room;
    int error = create(self, plan);
    struct packets *wire = *self;
    if (error != 0) return error;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire->pair) != 0) return -errno;
    for (int i = 0; i < 2; i++) setsockopt(wire->pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (getsockopt(wire->pair[0], SOL_SOCKET, SO_SNDBUF, &room, &length) != 0) return -errno;
    /* The kernel counts what it allocates; a message must fit as a whole. */
    size_t each = 2 * plan->size + 1024, most = (size_t)room / each;
    if ((size_t)room < plan->size + 1024) return -EMSGSIZE;
    if (plan->depth > most) plan->depth = most > 0 ? (uint32_t)most : 1;
    return 0;
}

static int enter_packets(void *self, enum rk_wire_side side)
{
    struct packets *wire = self;
    bool client = side == RK_WIRE_CLIENT;
    wire->fd = wire->pair[client ? 1 : 0];
    close(wire->pair[client ? 0 : 1]);
    return 0;
}

static mqd_t open_queue(const struct rk_wire_plan *plan, const char *suffix)
{
    char name[64], unique[48];
    struct mq_attr attributes = {.mq_maxmsg = plan->depth, .mq_msgsize = (long)plan->size};
    rk_wire_unique(unique, sizeof unique, "/rask-bench");
    snprintf(name, sizeof name, "%s-%s", unique, suffix);
    int flags = O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | (plan->wait_mode == RASK_WAIT_SPIN ? O_NONBLOCK : 0);
    mqd_t queue = mq_open(name, flags, 0600, &attributes);
    if (queue != (mqd_t)-1) mq_unlink(name);
    return queue;
}

/** Both queues, as long as wanted or as the kernel lets them be: msg_max is 10 by default, without privileges. */
static int open_queues(void **self, struct rk_wire_plan *plan)
{
    const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
    int error = create(self, plan);
    struct packets *wire = *self;
    if (error != 0) return error;
    setrlimit(RLIMIT_MSGQUEUE, &any); /* not everybody may */
    if (plan->depth > QUEUE_LENGTH_MAX) plan->depth = QUEUE_LENGTH_MAX;
    while (true) {
        wire->there = open_queue(plan, "there");
        wire->back = wire->there != (mqd_t)-1 ? open_queue(plan, "back") : (mqd_t)-1;
        if (wire->back != (mqd_t)-1) return 0;
        error = -errno;
        if (wire->there != (mqd_t)-1) mq_close(wire->there);
        wire->there = (mqd_t)-1;
        if (plan->depth == 1) return error;
        plan->depth = plan->depth > 10 ? 10 : 1;
    }
}

static int enter_queues(void *self, enum rk_wire_side side)
{
    struct packets *wire = self;
    wire->in = side == RK_WIRE_CLIENT ? wire->back : wire->there;
    wire->out = side == RK_WIRE_CLIENT ? wire->there : wire->back;
    return 0;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct packets *wire = self;
    (void)side;
    if (wire == NULL) return;
    if (wire->fd >= 0) close(wire->fd);
    if (wire->there != (mqd_t)-1) mq_close(wire->there);
    if (wire->back != (mqd_t)-1) mq_close(wire->back);
    free(wire->got);
    free(wire);
}

const struct rk_wire rk_wire_seqpacket = {.name = "socketpair seqpacket",
                                          .spins = "recv with MSG_DONTWAIT, again and again",
                                          .parks = "blocking recv",
                                          .open = open_packets,
                                          .enter = enter_packets,
                                          .trips = packet_trips,
                                          .stream = packet_stream,
                                          .answer = packet_answer,
                                          .destroy = destroy};

const struct rk_wire rk_wire_mqueue = {.name = "POSIX message queue",
                                       .spins = "mq_receive of an O_NONBLOCK queue, again and again; a queue each way",
                                       .parks = "blocking mq_receive; a queue each way",
                                       .bytes_max = 1 << 20,
                                       .open = open_queues,
                                       .enter = enter_queues,
                                       .trips = queue_trips,
                                       .stream = queue_stream,
                                       .answer = queue_answer,
                                       .destroy = destroy};
