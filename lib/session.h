/* SPDX-License-Identifier: MIT */
/* The inside of struct rask, shared by the files of the client:
 *
 *   connect.c   open, reconnect, close             attach.c    the handshake
 *   launch.c    private supervisors                info.c      facts about a session
 *   request.c   reserve, submit, abandon, slab     dispatch.c  which worker gets what, and moving it
 *   responses.c taking responses                   settle.c    every way a request ends without a response
 *   progress.c  what has come, messages            bind.h      a ticket becomes a request in a lane
 *   wait.c      poll, wait, release                call.c      rask_call, rask_request
 *   events.c    sleeping in the caller's loop      batch.c     wakes of several requests at once
 *   keys.c      requests that stay together        poison.c    requests that killed workers
 *   stream.c    streams, how they live and end     answers.c   their answers, not taken yet
 *   stream_items.c  what their owners do           stream_stop.c  taking items back
 *   emission.c  answers in the middle of a request upcall.c    functions that handlers call
 *   lease.c     requests that handlers keep
 *
 * All of it is private memory of one thread; what is shared is reached through lane.h and segment.h. */
#ifndef RK_SESSION_H
#define RK_SESSION_H

#include "bell.h"
#include "control.h"
#include "keys.h"
#include "ladder.h"
#include "lane.h"
#include "segment.h"
#include "slab.h"
#include "spread.h"
#include "ticket.h"
#include <rask/client.h>

/** A client with requests in flight looks at its socket and at its workers' pidfds this often while it waits. The
 * supervisor tells of a worker's death and rings at once; this is for the death of the supervisor, whose workers die with
 * it: then nobody is left to ring, and a futex wait cannot watch a pidfd. A client with nothing in flight never waits. */
#define RK_LOOK_NS 50000000u
/** Responses taken between two readings of the clock, when something depends on the time. */
#define RK_DELIVERIES_PER_CLOCK 256u
/** A worker that is dead but of which the supervisor has said nothing for this long is settled without it. */
#define RK_DEATH_GRACE_NS 40000000u

struct rk_launch;
struct rk_batch;
struct rk_events;
struct rk_poisons;
struct rk_streams;
struct rk_upcalls;
struct rk_leases;

struct rask {
    /* Hot. */
    const uint32_t *fork_guard; /* 0 in a forked child */
    const uint32_t *control_word;
    uint32_t control_seen;
    bool connected;
    bool shutting_down;
    bool ended;  /* the supervisor ended this session: see rask_last_error() */
    bool broken; /* all workers wait for their next start: requests end UNAVAILABLE instead of waiting */
    uint32_t open_count;
    uint16_t *open_lanes; /* indices of OPEN lanes */
    struct rk_lane *lanes;
    struct rk_tickets tickets;
    struct rk_ticket_list backlog;   /* its count is with those that wait for their key's lane (keys.h) */
    struct rk_ticket_list ready;     /* DONE, for poll and wait */
    const struct rk_ticket *awaited; /* rask_wait() takes this one itself: it is not listed */
    struct rask_completion *sink;    /* rask_poll() and rask_wait_any(): completions go straight here ... */
    uint32_t sink_room;              /* ... while there is room */
    uint32_t sink_count;
    bool gathers;                    /* rask_wait_any(): it may leave some for the next time, when there are more */
    struct rk_ticket_list callbacks; /* DONE, for their callback */
    uint32_t pending;                /* submitted and not yet taken */
    uint32_t with_deadline;          /* of those, how many have one */
    uint32_t turn;                   /* place in open_lanes used last */
    uint32_t empty_polls;
    uint32_t deliveries;      /* since the last look at the clock */
    uint64_t finished;        /* tickets that got their outcome */
    uint32_t asides;          /* open streams, upcalls, leases: workers may have something beside responses */
    uint32_t asides_due;      /* upcalls and ends of leases that wait to be told, where callbacks run */
    uint32_t wakes_held;      /* batch.c: bells bumped whose wakes wait for more requests */
    struct rk_batch *batch;   /* NULL until the first batch */
    struct rk_events *events; /* events.c: the caller sleeps in a loop of its own; NULL until it says so */
    struct rk_slab slab;
    struct rk_segment request[RK_SEGMENTS_MAX];
    struct rk_ladder ladder;
    struct rk_nap nap;

