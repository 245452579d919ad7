/* SPDX-License-Identifier: MIT */
/* Taking requests and publishing responses: the worker's half of the hot path; see served.h and the table in layout.h. */
#include "served.h"
#include "error.h"
#include "host.h"
#include "leases.h"
#include <errno.h>
#include <rask/status.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int rk_served_create(struct rk_served **out, const struct rk_message_session *message, int request_fd, int bell_fd)
{
    *out = NULL;
    int result = rk_params_check(&message->params);
    struct rk_served *served = result == 0 ? calloc(1, sizeof *served) : NULL;
    if (served == NULL) {
        close(request_fd);
        close(bell_fd);
        return result != 0 ? result : -ENOMEM;
    }
    served->id = message->session;
    served->params = message->params;
    served->snapshot = (message->flags & RK_PEER_SNAPSHOT) != 0;
    served->mask = message->params.ring_slots - 1;
    served->give_up_below = rk_slots_give_up_below(served->mask);
    served->give_up_due = rk_fence_only() ? served->give_up_below : 0;
    served->bell.fd = -1;
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) {
        served->request[i] = (struct rk_segment)RK_SEGMENT_INIT;
        served->response[i] = (struct rk_segment)RK_SEGMENT_INIT;
    }
    rk_slab_init(&served->slab, RK_RESPONSE_BLOCKS_MAX);
    result = rk_segment_map(&served->bell, bell_fd, RK_SEGMENT_BELL, rk_bell_segment_bytes(&served->params), false);
    if (result == 0) result = rk_segment_hide(&served->bell, rk_bell_pair_offset(&served->params, 0));
    if (result != 0)
        close(request_fd);
    else
        result = rk_segment_map(&served->request[0], request_fd, RK_SEGMENT_REQUEST,
                                rk_request_segment_bytes(&served->params), false);
    if (result != 0) {
        rk_served_destroy(served);
        return result;
    }
    *out = served;
    return 0;
}

void rk_served_destroy(struct rk_served *served)
{
    if (served == NULL) return;
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) {
        rk_segment_finish(&served->request[i]);
        rk_segment_finish(&served->response[i]);
    }
    rk_segment_finish(&served->bell);
    rk_slab_finish(&served->slab);
    free(served->streams);
    rk_leases_free(served->leases);
    free(served);
}

int rk_served_open_lane(struct rk_served *served, uint32_t lane, bool fenced, int *response_fd)
{
    const struct rk_params *params = &served->params;
    if (served->open || lane >= params->lanes) return rk_error(-EPROTO, "lane %u cannot be opened", lane);
    uint64_t pair_offset = rk_bell_pair_offset(params, lane);
    int result = rk_segment_show(&served->bell, pair_offset, sizeof *served->pair);
    if (result != 0) return result;
    result = rk_segment_create(&served->response[0], RK_SEGMENT_RESPONSE, rk_response_segment_bytes(params));
    if (result != 0) return result;
    uint8_t *response = served->response[0].base;
    const uint8_t *request = served->request[0].base;
    struct rk_bell_page *bells = served->bell.base;
    served->response_header = (struct rk_response_header *)(void *)response;
    served->responses = (struct rk_response_slot *)(void *)(response + RK_PAGE_BYTES);
    served->lane_page = (const struct rk_lane_request *)(const void *)(request + rk_request_lane_offset(params, lane));
    served->requests =
        (const struct rk_request_slot *)(const void *)((const uint8_t *)served->lane_page + RK_PAGE_BYTES);
    served->next_request = served->requests;
    served->next_response = served->responses;
    served->in_ring = 1;
    served->pair = (struct rk_pair *)(void *)((uint8_t *)served->bell.base + pair_offset);
    served->emission_ring = (struct rk_side_slot *)(void *)(response + rk_response_emissions_offset(params));
    served->client_state = &((const struct rk_request_header *)(const void *)request)->client.state;
    served->client_bell = &bells->client.word;
    served->own_bell = &bells->lane[lane].word;
    served->lane = lane;
    served->fenced = fenced;
    served->response_segments = 1;
    served->response_bytes = params->slab_bytes;
    if (fenced) {
        rk_store_relaxed(&served->response_header->worker.state, RK_WAITER_FENCED);
        served->give_up_below = served->give_up_due; /* it fences for each request: see publish() */
    }
    result = rk_slab_seed(&served->slab, rk_response_slab_offset(params), params->slab_bytes);
    if (result != 0) {
        rk_segment_finish(&served->response[0]);
        return result;
    }
    served->open = true;
    *response_fd = served->response[0].fd;
    return 0;
}

