/* SPDX-License-Identifier: MIT */
/* The caller's side: open a session, send requests, take responses.
 *
 *   rask_connect / rask_spawn -> rask_call                                  one at a time
 *                             -> rask_reserve, write in place, rask_submit  many in flight, no copy
 *                                rask_poll or rask_wait, read in place, rask_release
 *                             -> rask_request                               the same, as two callbacks
 *   rask_close
 *
 * Thread words used below:
 *   any thread      may be called from any thread at any time
 *   session thread  one thread at a time may use one `struct rask`; another thread opens another
 *                   session (rask_clone), which is cheap
 * Other tags: no-block (never waits), no-syscall (enters the kernel only to wake a sleeping peer).
 *
 * Functions that return int return 0 or a count, or a negative errno. rask_strerror() explains the
 * number, rask_last_error() the case at hand. After fork() the child's copy of a session is dead: every
 * function that returns int returns -EOWNERDEAD there and leaves the parent's session alone; rask_close() frees the copy. */
#ifndef RASK_CLIENT_H
#define RASK_CLIENT_H

#include <rask/limits.h>
#include <rask/status.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

/** A session with one supervisor. Opaque; belongs to one thread at a time. */
struct rask;

/** How a party waits for the other. */
enum rask_wait_mode {
    RASK_WAIT_DEFAULT = 0, /**< RASK_WAIT in the environment, else hybrid */
    RASK_WAIT_SPIN = 1,    /**< burn a core, never sleep: lowest latency */
    RASK_WAIT_HYBRID = 2,  /**< spin for a budget, then sleep */
    RASK_WAIT_PARK = 3     /**< sleep at once: no processor time while waiting */
};

/** Flag of a session: a signal handler that runs while rask_wait() or rask_wait_any() sleeps makes it return -EINTR.
 * Without it signals are invisible. A signal that comes before the sleep, or while it spins, is not noticed: set the
 * deadline that you can live with, or wait on rask's descriptor with ppoll(2), if a signal must not be missed. */
#define RASK_OPTION_INTERRUPTIBLE 1u

/** The value of a struct in which everything is 0 but its size. (C++17 has no designated initializers.) */
#ifdef __cplusplus
#define RASK_SIZED(type)                                             \
    [] {                                                             \
        struct type rask_sized = {};                                 \
        rask_sized.size = static_cast<uint32_t>(sizeof(rask_sized)); \
        return rask_sized;                                           \
    }()
#else
#define RASK_SIZED(type)                       \
    {                                          \
        .size = (uint32_t)sizeof(struct type), \
    }
#endif

/** Session options. Zero means the default of <rask/limits.h>. Set `size`, or start from RASK_OPTIONS_INIT. */
struct rask_options {
    uint32_t size;       /**< sizeof(struct rask_options) */
    uint32_t flags;      /**< RASK_OPTION_* */
    uint32_t wait_mode;  /**< enum rask_wait_mode */
    uint32_t ring_slots; /**< per lane, a power of two, RASK_RING_SLOTS_MIN..MAX */
    uint32_t queue_max;  /**< requests in all, 1..RASK_QUEUE_MAX_LIMIT. Each takes 2 KiB of address space (the first
                                      65536 of them), which is memory only once it was used */
    uint32_t payload_bytes_max;  /**< largest request or response, RASK_BLOCK_BYTES_MIN..RASK_PAYLOAD_BYTES_MAX_LIMIT */
    uint64_t slab_bytes;         /**< request slab of the session and response slab of each lane, at the start */
    uint64_t slab_bytes_max;     /**< cap of each of them with the extra segments */
    uint64_t connect_timeout_ns; /**< how long to wait for a worker that serves */
    uint64_t reserved[4];        /**< must be 0 */
};
#define RASK_OPTIONS_INIT RASK_SIZED(rask_options)

