/* SPDX-License-Identifier: MIT */
/* Every default and bound a user can meet, with its unit in its name. */
#ifndef RASK_LIMITS_H
#define RASK_LIMITS_H

#include <stdint.h> /* a file with nothing but macros is no translation unit of ISO C */

/* A payload of up to this many bytes travels inside the request or response slot itself: one cache
 * line each way and no slab block. */
#define RASK_INLINE_BYTES 32u

/* Slots of one lane's request ring and of its response ring; a power of two. */
#define RASK_RING_SLOTS_DEFAULT 256u
#define RASK_RING_SLOTS_MIN 8u
#define RASK_RING_SLOTS_MAX 4096u

/* Largest request or response. Past it: -EMSGSIZE (request) or RASK_REPLY_TOO_LARGE (response). */
#define RASK_PAYLOAD_BYTES_MAX_DEFAULT (16u << 20)
#define RASK_PAYLOAD_BYTES_MAX_LIMIT (256u << 20)

/* Smallest and largest block of a slab; the classes grow by a factor of four. */
#define RASK_BLOCK_BYTES_MIN 256u
#define RASK_BLOCK_BYTES_MAX (256u << 20)

/* Slab that a segment starts with. More is added in extra segments when first needed, up to the cap. */
#define RASK_SLAB_BYTES_DEFAULT (256u << 10)
#define RASK_SLAB_BYTES_MIN (64u << 10)
#define RASK_SLAB_BYTES_LIMIT (1u << 30)
#define RASK_SLAB_BYTES_MAX_DEFAULT (128ull << 20)
#define RASK_SLAB_BYTES_MAX_LIMIT (4ull << 30)

/* Requests of one session that are reserved, queued, running or not yet released. */
#define RASK_QUEUE_MAX_DEFAULT 4096u
#define RASK_QUEUE_MAX_LIMIT (1u << 20)

/* How often an idempotent request is sent again after its worker died, unless its options say otherwise; and the most they
 * may say. */
#define RASK_RETRIES_DEFAULT 1u
#define RASK_RETRIES_MAX 16u

/* Keys of one session that have requests in flight at the same time. */
#define RASK_KEYS_MAX 1024u

/* Streams of one session that are open at the same time; their backlog, unless options say otherwise, and the most they may
 * say; answers that a handler may emit before its caller has taken in the first. */
#define RASK_STREAMS_MAX 64u
#define RASK_STREAM_QUEUE_MAX_DEFAULT 256u
#define RASK_STREAM_QUEUE_MAX_LIMIT (1u << 19)
#define RASK_STREAM_BYTES_MAX_DEFAULT (32ull << 20)
#define RASK_EMITS_MAX 64u

/* Names under which one session answers upcalls, and how long a handler waits for its caller unless it says otherwise. */
#define RASK_UPCALLS_MAX 64u
#define RASK_CALLER_TIMEOUT_NS_DEFAULT 5000000000ull

/* Requests of one session whose bytes one worker may keep at the same time. */
#define RASK_LEASES_MAX 256u

/* Poisoned requests that are remembered for one user, and of all users of a supervisor. Past the first the one that was
 * heard of least recently is forgotten, past the second no other is added. */
#define RASK_POISONS_PER_USER_MAX 64u
#define RASK_POISONS_MAX 256u

/* Workers of one supervisor, sessions of one supervisor. A sleeping worker waits for all its sessions and for its
 * supervisor at once. One futex_waitv takes 128 words; more need several FUTEX_WAITV requests of io_uring (Linux 6.7). So a
 * supervisor on the classic engine, or on an older kernel, takes fewer sessions and refuses the next one in words. */
#define RASK_WORKERS_MAX 256u
#define RASK_SESSIONS_MAX 1024u
#define RASK_SESSIONS_MAX_CLASSIC 127u

/* A plugin's tables. Lengths count bytes without the terminating zero. */
#define RASK_METHODS_MAX 256u
#define RASK_METHOD_NAME_BYTES_MAX 47u
#define RASK_METHOD_SUMMARY_BYTES_MAX 79u
#define RASK_PLUGIN_NAME_BYTES_MAX 47u
#define RASK_PLUGIN_VERSION_BYTES_MAX 31u

/* How long rask_connect() and rask_spawn() wait for a worker that serves. */
#define RASK_CONNECT_TIMEOUT_NS_DEFAULT 5000000000ull

#endif
