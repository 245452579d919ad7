/* SPDX-License-Identifier: MIT */
/* One session as a worker sees it: the client's request segments (read-only), the worker's response segments, and the
 * lane's two rings. The client's memory is hostile input: every value is read once, checked, and only the copy used. */
#ifndef RK_SERVED_H
#define RK_SERVED_H

#include "bell.h"
#include "clock.h"
#include "control.h"
#include "layout.h"
#include "run.h"
#include "segment.h"
#include "slab.h"
#include "slots.h"
#include <stdbool.h>
#include <stdint.h>

struct rk_handling;
struct rk_served_streams;
struct rk_served_leases;

struct rk_served {
    /* Hot: one look at an idle session touches this line and the slot. */
    const struct rk_request_slot *next_request; /* slot that the client announced */
    uint64_t position;                          /* next request, and next response */
    uint64_t consumed;                          /* responses the client has read */
    const struct rk_request_slot *requests;
    struct rk_response_slot *responses;
    struct rk_pair *pair;
    struct rk_response_slot *next_response; /* already announced */
    struct rk_response_header *response_header;
    uint32_t mask;
    uint32_t slot;    /* number of next_response */
    uint32_t in_ring; /* rk_slots_next() */
    bool open;        /* lane is open */
    bool fenced;      /* no membarrier on one of the sides */
    bool stalled;     /* next request waits for a segment that has not come yet */
    bool snapshot;
    bool ring_due;          /* a response was published while the client may sleep */
    bool apart;             /* the client runs at the same time, elsewhere */
    uint32_t give_up_below; /* rk_slots_prepare() */
    uint32_t give_up_due;   /* the same where the client is to be rung, or wants a fence */
    struct rk_run run;
    const struct rk_lane_request *lane_page;
    const uint64_t *client_state; /* rk_waiter.state of the client */
    uint32_t *client_bell;
    uint64_t rung; /* for which of its sleeps the client was rung */
    uint32_t *own_bell;

    /* Cold. */
    uint64_t debt_ns; /* time used beyond its turns */
    uint64_t held_ns; /* since when its bell is held back; 0: it is not */
    uint32_t held;    /* for how many responses */
    uint32_t id;
    uint32_t lane;
    struct rk_params params;
    struct rk_segment request[RK_SEGMENTS_MAX];
    struct rk_segment response[RK_SEGMENTS_MAX];
    uint32_t response_segments;
    uint64_t response_bytes; /* slab bytes, base and extra */
    struct rk_segment bell;
    struct rk_slab slab;
    int control_fd; /* to announce extra segments; not owned */

    /* Beside responses. */
    struct rk_side_slot *emission_ring;
    uint64_t emissions; /* published */
    uint64_t emissions_taken;
    uint64_t upcalls;                  /* published */
    bool stuck;                        /* the last one was not answered in time */
    struct rk_served_streams *streams; /* streams.c: NULL until the first */
    struct rk_served_leases *leases;   /* leases.c: NULL until the first */
    bool gone;                         /* its client is: to be dropped when the handler returns */
    struct rk_served *next_kept;       /* gone, and handlers hold bytes of it (leases.c) */
};

/** Map a session from a SESSION message. Takes both descriptors. *out is NULL on failure. -EPROTO, -ENOMEM. */
int rk_served_create(struct rk_served **out, const struct rk_message_session *message, int request_fd, int bell_fd);
void rk_served_destroy(struct rk_served *served);

/** Create the lane's response segment. On success *response_fd is the descriptor to hand over; it stays ours. */
int rk_served_open_lane(struct rk_served *served, uint32_t lane, bool fenced, int *response_fd);

/** Map another request segment (takes fd). -EPROTO, -ENOMEM. */
int rk_served_add_segment(struct rk_served *served, uint32_t id, uint64_t bytes, int fd);

/** What rk_served_take() found. */
enum rk_take {
    RK_TAKE_SKIPPED, /* a retracted request was passed over, and said so */
    RK_TAKE_REQUEST, /* it is to be handled */
    RK_TAKE_STALLED, /* its segment is not here yet: look at the control socket */
    RK_TAKE_BAD,     /* the client broke the rules: rask_last_error() says how */
};