int rk_served_add_segment(struct rk_served *served, uint32_t id, uint64_t bytes, int fd)
{
    if (id == 0 || id >= RK_SEGMENTS_MAX || served->request[id].base != NULL) {
        close(fd);
        return rk_error(-EPROTO, "extra request segment %u: not a free number below %u", id, RK_SEGMENTS_MAX);
    }
    served->stalled = false;
    return rk_segment_map(&served->request[id], fd, RK_SEGMENT_REQUEST_EXTRA, bytes, false);
}

/** The request says how far the client has read; what it has read is free for responses. False: it claims nonsense, or
 * has published more requests than it has room for answers. */
static inline bool free_consumed(struct rk_served *served, uint16_t low_bits)
{
    uint64_t unread = (uint16_t)((uint16_t)served->position - low_bits);
    uint64_t consumed = served->position - unread;
    if (unread > served->mask - RK_SLOTS_SPARE || consumed < served->consumed || unread > served->position)
        return false;
    served->consumed = consumed;
    return true;
}

int rk_served_find_block(struct rk_served *served, const struct rk_block_ref *shared, uint64_t length,
                         const void **data)
{
    struct rk_block_ref block;
    memcpy(&block, shared, sizeof block);
    rk_light_barrier(); /* from here on only the copy is looked at */
    if (block.segment >= RK_SEGMENTS_MAX)
        return rk_error(-EPROTO, "request names segment %u of %u", block.segment, RK_SEGMENTS_MAX);
    const struct rk_segment *segment = &served->request[block.segment];
    if (segment->base == NULL) return -EAGAIN;
    uint64_t start = block.segment == 0 ? rk_request_slab_offset(&served->params) : RK_PAGE_BYTES;
    if (length > segment->bytes || block.offset < start || block.offset > segment->bytes - length ||
        block.offset % RASK_BLOCK_BYTES_MIN != 0)
        return rk_error(-EPROTO, "request names bytes %llu+%llu of a segment of %llu", (unsigned long long)block.offset,
                        (unsigned long long)length, (unsigned long long)segment->bytes);
    *data = (const uint8_t *)segment->base + block.offset;
    return 0;
}

/** Fill everything but the payload and publish. */
__attribute__((always_inline)) static inline void publish(struct rk_served *served, struct rk_response_slot *slot,
                                                          uint32_t ticket, uint32_t kind, uint32_t status, int32_t code)
{
    uint64_t position = served->position++;
    slot->ticket = ticket;
    slot->code = code;
    slot->status = (uint16_t)status;
    RK_STEP(RESPONSE_STATUS);
    uint64_t load = position - served->consumed;
    uint32_t at = served->slot, next = rk_slots_next(at, load, &served->in_ring, served->mask);
    slot->next = (uint16_t)next;
    slot->kind = (uint8_t)kind;
    RK_STEP(RESPONSE_FIELDS);
    /* SYNC R2 release: pairs with rk_lane_ready */
    rk_store_release(&slot->sequence, position + 1);
    RK_STEP(RESPONSE_SEQUENCE);
    bool due = rk_publish_due(served->client_state); /* asleep, or wants a fence, which would wait for lines given up */
    if (RK_UNLIKELY(due)) served->ring_due = true;
    served->slot = next;
    served->next_response =
        (struct rk_response_slot *)(uintptr_t)rk_slot_response(served->responses, served->pair, next, served->mask);
    RK_STEP(RESPONSE_NOTED);
    if (served->apart)
        rk_slots_prepare(served->responses, at, load, served->mask, due ? served->give_up_due : served->give_up_below);
}

