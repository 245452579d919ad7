/* SPDX-License-Identifier: MIT */
/* Room for responses: the lane's response slab, taking back what the client released, and growing. */
#include "error.h"
#include "host.h"
#include "served.h"
#include <errno.h>
#include <string.h>

/** How long the worker waits for the supervisor's socket to take one message. */
#define ANNOUNCE_TIMEOUT_NS 100000000u

/** Take back every block of the class that the client has released. Runs only when the class is dry. */
static void reclaim(struct rk_served *served, uint32_t class_index)
{
    struct rk_slab *slab = &served->slab;
    for (uint32_t i = 0; i < slab->count; i++) {
        struct rk_block *block = &slab->blocks[i];
        if (block->class_index != class_index || block->next != i) continue;
        /* SYNC R6 acquire: pairs with rk_lane_release_block */
        if (rk_load_acquire(&served->lane_page->released[i]) == block->generation) rk_slab_put(slab, i);
    }
}

static int announce(struct rk_served *served, uint32_t id)
{
    struct rk_message_segment message = {
        .session = served->id,
        .lane = served->lane,
        .kind = RK_SEGMENT_RESPONSE_EXTRA,
        .id = id,
        .bytes = served->response[id].bytes,
    };
    rk_message_init(&message.head, RK_SEGMENT, sizeof message);
    return rk_control_send_within(served->control_fd, &message, &served->response[id].fd, 1, ANNOUNCE_TIMEOUT_NS);
}

/** Add a segment with blocks of one class, and tell the client before any response refers to it. */
static int grow(struct rk_served *served, uint32_t class_index)
{
    uint64_t slab_bytes = rk_slab_extent_bytes(class_index);
    uint32_t id = served->response_segments;
    if (id >= RK_SEGMENTS_MAX || served->response_bytes + slab_bytes > served->params.slab_bytes_max) return -ENOSPC;
    struct rk_segment *segment = &served->response[id];
    int result = rk_slab_make_room(&served->slab, rk_slab_extent_blocks(class_index));
    if (result == 0) result = rk_segment_create(segment, RK_SEGMENT_RESPONSE_EXTRA, RK_PAGE_BYTES + slab_bytes);
    if (result != 0) return result;
    result = announce(served, id);
    if (result == 0)
        result = rk_slab_add(&served->slab, id, RK_PAGE_BYTES, class_index, rk_slab_extent_blocks(class_index));
    if (result != 0) {
        rk_segment_finish(segment);
        return result;
    }
    rk_segment_close_fd(segment);
    served->response_segments++;
    served->response_bytes += slab_bytes;
    return 0;
}

/** Of its class, then from a new extent, then of a larger class. */
uint32_t rk_served_take_block(struct rk_served *served, size_t bytes)
{
    uint32_t wanted = rk_class_of(bytes);
    for (uint32_t class_index = wanted; class_index < RK_CLASSES; class_index++) {
        uint32_t block = rk_slab_take(&served->slab, class_index);
        if (block != RK_BLOCK_NONE) return block;
        reclaim(served, class_index);
        block = rk_slab_take(&served->slab, class_index);
        if (block != RK_BLOCK_NONE) return block;
        if (class_index == wanted && grow(served, class_index) == 0) return rk_slab_take(&served->slab, class_index);
    }
    return RK_BLOCK_NONE;
}

/** Give a reservation back unused. */
static void unreserve(struct rk_served *served, struct rk_handling *handling)
{
    if (handling->block != RK_BLOCK_NONE) rk_slab_put(&served->slab, handling->block);
    handling->block = RK_BLOCK_NONE;
    handling->reserved_bytes = 0;
    handling->replied_bytes = 0;
}

void *rk_served_reserve(struct rk_served *served, struct rk_handling *handling, size_t bytes)
{
    unreserve(served, handling);
    handling->too_large = false;
    if (bytes <= RASK_INLINE_BYTES) {
        handling->reserved_bytes = (uint32_t)bytes;
        if (RK_LIKELY(!served->snapshot)) return rk_served_response_slot(served)->payload.bytes;
        return memset(handling->apart, 0, sizeof handling->apart); /* it may hold what another session was told */
    }
    if (bytes <= handling->pair_room && !rk_slots_in_ring(served->responses, served->next_response, served->mask)) {
        handling->reserved_bytes = (uint32_t)bytes;
        return served->next_response + 1;
    }
    if (bytes <= served->params.payload_bytes_max) handling->block = rk_served_take_block(served, bytes);
    if (handling->block == RK_BLOCK_NONE) {
        handling->too_large = true;
        return NULL;
    }
    handling->reserved_bytes = (uint32_t)bytes;
    return rk_served_block_data(served, handling->block);
}
