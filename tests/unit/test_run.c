/* SPDX-License-Identifier: MIT */
/* Reading a deep pipeline in runs: only what is there counts, a wait for more is bounded, and in vain it becomes rare. */
#include "run.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 256u
#define IN_FLIGHT 96u /* a run is 32 */

static struct {
    uint64_t sequence;
    uint64_t rest[7];
} ring[SLOTS] __attribute__((aligned(64)));

static struct rk_run run;

static int set_up(void **state)
{
    (void)state;
    memset(ring, 0, sizeof ring);
    memset(&run, 0, sizeof run);
    return 0;
}

/** Messages up to `count` are there, of those from 0 on; they lie in order from slot 0 on. */
static void publish(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) ring[rk_slot_line(i, SLOTS - 1)].sequence = i + 1;
}

static struct rk_reading reader_at(uint64_t position)
{
    return (struct rk_reading){ring, &ring[rk_slot_line(position, SLOTS - 1)], SLOTS - 1, position};
}

static void test_slots_behind_lie_in_the_ring_and_in_order(void **state)
{
    (void)state;
    for (uint64_t from = 0; from < SLOTS; from += 7)
        for (uint32_t by = 0; by < 2 * SLOTS; by += 5) {
            const void *slot = rk_slots_behind(ring, &ring[rk_slot_line(from, SLOTS - 1)], by, SLOTS - 1);
            assert_ptr_equal(slot, &ring[rk_slot_line(from + by, SLOTS - 1)]);
        }
}

static void test_run_is_certain_only_when_its_last_message_is_there(void **state)
{
    (void)state;
    struct rk_reading at = reader_at(0);
    publish(31);
    assert_false(rk_run_look(&run, &at, IN_FLIGHT));
    assert_int_equal(run.sure, 0);
    publish(32);
    assert_true(rk_run_look(&run, &at, IN_FLIGHT));
    assert_int_equal(run.sure, 32);
    assert_false(rk_run_over(&run, 31, IN_FLIGHT));
    assert_true(rk_run_over(&run, 32, IN_FLIGHT));
    assert_false(rk_run_over(&run, 32, RK_RUN_DEEP - 1)); /* not worth it */
}

static void test_run_with_messages_that_went_by_the_pair_is_found(void **state)
{
    (void)state;
    struct rk_reading at = reader_at(0);
    for (uint64_t by_pair = 0; by_pair <= 3; by_pair++) {
        set_up(NULL);
        publish(1);
        for (uint64_t i = 1; i < 32; i++) ring[rk_slot_line(i, SLOTS - 1)].sequence = i + by_pair + 1;
        assert_int_equal(rk_run_look(&run, &at, IN_FLIGHT), by_pair <= RK_RUN_PAIR);
        assert_int_equal(run.sure, by_pair <= RK_RUN_PAIR ? 32 : 0); /* no more than is known */
    }
}

static void test_reader_in_the_pair_waits_for_no_run(void **state)
{
    static struct rk_request_slot apart;
    (void)state;
    struct rk_reading at = {ring, &apart, SLOTS - 1, 0};
    run.skips = 3;
    rk_run_gather(&run, &at, IN_FLIGHT);
    assert_int_equal(run.skips, 3);
    assert_int_equal(run.left, 0);
}

static void test_reader_sees_in_time_that_the_next_run_is_there(void **state)
{
    (void)state;
    struct rk_reading at = reader_at(0);
    publish(64);
    assert_true(rk_run_look(&run, &at, IN_FLIGHT));
    for (uint64_t position = 0; position < 32; position++) {
        at = reader_at(position);
        rk_run_ahead(&run, &at);
    }
    assert_int_equal(run.sure, 64);
    publish(64 + 31); /* one short */
    for (uint64_t position = 32; position < 64; position++) {
        at = reader_at(position);
        rk_run_ahead(&run, &at);
    }
    assert_int_equal(run.sure, 64);
}

static void test_wait_in_vain_is_bounded_and_becomes_rare(void **state)
{
    (void)state;
    struct rk_reading at = reader_at(0);
    publish(1); /* nobody else comes */
    for (uint32_t left = 1; left <= RK_SKIPS_MAX; left = 2 * left + 1) {
        rk_run_gather(&run, &at, IN_FLIGHT);
        assert_int_equal(run.left, left);
        assert_false(rk_run_over(&run, 0, IN_FLIGHT)); /* reads on as it comes */
        for (uint32_t i = 0; i < left; i++) rk_run_gather(&run, &at, IN_FLIGHT);
        assert_int_equal(run.left, 0);
    }
    publish(32);
    rk_run_gather(&run, &at, IN_FLIGHT);
    assert_int_equal(run.sure, 32);
    rk_run_gather(&run, &at, IN_FLIGHT); /* it helped: waited for again at once */
    assert_int_equal(run.left, 0);
}

static void test_lines_are_given_up_only_where_none_is_in_use(void **state)
{
    (void)state;
    for (uint32_t slots = 8; slots <= 4096; slots *= 2) {
        uint32_t below = rk_slots_give_up_below(slots - 1);
        if (!rk_lines_stay() || slots <= RK_FLUSH_AHEAD) assert_int_equal(below, 0);
        assert_true(below == 0 || below + RK_FLUSH_AHEAD < slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_slots_behind_lie_in_the_ring_and_in_order, set_up),
        cmocka_unit_test_setup(test_run_is_certain_only_when_its_last_message_is_there, set_up),
        cmocka_unit_test_setup(test_run_with_messages_that_went_by_the_pair_is_found, set_up),
        cmocka_unit_test_setup(test_reader_in_the_pair_waits_for_no_run, set_up),
        cmocka_unit_test_setup(test_reader_sees_in_time_that_the_next_run_is_there, set_up),
        cmocka_unit_test_setup(test_wait_in_vain_is_bounded_and_becomes_rare, set_up),
        cmocka_unit_test_setup(test_lines_are_given_up_only_where_none_is_in_use, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