void rk_served_refuse(struct rk_served *served, const struct rk_handling *handling, uint32_t status)
{
    struct rk_response_slot *slot = rk_served_response_slot(served);
    slot->length = 0;
    publish(served, slot, handling->ticket, RK_RESPONSE_REPLY, status, 0);
}

/** A retracted request is answered too: the client may have looked at `taken` just after it was stored, and then waits. */
static enum rk_take skip(struct rk_served *served, uint32_t ticket)
{
    struct rk_response_slot *slot = rk_served_response_slot(served);
    slot->length = 0;
    publish(served, slot, ticket, RK_RESPONSE_SKIPPED, RASK_CANCELLED, 0);
    RK_STEP(SKIPPED);
    return RK_TAKE_SKIPPED;
}

/** The reply lies in a block: name it, or bring a short answer into the slot. */
static void reply_from_block(struct rk_served *served, struct rk_response_slot *slot, struct rk_handling *handling)
{
    const struct rk_block *block = &served->slab.blocks[handling->block];
    if (handling->replied_bytes <= RASK_INLINE_BYTES) {
        const uint8_t *base = served->response[block->segment].base;
        memcpy(slot->payload.bytes, base + block->offset, handling->replied_bytes);
        rk_slab_put(&served->slab, handling->block);
        return;
    }
    slot->payload.block = (struct rk_block_ref){
        .offset = block->offset,
        .segment = block->segment,
        .index = handling->block,
        .generation = block->generation,
    };
}

/** The reply lies in the room of the pair: say so, or bring a short answer into the slot. */
static void reply_from_pair(struct rk_response_slot *slot, const struct rk_handling *handling)
{
    if (handling->replied_bytes <= RASK_INLINE_BYTES)
        memcpy(slot->payload.bytes, slot + 1, RASK_INLINE_BYTES);
    else
        slot->payload.block = (struct rk_block_ref){.segment = RK_SEGMENT_IN_PAIR};
}

/** What kind of response: the usual one, none to look at, or one that leaves the request's bytes here. */
static inline uint32_t kind_of(struct rk_response_slot *slot, const struct rk_handling *handling, uint32_t status)
{
    if (RK_LIKELY(handling->kind == RK_REQUEST_CALL && handling->lease == RK_HANDLING_NO_LEASE))
        return RK_RESPONSE_REPLY;
    bool quiet = handling->kind != RK_REQUEST_CALL && !handling->replied && status == RASK_OK;
    uint32_t kind = quiet ? RK_RESPONSE_QUIET : RK_RESPONSE_REPLY;
    if (handling->lease == RK_HANDLING_NO_LEASE) return kind;
    slot->lease = (uint16_t)handling->lease;
    slot->lease_generation = handling->lease_generation;
    return kind | RK_RESPONSE_LEASED;
}

void rk_served_reply(struct rk_served *served, struct rk_handling *handling, uint32_t status, int32_t code)
{
    struct rk_response_slot *slot = rk_served_response_slot(served);
    slot->length = handling->replied_bytes;
    RK_STEP(RESPONSE_LENGTH);
    if (RK_UNLIKELY(handling->block != RK_BLOCK_NONE))
        reply_from_block(served, slot, handling);
    else if (RK_UNLIKELY(handling->reserved_bytes > RASK_INLINE_BYTES))
        reply_from_pair(slot, handling);
    else if (RK_UNLIKELY(served->snapshot))
        memcpy(slot->payload.bytes, handling->apart, handling->replied_bytes);
    RK_STEP(RESPONSE_PAYLOAD);
    publish(served, slot, handling->ticket, kind_of(slot, handling, status), status, code);
}

/** A copy behind the slot, if the client made one, is nearer than its block. */
static void look_in_pair(const struct rk_served *served, const struct rk_request_slot *slot,
                         struct rk_handling *handling)
{
    uint32_t room = rk_load_relaxed(&slot->payload.block.room);
    if (room == 0 || handling->kind != RK_REQUEST_CALL || handling->call.request_bytes > RK_PAIR_ROOM ||
        rk_slots_in_ring(served->requests, slot, served->mask))
        return;
    handling->call.request = slot + 1;
    if (RK_UNLIKELY(served->snapshot)) return; /* the client could write to the reply: see rk_served_reserve() */
    handling->pair_room = room < RK_PAIR_ROOM ? room : RK_PAIR_ROOM;
    rk_lines_fetch(served->next_response + 1, handling->call.request_bytes); /* most replies are not longer */
}

