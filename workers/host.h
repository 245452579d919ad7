/* SPDX-License-Identifier: MIT */
/* The table a plugin gets (struct rask_host), and one request in the hands of a handler. */
#ifndef RK_HOST_H
#define RK_HOST_H

#include "layout.h"
#include <rask/limits.h>
#include <rask/plugin.h>
#include <stdbool.h>

struct rk_served;
struct rk_worker;

/** One plugin's host. `table` is what the plugin sees. */
struct rk_host {
    struct rask_host table;
    char prefix[80];             /* starts every log line */
    const char *const *settings; /* "KEY=VALUE", NULL-terminated, or NULL; not owned */
    struct rk_worker *worker;    /* NULL: none behind it */
};

/** Fill in the table. Without a worker behind it (`rask check`) only log, config and now_ns are of use. */
void rk_host_init(struct rk_host *host, const char *prefix, const char *const *settings);

/** The request in a worker's hands; there is one per worker. The host's functions find it from the struct rask_call inside. */
struct rk_handling {
    struct rask_call call; /* first: what the handler sees */
    struct rk_served *served;
    const uint8_t *cancel;   /* the slot's mark, in the client's memory */
    const uint64_t *epoch;   /* of the status page, set once; NULL: no worker behind it */
    const uint64_t *stop;    /* which epoch the supervisor wants to end; set once */
    uint32_t ticket;         /* goes back with the response */
    uint32_t block;          /* response block, RK_BLOCK_NONE: inline */
    uint32_t reserved_bytes; /* room the handler may fill; over the inline size without a block: it is in the pair */
    uint32_t pair_room;      /* a reply of at most so many bytes may lie in the pair */
    const void *whole;       /* a request over the inline size: in the client's block, wherever call.request is */
    size_t wanted_bytes;     /* while it waits for room */
    uint32_t replied_bytes;  /* length of the response */
    uint16_t method;
    uint16_t stream;    /* number of its stream, unless it is a call */
    uint8_t kind;       /* enum rk_request_kind */
    bool takes_upcalls; /* the caller answers them */
    bool too_large;     /* the last reservation was refused */
    bool asked_to_stop; /* cancelled() said 1 */
    bool replied;       /* of a stream: there is an answer */
    bool asks;          /* room for an upcall was reserved */
    bool retained;      /* it is leased, */
    uint32_t lease;     /* and the client is told so, unless RK_HANDLING_NO_LEASE */
    uint32_t lease_generation;
    struct rk_worker *worker; /* set once; NULL: none behind it */
    /* A short reply to a client of another user, until it is published: see rk_served_reserve(). */
    uint8_t apart[RASK_INLINE_BYTES] __attribute__((aligned(8)));
};
#define RK_HANDLING_NO_LEASE UINT32_MAX

/** Is it to stop: by mark or by the supervisor? Notes it. The deadline is not looked at. */
bool rk_handling_stops(struct rk_handling *handling);

#endif