/** Options of a private supervisor. */
struct rask_spawn_options {
    uint32_t size;               /**< sizeof(struct rask_spawn_options) */
    uint32_t flags;              /**< must be 0 */
    const char *plugin;          /**< path, or name looked up by `rask run`; required */
    const char *program;         /**< path of the `rask` binary; NULL: RASK_BIN, the installed path, then PATH */
    const char *const *settings; /**< "KEY=VALUE" strings for the plugin, NULL-terminated; or NULL */
    uint32_t workers;            /**< 0: one */
    uint32_t wait_mode;          /**< of the workers, enum rask_wait_mode */
    const char *pin_workers; /**< processors for the workers, "2,3": worker i gets entry i modulo the count; or NULL */
    uint64_t reserved[4];    /**< must be 0 */
};
#define RASK_SPAWN_OPTIONS_INIT RASK_SIZED(rask_spawn_options)

/** Connect to the supervisor that listens on `path` (NULL: the default socket, see rask_default_socket(); refused when its
 * folder belongs to somebody else. A path that is named may be another user's: that user then sees the requests).
 * Waits until a worker serves, at most options->connect_timeout_ns. On success *out owns the session;
 * close it with rask_close(). On failure *out is NULL.
 * Errors: -ENOENT, -ECONNREFUSED no supervisor there (start one); -EACCES the supervisor does not let
 * this user in (its --allow-uid), -EPERM the default socket's folder is somebody else's (name the socket); -EPROTO,
 * -EPROTONOSUPPORT the peer speaks another version or sent nonsense (update the older one); -EBUSY the supervisor
 * is full (later); -ENOEXEC its plugin does not load (fix the plugin); -ESHUTDOWN it is shutting down;
 * -ETIMEDOUT no worker served in time; -EINVAL an option is out of range; -ENOMEM, -EMFILE. any thread. */
int rask_connect(struct rask **out, const char *path, const struct rask_options *options);

/** Start a private supervisor with its workers and connect to it. It ends when the last session with it closes, also
 * when this process dies. The program is `spawn->program`, else $RASK_BIN, the compiled-in path, else `rask` in PATH.
 * Errors: those of rask_connect(), and -ENOENT when the program is not found (rask_last_error() lists where it was
 * looked for). The strings are copied. any thread; safe in a program with threads (posix_spawn). */
int rask_spawn(struct rask **out, const struct rask_spawn_options *spawn, const struct rask_options *options);

/** Open another session with the same supervisor and the same options, for another thread.
 * Errors: those of rask_connect(). session thread of `s`; the new session may then move to another thread. */
int rask_clone(struct rask *s, struct rask **out);

/** After the supervisor went away (-ENOTCONN, RASK_UNAVAILABLE, RASK_SHUTDOWN): attach to its successor on the same path.
 * Requests of the old connection end first, each with its own status; poll for them before or after.
 * Completions not yet released stay readable. Method ids may have changed: look them up again.
 * Errors: those of rask_connect(), the session then stays disconnected and this may be called again; -ENOTSUP for a
 * session of rask_spawn(); -EALREADY while still connected; -EBUSY a function that answers an upcall runs. session
 * thread. */
int rask_reconnect(struct rask *s);

/** Close the session and free everything that belongs to it, completions not yet released included. Requests not yet
 * finished are abandoned: no completion will be seen. For rask_spawn() the supervisor is waited for (at most 2 s, then
 * killed). NULL is allowed. session thread. */
void rask_close(struct rask *s);

/** Id of a method by name, or -ENOENT. no-block, no-syscall, session thread. */
int rask_method(const struct rask *s, const char *name);

/** Name and one-line summary of method `id`, NULL past the last one. Valid until rask_close() or
 * rask_reconnect(). no-block, session thread. */
const char *rask_method_name(const struct rask *s, uint32_t id);
const char *rask_method_summary(const struct rask *s, uint32_t id);

