/* SPDX-License-Identifier: MIT */
/* Streams: many items to one worker, in order, any number of answers, and an end that comes after all of them.
 *
 *   rask_stream_open -> rask_stream_reserve, write in place, rask_stream_submit   as fast as you like: see `policy`
 *                       or rask_stream_send, which copies
 *                    -> rask_stream_take or rask_stream_wait, read in place, rask_release
 *                    -> rask_stream_end: answers go on until everything sent was processed, then the end
 *   rask_stream_close
 *
 * A stream belongs to one worker from its first item on, and to the session's thread. Its handler is what the plugin serves
 * for the method (<rask/ext/stream.h>); a method without that is called once for each item, and each reply is an answer.
 * One request with many answers is a stream with one item: send, end, and take until the end.
 *
 * Answers come in the order in which the handler made them. An answer is a struct rask_completion: `user_data` is that of
 * the item it was made for, and rask_release() gives it back. They are not seen by rask_poll() and rask_wait_any(), but
 * these bring them in: a program with an event loop calls rask_poll() when rask_fd() is readable, and then takes from each
 * of its streams until it gets 0. Answers that are left untaken do not keep that descriptor readable.
 *
 * The backlog is what was sent and is not yet processed: one number, known to the producer (rask_stream_state()), to the
 * handler, and to `rask stats`. An item counts as processed when its handler has returned.
 *
 * An end comes exactly once: OK after rask_stream_end(), or HANDLER_ERROR and the like as on_open or on_end decided; CRASHED when the
 * worker died, TIMEOUT when it was killed for being late, with `processed` items that certainly were; CANCELLED after
 * rask_stream_cancel(); UNAVAILABLE, SHUTDOWN, OVERLOADED when supervisor, worker or memory went away. Nothing of a stream is
 * sent again to another worker once its worker may have seen it.
 *
 * All functions here are of the session thread. */
#ifndef RASK_STREAM_H
#define RASK_STREAM_H

#include <rask/client.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

/** Opaque. Ended by rask_stream_close() or with its session. */
struct rask_stream;

/** What rask_stream_reserve() and rask_stream_send() do when the backlog is at its limit. */
enum rask_stream_policy {
    RASK_STREAM_BLOCK = 0,       /**< wait until there is room */
    RASK_STREAM_FAIL = 1,        /**< -EAGAIN */
    RASK_STREAM_DROP_OLDEST = 2, /**< forget the oldest item that no handler has started; -EAGAIN if there is none */
    RASK_STREAM_DROP_NEWEST = 3  /**< forget the new one: they return 1 */
};

/** Flag of a stream: items follow each other, so a worker that sleeps is not woken for each, but with the next rask_flush(),
 * rask_poll(), rask_stream_take() or any function that waits, and with the end. A worker that is awake sees them at once. */
#define RASK_STREAM_MORE 1u

/** Options of a stream. Zero means the default of <rask/limits.h>. Start from RASK_STREAM_OPTIONS_INIT. */
struct rask_stream_options {
    uint32_t size;      /**< sizeof(struct rask_stream_options) */
    uint32_t policy;    /**< enum rask_stream_policy */
    uint32_t queue_max; /**< backlog in items, and as many answers that were not taken: 1..RASK_STREAM_QUEUE_MAX_LIMIT,
                                   0: RASK_STREAM_QUEUE_MAX_DEFAULT */
    uint32_t flags;     /**< RASK_STREAM_MORE or 0 */
    uint32_t
        worker; /**< 0: whichever has the least to do. n: the n-th of rask_info().workers, or, when that dies before it
                               saw any of the stream, its successor: for programs that spread their sessions themselves */
    uint32_t reserved0; /**< must be 0 */
    uint64_t
        queue_bytes_max; /**< backlog in bytes of memory that its items take: payload blocks (a power of four from 256);
                                   items of up to RASK_INLINE_BYTES take none. 0: RASK_STREAM_BYTES_MAX_DEFAULT */
    uint64_t reserved[2]; /**< must be 0 */
};
#define RASK_STREAM_OPTIONS_INIT RASK_SIZED(rask_stream_options)

/** Facts about a stream. */
struct rask_stream_state {
    uint32_t size;          /**< set to sizeof(struct rask_stream_state) before the call */
    uint32_t ended;         /**< 1: nothing more will come but the answers that wait */
    uint32_t status;        /**< once ended, enum rask_status */
    int32_t code;           /**< HANDLER_ERROR: what on_end returned; CRASHED: the signal, 0 if not known */
    uint64_t backlog;       /**< items sent and not yet processed */
    uint64_t backlog_bytes; /**< memory they take */
    uint64_t sent;          /**< items taken on from the caller, those dropped later included */
    uint64_t processed;     /**< items whose handler returned, certainly */
    uint64_t dropped;       /**< items forgotten by policy */
    uint64_t answers;       /**< answers that came so far */
    uint64_t waiting;       /**< of those, not taken yet */
};

