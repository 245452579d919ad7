/* SPDX-License-Identifier: MIT */
/* What both sides compute from the parameters of a session, which parameters are refused, and segment headers. */
#include "layout.h"
#include <errno.h>
#include <rask/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES (3u * RK_PAGE_BYTES)

static const struct rk_params usual = {
    .ring_slots = RASK_RING_SLOTS_DEFAULT,
    .lanes = 3,
    .payload_bytes_max = RASK_PAYLOAD_BYTES_MAX_DEFAULT,
    .slab_bytes = RASK_SLAB_BYTES_DEFAULT,
    .slab_bytes_max = RASK_SLAB_BYTES_MAX_DEFAULT,
};

static void offsets_fit(const struct rk_params *p)
{
    uint64_t lane_bytes = RK_PAGE_BYTES + (uint64_t)p->ring_slots * sizeof(struct rk_request_slot);
    uint64_t at = RK_PAGE_BYTES;
    assert_int_equal(rk_params_check(p), 0);
    for (uint32_t lane = 0; lane < p->lanes; lane++) {
        assert_true(rk_request_lane_offset(p, lane) >= at);
        at = rk_request_lane_offset(p, lane) + lane_bytes;
    }
    assert_true(rk_request_slab_offset(p) >= at);
    assert_int_equal(rk_request_slab_offset(p) % RK_PAGE_BYTES, 0);
    assert_int_equal(rk_request_segment_bytes(p), rk_request_slab_offset(p) + p->slab_bytes);
    assert_int_equal(rk_request_segment_bytes(p) % RK_PAGE_BYTES, 0);
    uint64_t ring_end = RK_PAGE_BYTES + (uint64_t)p->ring_slots * sizeof(struct rk_response_slot);
    assert_true(rk_response_slab_offset(p) >= ring_end);
    assert_int_equal(rk_response_slab_offset(p) % RK_PAGE_BYTES, 0);
    assert_int_equal(rk_response_segment_bytes(p), rk_response_slab_offset(p) + p->slab_bytes);
    assert_int_equal(rk_response_segment_bytes(p) % RK_PAGE_BYTES, 0);
    assert_true(rk_bell_pair_offset(p, 0) >= offsetof(struct rk_bell_page, lane) + p->lanes * sizeof(struct rk_bell));
    assert_int_equal(rk_bell_pair_offset(p, 0) % RK_PAGE_BYTES, 0);
    assert_int_equal(rk_bell_segment_bytes(p), rk_bell_pair_offset(p, 0) + p->lanes * sizeof(struct rk_pair));
}

static void test_offsets_fit_their_segments(void **state)
{
    (void)state;
    static const uint32_t lanes[] = {0, 1, 2, 63, 64, RK_LANES_MAX};
    static const uint64_t slabs[] = {RASK_SLAB_BYTES_MIN, RASK_SLAB_BYTES_MIN + RK_PAGE_BYTES, RASK_SLAB_BYTES_DEFAULT,
                                     RASK_SLAB_BYTES_LIMIT};
    for (uint32_t slots = RASK_RING_SLOTS_MIN; slots <= RASK_RING_SLOTS_MAX; slots *= 2)
        for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++)
            for (size_t j = 0; j < sizeof slabs / sizeof slabs[0]; j++) {
                struct rk_params params = usual;
                params.ring_slots = slots;
                params.lanes = lanes[i];
                params.slab_bytes = slabs[j];
                params.slab_bytes_max = RASK_SLAB_BYTES_MAX_LIMIT;
                offsets_fit(&params);
            }
}

static void refused(struct rk_params params, const char *field)
{
    assert_int_equal(rk_params_check(&params), -EINVAL);
    if (strstr(rask_last_error(), field) == NULL) fail_msg("\"%s\" does not name %s", rask_last_error(), field);
}

