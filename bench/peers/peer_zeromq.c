/* SPDX-License-Identifier: MIT */
/* ZeroMQ over ipc://: a PAIR of sockets, which adds nothing to a message and lets many be in flight (REQ and REP let one, and
 * take turns with an envelope). One I/O thread a side, no limit on queues, an abstract address. Both threads of a side
 * share its processor: waking the I/O thread on the own one is cheaper than on another, and there are two for everybody.
 * It is measured parked only: bytes are moved by the I/O thread, which a spinning caller would keep off the processor. */
#include "runner_wire.h"
#include "wire_loops.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

struct pair {
    char address[80];
    void *context, *socket;
    zmq_msg_t got;
};

static int put(void *self, const uint8_t *data, size_t bytes)
{
    const struct pair *pair = self;
    int sent;
    do sent = zmq_send(pair->socket, data, bytes, 0);
    while (sent < 0 && errno == EINTR);
    return sent == (int)bytes ? 0 : -errno;
}

static int nothing(void *self)
{
    (void)self;
    return 0;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    struct pair *pair = self;
    int got;
    do got = zmq_msg_recv(&pair->got, pair->socket, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    *data = zmq_msg_data(&pair->got);
    *bytes = zmq_msg_size(&pair->got);
    return 0;
}

static bool never(void *self)
{
    (void)self;
    return false;
}

RK_WIRE_LOOPS(pair, put, nothing, take, never)

static int open_pair(void **self, struct rk_wire_plan *plan)
{
    char name[48];
    struct pair *pair = calloc(1, sizeof *pair);
    (void)plan;
    *self = pair;
    if (pair == NULL) return -ENOMEM;
    rk_wire_unique(name, sizeof name, "rask-bench");
    snprintf(pair->address, sizeof pair->address, "ipc://@%s", name);
    return 0;
}

/** After the fork: a context has threads. */
static int enter(void *self, enum rk_wire_side side)
{
    struct pair *pair = self;
    int none = 0;
    pair->context = zmq_ctx_new();
    pair->socket = pair->context != NULL ? zmq_socket(pair->context, ZMQ_PAIR) : NULL;
    if (pair->socket == NULL) return -errno;
    zmq_msg_init(&pair->got);
    zmq_setsockopt(pair->socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(pair->socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(pair->socket, ZMQ_LINGER, &none, sizeof none);
    bool server = side == RK_WIRE_SERVER;
    int failed = server ? zmq_bind(pair->socket, pair->address) : zmq_connect(pair->socket, pair->address);
    return failed == 0 ? 0 : -errno;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct pair *pair = self;
    (void)side;
    if (pair == NULL) return;
    if (pair->socket != NULL) {
        zmq_msg_close(&pair->got);
        zmq_close(pair->socket);
    }
    if (pair->context != NULL) zmq_ctx_term(pair->context);
    free(pair);
}

static const struct rk_wire zeromq = {.name = "ZeroMQ",
                                      .parks = "ipc://, PAIR, one I/O thread a side on its processor, no queue limits",
                                      .open = open_pair,
                                      .enter = enter,
                                      .trips = pair_trips,
                                      .stream = pair_stream,
                                      .answer = pair_answer,
                                      .destroy = destroy};

int main(int argc, char **argv)
{
    static const struct rk_wire *const wires[] = {&zeromq, NULL};
    return rk_wire_program(argc, argv, wires);
}
