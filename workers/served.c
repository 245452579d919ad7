/* SPDX-License-Identifier: MIT */
/* Taking requests and publishing responses: the worker's half of the hot path; see served.h and the table in layout.h. */
#include "served.h"
#include "error.h"
#include "host.h"
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
    void *slots_memory = result == 0 ? malloc(rk_slots_bytes(message->params.ring_slots)) : NULL;
    if (served == NULL || slots_memory == NULL) {
        free(served);
        free(slots_memory);
        close(request_fd);
        close(bell_fd);
        return result != 0 ? result : -ENOMEM;
    }
    served->id = message->session;
    served->params = message->params;
    served->snapshot = (message->flags & RK_PEER_SNAPSHOT) != 0;
    served->mask = message->params.ring_slots - 1;
    served->bell.fd = -1;
    served->slots_memory = slots_memory;
    rk_slots_init(&served->slots, message->params.ring_slots, slots_memory);
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) {
        served->request[i] = (struct rk_segment)RK_SEGMENT_INIT;
        served->response[i] = (struct rk_segment)RK_SEGMENT_INIT;
    }
    rk_slab_init(&served->slab, RK_RESPONSE_BLOCKS_MAX);
    result = rk_segment_map(&served->bell, bell_fd, RK_SEGMENT_BELL, rk_bell_segment_bytes(&served->params), false);
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
    free(served->slots_memory);
    free(served);
}

