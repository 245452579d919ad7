/* SPDX-License-Identifier: MIT */
/* The work of `rask stream`: items from a descriptor into a stream, its answers to another one, until the stream's end. One
 * thread sleeps in one poll() for input, answers, room for output and signals at once; nothing else in here waits. */
#ifndef RK_PUMP_H
#define RK_PUMP_H

#include "curve.h"
#include "items.h"
#include "outlet.h"
#include <rask/client.h>
#include <rask/stream.h>

/** Failed items that are told of one by one. */
#define RK_PUMP_FAILED_TOLD_MAX 8u

/** What happens when the backlog is at its limit, and the policy of the stream by which it is done. */
enum rk_pump_policy {
    RK_PUMP_BLOCK,       /* RASK_STREAM_FAIL: the item waits in here, and answers come meanwhile */
    RK_PUMP_FAIL,        /* RASK_STREAM_FAIL: no more is read */
    RK_PUMP_DROP_OLDEST, /* RASK_STREAM_DROP_OLDEST */
    RK_PUMP_DROP_NEWEST, /* RASK_STREAM_DROP_NEWEST */
    RK_PUMP_POLICIES
};

struct rk_pump {
    /* Filled in by the caller; the rest is zero. */
    struct rask *session;
    struct rask_stream *stream;
    struct rk_items items;
    struct rk_outlet outlet;
    enum rk_pump_policy policy;
    uint64_t item_interval_ns; /* 0: as fast as it goes */
    uint64_t deadline_ns;      /* 0: none */
    int signal_fd;             /* of signalfd(2) */
    struct rk_curve *backlog;  /* is kept up to date; NULL: nobody wants to know */

    /* What became of it. */
    int code;        /* of the first thing that went wrong outside the worker, after a message; enum rk_exit */
    bool stopped;    /* by a signal, the deadline or a reader of the answers that is gone; the stream was cancelled */
    uint64_t failed; /* items that the handler could not do */
    int failed_code; /* exit code for the first of these */

    /* Of the pump itself. */
    uint64_t start_ns;  /* when the first item was there; 0: not yet */
    uint64_t next_ns;   /* no item is sent before */
    uint64_t settle_ns; /* once stopped: until when the end is waited for */
    bool input_over;    /* no more items */
    bool end_told;      /* to the stream */
    bool wants_input;   /* there is no whole item */
    bool early;         /* there is one whose time has not come */
    bool held;          /* there is one for which there is no room */
    uint64_t held_at;   /* the backlog then */
    bool took;          /* answers, in this turn */
    bool output_gone;
};

/** Run it to the stream's end, or to where it was stopped. */
void rk_pump_run(struct rk_pump *pump);

#endif
