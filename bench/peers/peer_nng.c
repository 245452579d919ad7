/* SPDX-License-Identifier: MIT */
/* nng over ipc://: a PAIR of sockets, which adds nothing to a message and lets many be in flight (REQ lets one a context),
 * with buffers as deep as the pipeline. Its threads share the processor of their side. Parked only: its own threads move
 * the bytes, which a spinning caller would keep off the processor. */
#include "runner_wire.h"
#include "wire_loops.h"
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BUFFER_MAX 8192

struct pair {
    char path[80];
    uint32_t depth;
    bool open;
    nng_socket socket;
    nng_msg *got;
};

/** Its own errors into errno's, as far as they occur here. */
static int error_of(int number)
{
    if (number == 0) return 0;
    if ((number & NNG_ESYSERR) != 0) return -(number & ~NNG_ESYSERR);
    return number == NNG_ENOMEM ? -ENOMEM : number == NNG_ECLOSED ? -EPIPE : -EIO;
}

static int put(void *self, const uint8_t *data, size_t bytes)
{
    const struct pair *pair = self;
    nng_msg *message;
    int error = nng_msg_alloc(&message, bytes);
    if (error != 0) return error_of(error);
    memcpy(nng_msg_body(message), data, bytes);
    error = nng_sendmsg(pair->socket, message, 0);
    if (error != 0) nng_msg_free(message);
    return error_of(error);
}

static int nothing(void *self)
{
    (void)self;
    return 0;
}

static int take(void *self, const uint8_t **data, size_t *bytes)
{
    struct pair *pair = self;
    if (pair->got != NULL) nng_msg_free(pair->got);
    pair->got = NULL;
    int error = nng_recvmsg(pair->socket, &pair->got, 0);
    if (error != 0) return error_of(error);
    *data = nng_msg_body(pair->got);
    *bytes = nng_msg_len(pair->got);
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
    *self = pair;
    if (pair == NULL) return -ENOMEM;
    rk_wire_unique(name, sizeof name, "/tmp/rask-bench-nng");
    snprintf(pair->path, sizeof pair->path, "%s", name);
    pair->depth = plan->depth;
    return 0;
}

/** After the fork: a socket has threads. The client looks for the server's socket until it is there. */
static int enter(void *self, enum rk_wire_side side)
{
    struct pair *pair = self;
    char address[96];
    snprintf(address, sizeof address, "ipc://%s", pair->path);
    int error = nng_pair0_open(&pair->socket);
    if (error != 0) return error_of(error);
    pair->open = true;
    int buffer = pair->depth + 1 < BUFFER_MAX ? (int)pair->depth + 1 : BUFFER_MAX;
    nng_socket_set_int(pair->socket, NNG_OPT_SENDBUF, buffer);
    nng_socket_set_int(pair->socket, NNG_OPT_RECVBUF, buffer);
    if (side == RK_WIRE_SERVER) return error_of(nng_listen(pair->socket, address, NULL, 0));
    for (int tries = 0; tries < 1000; tries++) {
        error = nng_dial(pair->socket, address, NULL, 0);
        if (error == 0) return 0;
        usleep(10000);
    }
    return error_of(error);
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct pair *pair = self;
    (void)side;
    if (pair == NULL) return;
    if (pair->got != NULL) nng_msg_free(pair->got);
    if (pair->open) nng_close(pair->socket);
    unlink(pair->path);
    free(pair);
}

static const struct rk_wire nng = {.name = "nng",
                                   .parks = "ipc://, PAIR, buffers as deep as the pipeline",
                                   .open = open_pair,
                                   .enter = enter,
                                   .trips = pair_trips,
                                   .stream = pair_stream,
                                   .answer = pair_answer,
                                   .destroy = destroy};

int main(int argc, char **argv)
{
    static const struct rk_wire *const wires[] = {&nng, NULL};
    return rk_wire_program(argc, argv, wires);
}