int rk_served_open_lane(struct rk_served *served, uint32_t lane, bool fenced, int *response_fd)
{
    const struct rk_params *params = &served->params;
    if (served->open || lane >= params->lanes) return rk_error(-EPROTO, "lane %u cannot be opened", lane);
    int result = rk_segment_create(&served->response[0], RK_SEGMENT_RESPONSE, rk_response_segment_bytes(params));
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
    served->client_state = &((const struct rk_request_header *)(const void *)request)->client.state;
    served->client_bell = &bells->client.word;
    served->own_bell = &bells->lane[lane].word;
    served->lane = lane;
    served->fenced = fenced;
    served->response_segments = 1;
    served->response_bytes = params->slab_bytes;
    if (fenced) rk_store_relaxed(&served->response_header->worker.state, RK_WAITER_FENCED);
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
static bool free_consumed(struct rk_served *served, uint16_t low_bits)
{
    uint64_t unread = (uint16_t)((uint16_t)served->position - low_bits);
    uint64_t consumed = served->position - unread;
    if (unread >= served->mask || consumed < served->consumed || unread > served->position) return false;
    while (served->consumed < consumed) rk_slots_free(&served->slots, served->consumed++);
    return true;
}

/** Where a payload over the inline size lies, checked against the mapping. */
static enum rk_take find_block(struct rk_served *served, const struct rk_block_ref *block, struct rk_taken *request)
{
    if (block->segment >= RK_SEGMENTS_MAX) {
        rk_error(-EPROTO, "request names segment %u of %u", block->segment, RK_SEGMENTS_MAX);
        return RK_TAKE_BAD;
    }
    const struct rk_segment *segment = &served->request[block->segment];
    if (segment->base == NULL) return RK_TAKE_STALLED;
    uint64_t start = block->segment == 0 ? rk_request_slab_offset(&served->params) : RK_PAGE_BYTES;
    if (request->length > segment->bytes || block->offset < start || block->offset > segment->bytes - request->length ||
        block->offset % RASK_BLOCK_BYTES_MIN != 0) {
        rk_error(-EPROTO, "request names bytes %llu+%u of a segment of %llu", (unsigned long long)block->offset,
                 request->length, (unsigned long long)segment->bytes);
        return RK_TAKE_BAD;
    }
    request->data = (const uint8_t *)segment->base + block->offset;
    return RK_TAKE_REQUEST;
}

static void fill_payload(struct rk_served *served, struct rk_response_slot *slot, struct rk_handling *handling)
{
    slot->length = handling->replied_bytes;
    if (handling->replied_bytes <= RASK_INLINE_BYTES) {
        if (handling->block == RK_BLOCK_NONE) {
            memcpy(slot->payload.bytes, handling->inline_reply, sizeof slot->payload.bytes);
            return;
        }
        /* A large room with a small answer: it fits the slot, and the block is free again. */
        const struct rk_block *block = &served->slab.blocks[handling->block];
        const uint8_t *base = served->response[block->segment].base;
        memcpy(slot->payload.bytes, base + block->offset, handling->replied_bytes);
        rk_slab_put(&served->slab, handling->block);
        return;
    }
    const struct rk_block *block = &served->slab.blocks[handling->block];
    slot->payload.block = (struct rk_block_ref){
        .offset = block->offset,
        .segment = block->segment,
        .index = handling->block,
        .generation = block->generation,
    };
}

static struct rk_response_slot *response_slot(struct rk_served *served)
{
    return &served->responses[served->slots.next];
}

/** Fill everything but the payload and publish. */
static void publish(struct rk_served *served, const struct rk_taken *request, enum rk_response_kind kind,
                    uint32_t status, int32_t code)
{
    struct rk_response_slot *slot = response_slot(served);
    uint64_t position = served->position++;
    slot->ticket = request->ticket;
    slot->code = code;
    slot->status = (uint16_t)status;
    slot->next = rk_slots_advance(&served->slots, position, position - served->consumed);
    slot->kind = (uint8_t)kind;
    /* SYNC R2 release: pairs with rk_lane_ready */
    rk_store_release(&slot->sequence, position + 1);
    rk_publish(served->client_state, served->client_bell);
}

/** A retracted request is answered too: the client may have looked at `taken` just after it was stored, and then waits. */
static enum rk_take skip(struct rk_served *served, const struct rk_taken *request)
{
    response_slot(served)->length = 0;
    publish(served, request, RK_RESPONSE_SKIPPED, RASK_CANCELLED, 0);
    return RK_TAKE_SKIPPED;
}

void rk_served_respond(struct rk_served *served, const struct rk_taken *request, uint32_t status, int32_t code,
                       struct rk_handling *handling)
{
    if (handling != NULL)
        fill_payload(served, response_slot(served), handling);
    else
        response_slot(served)->length = 0;
    publish(served, request, RK_RESPONSE_REPLY, status, code);
}

enum rk_take rk_served_take(struct rk_served *served, struct rk_taken *request)
{
    if (!rk_served_ready(served)) return RK_TAKE_NONE;
    const struct rk_request_slot *slot = served->next_request;
    /* SYNC R3 release, light: pairs with rk_lane_taken. Nothing of the slot but its sequence is read before this. */
    rk_store_release(&served->response_header->taken, served->position + 1);
    rk_light_barrier();
    if (RK_UNLIKELY(served->fenced)) rk_full_fence();
    bool cancelled = rk_load_relaxed(&slot->cancel) != 0;
    struct rk_request_slot copy;
    memcpy(&copy, slot, sizeof copy);
    rk_light_barrier(); /* from here on only the copy is looked at */
    request->deadline_ns = copy.deadline_ns;
    request->ticket = copy.ticket;
    request->length = copy.length;
    request->method = copy.method;
    request->cancel = &slot->cancel;
    /* SYNC R5 with R1: pairs with rk_lane_publish */
    if (RK_UNLIKELY(copy.kind != RK_REQUEST_CALL || copy.length > served->params.payload_bytes_max ||
                    copy.next > served->mask || !free_consumed(served, copy.consumed))) {
        rk_error(-EPROTO, "request of kind %u, length %u, next slot %u, consumed %u at position %llu", copy.kind,
                 copy.length, copy.next, copy.consumed, (unsigned long long)served->position);
        return RK_TAKE_BAD;
    }
    if (copy.length > RASK_INLINE_BYTES) {
        enum rk_take found = find_block(served, &copy.payload.block, request);
        if (RK_UNLIKELY(found != RK_TAKE_REQUEST)) {
            served->stalled = found == RK_TAKE_STALLED;
            return found;
        }
    } else {
        memcpy(request->bytes, copy.payload.bytes, sizeof request->bytes);
        request->data = request->bytes;
    }
    served->next_request = &served->requests[copy.next];
    return RK_UNLIKELY(cancelled) ? skip(served, request) : RK_TAKE_REQUEST;
}
