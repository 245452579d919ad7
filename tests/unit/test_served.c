/* SPDX-License-Identifier: MIT */
/* A worker against a client that writes what it likes into its request segment: nothing outside the slab is ever handed
 * to a handler, and whatever is wrong ends that session in words. */
#include "forged_client.h"
#include "random.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

struct bad_block {
    const char *name;
    uint64_t offset; /* counted from the end if `back` */
    bool back;
    uint32_t segment;
    uint32_t length;
};

static const struct bad_block bad_blocks[] = {
    {"first segment past the last", RK_PAGE_BYTES, false, RK_SEGMENTS_MAX, 100},
    {"segment -1", RK_PAGE_BYTES, false, UINT32_MAX, 100},
    {"the header", 0, false, 0, 100},
    {"a lane's ring", RK_PAGE_BYTES, false, 0, 100},
    {"the end of the rings", 5 * RK_PAGE_BYTES - RASK_BLOCK_BYTES_MIN, false, 0, 100},
    {"no block's start", RASK_BLOCK_BYTES_MIN - 1, true, 0, 100},
    {"one byte past the end", RASK_BLOCK_BYTES_MIN, true, 0, RASK_BLOCK_BYTES_MIN + 1},
    {"the end", 0, true, 0, 33},
    {"far past the end", 1ull << 40, false, 0, 100},
    {"an offset that wraps", 0ull - RASK_BLOCK_BYTES_MIN, false, 0, 1000},
    {"an offset that wraps into the slab", 0ull - 65536, false, 0, 99000},
    {"longer than the segment", RASK_BLOCK_BYTES_MIN, true, 0, PAYLOAD_BYTES_MAX},
};

static void test_worker_refuses_blocks_outside_the_slab(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_blocks / sizeof bad_blocks[0]; i++) {
        const struct bad_block *bad = &bad_blocks[i];
        struct rk_request_slot *slot = fill(&one, 0);
        slot->length = bad->length;
        slot->payload.block.segment = bad->segment;
        slot->payload.block.offset = bad->back ? one.request.bytes - bad->offset : bad->offset;
        publish(&one, slot);
        refused(&one, bad->name, "request names");
        guest_end(&one);
        guest_start(&one);
    }
}

static void test_worker_reads_blocks_at_both_ends_of_the_slab(void **state)
{
    (void)state;
    const uint64_t offsets[] = {rk_request_slab_offset(&one.served->params), one.request.bytes - RASK_BLOCK_BYTES_MIN};
    for (unsigned i = 0; i < 2; i++) {
        memset((uint8_t *)one.request.base + offsets[i], 0x66, RASK_BLOCK_BYTES_MIN);
        struct rk_request_slot *slot = fill(&one, 0);
        slot->length = RASK_BLOCK_BYTES_MIN;
        slot->payload.block.offset = offsets[i];
        publish(&one, slot);
        assert_int_equal(take(&one), RK_TAKE_REQUEST);
        assert_int_equal(one.handling.call.request_bytes, RASK_BLOCK_BYTES_MIN);
        for (unsigned j = 0; j < RASK_BLOCK_BYTES_MIN; j++)
            assert_int_equal(((const uint8_t *)one.handling.call.request)[j], 0x66);
        rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    }
}

static void test_worker_refuses_fields_that_cannot_be(void **state)
{
    static const uint8_t kinds[] = {0, RK_REQUEST_KIND_COUNT, 255};
    static const uint16_t nexts[] = {SLOTS, SLOTS + 1, RK_SLOT_PAIR - 1};
    static const uint32_t lengths[] = {PAYLOAD_BYTES_MAX + 1, 1u << 31, UINT32_MAX};
    static const uint16_t consumed[] = {1, 2, MANY, 1000, UINT16_MAX}; /* at position 0 nothing was consumed */
    (void)state;
    for (unsigned i = 0; i < 3 + 3 + 3 + 5; i++) {
        struct rk_request_slot *slot = fill(&one, 0);
        if (i < 3)
            slot->kind = kinds[i];
        else if (i < 6)
            slot->next = nexts[i - 3];
        else if (i < 9)
            slot->length = lengths[i - 6];
        else
            slot->consumed = consumed[i - 9];
        publish(&one, slot);
        refused(&one, "field", "request of kind");
        guest_end(&one);
        guest_start(&one);
    }
}

static void test_worker_refuses_consumed_that_runs_backwards_or_ahead(void **state)
{
    (void)state;
    serve(&one, 20);
    publish(&one, fill(&one, 18)); /* it said 19 before */
    refused(&one, "backwards", "consumed 18");
    guest_end(&one);
    guest_start(&one);
    serve(&one, 20);
    publish(&one, fill(&one, 21)); /* there were only 20 responses */
    refused(&one, "ahead", "consumed 21");
}

static void test_low_bits_of_consumed_come_round(void **state)
{
    (void)state;
    serve(&one, 65536 + 20);
    publish(&one, fill(&one, 65536 + 18));
    refused(&one, "backwards", "consumed 18");
}

