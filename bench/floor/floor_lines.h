/* SPDX-License-Identifier: MIT */
/* The lines that the two sides of a floor share, and the loops that both are made of. Used by floor.c (the client's side)
 * and floor_peer.c (the other) alone.
 *
 * Both walk through the same sequence numbers: message s has flag 2s on the way there and 2s + 1 on the way back, in slot
 * s & mask of its direction. A conversation ends in band, by RK_FLOOR_STOP in place of the next number, so the peer need
 * not look anywhere else. Flags are stored with release and loaded with acquire; nothing else orders.
 *
 * What depends on the shape is a constant argument of an always_inline function: the loops that run do not test for it. */
#ifndef RK_FLOOR_LINES_H
#define RK_FLOOR_LINES_H

#include "atomic.h"
#include "floor.h"
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define RK_FLOOR_STOP UINT64_MAX
#define RK_FLOOR_LINE_BYTES 64u

enum rk_floor_turn { RK_FLOOR_SPIN, RK_FLOOR_PAUSE, RK_FLOOR_YIELD };

/** One conversation: where its messages are, and how both sides wait. Same addresses in both processes (forked). */
struct rk_floor_lane {
    uint8_t *request;  /* written by the client */
    uint8_t *response; /* written by the peer; the same as `request` where one line serves both ways */
    /* Where the other side reads them: the same places, or read-only mappings of them. */
    uint8_t *request_seen;
    uint8_t *response_seen;
    uint64_t stride;
    uint64_t mask;
    uint64_t size;
    enum rk_floor_turn turn;
};

enum rk_floor_verb { RK_FLOOR_TALK = 1, RK_FLOOR_SLEEP = 2 };

/** How the client tells the peer what to do next. */
struct rk_floor_control {
    uint64_t number __attribute__((aligned(64))); /* client: bumped with every command */
    uint32_t verb;
    uint32_t lane;
    uint64_t sequence;                          /* of the last message in that lane */
    uint64_t done __attribute__((aligned(64))); /* peer: number of the last command carried out */
};

/** The peer's whole life. `lanes` were set up before the fork; `wake_fd` is the socket it sleeps on. */
__attribute__((noreturn)) void rk_floor_peer(struct rk_floor_control *control, const struct rk_floor_lane *lanes,
                                             int wake_fd, int cpu, pid_t parent);

#define RK_FLOOR_INLINE static inline __attribute__((always_inline))

/** Wait until the flag is at least `wanted` and return it; 0 after many looks, for the caller to see who is alive. */
RK_FLOOR_INLINE uint64_t rk_floor_await(const uint64_t *flag, uint64_t wanted, enum rk_floor_turn turn)
{
    for (uint32_t look = 0; look < 65536; look++) {
        uint64_t value = rk_load_acquire(flag);
        if (value >= wanted) return value;
        if (turn == RK_FLOOR_PAUSE) rk_pause();
        if (turn == RK_FLOOR_YIELD) sched_yield();
    }
    return 0;
}

RK_FLOOR_INLINE uint64_t *rk_floor_slot(uint8_t *lines, const struct rk_floor_lane *lane, uint64_t sequence)
{
    return (uint64_t *)(void *)(lines + (sequence & lane->mask) * lane->stride);
}

/** Copy a payload: four words behind the flag, or `size` bytes from the next line on. */
RK_FLOOR_INLINE void rk_floor_copy(uint64_t *to, const uint64_t *from, uint64_t size, bool small)
{
    if (!small) {
        memcpy(to, from, size);
        return;
    }
    uint64_t a = rk_load_relaxed(from), b = rk_load_relaxed(from + 1);
    uint64_t c = rk_load_relaxed(from + 2), d = rk_load_relaxed(from + 3);
    rk_store_relaxed(to, a);
    rk_store_relaxed(to + 1, b);
    rk_store_relaxed(to + 2, c);
    rk_store_relaxed(to + 3, d);
}

/** Is the answer what was sent? Reads all of it. */
RK_FLOOR_INLINE bool rk_floor_equal(const uint64_t *a, const uint64_t *b, uint64_t size, bool small)
{
    if (!small) return memcmp(a, b, size) == 0;
    uint64_t difference = 0;
    for (int i = 0; i < 4; i++) difference |= rk_load_relaxed(a + i) ^ b[i];
    return difference == 0;
}

/** Words from a slot's flag to its payload. */
RK_FLOOR_INLINE uint64_t rk_floor_payload(bool small)
{
    return small ? 1 : RK_FLOOR_LINE_BYTES / sizeof(uint64_t);
}

#endif