    /* Cold. */
    struct rk_params params;
    struct rask_options options; /* with the defaults filled in */
    uint32_t *guard_page;
    struct rk_request_header *header;
    struct rk_segment bell;
    struct rk_segment control;
    uint32_t *client_bell;
    uint8_t *lane_memory;
    uint32_t request_segments;
    uint64_t request_bytes; /* slab bytes, base and extra */
    int socket;
    bool fenced;        /* for good: a party lacks membarrier */
    bool fence_only;    /* rk_fence_only() when it was attached */
    bool interruptible; /* RASK_OPTION_INTERRUPTIBLE, and not in a call that hides signals */
    uint32_t id;
    uint32_t workers;
    uint32_t first_worker;
    struct rk_spread spread;
    uint32_t worker_wait_mode;
    uint32_t supervisor_pid;
    uint64_t serving[RASK_WORKERS_MAX / 64];  /* bit i: worker i serves */
    uint64_t has_lane[RASK_WORKERS_MAX / 64]; /* bit i: a lane to worker i is open or opening */
    uint32_t opening;                         /* lanes in OPENING */
    uint32_t method_count;
    struct rk_method_entry *methods;
    char engine[16];
    char plugin[48];
    char plugin_version[32];
    char ended_text[RK_MESSAGE_TEXT_BYTES];
    char crash_file[RK_CRASH_FILE_BYTES];
    char *path; /* NULL: private supervisor */
    bool path_is_default;
    struct rk_launch *launch;
    union rk_any_message *message;
    uint64_t next_look_ns;
    uint64_t next_move_ns;
    uint64_t move_pause_ns;
    uint64_t finished_before; /* at the last of these looks, where there is one worker */
    uint64_t death_seen_ns;
    uint64_t nearest_deadline_ns;
    uint64_t rescues;
    uint64_t parks;
    uint64_t requests;
    uint64_t moved;
    struct rk_keys *keys;       /* NULL until the first key */
    struct rk_poisons *poisons; /* poison.c: NULL until one is known */
    struct rk_streams *streams; /* stream.c: NULL until the first */
    struct rk_upcalls *upcalls; /* upcall.c: NULL until the first */
    struct rk_leases *leases;   /* lease.c: NULL until the first */
    uint32_t late_untold;       /* tickets with RK_WISH_TELL_LATE */
};

static inline bool rk_session_forked(const struct rask *s)
{
    return rk_load_relaxed(s->fork_guard) == 0;
}

/** -EOWNERDEAD with its text. */
int rk_session_refuse_child(void);

/* connect.c */
int rk_session_create(struct rask **out, const struct rask_options *options);
/** attach.c: attach over a connected socket, which becomes the session's. Blocks at most to the deadline. */
int rk_session_attach(struct rask *s, int socket, uint64_t deadline_ns);
/** Close the socket; `ours` false: in a forked child. */
void rk_session_hang_up(struct rask *s, bool ours);
/** Send to the supervisor; waits up to 100 ms for room. */
int rk_session_send(struct rask *s, const void *message, const int *fds, unsigned fd_count);

/** Has the supervisor sent something since the last look? */
static inline bool rk_session_called(const struct rask *s)
{
    /* SYNC R7 acquire: pairs with the supervisor's bump after sending */
    return rk_load_acquire(s->control_word) != s->control_seen;
}

static inline bool rk_callbacks_due(const struct rask *s)
{
    return s->callbacks.count + s->asides_due > 0;
}

/** Is a wait that finds its answer at once all there is to do? No messages, nothing queued, nobody to be told, no look due. */
static inline bool rk_session_undisturbed(const struct rask *s)
{
    return s->asides == 0 && s->backlog.count == 0 && s->deliveries < RK_DELIVERIES_PER_CLOCK && s->nap.parks == 0 &&
           rk_ladder_meets(&s->ladder) && !rk_callbacks_due(s) && !rk_session_called(s);
}

