/* SPDX-License-Identifier: MIT */
/* What a worker writes beside responses, on forged_worker.h: emissions, upcalls, leases; and a client's streams. */
#ifndef FORGED_FLOWS_H
#define FORGED_FLOWS_H

#include "forged_worker.h"
#include "stream.h"
#include <rask/lease.h>
#include <rask/upcall.h>

static unsigned ran;

static inline struct rk_side_slot *emission_slot(struct forged_lane *lane, uint64_t sequence)
{
    uint8_t *ring = (uint8_t *)lane->response.base + rk_response_emissions_offset(&forged.params);
    return (struct rk_side_slot *)(void *)ring + (sequence - 1) % RASK_EMITS_MAX;
}

/** An emission of the request in hand, honest but for what the test changes before forged_emit(). */
static inline struct rk_side_slot *emission(struct forged_lane *lane, const struct rk_request_slot *slot,
                                            uint64_t sequence)
{
    struct rk_side_slot *side = emission_slot(lane, sequence);
    memset((uint8_t *)side + sizeof side->sequence, 0, sizeof *side - sizeof side->sequence);
    side->ticket = slot->ticket;
    side->position = (uint32_t)(lane->entered - 1);
    return side;
}

static inline void answer_kind(struct forged_lane *lane, const struct rk_request_slot *slot, uint32_t kind)
{
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = (uint8_t)kind;
    forged_publish(lane, response);
}

static inline void answer_leased(struct forged_lane *lane, const struct rk_request_slot *slot, uint32_t word,
                                 uint32_t generation)
{
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = RK_RESPONSE_REPLY | RK_RESPONSE_LEASED;
    response->lease = (uint16_t)word;
    response->lease_generation = generation;
    forged_publish(lane, response);
}

/** The handler of the request in hand calls `name` with the first `bytes` bytes of block 7 of the response slab, if they are many. */
static inline void upcall(struct forged_lane *lane, const struct rk_request_slot *slot, const char *name,
                          uint32_t bytes)
{
    struct rk_side_slot *side = &lane->pair->upcall;
    side->ticket = slot->ticket;
    side->position = (uint32_t)(lane->entered - 1);
    side->length = bytes;
    side->method = 0x811c9dc5u;
    for (; *name != '\0'; name++) side->method = (side->method ^ (uint8_t)*name) * 0x01000193u;
    if (bytes > RASK_INLINE_BYTES)
        side->payload.block = (struct rk_block_ref){
            .offset = rk_response_slab_offset(&forged.params), .index = 7, .generation = (uint32_t)side->sequence + 1};
    rk_store_release(&side->sequence, side->sequence + 1);
}

static inline const struct rk_lane_request *page_of(const struct forged_lane *lane)
{
    return (const void *)((const uint8_t *)forged.request.base + rk_request_lane_offset(&forged.params, lane->number));
}

static inline struct rask_stream *stream_with(uint32_t policy, uint32_t queue_max)
{
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    struct rask_stream *stream;
    options.policy = policy;
    options.queue_max = queue_max;
    assert_int_equal(rask_stream_open(forged.session, 0, &options, &stream), 0);
    return stream;
}

static inline struct rask_stream_state state_of(const struct rask_stream *stream)
{
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(stream, &state), 0);
    return state;
}

static inline void poll_once(void)
{
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
}

#endif
