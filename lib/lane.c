/* SPDX-License-Identifier: MIT */
/* The client's half of the hot path: publish requests, take responses; see lane.h and the table in layout.h. */
#include "lane.h"
#include "error.h"
#include <errno.h>
#include <rask/status.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t rk_lane_private_bytes(const struct rk_params *params)
{
    return params->ring_slots * sizeof(uint32_t) + rk_slots_bytes(params->ring_slots);
}

/** A lane without an incarnation. */
static struct rk_lane unused(uint32_t index, uint32_t slots, struct rk_lane_request *page, uint32_t *bell,
                             uint32_t *by_position)
{
    struct rk_lane lane = {
        .mask = slots - 1,
        .index = (uint16_t)index,
        .requests = (struct rk_request_slot *)(void *)((uint8_t *)page + RK_PAGE_BYTES),
        .worker_bell = bell,
        .by_position = by_position,
        .page = page,
        .pidfd = -1,
    };
    rk_slots_init(&lane.slots, slots, by_position + slots);
    return lane;
}

void rk_lane_init(struct rk_lane *lane, uint32_t index, const struct rk_params *params, uint8_t *request_base,
                  struct rk_bell_page *bells, void *memory)
{
    void *page = request_base + rk_request_lane_offset(params, index);
    *lane = unused(index, params->ring_slots, page, &bells->lane[index].word, memory);
}

int rk_lane_open(struct rk_lane *lane, const struct rk_params *params, int response_fd, int pidfd)
{
    struct rk_responses *mapped = calloc(1, sizeof *mapped);
    if (mapped == NULL) {
        close(response_fd);
        close(pidfd);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) mapped->segment[i] = (struct rk_segment)RK_SEGMENT_INIT;
    int result =
        rk_segment_map(&mapped->segment[0], response_fd, RK_SEGMENT_RESPONSE, rk_response_segment_bytes(params), false);
    if (result != 0) {
        close(pidfd);
        free(mapped);
        return result;
    }
    const uint8_t *base = mapped->segment[0].base;
    mapped->references = 1;
    mapped->live = true;
    mapped->page = lane->page;
    lane->mapped = mapped;
    lane->header = (const struct rk_response_header *)(const void *)base;
    lane->worker_state = &lane->header->worker.state;
    lane->responses = (const struct rk_response_slot *)(const void *)(base + RK_PAGE_BYTES);
    lane->next_response = lane->responses;
    lane->pidfd = pidfd;
    lane->state = RK_LANE_IS_OPEN;
    return 0;
}

static void responses_put(struct rk_responses *responses)
{
    if (--responses->references > 0) return;
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) rk_segment_finish(&responses->segment[i]);
    free(responses);
}

void rk_responses_release(struct rk_responses *responses, uint32_t block, uint32_t generation)
{
    /* SYNC R6 release: pairs with the worker's reclaim */
    if (responses->live && block != RK_BLOCK_NONE) rk_store_release(&responses->page->released[block], generation);
    responses_put(responses);
}

void rk_lane_reset(struct rk_lane *lane)
{
    if (lane->mapped != NULL) {
        lane->mapped->live = false;
        responses_put(lane->mapped);
    }
    if (lane->pidfd >= 0) close(lane->pidfd);
    /* Nobody reads this memory now: its worker is dead, or never opened the lane. */
    memset(lane->page, 0, sizeof *lane->page);
    memset(lane->requests, 0, ((size_t)lane->mask + 1) * sizeof *lane->requests);
    *lane = unused(lane->index, lane->mask + 1, lane->page, lane->worker_bell, lane->by_position);
}

int rk_lane_add_segment(struct rk_lane *lane, uint32_t id, uint64_t bytes, int fd)
{
    if (lane->mapped == NULL || id == 0 || id >= RK_SEGMENTS_MAX || lane->mapped->segment[id].base != NULL) {
        close(fd);
        return rk_error(-EPROTO, "extra response segment %u: not a free number below %u", id, RK_SEGMENTS_MAX);
    }
    return rk_segment_map(&lane->mapped->segment[id], fd, RK_SEGMENT_RESPONSE_EXTRA, bytes, false);
}

uint64_t rk_lane_publish(struct rk_lane *lane, const struct rk_outgoing *request)
{
    uint64_t position = lane->position;
    struct rk_request_slot *slot = &lane->requests[lane->slots.next];
    slot->deadline_ns = request->deadline_ns;
    slot->ticket = request->ticket;
    slot->length = request->length;
    slot->method = request->method;
    slot->next = rk_slots_advance(&lane->slots, position, position - lane->response_position);
    slot->consumed = (uint16_t)lane->response_position; /* SYNC R5 with R1: pairs with rk_served_take */
    slot->kind = RK_REQUEST_CALL;
    slot->cancel = 0;
    if (request->length <= RASK_INLINE_BYTES)
        memcpy(slot->payload.bytes, request->bytes, RASK_INLINE_BYTES);
    else
        slot->payload.block = (struct rk_block_ref){.offset = request->offset, .segment = request->segment};
    /* SYNC R1 release: pairs with rk_served_ready */
    rk_store_release(&slot->sequence, position + 1);
    lane->by_position[position & lane->mask] = request->ticket_index;
    lane->position = position + 1;
    lane->in_flight++;
    rk_publish(lane->worker_state, lane->worker_bell);
    return position;
}