/** Is a request there? One load of the client's line. */
static inline bool rk_served_ready(const struct rk_served *served)
{
    /* SYNC R1 acquire: pairs with rk_lane_publish */
    return rk_load_acquire(&served->next_request->sequence) == served->position + 1;
}

/** Where its next request is. */
static inline struct rk_reading rk_served_reading(const struct rk_served *served)
{
    return (struct rk_reading){served->requests, served->next_request, served->mask, served->position};
}

/** Responses that the client has not read, as far as it said. */
static inline uint64_t rk_served_unread(const struct rk_served *served)
{
    return served->position - served->consumed;
}

/** The slot that the next response goes to: the worker's alone until it is published. */
static inline struct rk_response_slot *rk_served_response_slot(struct rk_served *served)
{
    return served->next_response;
}

/** Enter the next request (rk_served_ready() was true): copied out and checked into *handling, whose fields of the reply are
 * reset. After RK_TAKE_REQUEST exactly one response follows before the next take. */
enum rk_take rk_served_take(struct rk_served *served, struct rk_handling *handling);

/** Publish the handler's reply. As with the following, the client is not rung: rk_served_ring() is for the caller to say. */
void rk_served_reply(struct rk_served *served, struct rk_handling *handling, uint32_t status, int32_t code);

/** Publish a response without payload to a request that was not handled. */
void rk_served_refuse(struct rk_served *served, const struct rk_handling *handling, uint32_t status);

/** Ring the client, if responses were published while it may sleep. */
static inline void rk_served_ring(struct rk_served *served)
{
    if (RK_LIKELY(!served->ring_due)) return;
    served->ring_due = false;
    rk_publish_slow(served->client_state, served->client_bell, &served->rung);
    if (served->held_ns == 0) return;
    served->held_ns = 0;
    rk_store_relaxed(&served->response_header->holding, 0);
}

/** Do so a little later, unless the first response that it was held back for is `ns` old. The clock is read for the first and
 * then for one in eight. */
static inline bool rk_served_hold(struct rk_served *served, uint64_t ns)
{
    if (served->held_ns == 0) {
        served->held_ns = rask_now_ns();
        served->held = 0;
        rk_store_relaxed(&served->response_header->holding, 1);
    }
    return ++served->held % 8 != 0 || rask_now_ns() - served->held_ns < ns;
}

/** A block for `bytes` bytes of response memory, or RK_BLOCK_NONE; where it lies. */
uint32_t rk_served_take_block(struct rk_served *served, size_t bytes);
static inline void *rk_served_block_data(const struct rk_served *served, uint32_t index)
{
    const struct rk_block *block = &served->slab.blocks[index];
    return (uint8_t *)served->response[block->segment].base + block->offset;
}

/** Where a payload of the client over the inline size lies. 0; -EAGAIN its segment is not here yet; -EPROTO. */
int rk_served_find_block(struct rk_served *served, const struct rk_block_ref *shared, uint64_t length,
                         const void **data);

/** served_side.c. Is there room for one more emission? */
bool rk_emission_room(struct rk_served *served);
/** Publish what was reserved for a reply as an emission; there is room. */
void rk_emission_publish(struct rk_served *served, struct rk_handling *handling, uint32_t bytes);
/** Publish an upcall of the handler in hand; the one before was answered. Over the inline size: in `block`. */
void rk_upcall_publish(struct rk_served *served, const struct rk_handling *handling, uint32_t method, uint32_t block,
                       const uint8_t *inline_bytes, uint32_t bytes);
/** Was the last upcall answered? */
bool rk_upcall_answered(const struct rk_served *served);
/** An answer, read and checked. */
struct rk_answer {
    const void *data;
    uint32_t length;
    int32_t code;
    uint8_t bytes[RASK_INLINE_BYTES] __attribute__((aligned(8)));
};
/** Read the answer. 0; what the client says is why there is none; -EAGAIN its segment is not here yet; -EPROTO. */
int rk_upcall_answer(struct rk_served *served, struct rk_answer *answer);

/** Room for a reply, see struct rask_host. Gives an earlier reservation back. A client of another user cannot write there: a
 * handler may well read again what it wrote. So it is not in the pair, and a short one comes to its slot when it is done. */
void *rk_served_reserve(struct rk_served *served, struct rk_handling *handling, size_t bytes);

#endif
