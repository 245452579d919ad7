/* SPDX-License-Identifier: MIT */
/* Calls back to the caller: while a handler works on a request, it may ask the caller for something.
 *
 * The caller registers functions by name. They run in the session's thread, inside rask_poll(), rask_wait(),
 * rask_wait_any(), rask_call(), rask_stream_take(), rask_stream_wait() or a blocking rask_stream_reserve(): a caller that does none of these
 * lets its handlers wait until they give up. Request and answer are read and written in place, in shared memory.
 * Several workers may each have an upcall open; one worker has at most one.
 *
 * Inside such a function the session may be used, also to call others, but not closed, and rask_reconnect() is -EBUSY. A wait for something that only the worker which
 * waits for this function could do is refused: -EDEADLK. */
#ifndef RASK_UPCALL_H
#define RASK_UPCALL_H

#include <rask/client.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

/** One upcall in the hands of its function. Gone when that returns. */
struct rask_upcall {
    struct rask *session;
    const void *request;  /**< aligned to 8; bytes of the worker, which may still change them if it misbehaves */
    size_t request_bytes; /**< 0 is allowed */
    uint64_t ticket;      /**< of the request whose handler asks; of a stream: of the item */
    uint64_t user_data;   /**< of that request or item */
};

/** Answers an upcall. Returns 0, or another code for the handler to see. */
typedef int (*rask_upcall_fn)(struct rask_upcall *upcall, void *user);

/** Register `function` under `name` (1..RASK_METHOD_NAME_BYTES_MAX bytes), NULL: forget the name. `user` is handed to it.
 * Handlers see it from the next request on.
 * Errors: -EINVAL the name is empty or too long; -EEXIST another registered name has the same hash (choose another);
 * -ENOSPC RASK_UPCALLS_MAX names are registered; -ENOMEM. session thread, no-block. */
int rask_on_upcall(struct rask *s, const char *name, rask_upcall_fn function, void *user);

/** Room for an answer of up to `bytes` bytes, in shared memory; asking again replaces it. NULL: over the payload limit, or
 * the request slab is full (rask_last_error()). Inside the function only. no-block. */
void *rask_upcall_reserve(struct rask_upcall *upcall, size_t bytes);

/** The answer is the first `bytes` bytes of the room. Without it the answer is empty. Returns 0, -EINVAL more than reserved. */
int rask_upcall_reply(struct rask_upcall *upcall, size_t bytes);

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
