/* SPDX-License-Identifier: MIT */
/* The handler's side of streams: host->extension(host, RASK_EXT_STREAM). [worker] for all of it.
 *
 *   on_open -> on_item ... on_item -> on_end -> on_close      a stream that was ended
 *   on_open -> on_item ...        -> on_close                 one that was cancelled, or whose caller is gone
 *
 * Several streams may be open at a time, each with what its on_open() stored. Within one, everything happens in order. */
#ifndef RASK_EXT_STREAM_H
#define RASK_EXT_STREAM_H

#include <rask/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RASK_EXT_STREAM "rask.stream/1"

/** What a plugin does with the streams of one method. `call->request` is the item; empty in on_open and on_end. A reply
 * (rask_reserve_reply, rask_reply) is an answer to the item; without one there is no answer, unless the return value is not
 * 0: then the caller gets an answer HANDLER_ERROR with that code, and the stream goes on. */
struct rask_stream_handlers {
    uint32_t size; /**< sizeof(struct rask_stream_handlers) */
    uint32_t reserved;
    /** A caller has opened a stream. Store what belongs to it in *stream. Another value than 0 refuses: every item ends
     * unprocessed and the stream's end is HANDLER_ERROR with that code. May be NULL. */
    int (*on_open)(struct rask_call *call, void **stream);
    /** One item. Required. */
    int (*on_item)(struct rask_call *call, void *stream);
    /** The caller has sent everything, and everything was processed. Answer what is left (emit, or one reply). What it
     * returns becomes the stream's end: 0: OK. May be NULL. */
    int (*on_end)(struct rask_call *call, void *stream);
    /** Always the last, exactly once if on_open returned 0 and the worker lives: free what on_open() made. `state` is the
     * plugin's. May be NULL. */
    void (*on_close)(void *stream, void *state);
};

struct rask_stream_host {
    uint32_t size;
    uint32_t reserved;

    /** Serve streams of `method`, which is one of the plugin's table. In open() only; *handlers must stay. A method without
     * this is called once for each item, as if it were a request. Returns 0, -ENOENT no such method, -EINVAL. */
    int (*serve)(const struct rask_host *host, const char *method, const struct rask_stream_handlers *handlers);

    /** Send the first `bytes` bytes of what rask_reserve_reply() gave as an answer of its own: the caller sees it while the
     * handler goes on. The room is gone afterwards. Any number of times. Waits while the caller has
     * RASK_EMITS_MAX answers of this worker before it, at most the supervisor's --caller-timeout.
     * Returns 0; -ENOTSUP the request is not of a stream: its caller takes one reply; -EINVAL more than was reserved;
     * -ETIMEDOUT the caller does not take them; -ECANCELED it wants no more; -EPIPE it is gone. */
    int (*emit)(struct rask_call *call, size_t bytes);

    /** Items of this stream that were sent and not processed, the one in hand included; 0 outside a stream. */
    uint64_t (*backlog)(struct rask_call *call);
};

#ifdef __cplusplus
}
#endif

#endif