/** Facts about a session. */
struct rask_info {
    uint32_t size;             /**< set to sizeof(struct rask_info) before the call */
    uint32_t workers;          /**< workers of the supervisor */
    uint32_t lanes_open;       /**< workers this session is connected to just now */
    uint32_t wait_mode;        /**< of this session */
    uint32_t worker_wait_mode; /**< of the workers */
    uint32_t
        spin_budget_ns; /**< of this session: how long it spins before it sleeps; 0 for park, UINT32_MAX for spin */
    uint32_t payload_bytes_max; /**< largest request or response */
    uint32_t supervisor_pid;
    char plugin[48]; /**< name the plugin gives itself */
    char plugin_version[32];
    char engine[16]; /**< of the supervisor: "uring" or "classic" */
    /** "membarrier"; "fence" when a side lacks it; "fence (parks)" while this session sleeps often; "fence-only" for comparison */
    char barrier[16];
    uint64_t bytes_mapped;   /**< shared memory of this session */
    uint64_t rescues;        /**< waits that ended by time-out although something was there: should be 0 */
    uint64_t parks;          /**< waits that slept in the kernel */
    uint64_t requests;       /**< submitted so far */
    uint64_t moved;          /**< retracted from one worker and given to another */
    uint32_t streams;        /**< open just now */
    uint32_t leases;         /**< requests that ended and whose bytes workers keep */
    uint64_t stream_backlog; /**< items sent and not yet processed, of all streams */
    uint64_t leased_bytes;   /**< memory that leases take */
};

/** Fill *info. -EINVAL if info->size is not one this library knows. no-block, session thread. */
int rask_info(const struct rask *s, struct rask_info *info);

/** A request being written. */
struct rask_request {
    void *data;         /**< write here, at most `capacity` bytes; shared memory when capacity > RASK_INLINE_BYTES */
    size_t capacity;    /**< at least what was asked for */
    uint64_t ticket;    /**< identifies the request until its completion is released */
    uint64_t user_data; /**< yours; copied to the completion */
};

/** Flag of a request: another submission follows right away, so wake workers that sleep together with its. The request is sent at
 * once; a worker that is awake sees it at once. The wakes leave, in one system call for all of them, with the next
 * rask_submit() without the flag, and at the latest with rask_flush(), rask_poll() or any function that waits. */
#define RASK_SUBMIT_MORE 1u

/** Flag of a request: to run its handler more than once does no harm. If its worker dies inside, it is sent again, to another
 * worker, up to retries_max times, and the caller sees one completion. Once it was possibly started, `executed` is never `no`:
 * an end that usually means `no` (UNAVAILABLE, EXPIRED, ...) then says `maybe`. A request that ran out of time is not sent
 * again. */
#define RASK_REQUEST_IDEMPOTENT 2u

/** Options of one request. */
struct rask_request_options {
    uint32_t size;  /**< sizeof(struct rask_request_options) */
    uint32_t flags; /**< RASK_SUBMIT_MORE, RASK_REQUEST_IDEMPOTENT */
    uint64_t
        deadline_ns; /**< absolute, CLOCK_MONOTONIC; 0: none, and then neither side reads a clock for it. A handler that
                               is still in the request then is asked to stop, and its worker killed a little later
                               (`rask run --kill-grace`) */
    uint64_t key; /**< 0: none. Requests of this session with the same key go to one worker, in the order in which they
                       were submitted, also when they move because that worker died. They go to another worker only when
                       none of them is in flight, not even one that timed out and may still run. At most RASK_KEYS_MAX keys
                       in flight at a time */
    uint32_t retries_max; /**< with RASK_REQUEST_IDEMPOTENT: 1..RASK_RETRIES_MAX, 0: RASK_RETRIES_DEFAULT; else 0 */
    uint32_t reserved0;   /**< must be 0 */
    uint64_t reserved[2]; /**< must be 0 */
};
#define RASK_REQUEST_OPTIONS_INIT RASK_SIZED(rask_request_options)

/** How a request ended. Owned by the session: valid until rask_release(). */
struct rask_completion {
    uint64_t ticket;
    uint64_t user_data;
    const void *
        data; /**< the response, in place, or up to 1920 bytes of one in a copy of the library's; never NULL when length > 0.
                           A worker that misbehaves may still change it when length > RASK_INLINE_BYTES: read each byte
                           once, or copy first, if that matters */
    uint32_t length;   /**< bytes */
    uint32_t status;   /**< enum rask_status */
    int32_t code;      /**< HANDLER_ERROR: what the handler returned; CRASHED: the signal; otherwise 0 */
    uint32_t executed; /**< enum rask_executed */
};

