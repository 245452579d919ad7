/* SPDX-License-Identifier: MIT */
/* Handlers that are past their time: asked to stop, and after a grace their worker is killed, never in the next request.
 *
 *   client's deadline,  the client tells (LATE) which request of its own, to the microsecond; believed only while the worker's
 *   its cancellation    status page says that it is inside that very request, and only once the deadline is over
 *   a deadline whose    looked for here, ten times a second while a handler runs, else every 2 s: the page has the deadline
 *   client is silent    of the request
 *   --request-timeout   looked for as well: the epoch in the page is odd and has not moved for so long. Nobody reads a
 *                       clock for it but this process
 *
 * The end: look at the page, SIGSTOP, wait until the worker has stopped, look again, then SIGKILL if it is still in that
 * request and SIGCONT if it is not. One watch per worker is enough, since a worker is in one request at a time.
 *
 * The page is the worker's word. A worker that lies in it can only keep itself alive, or be killed and replaced. */
#ifndef RK_LATE_H
#define RK_LATE_H

#include "control.h"
#include "reactor.h"
#include <stdbool.h>

#define RK_KILL_GRACE_NS_DEFAULT 100000000u
/** Between two looks: a sixteenth of --request-timeout, within these. */
#define RK_LATE_LOOK_NS_MIN 1000000u
#define RK_LATE_LOOK_NS_MAX 100000000u
/** And while no handler runs, without --request-timeout: what came to nobody's ears is a deadline of a client that is silent
 * from then on, and a client that ends is looked after at once. */
#define RK_LATE_LOOK_NS_IDLE 2000000000u

struct rk_member;
struct rk_client;
struct rk_supervisor;

/** What is watched of one worker. */
struct rk_late {
    struct rk_timer timer;
    bool armed;
    bool stopping;    /* SIGSTOP sent, it has not stopped yet */
    bool was_stopped; /* by somebody else before: left so, if it is not killed */
    bool killed;      /* for this: nobody else's death */
    uint32_t session; /* whose request */
    uint32_t looks;   /* while stopping */
    uint64_t request; /* as rk_status_page.ticket says */
    uint64_t epoch;   /* of it, as far as it was seen inside; 0: not yet */
    struct rk_late_next {
        uint32_t session;
        uint64_t request;
        uint64_t due_ns; /* 0: none */
    } next;              /* came while the worker was being stopped for another */
    uint64_t seen;       /* --request-timeout: epoch at the last look, */
    uint64_t since_ns;   /* when it was first seen, */
    uint64_t asked;      /* and the last one that was asked to stop */
};

/** A client says that its request is late. 0, or -EPROTO with the reason in rask_last_error(). */
int rk_late_told(struct rk_client *client, const struct rk_message_late *message);

/** Its process is gone. What it died of stays known until the next one starts. */
void rk_late_forget(struct rk_member *member);

/** Look at every worker soon, and again and again while there are clients or handlers that run. */
void rk_late_look_soon(struct rk_supervisor *supervisor);

#endif
