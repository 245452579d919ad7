/* SPDX-License-Identifier: MIT */
/* A way for two processes to exchange messages, as `rask bench peers` measures it: a pipe, a queue of some library, a bare
 * ring, rask itself. A wire is four small functions (wire_loops.h makes the loops around them, the same for all) and a
 * table of facts. Whoever is measured, the client's loop, the payload, the checks and the clock are the same.
 *
 * A wire carries messages of one size, both ways, in order. The client never has more than `depth` in flight. The server
 * answers with a copy of what it was sent: every byte is read there and written there; the client writes every byte of a
 * request, and reads every byte of an answer over 32. */
#ifndef RK_WIRE_H
#define RK_WIRE_H

#include "payload.h"
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RK_WIRE_DEPTH_MAX 1024u

struct rk_standstill;

enum rk_wire_side { RK_WIRE_CLIENT, RK_WIRE_SERVER };

struct rk_wire_plan {
    size_t size;        /* of a message, at least 1 */
    uint32_t depth;     /* in flight at most; open() may lower it to what the wire can hold */
    uint32_t wait_mode; /* RASK_WAIT_SPIN: both sides look again and again; RASK_WAIT_PARK: they sleep in the kernel;
                           RASK_WAIT_HYBRID: rask alone */
    int server_cpu;     /* for wires that start their server themselves; -1: not pinned */
};

/** The client's side of a measurement: what is sent, what is expected. */
struct rk_talk {
    struct rk_payload payloads;
    uint64_t sent;     /* messages so far; a message's number is in its payload */
    uint64_t received; /* answers so far */
    uint64_t sum;      /* of answers' bytes, so that reading them has a use */
    uint32_t depth;
    size_t size;
    bool in_full; /* compare every byte, however few */
    /* One request and its answer instead of numbered payloads (Hello World); NULL: none. */
    const uint8_t *request;
    const uint8_t *answer;
    size_t answer_size;
};

/** What a wire is. Functions return 0 or a negative errno. */
struct rk_wire {
    const char *name;
    /* How each side waits, and why that is the fastest that can be had honestly; NULL: it cannot wait so. */
    const char *spins;
    const char *parks;
    size_t bytes_max; /* 0: any size */
    bool alone;       /* one process only: no server is forked */
    /** Before the fork. *self is given to everything else; destroy() is called even when this fails, with what *self is. */
    int (*open)(void **self, struct rk_wire_plan *plan);
    /** In each of both processes; may be NULL. */
    int (*enter)(void *self, enum rk_wire_side side);
    /** The client: `count` round trips, one at a time. */
    int (*trips)(void *self, struct rk_talk *talk, uint32_t count);
    /** The client: talk->depth in flight; see rk_wire_loop_stream(). */
    int (*stream)(void *self, struct rk_talk *talk, const struct rk_slice *slice, struct rk_samples *samples);
    /** The server: answer until something fails. */
    int (*answer)(void *self);
    void (*destroy)(void *self, enum rk_wire_side side);
    /** Wires that are `alone` but have servers: which are theirs. */
    void (*servers)(void *self, struct rk_standstill *servers);
};

/** What a wire of a plan is called where it must be unique on this machine: names of queues, sockets. */
void rk_wire_unique(char *name, size_t bytes, const char *prefix);

/** 0 or -ENOMEM. */
int rk_talk_init(struct rk_talk *talk, size_t size, uint32_t depth);
void rk_talk_finish(struct rk_talk *talk);

/** Is this the answer to come next? Reads what the head of this file says. */
static inline bool rk_talk_accepts(struct rk_talk *talk, const uint8_t *data, size_t bytes)
{
    uint64_t number = ++talk->received;
    if (talk->answer != NULL) return bytes == talk->answer_size && memcmp(data, talk->answer, bytes) == 0;
    if (bytes != talk->size) return false;
    if (!talk->in_full && bytes <= 32) return rk_payload_matches(&talk->payloads, data, number);
    /* What was sent may be overwritten by now: all but its ends is the same in every payload. */
    if (!rk_payload_matches(&talk->payloads, data, number)) return false;
    if (bytes <= 2 * sizeof number) return true;
    const uint8_t *own = talk->payloads.bytes;
    return memcmp(data + sizeof number, own + sizeof number, bytes - 2 * sizeof number) == 0;
}

/** The next request. */
static inline const uint8_t *rk_talk_next(struct rk_talk *talk)
{
    ++talk->sent;
    return talk->request != NULL ? talk->request : rk_payload_of(&talk->payloads, talk->sent);
}

/* The wires of this program. */
extern const struct rk_wire rk_wire_pipe, rk_wire_stream, rk_wire_seqpacket, rk_wire_eventfd, rk_wire_mqueue;
/* Floors, in bench/floor. */
extern const struct rk_wire rk_wire_line, rk_wire_line_pause, rk_wire_ring, rk_wire_ring_pause, rk_wire_memory;
extern const struct rk_wire rk_wire_rask, rk_wire_rask_hello;

#endif
