/* SPDX-License-Identifier: MIT */
/* One worker's share of the frames: a thread with a session of its own, and in it one stream to one worker.
 *
 * Why a thread. The worker asks for crops by upcall, and an upcall runs in the thread of its session, for as long as the encoding
 * takes. So the capturing thread has no session at all: it takes a place, writes a frame into it, in shared memory, and hands it
 * over. That is a few counters. There is no lock, because its holder may be stopped while it has it, and no system call,
 * because that is where the kernel lets others run: a runner looks for frames by itself, and only one that has found none for a
 * quarter of a second has to be woken. Everything that takes time happens here: sending, upcalls, encoding, deaths of workers.
 *
 * Places are reservations that are made once and kept. A frame is sent as a stream item of the same bytes, and its worker
 * leases it. So a frame is written once, whoever needs it: the worker reads it there, crops are cut from there, and when a
 * worker dies it is sent again from there. Places are used in turn, and one is free again when the worker's watermark has
 * passed it and the pair behind it was answered.
 *
 *   freed <= next <= sent <= submitted <= taken <= freed + ready       (counts of frames; a place is one modulo capacity)
 *      leased     in the stream   in the inbox   being written */
#ifndef RK_RUNNER_H
#define RK_RUNNER_H

#include "crops.h"
#include <pthread.h>
#include <rask/stream.h>
#include <stdbool.h>
#include <stdint.h>

/** What all runners share with the capturing thread. */
struct rk_meeting {
    int bell;             /* an eventfd: something changed that the capturing thread may wait for */
    _Atomic int code;     /* exit code of the first failure, RK_GO_ON: none */
    char failure[640];    /* what it was; complete when `code` says that there is one */
    pthread_mutex_t lock; /* among runners: who is the first to fail */
};

/** A frame on its way, and what changed since the one before. */
struct rk_pair {
    uint64_t number; /* from 0; that one is not compared, and its one crop is the whole of it */
    uint64_t at_ms;
    _Atomic bool answered; /* from then on the runner leaves it alone */
    struct rk_crops crops; /* in the order in which they are to be shown */
};

#define RK_PATH_BYTES 1024u

/** Memory for one frame. */
struct rk_place {
    struct rask_request held;
    struct rk_pair *pair;     /* NULL: another runner has it, here the frame only begins a run */
    char path[RK_PATH_BYTES]; /* for messages; no memory is taken for it, because that takes a lock */
    uint64_t ticket;          /* of the item */
    unsigned attempts;
    bool answered;
};

struct rk_runner_options {
    uint32_t width, height; /* of all frames */
    uint32_t method;
    uint32_t
        worker; /* from 1: each runner has its own, because a worker that waits for one session's upcall serves no other */
    uint32_t places;
    uint64_t timeout_ns; /* to wait for one answer; 0: for ever */
};

struct rk_runner {
    struct rk_meeting *meeting;
    struct rk_runner_options options;
    struct rask *session; /* the thread's while that runs */
    pthread_t thread;
    int bell;            /* an eventfd: there is something to do */
    _Atomic bool sleeps; /* on the bell */
    struct rk_place *places;
    uint64_t taken;             /* the capturing thread's */
    _Atomic uint64_t submitted; /* by the capturing thread */
    _Atomic uint64_t freed;     /* by the runner, as `ready` */
    _Atomic uint32_t ready;     /* places that are there */
    _Atomic bool stop;
    struct rask_stream *stream; /* the thread's, with all below; NULL: none */
    uint64_t sent;
    uint64_t next;         /* the frame whose answer is the next to come */
    uint64_t progress_ns;  /* when the last one came */
    struct rk_crops crops; /* that the worker asked for, of frame `crops_of` */
    uint64_t crops_of;
};

/** Ready before the first runner. 0 or -errno. */
int rk_meeting_init(struct rk_meeting *meeting);
void rk_meeting_finish(struct rk_meeting *meeting);
/** Sleep until the bell rings. */
void rk_meeting_wait(struct rk_meeting *meeting);

/** Start the thread. The session becomes the runner's. 0 or -errno, and then nothing is the runner's. */
int rk_runner_start(struct rk_runner *runner, struct rk_meeting *meeting, struct rask *session,
                    const struct rk_runner_options *options);

/** Places that are free now. */
uint32_t rk_runner_room(struct rk_runner *runner);
/** Frames that occupy places. */
uint64_t rk_runner_load(struct rk_runner *runner);

/** Take one, there must be room: where the pixels go. One at a time. */
uint32_t *rk_runner_take(struct rk_runner *runner);
/** The frame is written: frame `number`, of file `path`. `pair` NULL: only so that the next one can be compared with it. `begins`:
 * it is not to be compared itself. */
void rk_runner_submit(struct rk_runner *runner, uint64_t number, struct rk_pair *pair, bool begins, const char *path);

/** End the thread, forget its frames, close the session. */
void rk_runner_stop(struct rk_runner *runner);

#endif
