/* SPDX-License-Identifier: MIT */
/* Leases: a handler may keep a request's bytes beyond its reply (<rask/ext/lease.h>). The request then ends as usual, and
 * its memory comes back later: when the handler releases it, one by one or up to a watermark, or when its worker dies. The
 * caller learns of each.
 *
 * What one worker may hold of a session is bounded: RASK_LEASES_MAX requests, and half of slab_bytes_max. rask_info() shows how much it is;
 * `rask stats` also counts private copies and what callers that are gone left behind. Requests of up to RASK_INLINE_BYTES travel in the slot: the worker keeps a copy of those, and the
 * caller has nothing to wait for. So it is between users, where handlers always get a copy. */
#ifndef RASK_LEASE_H
#define RASK_LEASE_H

#include <rask/client.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

enum rask_lease_end {
    RASK_LEASE_RELEASED = 1, /**< by the handler */
    RASK_LEASE_DIED = 2      /**< its worker died */
};

/** A leased buffer is free again. */
struct rask_lease_event {
    uint64_t ticket;    /**< of the request or item that brought it; may be released long since */
    uint64_t user_data; /**< of that request or item */
    uint64_t bytes;     /**< memory that is free again, unless rask_stream_reserve_same() made others use it */
    uint32_t end;       /**< enum rask_lease_end */
    uint32_t reserved;
};

/** Sees that a leased buffer is free again, in the order in which that was noticed. Runs in the session's thread where callbacks run: in
 * rask_poll() and in functions that wait. */
typedef void (*rask_lease_fn)(struct rask *s, const struct rask_lease_event *event, void *user);

/** Have `function` (NULL: nobody) see each lease end. Returns 0. session thread, no-block. */
int rask_on_lease_end(struct rask *s, rask_lease_fn function, void *user);

/** 1: the bytes of this request are leased; 0: they are not, or not any more. Known once its completion (or a later
 * answer of its stream) was taken. session thread, no-block, no-syscall. */
int rask_leased(const struct rask *s, uint64_t ticket);

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
