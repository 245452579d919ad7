/* SPDX-License-Identifier: MIT */
/* The client's half of the hot path: publish requests, take responses; see lane.h and the table in layout.h. */
#include "lane.h"
#include "error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t rk_lane_private_bytes(const struct rk_params *params)
{
    return params->ring_slots * sizeof(struct rk_lane_entry);
}

/** A lane without an incarnation. */
static struct rk_lane unused(uint32_t index, uint32_t slots, struct rk_lane_request *page, struct rk_pair *pair,
                             uint32_t *bell, struct rk_lane_entry *entries)
{
    struct rk_request_slot *requests = (struct rk_request_slot *)(void *)((uint8_t *)page + RK_PAGE_BYTES);
    return (struct rk_lane){
        .next_request = requests,
        .in_ring = 1,
        .mask = slots - 1,
        .give_up_below = rk_slots_give_up_below(slots - 1),
        .give_up_due = rk_fence_only() ? rk_slots_give_up_below(slots - 1) : 0,
        .index = (uint16_t)index,
        .requests = requests,
        .pair = pair,
        .worker_bell = bell,
        .entries = entries,
        .page = page,
        .pidfd = -1,
        .answer_block = RK_BLOCK_NONE,
    };
}

void rk_lane_init(struct rk_lane *lane, uint32_t index, const struct rk_params *params, uint8_t *request_base,
                  uint8_t *bell_base, void *memory)
{
    void *page = request_base + rk_request_lane_offset(params, index);
    void *pair = bell_base + rk_bell_pair_offset(params, index);
    struct rk_bell_page *bells = (void *)bell_base;
    *lane = unused(index, params->ring_slots, page, pair, &bells->lane[index].word, memory);
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
    RK_STEP(RELEASED);
    responses_put(responses);
}

void rk_lane_finish(struct rk_lane *lane, bool mapped)
{
    if (lane->mapped != NULL && mapped) {
        lane->mapped->live = false;
        responses_put(lane->mapped);
    } else {
        free(lane->mapped);
    }
    lane->mapped = NULL;
    free(lane->leases); /* of a session that is over: otherwise they were settled */
    lane->leases = NULL;
    if (lane->pidfd >= 0) close(lane->pidfd);
    lane->pidfd = -1;
}

void rk_lane_reset(struct rk_lane *lane)
{
    rk_lane_finish(lane, true);
    /* Nobody reads this memory now: its worker is dead, or never opened the lane. */
    memset(lane->page, 0, sizeof *lane->page);
    memset(lane->requests, 0, ((size_t)lane->mask + 1) * sizeof *lane->requests);
    memset(lane->pair, 0, sizeof *lane->pair);
    *lane = unused(lane->index, lane->mask + 1, lane->page, lane->pair, lane->worker_bell, lane->entries);
}

int rk_lane_add_segment(struct rk_lane *lane, uint32_t id, uint64_t bytes, int fd)
{
    if (lane->mapped == NULL || id == 0 || id >= RK_SEGMENTS_MAX || lane->mapped->segment[id].base != NULL) {
        close(fd);
        return rk_error(-EPROTO, "extra response segment %u: not a free number below %u", id, RK_SEGMENTS_MAX);
    }
    return rk_segment_map(&lane->mapped->segment[id], fd, RK_SEGMENT_RESPONSE_EXTRA, bytes, false);
}

/** Say what is wrong with a response. */
static enum rk_taking broken(struct rk_lane *lane, uint32_t kind, uint32_t status, uint32_t next, uint32_t ticket)
{
    lane->broken = true;
    rk_error(-EPROTO, "worker %u: response of kind %u, status %u, next slot %u, ticket %u at position %llu of %llu",
             lane->worker, kind, status, next, ticket, (unsigned long long)lane->response_position,
             (unsigned long long)lane->position);
    return RK_TAKING_BROKEN;
}

/** The worker's words about a block, read once. */
static inline struct rk_block_ref copy_block(const struct rk_block_ref *shared)
{
    struct rk_block_ref copy;
    memcpy(&copy, shared, sizeof copy);
    rk_light_barrier(); /* from here on only the copy is looked at */
    return copy;
}