/** Open a stream to `method`. `options` may be NULL. Nothing is sent before the first item or the end. On success *out is the
 * stream's owner's: close it with rask_stream_close().
 * Errors: -EINVAL no such method, or an option is out of range; -EAGAIN RASK_STREAMS_MAX streams of this session are
 * open; -ENOMEM; -ENOTCONN, -ESHUTDOWN as for rask_reserve(). no-block. */
int rask_stream_open(struct rask *s, uint32_t method, const struct rask_stream_options *options,
                     struct rask_stream **out);

/** Room for an item of up to `bytes` bytes, in shared memory. `deadline_ns` (absolute, 0: none) is for policy BLOCK.
 * The room is yours until it is sent or given back, or until the stream ends (rask_stream_state()): then it is another's.
 * Returns 0; or 1: the backlog is full and this item was dropped (DROP_NEWEST), nothing is reserved.
 * Errors: -EAGAIN the backlog is full (FAIL); or waiting would not help: as many answers as queue_max wait to be taken, or some
 * that keep half of slab_bytes_max, or the session's queue or slab is full, or all that fills the backlog is reserved: take answers
 * and release them; -ETIMEDOUT; -EINTR as for rask_wait(); -EMSGSIZE over the payload limit or over queue_bytes_max; -EPIPE the
 * stream has ended, or was told to: see rask_stream_state(); -EDEADLK inside an upcall of this stream's worker; -ENOMEM, -EMFILE.
 * Waits only with policy BLOCK. */
int rask_stream_reserve(struct rask_stream *stream, size_t bytes, uint64_t deadline_ns, struct rask_request *item);

/** An item of the same bytes as `held`, a reservation of rask_reserve() with this session: nothing is copied. `held` stays yours,
 * to read from and to send again, also to another stream; do not write to it while an item of it is on its way or leased. Its
 * memory is free when you have given it back (rask_abandon()) and every item of it has ended, leases included. So what a
 * worker held when it died is not lost. Submit the item as any other; its user_data is that of `held` unless you change it.
 * Returns and errors as for rask_stream_reserve(), and -EINVAL `held` is no such reservation. */
int rask_stream_reserve_same(struct rask_stream *stream, const struct rask_request *held, uint64_t deadline_ns,
                             struct rask_request *item);

/** Send a reserved item with its first `length` bytes. item->user_data is copied to its answers. To give it back instead,
 * use rask_abandon(). Errors: -EINVAL not a reservation of this stream; -EMSGSIZE; -EPIPE as above (the reservation is
 * gone then). no-block. */
int rask_stream_submit(struct rask_stream *stream, struct rask_request *item, size_t length);

/** Both at once, with a copy. Returns as rask_stream_reserve(). */
int rask_stream_send(struct rask_stream *stream, const void *data, size_t length, uint64_t user_data,
                     uint64_t deadline_ns);

/** No more items: the handler's on_end runs after all of them, then the stream ends. Twice is harmless. Returns 0, -EPIPE it
 * has ended otherwise. no-block. */
int rask_stream_end(struct rask_stream *stream);

/** Take up to `max` answers that are there now. Returns how many; 0: none now, or none ever (rask_stream_state() says).
 * no-block. */
int rask_stream_take(struct rask_stream *stream, struct rask_completion *out, uint32_t max);

/** The same, but waits until there is one or the stream has ended. Returns how many, 0: the stream has ended and every answer
 * was taken. Errors: -ETIMEDOUT past deadline_ns (absolute, 0: none); -ENODATA nothing was sent that could be answered;
 * -EINTR as for rask_wait(); -EDEADLK inside an
 * upcall of this stream's worker. */
int rask_stream_wait(struct rask_stream *stream, struct rask_completion *out, uint32_t max, uint64_t deadline_ns);

/** Stop early: what no handler has started never runs, one that runs sees rask_cancelled() and has the supervisor's
 * --kill-grace to return. Answers made so far still come, then the end (CANCELLED). Returns 0, also when it has ended. no-block. */
int rask_stream_cancel(struct rask_stream *stream);

/** Fill *state. -EINVAL if state->size is not one this library knows. no-block, no-syscall. */
int rask_stream_state(const struct rask_stream *stream, struct rask_stream_state *state);

/** Forget the stream: cancelled if it has not ended, answers not taken are released; those taken stay yours. NULL is
 * allowed. In a callback it may close the stream that is waited for: the function that waits returns -EPIPE. no-block. */
void rask_stream_close(struct rask_stream *stream);

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
