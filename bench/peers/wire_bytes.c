/* SPDX-License-Identifier: MIT */
/* Wires that the kernel keeps as bytes: a pair of pipes, and a pair of UNIX stream sockets. Both sides know the size of a
 * message, so there is no header. Sent messages wait in a buffer until flush(), and a read takes all that is there: with
 * many in flight one system call moves many messages, as a good program would do it. Nobody sends more than the kernel
 * holds, so a write never waits for the other side while that waits for this one. */
#include "wire_loops.h"
#include <errno.h>
#include <fcntl.h>
#include <rask/client.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)
#define ROOM_WANTED (1 << 20)

struct bytes {
    size_t size;
    bool spin;
    int there[2]; /* client to server: read, write */
    int back[2];  /* server to client */
    int in, out;  /* of this side */
    uint8_t *sent;
    size_t sent_used;
    uint8_t *got;
    size_t got_begin, got_end;
    size_t room; /* of each buffer, a multiple of the size */
};

static int write_all(const struct bytes *wire, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(wire->out, data, bytes);
        if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (wrote < 0) return -errno;
        data += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

static int flush(void *self)
{
    struct bytes *wire = self;
    if (wire->sent_used == 0) return 0;
    int error = write_all(wire, wire->sent, wire->sent_used);
    wire->sent_used = 0;
    return error;
}

static int put(void *self, const uint8_t *data, size_t bytes)
{
    struct bytes *wire = self;
    if (wire->sent_used + bytes > wire->room) {
        int error = flush(wire);
        if (error != 0) return error;
    }
    memcpy(wire->sent + wire->sent_used, data, bytes);
    wire->sent_used += bytes;
    return 0;
}

static bool more(void *self)
{
    const struct bytes *wire = self;
    return wire->got_end - wire->got_begin >= wire->size;
}

/** Read until a whole message is there. What is left of an earlier read moves to the front first. */
static int refill(struct bytes *wire)
{
    size_t left = wire->got_end - wire->got_begin;
    memmove(wire->got, wire->got + wire->got_begin, left);
    wire->got_begin = 0;
    wire->got_end = left;
    while (wire->got_end < wire->size) {
        ssize_t got = read(wire->in, wire->got + wire->got_end, wire->room - wire->got_end);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return got < 0 ? -errno : -EPIPE;
        wire->got_end += (size_t)got;
    }
    return 0;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    struct bytes *wire = self;
    if (!more(wire)) {
        int error = refill(wire);
        if (error != 0) return error;
    }
    *data = wire->got + wire->got_begin;
    *bytes = wire->size;
    wire->got_begin += wire->size;
    return 0;
}

RK_WIRE_LOOPS(bytes, put, flush, take, more)

static int enter(void *self, enum rk_wire_side side)
{
    struct bytes *wire = self;
    bool client = side == RK_WIRE_CLIENT;
    wire->in = client ? wire->back[0] : wire->there[0];
    wire->out = client ? wire->there[1] : wire->back[1];
    /* The ends of the other side: so that it is noticed when that is gone. */
    close(client ? wire->there[0] : wire->back[0]);
    if (wire->there[1] != wire->back[0]) close(client ? wire->back[1] : wire->there[1]);
    if (!wire->spin) return 0;
    if (fcntl(wire->in, F_SETFL, O_NONBLOCK) != 0) return -errno;
    return 0;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct bytes *wire = self;
    (void)side;
    if (wire == NULL) return;
    if (wire->in >= 0) close(wire->in);
    if (wire->out >= 0 && wire->out != wire->in) close(wire->out);
    free(wire->sent);
    free(wire->got);
    free(wire);
}

static int create(void **self, const struct rk_wire_plan *plan)
{
    struct bytes *wire = calloc(1, sizeof *wire);
    *self = wire;
    if (wire == NULL) return -ENOMEM;
    *wire = (struct bytes){.size = plan->size, .spin = plan->wait_mode == RASK_WAIT_SPIN, .in = -1, .out = -1};
    wire->room = plan->size > BUFFER_BYTES ? plan->size : BUFFER_BYTES / plan->size * plan->size;
    wire->sent = malloc(wire->room);
    wire->got = malloc(wire->room);
    return wire->sent != NULL && wire->got != NULL ? 0 : -ENOMEM;
}

/** No more in flight than one direction holds, at `each` bytes a message; one always fits, as nobody else sends then. */
static void limit_depth(struct rk_wire_plan *plan, size_t room, size_t each)
{
    size_t most = room / each;
    if (plan->depth > most) plan->depth = most > 0 ? (uint32_t)most : 1;
}

static int open_pipe(void **self, struct rk_wire_plan *plan)
{
    int error = create(self, plan);
    struct bytes *wire = *self;
    if (error != 0) return error;
    if (pipe2(wire->there, O_CLOEXEC) != 0 || pipe2(wire->back, O_CLOEXEC) != 0) return -errno;
    /* As much as an unprivileged process may have; less is no error. */
    fcntl(wire->there[1], F_SETPIPE_SZ, ROOM_WANTED);
    fcntl(wire->back[1], F_SETPIPE_SZ, ROOM_WANTED);
    int there = fcntl(wire->there[1], F_GETPIPE_SZ), back = fcntl(wire->back[1], F_GETPIPE_SZ);
    int room = there < back ? there : back;
    limit_depth(plan, room > 0 ? (size_t)room : 4096, plan->size);
    return 0;
}

static int open_stream(void **self, struct rk_wire_plan *plan)
{
    int pair[2], room = ROOM_WANTED;
    socklen_t length = sizeof room;
    int error = create(self, plan);
    struct bytes *wire = *self;
    if (error != 0) return error;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
    for (int i = 0; i < 2; i++) setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    wire->there[0] = wire->back[1] = pair[0];
    wire->there[1] = wire->back[0] = pair[1];
    if (getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, &length) != 0) return -errno;
    /* The kernel counts what it allocates: about twice the bytes. */
    limit_depth(plan, (size_t)room, 2 * plan->size + 512);
    return 0;
}

#define SPINS "reads of an O_NONBLOCK descriptor, again and again"
#define PARKS "blocking reads"

const struct rk_wire rk_wire_pipe = {
    .name = "pipe",
    .spins = SPINS "; two pipes of 1 MiB, messages that are there together read together",
    .parks = PARKS "; two pipes of 1 MiB, messages that are there together read together",
    .open = open_pipe,
    .enter = enter,
    .trips = bytes_trips,
    .stream = bytes_stream,
    .answer = bytes_answer,
    .destroy = destroy};

const struct rk_wire rk_wire_stream = {.name = "socketpair stream",
                                       .spins = SPINS "; messages that are there together read together",
                                       .parks = PARKS "; messages that are there together read together",
                                       .open = open_stream,
                                       .enter = enter,
                                       .trips = bytes_trips,
                                       .stream = bytes_stream,
                                       .answer = bytes_answer,
                                       .destroy = destroy};