static void test_positions_beyond_32_bits_are_served(void **state)
{
    (void)state;
    const uint64_t start = (1ull << 32) - 10;
    one.served->position = one.served->consumed = one.position = start;
    serve(&one, start + 20);
    assert_int_equal(one.served->position, start + 20);
    assert_int_equal(one.served->response_header->taken, start + 20);
}

static void test_request_waits_for_the_segment_it_names(void **state)
{
    struct rk_segment extra;
    (void)state;
    struct rk_request_slot *slot = fill(&one, 0);
    slot->length = 1000;
    slot->payload.block = (struct rk_block_ref){.offset = RK_PAGE_BYTES, .segment = 3};
    publish(&one, slot);
    assert_int_equal(take(&one), RK_TAKE_STALLED);
    assert_true(one.served->stalled);
    assert_int_equal(one.served->position, 0);
    assert_int_equal(rk_segment_create(&extra, RK_SEGMENT_REQUEST_EXTRA, 2 * RK_PAGE_BYTES), 0);
    memset((uint8_t *)extra.base + RK_PAGE_BYTES, 0x21, RK_PAGE_BYTES);
    assert_int_equal(rk_served_add_segment(one.served, 3, extra.bytes, dup(extra.fd)), 0);
    assert_int_equal(take(&one), RK_TAKE_REQUEST);
    assert_int_equal(((const uint8_t *)one.handling.call.request)[999], 0x21);
    rk_served_reply(one.served, &one.handling, RASK_OK, 0);
    assert_int_equal(rk_served_add_segment(one.served, 3, extra.bytes, dup(extra.fd)), -EPROTO); /* twice */
    assert_int_equal(rk_served_add_segment(one.served, 0, extra.bytes, dup(extra.fd)), -EPROTO);
    assert_int_equal(rk_served_add_segment(one.served, RK_SEGMENTS_MAX, extra.bytes, dup(extra.fd)), -EPROTO);
    assert_int_equal(rk_served_add_segment(one.served, 4, extra.bytes + RK_PAGE_BYTES, dup(extra.fd)), -EPROTO);
    rk_segment_finish(&extra);
}

static sigjmp_buf touched;

static void on_touch(int number)
{
    (void)number;
    siglongjmp(touched, 1);
}

/* Takes one request while nothing of the client's rings can be read. */
static void take_blindly(struct guest *g)
{
    struct sigaction action = {.sa_handler = on_touch}, before;
    void *page = (void *)(uintptr_t)g->served->requests;
    sigaction(SIGSEGV, &action, &before);
    assert_int_equal(mprotect(page, RK_PAGE_BYTES, PROT_NONE), 0);
    if (sigsetjmp(touched, 1) == 0) {
        rk_served_take(g->served, &g->handling);
        fail_msg("it was taken without a look");
    }
    assert_int_equal(mprotect(page, RK_PAGE_BYTES, PROT_READ), 0);
    sigaction(SIGSEGV, &before, NULL);
}

static void test_taken_is_stored_before_anything_of_the_request_is_read(void **state)
{
    (void)state;
    serve(&one, 5);
    publish(&one, fill(&one, 5));
    assert_true(rk_served_ready(one.served));
    take_blindly(&one);
    assert_int_equal(one.served->response_header->taken, 6);
}

/* --- fields that change while they are read --- */

static int stop;

/* A slot of the ring or behind it of the pair, as the client can write there. */
static struct rk_request_slot *clients_slot(uint32_t place)
{
    struct rk_pair *pair = (void *)((uint8_t *)one.bells.base + rk_bell_pair_offset(&one.served->params, 1));
    return place < SLOTS ? &one.slots[place] : &pair->request[place - SLOTS].slot;
}

/* Where the worker looks next. */
static struct rk_request_slot *clients_next(void)
{
    const struct rk_served *served = one.served;
    for (uint32_t i = 0; i < 2; i++)
        if (served->next_request == &served->pair->request[i].slot) return clients_slot(SLOTS + i);
    return &one.slots[served->next_request - served->requests];
}

static void *scribble(void *argument)
{
    uint64_t random = *(uint64_t *)argument;
    while (!rk_load_relaxed(&stop)) {
        struct rk_request_slot *slot = clients_slot(random_below(&random, SLOTS + 2));
        switch (random_below(&random, 8)) {
        case 0:
            rk_store_relaxed(&slot->length, (uint32_t)random_next(&random) >> random_below(&random, 32));
            break;
        case 1:
            rk_store_relaxed(&slot->payload.block.offset, random_next(&random) >> random_below(&random, 64));
            break;
        case 2:
            rk_store_relaxed(&slot->payload.block.offset,
                             one.request.bytes - random_below(&random, 300) * (uint64_t)RASK_BLOCK_BYTES_MIN);
            break;
        case 3:
            rk_store_relaxed(&slot->payload.block.segment, random_below(&random, 8) / 7 * 200);
            break;
        case 4:
            rk_store_relaxed(&slot->next, (uint16_t)random_below(&random, SLOTS + 1));
            break;
        case 5:
            rk_store_relaxed(&slot->next, (uint16_t)(RK_SLOT_PAIR + random_below(&random, 2)));
            break;
        case 6:
            rk_store_relaxed(&slot->payload.block.room, (uint32_t)random_next(&random) >> random_below(&random, 32));
            break;
        default:
            rk_store_relaxed(&slot->length, 33 + random_below(&random, random_below(&random, 2) ? 2000 : 66000));
        }
    }
    return NULL;
}

