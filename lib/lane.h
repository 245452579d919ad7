/* SPDX-License-Identifier: MIT */
/* A lane as the client sees it: one worker incarnation's pair of rings in this session.
 *
 * Every request position gets exactly one response, in order, so the next response position is also the oldest request
 * position whose slot is not free. The worker's memory is hostile input: each value is read once, checked, and only the
 * copy used; what does not fit ends the lane.
 *
 * No system calls here but the wake of a sleeping worker; no policy: dispatch.c decides what goes where. */
#ifndef RK_LANE_H
#define RK_LANE_H

#include "bell.h"
#include "layout.h"
#include "segment.h"
#include "slots.h"
#include <stdbool.h>
#include <stdint.h>

/** by_position: the request was retracted, its response must say SKIPPED. */
#define RK_HOLE UINT32_MAX

enum rk_lane_state {
    RK_LANE_IS_FREE = 0,
    RK_LANE_IS_OPENING, /* asked for, the worker has not answered yet */
    RK_LANE_IS_OPEN,
};

/** Mapped responses of one incarnation. Outlives the lane while views are held. */
struct rk_responses {
    struct rk_segment segment[RK_SEGMENTS_MAX];
    uint32_t references; /* the lane's own, and one per view */
    bool live;           /* the lane still is this incarnation's: released words are read */
    struct rk_lane_request *page;
};

struct rk_lane {
    /* Hot. */
    const struct rk_response_slot *responses;
    const struct rk_response_slot *next_response; /* slot that the worker announced */
    uint64_t response_position;                   /* next response, and oldest request position in use */
    uint64_t position;                            /* next request */
    uint32_t mask;
    uint32_t in_flight; /* bound tickets, without holes */
    uint32_t window;    /* how many dispatch allows */
    uint8_t state;
    bool broken; /* the worker broke the rules */
    uint16_t index;
    struct rk_request_slot *requests;
    const uint32_t *worker_state; /* rk_waiter.state of the worker */
    uint32_t *worker_bell;
    uint32_t *by_position; /* ticket index or RK_HOLE */
    struct rk_lane_request *page;
    struct rk_slots slots;
    /* Cold. */
    const struct rk_response_header *header;
    struct rk_responses *mapped;
    uint64_t taken_seen; /* `taken` must not run backwards */
    uint32_t worker;
    uint32_t generation;
    int pidfd;
    bool dead_seen; /* pidfd said so at the last look; the supervisor has not yet */
};

/** Private memory of one lane: by_position and the slots' account. */
size_t rk_lane_private_bytes(const struct rk_params *params);

/** Prepare lane `index` of a request segment that the client maps. `memory` has rk_lane_private_bytes() bytes. */
void rk_lane_init(struct rk_lane *lane, uint32_t index, const struct rk_params *params, uint8_t *request_base,
                  struct rk_bell_page *bells, void *memory);

/** The worker's response segment is here: map it and be OPEN. Takes both descriptors. -EPROTO, -ENOMEM. */
int rk_lane_open(struct rk_lane *lane, const struct rk_params *params, int response_fd, int pidfd);

/** Forget the incarnation after its death was proven and everything is settled: clean words for the next one. */
void rk_lane_reset(struct rk_lane *lane);

/** Map another response segment (takes fd). -EPROTO, -ENOMEM. */
int rk_lane_add_segment(struct rk_lane *lane, uint32_t id, uint64_t bytes, int fd);

/** Request slots in use: bound tickets, and holes that the worker has not passed yet. */
static inline uint32_t rk_lane_load(const struct rk_lane *lane)
{
    return (uint32_t)(lane->position - lane->response_position);
}

/** What rk_lane_publish() puts into the slot. */
struct rk_outgoing {
    uint64_t deadline_ns;
    uint32_t ticket; /* generation */
    uint32_t ticket_index;
    uint32_t length;
    uint32_t segment; /* length > RASK_INLINE_BYTES: where the block is */
    uint64_t offset;
    const void *bytes; /* otherwise: the payload, RASK_INLINE_BYTES readable */
    uint16_t method;
};

/** Publish one request; the caller has checked that rk_lane_load() < mask. Returns its position. */
uint64_t rk_lane_publish(struct rk_lane *lane, const struct rk_outgoing *request);

/** Is a response there? One load of the worker's line. */
static inline bool rk_lane_ready(const struct rk_lane *lane)
{
    /* SYNC R2 acquire: pairs with the worker's publish */
    return rk_load_acquire(&lane->next_response->sequence) == lane->response_position + 1;
}

/** A response, copied out and checked. */
struct rk_incoming {
    uint32_t ticket;
    uint32_t ticket_index; /* RK_HOLE: a retracted request was skipped, nothing to deliver */
    uint32_t length;
    uint32_t status;
    int32_t code;
    bool skipped;
    const void *data; /* NULL: the inline bytes were copied to where rk_lane_take() was told */
    uint32_t block;
    uint32_t generation;
};

/** Take the response at response_position (rk_lane_ready() was true). An inline payload is copied to
 * `table + ticket_index * stride`. Returns 1; 0 when its segment has not come yet (read the control socket); -EPROTO when
 * the worker broke the rules (rask_last_error()), then lane->broken is set. */
int rk_lane_take(struct rk_lane *lane, struct rk_incoming *response, uint8_t *table, size_t stride);

/** Put marks (RK_CANCEL_*) on a published request. For a retraction the caller then runs rk_park_barrier() and compares
 * with rk_lane_taken(). */
void rk_lane_mark(struct rk_lane *lane, uint64_t position, uint8_t marks);

/** How far the worker has entered: positions below it may have run. Checked: it never runs backwards and never past what was
 * published; if it does, lane->broken is set and everything published counts as entered. */
uint64_t rk_lane_taken(struct rk_lane *lane);

/** A view is given back. */
void rk_responses_release(struct rk_responses *responses, uint32_t block, uint32_t generation);

#endif