/** Reserve room for a request of up to `bytes` bytes (0 is fine). Until rask_submit() or rask_abandon() the room is yours.
 * Errors: -EMSGSIZE over the payload limit (raise payload_bytes_max); -EAGAIN the queue or the slab is full: take and
 * release completions, then try again (or raise queue_max, slab_bytes_max); -ENOTCONN the supervisor is gone
 * (rask_reconnect()); -ESHUTDOWN it is draining; -ENOMEM, -EMFILE while adding an extra segment.
 * no-block; no-syscall unless a segment is added; session thread. */
int rask_reserve(struct rask *s, size_t bytes, struct rask_request *request);

/** Send a reserved request to `method` with its first `length` bytes. `options` may be NULL.
 * Afterwards request->data must not be touched. The request will end exactly once: see rask_poll().
 * Errors (the reservation stays yours): -EINVAL bad method, options or a request that is not reserved; -EMSGSIZE
 * length over the capacity; -EAGAIN RASK_KEYS_MAX other keys are in flight: take completions first; -ENOMEM at the first
 * request with a key; -ENOTCONN, -ESHUTDOWN as above. no-block, no-syscall, session thread. */
int rask_submit(struct rask *s, struct rask_request *request, uint32_t method, size_t length,
                const struct rask_request_options *options);

/** Wake the workers of requests that were submitted with RASK_SUBMIT_MORE. Returns 0. no-block, session thread. */
int rask_flush(struct rask *s);

/** Give a reservation back. Errors: -EINVAL not reserved. no-block, no-syscall, session thread. */
int rask_abandon(struct rask *s, struct rask_request *request);

/** Take up to `max` completions that are there now, and run the callbacks of rask_request() that are due.
 * Returns how many were written to `out`; with max = 0 only callbacks run. Each must be given to rask_release().
 * Completions of other workers come in any order. no-block, session thread. */
int rask_poll(struct rask *s, struct rask_completion *out, uint32_t max);

/** As rask_poll(), but waits until there is at least one completion or one callback ran. With 24 or more in
 * flight at a worker it may hand over only a third of them, at most 34, and leave what else is there for the next call: a
 * caller that sends others in between keeps the worker busy.
 * deadline_ns: absolute CLOCK_MONOTONIC, 0 for none. Returns the count (0: only callbacks ran, or a stream
 * went on).
 * Errors: -ETIMEDOUT; -EINTR (only with RASK_OPTION_INTERRUPTIBLE) a signal came: call again; -ENODATA nothing is in
 * flight, so nothing can come. session thread. */
int rask_wait_any(struct rask *s, struct rask_completion *out, uint32_t max, uint64_t deadline_ns);

/** Wait for one ticket. Completions of others are kept for later.
 * Errors: -ETIMEDOUT past deadline_ns (absolute, 0 for none), the request goes on; -EINTR (only with
 * RASK_OPTION_INTERRUPTIBLE) a signal came, the request goes on; -EINVAL not a ticket in flight
 * (never submitted, already taken, of a callback, or an item of a stream). session thread. */
int rask_wait(struct rask *s, uint64_t ticket, uint64_t deadline_ns, struct rask_completion *out);

/** Give a completion back; its data is gone afterwards. Releasing twice is harmless. no-block, no-syscall, session thread. */
void rask_release(struct rask *s, struct rask_completion *completion);

/** A descriptor for the program's own event loop: readable while rask_poll() has something to do, be it completions,
 * callbacks, a deadline that passed, a worker or the supervisor that died. The same number for the life of the session,
 * rask_reconnect() included; it belongs to the session and goes with rask_close(). Watch it, do nothing else with it. Before the
 * first call nothing of it exists: no descriptor, no thread, no system call.
 *
 * The protocol is the same for every loop, in the session's thread: watch it for reading, level-triggered; when it is
 * readable, call rask_poll() until it returns less than asked for. Submit whenever you like. It starts readable, so the first
 * rask_poll() comes by itself. It stays readable until a rask_poll() that returned 0 found nothing at all: a program that
 * polls only once per event, or leaves completions for later, is called again and loses nothing.
 *   poll      {.fd = rask_fd(s), .events = POLLIN}
 *   epoll     EPOLLIN, without EPOLLET. With EPOLLET: poll until 0, never less
 *   libuv     uv_poll_init(loop, &handle, rask_fd(s)), uv_poll_start(&handle, UV_READABLE, on_readable)
 *   libev     ev_io_init(&watcher, on_readable, rask_fd(s), EV_READ), ev_io_start(loop, &watcher)
 * Stop watching before rask_close(). docs/event-loops.md has the details and what it costs.
 *
 * Other functions may be used in between; one that waits (rask_call(), rask_wait()) makes it readable, so that the loop comes
 * back. A session that moves to another thread must be polled there once before that thread's loop sleeps. After fork() it is of
 * no use in the child. Errors: -EMFILE, -ENOMEM; -ENOTCONN not attached (rask_reconnect()); -EINVAL the session waits by
 * rask_prep_wait() of <rask/uring.h>; the errno of io_uring set-up where RASK_ENGINE=uring demands it; -EAGAIN no helper
 * thread can be had. no-block, session thread. */