/* A request that lies behind a slot of the pair, all of it. */
static bool is_in_pair(const uint8_t *bytes, size_t count)
{
    for (uint32_t i = 0; i < 2; i++)
        if (bytes == one.served->pair->request[i].room) return count <= RK_PAIR_ROOM;
    return false;
}

static void is_room_of_pair(const uint8_t *room, size_t count)
{
    assert_true(room == one.served->pair->response[0].room || room == one.served->pair->response[1].room);
    assert_true(count <= RK_PAIR_ROOM);
}

static void test_fields_that_change_while_they_are_read_do_no_harm(void **state)
{
    pthread_t other;
    unsigned taken = 0, refused_count = 0, in_pair = 0;
    volatile uint8_t sum = 0;
    (void)state;
    uint64_t random = random_seed();
    rk_store_relaxed(&stop, 0);
    assert_int_equal(pthread_create(&other, NULL, scribble, &random), 0);
    while (taken < 100000 || refused_count < 100000 || in_pair < 1000) {
        /* Whatever slot the worker looks at next has a new request of the scribbler's making. */
        struct rk_request_slot *slot = clients_next();
        rk_store_relaxed(&slot->kind, RK_REQUEST_CALL);
        rk_store_relaxed(&slot->consumed, (uint16_t)one.served->position);
        rk_store_release(&slot->sequence, one.served->position + 1);
        enum rk_take found = take(&one);
        if (found != RK_TAKE_REQUEST) {
            one.served->stalled = false;
            refused_count++;
            continue;
        }
        const uint8_t *bytes = one.handling.call.request;
        size_t count = one.handling.call.request_bytes;
        assert_true(count <= PAYLOAD_BYTES_MAX);
        if (is_in_pair(bytes, count)) {
            in_pair++;
        } else if (count > RASK_INLINE_BYTES) {
            const uint8_t *base = one.served->request[0].base;
            assert_true(bytes >= base + rk_request_slab_offset(&one.served->params));
            assert_true(bytes + count <= base + one.request.bytes);
        }
        if (count > 0) sum = (uint8_t)(sum + bytes[0] + bytes[count - 1]);
        uint8_t *room = rk_served_reserve(one.served, &one.handling, RASK_INLINE_BYTES + 1 + sum * 8u);
        if (room != NULL && one.handling.block == RK_BLOCK_NONE)
            is_room_of_pair(room, RASK_INLINE_BYTES + 1 + sum * 8u);
        rk_served_reply(one.served, &one.handling, RASK_OK, 0);
        taken++;
    }
    rk_store_relaxed(&stop, 1);
    pthread_join(other, NULL);
}

static void test_sessions_that_cannot_be_leak_nothing(void **state)
{
    struct rk_served *served;
    int response_fd;
    (void)state;
    struct rk_message_session session = {.session = 1, .params = one.served->params};
    session.params.ring_slots = 7;
    int lowest = dup(0);
    close(lowest);
    assert_int_equal(rk_served_create(&served, &session, dup(one.request.fd), dup(one.bells.fd)), -EINVAL);
    assert_null(served);
    session.params.ring_slots = 2 * SLOTS; /* other sizes than the segments have */
    session.params.lanes = 200;
    assert_int_equal(rk_served_create(&served, &session, dup(one.request.fd), dup(one.bells.fd)), -EPROTO);
    session.params = one.served->params;
    assert_int_equal(rk_served_create(&served, &session, dup(one.bells.fd), dup(one.request.fd)), -EPROTO);
    assert_int_equal(rk_served_create(&served, &session, open("/dev/null", O_RDWR), dup(one.bells.fd)), -EPROTO);
    assert_null(served);
    int after = dup(0);
    close(after);
    assert_int_equal(after, lowest);
    assert_int_equal(rk_served_open_lane(one.served, 0, false, &response_fd), -EPROTO); /* it has one */
    rk_served_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_worker_refuses_blocks_outside_the_slab, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worker_reads_blocks_at_both_ends_of_the_slab, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worker_refuses_fields_that_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worker_refuses_consumed_that_runs_backwards_or_ahead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_low_bits_of_consumed_come_round, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_positions_beyond_32_bits_are_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_request_waits_for_the_segment_it_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_is_stored_before_anything_of_the_request_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fields_that_change_while_they_are_read_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sessions_that_cannot_be_leak_nothing, set_up, tear_down),
    };
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