/* request.c */
/** A reservation for `bytes` bytes: see rask_reserve(). */
int rk_reserve(struct rask *s, size_t bytes, struct rk_ticket **out);
/** A request block of this session. 0, -EAGAIN, -ENOMEM, -EMFILE. */
int rk_take_block(struct rask *s, size_t bytes, uint32_t *block);
/** Where a block of the request slab lies. */
static inline void *rk_block_data(struct rask *s, uint32_t index)
{
    const struct rk_block *block = &s->slab.blocks[index];
    return (uint8_t *)s->request[block->segment].base + block->offset;
}
/** May it take new requests? 0, or why not. */
int rk_session_usable(const struct rask *s);
/** How many bytes a reservation holds. */
size_t rk_reservation_capacity(const struct rask *s, const struct rk_ticket *ticket);
/** Where the bytes of a reservation go. */
void *rk_reservation_data(struct rask *s, const struct rk_ticket *ticket);
/** It has a deadline. */
void rk_set_deadline(struct rask *s, struct rk_ticket *ticket, uint64_t deadline_ns);
/** Send a reservation that was checked. */
void rk_submit(struct rask *s, struct rk_ticket *ticket, uint32_t method, size_t length);

/* dispatch.c */
/** Give a ticket that is not bound to a lane, or queue it. */
void rk_dispatch(struct rask *s, struct rk_ticket *ticket);
/** What is special about a ticket comes first: true if that was all, false if it is to go the way of the others. */
bool rk_dispatch_special(struct rask *s, struct rk_ticket *ticket);
/** A ticket waits: open a lane if that helps. */
void rk_dispatch_ask(struct rask *s);
/** A lane with room: an idle one, else the least loaded, else NULL. */
struct rk_lane *rk_dispatch_choose(struct rask *s);
/** A ticket was taken back from its lane: it waits again, before the others. */
void rk_backlog_return(struct rask *s, struct rk_ticket *ticket);
void rk_backlog_remove(struct rask *s, struct rk_ticket *ticket);
/** One that waits, or NULL. */
struct rk_ticket *rk_backlog_first(struct rask *s);
/** Give queued tickets to lanes that have room. */
void rk_dispatch_backlog(struct rask *s);
/** Take back what waits behind something slow and give it to idle workers; open lanes if that would help. */
void rk_dispatch_rebalance(struct rask *s, uint64_t now_ns);
/** The lane's worker takes nothing new: what it has not started goes elsewhere. */
void rk_dispatch_leave(struct rask *s, struct rk_lane *lane);
/** The same for the n-th worker only, from 1; 0: whichever. NULL also while it has no lane, which is then asked for. */
struct rk_lane *rk_dispatch_choose_for(struct rask *s, uint32_t number);
/** Ask for a lane to a worker that serves and has none. True if one was asked for. One at a time, unless `impatient`. */
bool rk_dispatch_open_lane(struct rask *s, bool impatient);

/* responses.c */
/** Take what a lane has: everything, or what the caller's array has room for. Returns how many. */
uint32_t rk_take_responses(struct rask *s, struct rk_lane *lane, bool everything);

/* progress.c */
/** Take what has come: responses and messages. Returns how many tickets became DONE. No system call when nothing has. */
uint32_t rk_progress(struct rask *s);
/** Rare looks: deadlines, socket, pidfds, moving. `now_ns` from rask_now_ns(). */
void rk_session_tick(struct rask *s, uint64_t now_ns);
/** When the next rk_session_tick() is due. */
uint64_t rk_session_next_tick(const struct rask *s);
/** Receive and act on all messages that wait. */
void rk_session_control(struct rask *s);
/** Would rk_progress() find something? */
bool rk_session_anything(const struct rask *s);