static int broken(struct rk_lane *lane)
{
    lane->broken = true;
    return -EPROTO;
}

/** A response over the inline size: its block, checked against the mapping. 1, 0 not here yet, -EPROTO. */
static int find_block(struct rk_lane *lane, const struct rk_block_ref *block, struct rk_incoming *response)
{
    if (block->segment >= RK_SEGMENTS_MAX || block->index >= RK_RESPONSE_BLOCKS_MAX) {
        rk_error(-EPROTO, "worker %u: response names segment %u, block %u", lane->worker, block->segment, block->index);
        return broken(lane);
    }
    const struct rk_segment *segment = &lane->mapped->segment[block->segment];
    if (segment->base == NULL) return 0;
    if (response->length > segment->bytes || block->offset < RK_PAGE_BYTES ||
        block->offset > segment->bytes - response->length || block->offset % RASK_BLOCK_BYTES_MIN != 0) {
        rk_error(-EPROTO, "worker %u: response names bytes %llu+%u of a segment of %llu", lane->worker,
                 (unsigned long long)block->offset, response->length, (unsigned long long)segment->bytes);
        return broken(lane);
    }
    response->data = (const uint8_t *)segment->base + block->offset;
    response->block = block->index;
    response->generation = block->generation;
    return 1;
}

/** Does a response make sense at this position? `index` is the ticket bound there, or RK_HOLE. */
static bool plausible(const struct rk_lane *lane, const struct rk_response_slot *copy, uint32_t index)
{
    if (lane->response_position >= lane->position || copy->next > lane->mask) return false;
    if (copy->kind == RK_RESPONSE_SKIPPED) return true;
    return copy->kind == RK_RESPONSE_REPLY && copy->status < RASK_STATUS_COUNT && index != RK_HOLE;
}

int rk_lane_take(struct rk_lane *lane, struct rk_incoming *response, uint8_t *table, size_t stride)
{
    struct rk_response_slot copy;
    memcpy(&copy, lane->next_response, sizeof copy);
    rk_light_barrier(); /* from here on only the copy is looked at */
    uint64_t position = lane->response_position;
    uint32_t index = lane->by_position[position & lane->mask];
    if (RK_UNLIKELY(!plausible(lane, &copy, index))) {
        rk_error(-EPROTO, "worker %u: response of kind %u, status %u, next slot %u at position %llu of %llu",
                 lane->worker, copy.kind, copy.status, copy.next, (unsigned long long)position,
                 (unsigned long long)lane->position);
        return broken(lane);
    }
    bool skipped = copy.kind == RK_RESPONSE_SKIPPED;
    *response = (struct rk_incoming){
        .ticket = copy.ticket,
        .ticket_index = index,
        .length = skipped ? 0 : copy.length,
        .status = copy.status,
        .code = copy.code,
        .skipped = skipped,
        .block = RK_BLOCK_NONE,
    };
    if (response->length > RASK_INLINE_BYTES) {
        int found = find_block(lane, &copy.payload.block, response);
        if (found != 1) return found;
    } else if (index != RK_HOLE) {
        memcpy(table + index * stride, copy.payload.bytes, RASK_INLINE_BYTES);
    }
    rk_slots_free(&lane->slots, position);
    lane->next_response = &lane->responses[copy.next];
    lane->response_position = position + 1;
    if (index != RK_HOLE) lane->in_flight--;
    return 1;
}

void rk_lane_mark(struct rk_lane *lane, uint64_t position, uint8_t marks)
{
    /* SYNC R3 release, then rk_park_barrier: pairs with rk_served_take */
    rk_store_release(&lane->requests[rk_slots_of(&lane->slots, position)].cancel, marks);
}

uint64_t rk_lane_taken(struct rk_lane *lane)
{
    /* SYNC R3 relaxed after the heavy barrier: pairs with rk_served_take */
    uint64_t taken = rk_load_relaxed(&lane->header->taken);
    if (taken < lane->taken_seen || taken < lane->response_position || taken > lane->position) {
        rk_error(-EPROTO, "worker %u: taken is %llu, was %llu, with %llu published", lane->worker,
                 (unsigned long long)taken, (unsigned long long)lane->taken_seen, (unsigned long long)lane->position);
        lane->broken = true;
        return lane->position;
    }
    lane->taken_seen = taken;
    return taken;
}
