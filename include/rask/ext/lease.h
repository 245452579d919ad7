/* SPDX-License-Identifier: MIT */
/* The handler's side of leases: host->extension(host, RASK_EXT_LEASE). A handler keeps the bytes of its request beyond its
 * reply and releases them later, in a later request or at the end. Neither enters the kernel. [worker] */
#ifndef RASK_EXT_LEASE_H
#define RASK_EXT_LEASE_H

#include <rask/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RASK_EXT_LEASE "rask.lease/1"

struct rask_lease {
    const void *
        data; /**< the request's bytes, readable until released; not always at call->request. The caller's own memory if the plugin copes with that */
    size_t bytes;
    uint64_t
        item; /**< of a stream: which item, from 0; otherwise a number that grows with each request of this caller to this worker */
    uint64_t id; /**< the host's */
};

struct rask_lease_host {
    uint32_t size;
    uint32_t reserved;

    /** Keep the request in hand; once per request. Returns 0; -EDQUOT this caller's RASK_LEASES_MAX or its bytes are used up;
     * -EALREADY; -ENOMEM. */
    int (*retain)(struct rask_call *call, struct rask_lease *lease);

    /** Give one back; data is NULL afterwards. Allowed inside any request, in on_close() and drain(). Twice is harmless. The bytes stay
     * readable until then, also when the caller is gone. */
    void (*release)(const struct rask_host *host, struct rask_lease *lease);

    /** Give back everything up to and including `item` of the stream in hand (outside a stream: of this caller's requests). Returns
     * how many leases ended. */
    uint32_t (*release_up_to)(struct rask_call *call, uint64_t item);
};

#ifdef __cplusplus
}
#endif

#endif
