/* SPDX-License-Identifier: MIT */
/* The handler's side. A plugin is a shared object that exports one constant data symbol, `rask_plugin`, and links
 * against nothing: this header is all it needs. The host reads `abi` from the file before any code of the plugin runs.
 *
 * Life of a plugin in one worker process (always one thread, the worker's):
 *
 *   open(host, &state) -> handle(call) ... handle(call) -> drain(state) -> close(state)
 *
 * The tables below are frozen for RASK_PLUGIN_ABI; growth goes through host->extension("rask.<name>/<rev>").
 * Thread word: [worker] = called by, or to be called from, the worker's thread inside open, handle, drain or close. */
#ifndef RASK_PLUGIN_H
#define RASK_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Number of this contract. A plugin with another number is refused before its code runs. */
#define RASK_PLUGIN_ABI 1u

/** Plugin flag: the handlers cope with a request whose bytes the caller may change while they run (read each byte
 * once, or tolerate what comes). Without it the host hands over a private copy. Between users it is always a copy. */
#define RASK_PLUGIN_SHARED_REQUEST 0x1u

enum rask_log_level { RASK_LOG_ERROR = 3, RASK_LOG_WARNING = 4, RASK_LOG_INFO = 6, RASK_LOG_DEBUG = 7 };

struct rask_host;

/** One request being handled. Fields are set by the host; do not write them. Gone when the handler returns. */
struct rask_call {
    const struct rask_host *host;
    void *state;          /**< what open() stored */
    const void *request;  /**< the request's bytes; not NULL, at any alignment of 8 */
    size_t request_bytes; /**< 0 is allowed */
    uint64_t deadline_ns; /**< absolute CLOCK_MONOTONIC, 0: none */
};

/** What the host offers. All functions are [worker]. */
struct rask_host {
    uint32_t size; /**< sizeof(struct rask_host) of the host */
    uint32_t abi;

    /** Room for a response of up to `bytes` bytes, in memory that the caller maps, too: it reads a large one there. A caller of
     * the same user may be able to write to it: do not rely on what you read back. Asking again
     * replaces the earlier room (its contents are lost). NULL if it is over the limit or there is no room: return any
     * error then; the caller sees RASK_REPLY_TOO_LARGE. Never blocks, but in a stream (<rask/ext/stream.h>): there it waits
     * until its caller has released answers, at most the supervisor's --caller-timeout. */
    void *(*reserve)(struct rask_call *call, size_t bytes);

    /** The response is the first `bytes` bytes of what was reserved. Returns 0, or -EINVAL when that is more than was
     * reserved. A handler that never replies answers with an empty response. */
    int (*reply)(struct rask_call *call, size_t bytes);

    /** 1 if the caller asked to stop or the deadline passed; a handler that stops for it returns -ECANCELED. */
    int (*cancelled)(struct rask_call *call);

    /** One line to the supervisor's standard error, printf style. `level` is enum rask_log_level. */
    void (*log)(const struct rask_host *host, int level, const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 3, 4)))
#endif
        ;

    /** Value given with --set KEY=VALUE, or NULL. `key` must be among config_keys. Valid until close() returns. */
    const char *(*config)(const struct rask_host *host, const char *key);

    /** CLOCK_MONOTONIC now, in ns. */
    uint64_t (*now_ns)(void);

    /** A table of further functions by id, such as "rask.stream/1", or NULL when this host has none of that name. */
    const void *(*extension)(const struct rask_host *host, const char *id);
};

/** Handles one request. Returns 0 for success; any other value reaches the caller as RASK_HANDLER_ERROR with that code
 * (and with the response, if one was made). -ECANCELED after cancelled() said 1 reaches it as RASK_ABORTED. */
typedef int (*rask_handle_fn)(struct rask_call *call);

struct rask_method {
    const char *name; /**< 1..47 bytes of [A-Za-z0-9._-] */
    rask_handle_fn handle;
    uint32_t flags;      /**< must be 0 */
    const char *summary; /**< what goes in and what comes out, for `rask methods`; may be NULL */
};

/** What the symbol `rask_plugin` holds. */
struct rask_plugin {
    uint32_t abi;  /**< RASK_PLUGIN_ABI; must stay first */
    uint32_t size; /**< sizeof(struct rask_plugin) */
    uint32_t flags;
    uint32_t method_count; /**< 1..256 */
    const char *name;
    const char *version;
    const struct rask_method *methods;
    const char *const *config_keys; /**< keys that --set may name, NULL-terminated; NULL: none */

    /** Once per worker, before the first request. Store what the handlers need in *state. Returns 0, or another value
     * to refuse to start (log why first). May be NULL. Bounded by the supervisor's start timeout. */
    int (*open)(const struct rask_host *host, void **state);
    /** No further requests will come; finish what was put off. May be NULL. */
    void (*drain)(void *state);
    /** Free *state. Not called when the worker is killed. May be NULL. */
    void (*close)(void *state);
};

#if defined(__GNUC__)
#define RASK_EXPORT __attribute__((visibility("default"), used))
#else
#define RASK_EXPORT
#endif

#ifdef __cplusplus
#define RASK_PLUGIN_SYMBOL extern "C" RASK_EXPORT const struct rask_plugin rask_plugin
#else
#define RASK_PLUGIN_SYMBOL                       \
    extern const struct rask_plugin rask_plugin; \
    RASK_EXPORT const struct rask_plugin rask_plugin
#endif

/** The whole declaration of a plugin without open, close or configuration. `method_table` must be an array. */
#define RASK_PLUGIN(plugin_name, plugin_version, plugin_flags, method_table)            \
    RASK_PLUGIN_SYMBOL = {RASK_PLUGIN_ABI,                                              \
                          (uint32_t)sizeof(struct rask_plugin),                         \
                          (plugin_flags),                                               \
                          (uint32_t)(sizeof(method_table) / sizeof((method_table)[0])), \
                          (plugin_name),                                                \
                          (plugin_version),                                             \
                          (method_table),                                               \
                          NULL,                                                         \
                          NULL,                                                         \
                          NULL,                                                         \
                          NULL}

/** Shorthands for the host's functions. [worker] */
static inline void *rask_reserve_reply(struct rask_call *call, size_t bytes)
{
    return call->host->reserve(call, bytes);
}
static inline int rask_reply(struct rask_call *call, size_t bytes)
{
    return call->host->reply(call, bytes);
}
static inline int rask_cancelled(struct rask_call *call)
{
    return call->host->cancelled(call);
}

#ifdef __cplusplus
}
#endif

#endif