/* settle.c */
/** A ticket has its outcome (status, code, response): hand it over. Frees its request block unless the lane still holds it. */
void rk_finish(struct rask *s, struct rk_ticket *ticket);
/** The same without a response. */
void rk_finish_empty(struct rask *s, struct rk_ticket *ticket, uint32_t status, int32_t code);
/** It did not run, or may run again: it waits for another worker, or ends as asked meanwhile. */
void rk_settle_again(struct rask *s, struct rk_ticket *ticket);
/** The lane's worker is proven dead: deliver, move, or end everything it had. `signal` 0 when not known. */
void rk_settle_lane(struct rask *s, struct rk_lane *lane, int32_t signal, enum rk_gone_cause cause);
/** End what is poisoned and has not started. */
void rk_settle_poisoned(struct rask *s);
/** A request's handler is past its time: the supervisor may end the worker after a grace. */
void rk_settle_late(struct rask *s, struct rk_ticket *ticket);
/** Take back one position if its worker has not entered it. True: it will never run, and the lane has let go of it. */
bool rk_settle_retract(struct rask *s, struct rk_ticket *ticket, uint8_t marks);
/** Tell the supervisor of handlers past their deadline, of which it could not be told at once. */
void rk_settle_tell_late(struct rask *s);
/** The supervisor is gone: end what is not bound; the rest ends as its workers' deaths are proven. */
void rk_settle_disconnect(struct rask *s);
/** The session is over although workers live: a peer broke the rules. Ends everything. */
void rk_settle_end(struct rask *s, const char *why);
/** No worker will serve soon: end what no worker has with UNAVAILABLE. */
void rk_settle_broken(struct rask *s);
/** End what has not started with SHUTDOWN. */
void rk_settle_shutdown(struct rask *s);
/** End what is past its deadline. */
void rk_settle_expired(struct rask *s, uint64_t now_ns);
/** Cancel one live ticket. */
void rk_settle_cancel(struct rask *s, struct rk_ticket *ticket);
/** Free a ticket and everything it refers to, once neither the user nor a lane holds it. */
void rk_ticket_drop(struct rask *s, struct rk_ticket *ticket);
void rk_request_block_free(struct rask *s, struct rk_ticket *ticket);

/** No lane refers to the ticket any more. */
static inline void rk_ticket_let_go(struct rask *s, struct rk_ticket *ticket)
{
    ticket->flags &= (uint8_t)~RK_TICKET_LANE_HOLDS;
    if (RK_LIKELY(!(ticket->flags & RK_TICKET_SPECIAL))) return;
    if (ticket->wishes & RK_WISH_KEY) rk_key_unbound(s, ticket);
    if (ticket->wishes & RK_WISH_STREAM) s->lanes[ticket->lane].items--;
}

/* wait.c */
/** Wait until `ticket` is DONE (NULL: until any ticket gets its outcome), a callback is due, or the deadline (absolute, 0:
 * none). 0, -ETIMEDOUT, or -EINTR if s->interruptible. */
int rk_session_wait(struct rask *s, const struct rk_ticket *ticket, uint64_t deadline_ns);
/** Where one worker has enough to do and runs at the same time: let it write some responses before they are looked at. */
void rk_session_gather(struct rask *s);
/** rask_poll() but for its last step: the caller's loop is not let sleep (events.c). */
int rk_poll(struct rask *s, struct rask_completion *out, uint32_t max);
/** Run callbacks that are due, upcalls and ends of leases among them; returns how many. */
uint32_t rk_run_callbacks(struct rask *s);

/** -EDEADLK with its text. */
int rk_refuse_deadlock(void);
/** Wait for a live ticket that is not a callback's: 0, -ETIMEDOUT, -EINTR if s->interruptible, or
 * -EINVAL when a callback took it. */
int rk_wait_for(struct rask *s, struct rk_ticket *ticket, uint64_t deadline_ns, struct rask_completion *out);
void rk_completion_of(struct rask *s, struct rk_ticket *ticket, struct rask_completion *out);

/** The same for an OK whose payload is in the ticket. The caller counts: one less is pending. */
static inline void rk_completion_ok(struct rk_ticket *ticket, uint32_t length, struct rask_completion *out)
{
    *out = (struct rask_completion){.ticket = ticket->id,
                                    .user_data = ticket->user_data,
                                    .data = ticket->bytes,
                                    .length = length,
                                    .status = RASK_OK,
                                    .executed = RASK_EXECUTED_YES};
    ticket->state = RK_TICKET_HELD;
}

#endif
