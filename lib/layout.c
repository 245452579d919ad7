/* SPDX-License-Identifier: MIT */
/* Sizes and offsets that follow from struct rk_params, the fingerprint, and the segment headers. */
#include "layout.h"
#include "atomic.h"
#include "error.h"
#include <errno.h>

#define FNV_PRIME 16777619u
#define FNV_START 2166136261u

static uint32_t mix(uint32_t hash, size_t value)
{
    for (unsigned i = 0; i < 4; i++) hash = (hash ^ (uint32_t)((value >> (8 * i)) & 0xff)) * FNV_PRIME;
    return hash;
}

uint32_t rk_layout_fingerprint(void)
{
    static const size_t facts[] = {
        RK_LAYOUT,
        RK_PAGE_BYTES,
        RK_SEGMENTS_MAX,
        RK_RESPONSE_BLOCKS_MAX,
        RK_LANES_MAX,
        RASK_INLINE_BYTES,
        sizeof(struct rk_params),
        sizeof(struct rk_segment_header),
        offsetof(struct rk_segment_header, magic),
        sizeof(struct rk_request_slot),
        offsetof(struct rk_request_slot, cancel),
        offsetof(struct rk_request_slot, ticket),
        offsetof(struct rk_request_slot, payload),
        sizeof(struct rk_response_slot),
        offsetof(struct rk_request_slot, next),
        offsetof(struct rk_response_slot, next),
        offsetof(struct rk_response_slot, payload),
        sizeof(struct rk_block_ref),
        offsetof(struct rk_request_header, client),
        offsetof(struct rk_request_header, sent),
        offsetof(struct rk_lane_request, emissions_taken),
        offsetof(struct rk_lane_request, released),
        offsetof(struct rk_response_slot, lease),
        offsetof(struct rk_side_slot, payload),
        sizeof(struct rk_side_slot),
        offsetof(struct rk_pair, answer),
        offsetof(struct rk_pair, upcall),
        offsetof(struct rk_response_header, leases_ended),
        offsetof(struct rk_response_header, lease_ended),
        offsetof(struct rk_status_page, streams),
        offsetof(struct rk_response_header, taken),
        offsetof(struct rk_response_header, service_ns),
        offsetof(struct rk_response_header, holding),
        offsetof(struct rk_response_header, others_since_ns),
        offsetof(struct rk_response_header, worker),
        offsetof(struct rk_status_page, epoch),
        offsetof(struct rk_status_page, log_dropped),
        offsetof(struct rk_status_page, sample_epoch),
        offsetof(struct rk_status_page, service),
        sizeof(struct rk_status_page),
        offsetof(struct rk_pool_page, phase),
        offsetof(struct rk_pool_page, member),
        offsetof(struct rk_pool_member, rescues),
        sizeof(struct rk_pool_member),
        offsetof(struct rk_bell_page, lane),
        offsetof(struct rk_pair, request[1]),
        offsetof(struct rk_pair, response),
        offsetof(struct rk_control_page, word),
        offsetof(struct rk_control_page, stop_epoch),
    };
    uint32_t hash = FNV_START;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) hash = mix(hash, facts[i]);
    return hash;
}

static uint64_t pages(uint64_t bytes)
{
    return (bytes + RK_PAGE_BYTES - 1) & ~(uint64_t)(RK_PAGE_BYTES - 1);
}

static bool power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

int rk_params_check(const struct rk_params *p)
{
    if (p->ring_slots < RASK_RING_SLOTS_MIN || p->ring_slots > RASK_RING_SLOTS_MAX || !power_of_two(p->ring_slots))
        return rk_error(-EINVAL, "ring_slots is %u: use a power of two from %u to %u", p->ring_slots,
                        RASK_RING_SLOTS_MIN, RASK_RING_SLOTS_MAX);
    if (p->lanes > RK_LANES_MAX) return rk_error(-EINVAL, "lanes is %u: at most %u", p->lanes, RK_LANES_MAX);
    if (p->payload_bytes_max < RASK_BLOCK_BYTES_MIN || p->payload_bytes_max > RASK_PAYLOAD_BYTES_MAX_LIMIT)
        return rk_error(-EINVAL, "payload_bytes_max is %u: use %u to %u", p->payload_bytes_max, RASK_BLOCK_BYTES_MIN,
                        RASK_PAYLOAD_BYTES_MAX_LIMIT);
    if (p->slab_bytes < RASK_SLAB_BYTES_MIN || p->slab_bytes > RASK_SLAB_BYTES_LIMIT || p->slab_bytes % RK_PAGE_BYTES)
        return rk_error(-EINVAL, "slab_bytes is %llu: use a multiple of %u from %u to %u",
                        (unsigned long long)p->slab_bytes, RK_PAGE_BYTES, RASK_SLAB_BYTES_MIN, RASK_SLAB_BYTES_LIMIT);
    if (p->slab_bytes_max < p->slab_bytes || p->slab_bytes_max > RASK_SLAB_BYTES_MAX_LIMIT)
        return rk_error(-EINVAL, "slab_bytes_max is %llu: use slab_bytes (%llu) to %llu",
                        (unsigned long long)p->slab_bytes_max, (unsigned long long)p->slab_bytes,
                        (unsigned long long)RASK_SLAB_BYTES_MAX_LIMIT);
    if (p->reserved != 0) return rk_error(-EINVAL, "a reserved word is not 0");
    return 0;
}