int rask_fd(struct rask *s);

/** Ask that a request be stopped. Its completion still comes: RASK_CANCELLED when it had not started; otherwise as the
 * handler decides when it looks at the cancel flag. A handler that goes on for longer than the supervisor's --kill-grace ends
 * with its worker: RASK_ABORTED. Errors: -EINVAL not in flight, or an item of a stream: rask_stream_cancel(). no-block, session thread. */
int rask_cancel(struct rask *s, uint64_t ticket);

/** Requests submitted whose completion has not been taken yet. no-block, no-syscall, session thread. */
uint32_t rask_pending(const struct rask *s);

/** Call and wait: copy `length` bytes in, send, wait at most `timeout_ns` from now (0: for ever).
 * *out is always filled, and must be released with rask_release() also on failure.
 * Returns 0 for RASK_OK. Otherwise -rask_status_errno(out->status); look at out->status, code and executed for what
 * happened. A full queue is waited for, within the timeout. Signals do not end it, whatever the session's flags: give
 * it a timeout, or submit and rask_wait(). -EMSGSIZE as for rask_reserve(). session thread. */
int rask_call(struct rask *s, uint32_t method, const void *data, size_t length, uint64_t timeout_ns,
              struct rask_completion *out);

/** Writes a request where it is sent from. `buffer` has `capacity` bytes, exactly what was asked for: the library never sends more.
 * Returns the bytes written, or a negative errno to give up (nothing is sent). A return over `capacity`, or
 * one that is no errno, is refused with -EOVERFLOW and nothing is sent. */
typedef int64_t (*rask_write_fn)(void *buffer, size_t capacity, void *user);

/** Reads a response where it is: see rask_completion.data. The completion is released by the library when this returns.
 * May call any function on the session but rask_close(). Runs inside rask_poll(), rask_wait(), rask_wait_any() or rask_call(). */
typedef void (*rask_read_fn)(const struct rask_completion *completion, void *user);

/** Callback style: reserve `capacity` bytes, let `write` fill them straight in shared memory (NULL: empty request),
 * submit, and have `read` see the response when it is there. `options` may be NULL.
 * Errors: those of rask_reserve() and rask_submit(), what `write` returned, -EOVERFLOW; then `read` will not run.
 * session thread. */
int rask_request(struct rask *s, uint32_t method, size_t capacity, rask_write_fn write, rask_read_fn read, void *user,
                 const struct rask_request_options *options);

/** CLOCK_MONOTONIC now, in ns: add a duration to make a deadline. any thread, signal-safe. */
uint64_t rask_now_ns(void);

/** The file to which the supervisor saves the last crash that ended a request of this session (RASK_CRASHED), for
 * `rask replay`. It is complete a few milliseconds after the completion. Empty when there was none, when nothing is saved, or
 * when the path has over 255 bytes. Valid until the next call with this session. session thread, no-block. */
const char *rask_crash_file(const struct rask *s);

/** The socket used when none is named: /run/rask/default.sock for root, else $XDG_RUNTIME_DIR/rask/default.sock, else
 * /tmp/rask-UID/default.sock. Writes at most `bytes` bytes; -ENAMETOOLONG if it does not fit. any thread. */
int rask_default_socket(char *buffer, size_t bytes);

/** What the last librask call that failed in this thread had to say: the value, the name, the path, what to do.
 * Empty if there is nothing to add. Valid until the next failing call in this thread. any thread. */
const char *rask_last_error(void);

#ifdef __cplusplus
}
#endif
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