__attribute__((always_inline)) static inline enum rk_taking
find_block(struct rk_lane *lane, const struct rk_block_ref *block, uint32_t length, struct rk_view *view)
{
    bool known = block->segment < RK_SEGMENTS_MAX && block->index < RK_RESPONSE_BLOCKS_MAX;
    if (known && lane->mapped->segment[block->segment].base == NULL) return RK_TAKING_LATER;
    const struct rk_segment *segment = known ? &lane->mapped->segment[block->segment] : NULL;
    if (segment == NULL || length > segment->bytes || block->offset < RK_PAGE_BYTES ||
        block->offset > segment->bytes - length || block->offset % RASK_BLOCK_BYTES_MIN != 0) {
        lane->broken = true;
        rk_error(-EPROTO, "worker %u: response names segment %u, block %u, bytes %llu+%u: not in its slab",
                 lane->worker, block->segment, block->index, (unsigned long long)block->offset, length);
        return RK_TAKING_BROKEN;
    }
    *view = (struct rk_view){(const uint8_t *)segment->base + block->offset, block->index, block->generation};
    return RK_TAKING_REPLY;
}

enum rk_taking rk_lane_find_block(struct rk_lane *lane, const struct rk_block_ref *shared, uint32_t length,
                                  struct rk_view *view)
{
    struct rk_block_ref block = copy_block(shared);
    return find_block(lane, &block, length, view);
}

/** A long response, in a block or behind its slot. */
static enum rk_taking find_response(struct rk_lane *lane, const struct rk_ticket *ticket, uint32_t length,
                                    struct rk_view *view)
{
    struct rk_block_ref block = copy_block(&lane->next_response->payload.block);
    if (block.segment != RK_SEGMENT_IN_PAIR) return find_block(lane, &block, length, view);
    bool agreed = ticket->block != RK_BLOCK_NONE && length <= ticket->pair_room;
    if (!agreed || rk_slots_in_ring(lane->responses, lane->next_response, lane->mask)) {
        lane->broken = true;
        rk_error(-EPROTO, "worker %u: response of %u bytes behind its slot, which was not agreed", lane->worker,
                 length);
        return RK_TAKING_BROKEN;
    }
    *view = (struct rk_view){lane->next_response + 1, RK_BLOCK_NONE, 0};
    return RK_TAKING_REPLY;
}

struct rk_ticket *rk_lane_asks_for(struct rk_lane *lane, struct rk_tickets *tickets, uint32_t low_position,
                                   uint32_t generation, uint64_t *position)
{
    uint32_t behind = low_position - (uint32_t)lane->response_position;
    *position = lane->response_position + behind;
    uint32_t index = behind < rk_lane_load(lane) ? rk_lane_entry(lane, *position)->ticket : RK_HOLE;
    struct rk_ticket *ticket = index != RK_HOLE ? &tickets->table[index] : NULL;
    if (ticket != NULL && (uint32_t)(ticket->id >> 32) == generation) return ticket;
    lane->broken = true;
    rk_error(-EPROTO, "worker %u: it asks for ticket %u at position ..%u, which it has not in hand", lane->worker,
             generation, low_position);
    return NULL;
}

/** What a response says of a lease: in lane->lease. False: nonsense. */
static bool take_lease(struct rk_lane *lane, const struct rk_response_slot *slot, const struct rk_ticket *ticket)
{
    lane->lease = rk_load_relaxed(&slot->lease);
    lane->lease_generation = rk_load_relaxed(&slot->lease_generation);
    return lane->lease < RASK_LEASES_MAX && ticket->block != RK_BLOCK_NONE;
}

/** Statuses that a worker may answer with; the others are for the client to find. */
#define REPLY_STATUSES                                                                                                 \
    (1u << RASK_OK | 1u << RASK_HANDLER_ERROR | 1u << RASK_REPLY_TOO_LARGE | 1u << RASK_ABORTED | 1u << RASK_EXPIRED | \
     1u << RASK_CANCELLED | 1u << RASK_OVERLOADED | 1u << RASK_NO_METHOD)

