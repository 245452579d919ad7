/* SPDX-License-Identifier: MIT */
/* The handler's side of upcalls: host->extension(host, RASK_EXT_UPCALL). A handler asks the caller of its request for
 * something and waits for the answer. Other callers of this worker wait meanwhile. [worker] */
#ifndef RASK_EXT_UPCALL_H
#define RASK_EXT_UPCALL_H

#include <rask/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RASK_EXT_UPCALL "rask.upcall/1"

/** The caller's answer. The bytes are valid until the handler returns or makes its next upcall. A plugin without
 * RASK_PLUGIN_SHARED_REQUEST gets a private copy, as of requests. */
struct rask_upcall_reply {
    const void *data; /**< not NULL */
    size_t bytes;
    int code; /**< what the caller's function returned */
};

struct rask_upcall_host {
    uint32_t size;
    uint32_t reserved;

    /** Number of a name, the same everywhere: compute it once. */
    uint32_t (*method)(const char *name);

    /** Room for the request of an upcall, in shared memory: the caller reads it in place. Asking again replaces it. NULL: over
     * the payload limit, or no room. It has nothing to do with the room for the reply. Never blocks. */
    void *(*reserve)(struct rask_call *call, size_t bytes);

    /** Send the first `bytes` bytes of that room (0: nothing need be reserved), wait for the answer, fill *reply.
     * `timeout_ns` 0: the supervisor's --caller-timeout; the request's deadline and cancellation end it, too.
     * Returns 0; -ENOSYS the caller has no such function; -ETIMEDOUT it is stuck, or the deadline passed; -ECANCELED the
     * request was cancelled; -EPIPE the caller is gone; -EMSGSIZE its function had no room for the answer; -EINVAL more than was
     * reserved; -ENOMEM for a private copy; -EPROTO the caller answered nonsense. *reply is empty then. */
    int (*call)(struct rask_call *call, uint32_t method, size_t bytes, uint64_t timeout_ns,
                struct rask_upcall_reply *reply);
};

#ifdef __cplusplus
}
#endif

#endif