/* `bad` is `usual` with one field changed to `value`. */
#define REFUSED(member, value)        \
    do {                              \
        struct rk_params bad = usual; \
        bad.member = (value);         \
        refused(bad, #member);        \
    } while (0)
#define TAKEN(member, value)                         \
    do {                                             \
        struct rk_params good = usual;               \
        good.member = (value);                       \
        assert_int_equal(rk_params_check(&good), 0); \
    } while (0)

static void test_each_parameter_out_of_range_is_refused_by_name(void **state)
{
    (void)state;
    static const uint32_t slots[] = {0, 1, 4, 7, 9, 255, 257, 4095, 8192, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) REFUSED(ring_slots, slots[i]);
    REFUSED(lanes, RK_LANES_MAX + 1);
    REFUSED(lanes, UINT32_MAX);
    REFUSED(payload_bytes_max, 0);
    REFUSED(payload_bytes_max, RASK_BLOCK_BYTES_MIN - 1);
    REFUSED(payload_bytes_max, RASK_PAYLOAD_BYTES_MAX_LIMIT + 1);
    REFUSED(payload_bytes_max, UINT32_MAX);
    REFUSED(slab_bytes, 0);
    REFUSED(slab_bytes, RASK_SLAB_BYTES_MIN - RK_PAGE_BYTES);
    REFUSED(slab_bytes, RASK_SLAB_BYTES_DEFAULT + 1);
    REFUSED(slab_bytes, (uint64_t)RASK_SLAB_BYTES_LIMIT + RK_PAGE_BYTES);
    REFUSED(slab_bytes, UINT64_MAX - RK_PAGE_BYTES + 1);
    REFUSED(slab_bytes_max, 0);
    REFUSED(slab_bytes_max, RASK_SLAB_BYTES_DEFAULT - 1);
    REFUSED(slab_bytes_max, RASK_SLAB_BYTES_MAX_LIMIT + 1);
    REFUSED(slab_bytes_max, UINT64_MAX);
    REFUSED(reserved, 1);
}

static void test_parameters_at_their_limits_are_taken(void **state)
{
    (void)state;
    TAKEN(ring_slots, RASK_RING_SLOTS_MIN);
    TAKEN(ring_slots, RASK_RING_SLOTS_MAX);
    TAKEN(lanes, 0);
    TAKEN(lanes, RK_LANES_MAX);
    TAKEN(payload_bytes_max, RASK_BLOCK_BYTES_MIN);
    TAKEN(payload_bytes_max, RASK_PAYLOAD_BYTES_MAX_LIMIT);
    TAKEN(slab_bytes, RASK_SLAB_BYTES_MIN);
    TAKEN(slab_bytes_max, RASK_SLAB_BYTES_DEFAULT);
    TAKEN(slab_bytes_max, RASK_SLAB_BYTES_MAX_LIMIT);
}

static struct rk_segment_header *header;

static int set_up(void **state)
{
    (void)state;
    header = aligned_alloc(RK_PAGE_BYTES, BYTES);
    if (header == NULL) return -1;
    memset(header, 0, BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(header);
    return 0;
}

static int check(void)
{
    return rk_segment_header_check(header, RK_SEGMENT_REQUEST, BYTES);
}

static void test_header_without_magic_is_refused(void **state)
{
    (void)state;
    assert_int_equal(check(), -EPROTO);
    assert_non_null(strstr(rask_last_error(), "magic"));
    rk_segment_header_init(header, RK_SEGMENT_REQUEST, BYTES);
    assert_int_equal(check(), 0);
    header->magic = 0;
    assert_int_equal(check(), -EPROTO);
    for (unsigned bit = 0; bit < 64; bit++) {
        header->magic = RK_MAGIC ^ (1ull << bit);
        assert_int_equal(check(), -EPROTO);
    }
}

static void header_refused(const char *word)
{
    assert_int_equal(check(), -EPROTO);
    if (strstr(rask_last_error(), word) == NULL) fail_msg("\"%s\" does not say %s", rask_last_error(), word);
    rk_segment_header_init(header, RK_SEGMENT_REQUEST, BYTES);
    assert_int_equal(check(), 0);
}

static void test_header_of_another_build_kind_or_size_is_refused(void **state)
{
    (void)state;
    rk_segment_header_init(header, RK_SEGMENT_REQUEST, BYTES);
    header->layout++;
    header_refused("layout");
    header->fingerprint ^= 1;
    header_refused("fingerprint");
    for (uint32_t kind = 0; kind <= RK_SEGMENT_KIND_COUNT; kind++) {
        if (kind == RK_SEGMENT_REQUEST) continue;
        header->kind = kind;
        header_refused(rk_segment_kind_name(kind));
    }
    header->bytes = BYTES - 1;
    header_refused("12287");
    header->bytes = UINT64_MAX;
    header_refused("bytes");
}

static void test_names_cover_every_number(void **state)
{
    (void)state;
    for (uint32_t kind = 1; kind < RK_SEGMENT_KIND_COUNT; kind++)
        assert_string_not_equal(rk_segment_kind_name(kind), "unknown");
    for (uint32_t stage = 0; stage < RK_STAGE_COUNT; stage++)
        assert_string_not_equal(rk_worker_stage_name(stage), "unknown");
    assert_string_equal(rk_segment_kind_name(0), "unknown");
    assert_string_equal(rk_segment_kind_name(RK_SEGMENT_KIND_COUNT), "unknown");
    assert_string_equal(rk_segment_kind_name(UINT32_MAX), "unknown");
    assert_string_equal(rk_worker_stage_name(RK_STAGE_COUNT), "unknown");
    assert_string_equal(rk_worker_stage_name(UINT32_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_fit_their_segments),
        cmocka_unit_test(test_each_parameter_out_of_range_is_refused_by_name),
        cmocka_unit_test(test_parameters_at_their_limits_are_taken),
        cmocka_unit_test_setup_teardown(test_header_without_magic_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_header_of_another_build_kind_or_size_is_refused, set_up, tear_down),
        cmocka_unit_test(test_names_cover_every_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