enum rk_taking rk_lane_take(struct rk_lane *lane, struct rk_tickets *tickets, struct rk_ticket **out)
{
    const struct rk_response_slot *slot = lane->next_response;
    uint64_t position = lane->response_position;
    uint32_t index = rk_lane_entry(lane, position)->ticket;
    uint32_t whole_kind = rk_load_relaxed(&slot->kind), kind = whole_kind & RK_RESPONSE_KIND_BITS;
    uint32_t status = rk_load_relaxed(&slot->status);
    uint32_t next = rk_load_relaxed(&slot->next);
    uint32_t generation = rk_load_relaxed(&slot->ticket);
    uint32_t length = rk_load_relaxed(&slot->length);
    bool known = (whole_kind & ~(uint32_t)(RK_RESPONSE_KIND_BITS | RK_RESPONSE_LEASED)) == 0;
    bool reply = known && (kind == RK_RESPONSE_REPLY || kind == RK_RESPONSE_QUIET) && status < 32 &&
                 (REPLY_STATUSES >> status & 1) && index != RK_HOLE;
    lane->lease = RK_LEASE_NONE;
    if (position >= lane->position || !rk_slot_exists(next, lane->mask) ||
        (!reply && whole_kind != RK_RESPONSE_SKIPPED))
        return broken(lane, whole_kind, status, next, generation);
    if (index == RK_HOLE) {
        lane->holes--;
        rk_lane_passed(lane, next);
        return RK_TAKING_HOLE;
    }
    struct rk_ticket *ticket = *out = &tickets->table[index];
    if (generation != (uint32_t)(ticket->id >> 32)) return broken(lane, whole_kind, status, next, generation);
    if (!reply && !(ticket->flags & RK_TICKET_MARKED)) return broken(lane, whole_kind, status, next, generation);
    bool only_streams = kind == RK_RESPONSE_QUIET || (reply && status == RASK_CANCELLED);
    if (only_streams && !(ticket->wishes & RK_WISH_STREAM)) return broken(lane, whole_kind, status, next, generation);
    if (kind == RK_RESPONSE_QUIET) {
        ticket->wishes |= RK_WISH_QUIET;
        length = 0;
    }
    if ((whole_kind & RK_RESPONSE_LEASED) && (!reply || !take_lease(lane, slot, ticket)))
        return broken(lane, whole_kind, status, next, generation);
    struct rk_view view = {NULL, RK_BLOCK_NONE, 0};
    if (reply && length > RASK_INLINE_BYTES) {
        enum rk_taking found = find_response(lane, ticket, length, &view);
        if (found != RK_TAKING_REPLY) return found; /* it is not decided yet */
    }
    if (ticket->state != RK_TICKET_BOUND) ticket = &tickets->late;
    ticket->response_block = view.block;
    if (reply) { /* a skipped request may be sent again: its bytes stay */
        ticket->status = (uint8_t)status;
        ticket->response_length = length;
        ticket->response = view.data != NULL ? view.data : ticket->bytes;
        ticket->response_generation = view.generation;
        if (view.data == NULL) memcpy(ticket->bytes, slot->payload.bytes, RASK_INLINE_BYTES);
        ticket->code = rk_load_relaxed(&slot->code);
    }
    rk_lane_passed(lane, next);
    return reply ? RK_TAKING_REPLY : RK_TAKING_SKIPPED;
}

uint64_t rk_lane_position_of(const struct rk_lane *lane, const struct rk_ticket *ticket)
{
    uint64_t position = lane->response_position;
    while (rk_lane_entry(lane, position)->ticket != (uint32_t)ticket->id && position < lane->position) position++;
    RK_CHECK(position < lane->position);
    return position;
}

void rk_lane_make_hole(struct rk_lane *lane, uint64_t position)
{
    rk_lane_entry(lane, position)->ticket = RK_HOLE;
    lane->holes++;
}

void rk_lane_mark(struct rk_lane *lane, uint64_t position, uint8_t marks)
{
    /* SYNC R3 release, then rk_park_barrier: pairs with rk_served_take */
    rk_store_release(&rk_lane_request_at(lane, rk_lane_entry(lane, position)->slot)->cancel, marks);
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