enum rk_take rk_served_take(struct rk_served *served, struct rk_handling *handling)
{
    const struct rk_request_slot *slot = served->next_request;
    rk_line_fetch(served->next_response); /* it arrives while the handler runs */
    struct rk_reading at = rk_served_reading(served);
    rk_run_ahead(&served->run, &at);
    /* SYNC R3 release, light: pairs with rk_lane_taken. Nothing of the slot but its sequence is read before this. */
    rk_store_release(&served->response_header->taken, served->position + 1);
    RK_STEP(TAKEN);
    rk_light_barrier();
    if (RK_UNLIKELY(served->fenced)) rk_full_fence();
    RK_STEP(TAKEN_BARRIER);
    bool cancelled = rk_load_relaxed(&slot->cancel) != 0;
    uint32_t kind = rk_load_relaxed(&slot->kind);
    uint32_t next = rk_load_relaxed(&slot->next);
    uint32_t length = rk_load_relaxed(&slot->length);
    uint16_t consumed = rk_load_relaxed(&slot->consumed); /* SYNC R5 with R1: pairs with rk_lane_publish */
    handling->call.deadline_ns = rk_load_relaxed(&slot->deadline_ns);
    handling->call.request = slot->payload.bytes;
    handling->call.request_bytes = length;
    handling->ticket = rk_load_relaxed(&slot->ticket);
    uint32_t method = rk_load_relaxed(&slot->method);
    handling->cancel = &slot->cancel;
    handling->served = served;
    handling->block = RK_BLOCK_NONE;
    handling->reserved_bytes = handling->replied_bytes = handling->pair_room = 0;
    handling->too_large = handling->asked_to_stop = handling->replied = handling->retained = handling->asks = false;
    handling->lease = RK_HANDLING_NO_LEASE;
    handling->method = (uint16_t)method;
    handling->kind = RK_REQUEST_CALL;
    handling->takes_upcalls = (kind & RK_REQUEST_UPCALLS) != 0;
    if (RK_UNLIKELY(handling->takes_upcalls)) rk_line_fetch(&served->pair->upcall);
    if (RK_UNLIKELY((kind & ~RK_REQUEST_UPCALLS) != RK_REQUEST_CALL)) {
        handling->kind = (uint8_t)(kind & ~RK_REQUEST_UPCALLS);
        handling->stream = (uint16_t)(method >> 8);
        handling->method = (uint16_t)(method & 0xff);
    }
    if (RK_UNLIKELY(handling->kind == 0 || handling->kind >= RK_REQUEST_KIND_COUNT ||
                    length > served->params.payload_bytes_max || !rk_slot_exists(next, served->mask) ||
                    !free_consumed(served, consumed))) {
        rk_error(-EPROTO, "request of kind %u, length %u, next slot %u, consumed %u at position %llu", kind, length,
                 next, consumed, (unsigned long long)served->position);
        return RK_TAKE_BAD;
    }
    if (RK_UNLIKELY(length > RASK_INLINE_BYTES)) {
        int found = rk_served_find_block(served, &slot->payload.block, length, &handling->call.request);
        if (RK_UNLIKELY(found == -EAGAIN)) served->stalled = true;
        if (RK_UNLIKELY(found != 0)) return found == -EAGAIN ? RK_TAKE_STALLED : RK_TAKE_BAD;
        handling->whole = handling->call.request;
        look_in_pair(served, slot, handling);
    }
    served->next_request = rk_slot_request(served->requests, served->pair, next, served->mask);
    RK_STEP(REQUEST_READ);
    return RK_UNLIKELY(cancelled) ? skip(served, handling->ticket) : RK_TAKE_REQUEST;
}
