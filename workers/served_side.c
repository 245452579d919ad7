/* SPDX-License-Identifier: MIT */
/* What a worker publishes beside responses: emissions and upcalls; and the answers to these. */
#include "error.h"
#include "host.h"
#include "served.h"
#include <errno.h>
#include <string.h>

bool rk_emission_room(struct rk_served *served)
{
    if (RK_LIKELY(served->emissions - served->emissions_taken < RASK_EMITS_MAX)) return true;
    /* SYNC R13 acquire: pairs with rk_emissions_take */
    uint64_t taken = rk_load_acquire(&served->lane_page->emissions_taken);
    if (taken > served->emissions || taken < served->emissions_taken) return false; /* nonsense makes no room */
    served->emissions_taken = taken;
    return served->emissions - taken < RASK_EMITS_MAX;
}

/** The fields that say whose it is. */
static void address(const struct rk_served *served, struct rk_side_slot *slot, const struct rk_handling *handling,
                    uint32_t length)
{
    slot->ticket = handling->ticket;
    slot->position = (uint32_t)served->position;
    slot->length = length;
}

static void name_block(const struct rk_served *served, struct rk_side_slot *slot, uint32_t index)
{
    const struct rk_block *block = &served->slab.blocks[index];
    slot->payload.block = (struct rk_block_ref){
        .offset = block->offset, .segment = block->segment, .index = index, .generation = block->generation};
}

void rk_emission_publish(struct rk_served *served, struct rk_handling *handling, uint32_t bytes)
{
    struct rk_side_slot *slot = &served->emission_ring[served->emissions % RASK_EMITS_MAX];
    address(served, slot, handling, bytes);
    if (handling->block == RK_BLOCK_NONE && RK_UNLIKELY(served->snapshot)) {
        memcpy(slot->payload.bytes, handling->apart, bytes);
    } else if (handling->block == RK_BLOCK_NONE) {
        memcpy(slot->payload.bytes, rk_served_response_slot(served)->payload.bytes, RASK_INLINE_BYTES);
    } else if (bytes <= RASK_INLINE_BYTES) {
        const struct rk_block *block = &served->slab.blocks[handling->block];
        memcpy(slot->payload.bytes, (uint8_t *)served->response[block->segment].base + block->offset, bytes);
        rk_slab_put(&served->slab, handling->block);
    } else {
        name_block(served, slot, handling->block);
    }
    handling->block = RK_BLOCK_NONE;
    handling->reserved_bytes = handling->replied_bytes = 0;
    RK_STEP(EMISSION_FIELDS);
    /* SYNC R12 release: pairs with rk_emissions_take */
    rk_store_release(&slot->sequence, ++served->emissions);
    RK_STEP(EMISSION_SEQUENCE);
    rk_publish(served->client_state, served->client_bell, &served->rung);
}

void rk_upcall_publish(struct rk_served *served, const struct rk_handling *handling, uint32_t method, uint32_t block,
                       const uint8_t *inline_bytes, uint32_t bytes)
{
    struct rk_side_slot *slot = &served->pair->upcall;
    address(served, slot, handling, bytes);
    slot->method = method;
    if (bytes > RASK_INLINE_BYTES)
        name_block(served, slot, block);
    else
        memcpy(slot->payload.bytes, inline_bytes, RASK_INLINE_BYTES);
    RK_STEP(UPCALL_FIELDS);
    /* SYNC R14 release: pairs with rk_upcall_look */
    rk_store_release(&slot->sequence, ++served->upcalls);
    RK_STEP(UPCALL_SEQUENCE);
    rk_publish(served->client_state, served->client_bell, &served->rung);
}

bool rk_upcall_answered(const struct rk_served *served)
{
    /* SYNC R15 acquire: pairs with the client's answer */
    return rk_load_acquire(&served->pair->answer.sequence) == served->upcalls;
}

int rk_upcall_answer(struct rk_served *served, struct rk_answer *answer)
{
    const struct rk_side_slot *slot = &served->pair->answer;
    uint32_t length = rk_load_relaxed(&slot->length);
    *answer = (struct rk_answer){.data = answer->bytes, .code = rk_load_relaxed(&slot->code)};
    if (rk_load_relaxed(&slot->failed) != 0) return answer->code < 0 ? answer->code : -ENOSYS;
    if (length > served->params.payload_bytes_max) return rk_error(-EPROTO, "an answer of %u bytes", length);
    answer->length = length;
    if (length > RASK_INLINE_BYTES) return rk_served_find_block(served, &slot->payload.block, length, &answer->data);
    memcpy(answer->bytes, slot->payload.bytes, RASK_INLINE_BYTES);
    return 0;
}