static uint64_t ring_bytes(const struct rk_params *p)
{
    return pages((uint64_t)p->ring_slots * sizeof(struct rk_request_slot));
}

uint64_t rk_request_lane_offset(const struct rk_params *p, uint32_t lane)
{
    return RK_PAGE_BYTES + lane * (RK_PAGE_BYTES + ring_bytes(p));
}

uint64_t rk_request_slab_offset(const struct rk_params *p)
{
    return rk_request_lane_offset(p, p->lanes);
}

uint64_t rk_request_segment_bytes(const struct rk_params *p)
{
    return rk_request_slab_offset(p) + p->slab_bytes;
}

uint64_t rk_response_emissions_offset(const struct rk_params *p)
{
    return RK_PAGE_BYTES + ring_bytes(p);
}

uint64_t rk_response_slab_offset(const struct rk_params *p)
{
    return rk_response_emissions_offset(p) + pages(RASK_EMITS_MAX * sizeof(struct rk_side_slot));
}

uint64_t rk_response_segment_bytes(const struct rk_params *p)
{
    return rk_response_slab_offset(p) + p->slab_bytes;
}

uint64_t rk_bell_pair_offset(const struct rk_params *p, uint32_t lane)
{
    return pages(offsetof(struct rk_bell_page, lane) + p->lanes * sizeof(struct rk_bell)) +
           lane * sizeof(struct rk_pair);
}

uint64_t rk_bell_segment_bytes(const struct rk_params *p)
{
    return rk_bell_pair_offset(p, p->lanes);
}

uint64_t rk_pool_segment_bytes(uint32_t workers)
{
    return pages(offsetof(struct rk_pool_page, member) + workers * sizeof(struct rk_pool_member));
}

void rk_segment_header_init(void *base, enum rk_segment_kind kind, uint64_t bytes)
{
    struct rk_segment_header *header = base;
    header->layout = RK_LAYOUT;
    header->fingerprint = rk_layout_fingerprint();
    header->kind = kind;
    header->bytes = bytes;
    /* SYNC R8 release: pairs with rk_segment_header_check */
    rk_store_release(&header->magic, RK_MAGIC);
}

int rk_segment_header_check(const void *base, enum rk_segment_kind kind, uint64_t bytes)
{
    const struct rk_segment_header *header = base;
    const char *name = rk_segment_kind_name(kind);
    /* SYNC R8 acquire: pairs with rk_segment_header_init */
    uint64_t magic = rk_load_acquire(&header->magic);
    uint32_t layout = rk_load_relaxed(&header->layout);
    uint32_t fingerprint = rk_load_relaxed(&header->fingerprint);
    uint32_t seen_kind = rk_load_relaxed(&header->kind);
    uint64_t seen_bytes = rk_load_relaxed(&header->bytes);
    if (magic != RK_MAGIC)
        return rk_error(-EPROTO, "%s segment: magic is %#llx, not a rask segment", name, (unsigned long long)magic);
    if (layout != RK_LAYOUT)
        return rk_error(-EPROTO, "%s segment: layout %u, this side has %u: update the older one", name, layout,
                        RK_LAYOUT);
    if (fingerprint != rk_layout_fingerprint())
        return rk_error(-EPROTO, "%s segment: fingerprint %#x, this side has %#x: build both from the same source",
                        name, fingerprint, rk_layout_fingerprint());
    if (seen_kind != (uint32_t)kind)
        return rk_error(-EPROTO, "%s segment: it says it is a %s segment", name, rk_segment_kind_name(seen_kind));
    if (seen_bytes != bytes)
        return rk_error(-EPROTO, "%s segment: it says %llu bytes instead of %llu", name, (unsigned long long)seen_bytes,
                        (unsigned long long)bytes);
    return 0;
}

uint32_t rk_upcall_hash(const char *name)
{
    uint32_t hash = 0x811c9dc5u;
    for (; *name != '\0'; name++) hash = (hash ^ (uint8_t)*name) * 0x01000193u;
    return hash;
}

const char *rk_segment_kind_name(uint32_t kind)
{
    static const char *const names[] = {
        "unknown", "request", "extra request", "response", "extra response", "status", "bell", "control word", "pool",
    };
    static_assert(sizeof names / sizeof names[0] == RK_SEGMENT_KIND_COUNT, "one name per kind");
    return kind < RK_SEGMENT_KIND_COUNT ? names[kind] : names[0];
}

const char *rk_worker_stage_name(uint32_t stage)
{
    static const char *const names[] = {
        "starting", "checking the plugin", "loading the plugin", "in the plugin's open()", "serving", "draining",
        "stopped",  "trying the canary",
    };
    static_assert(sizeof names / sizeof names[0] == RK_STAGE_COUNT, "one name per stage");
    return stage < RK_STAGE_COUNT ? names[stage] : "unknown";
}
