/* SPDX-License-Identifier: MIT */
/* Leases against a worker that is the test itself (forged_flows.h). */
#include "forged_flows.h"
#include <pthread.h>

static void on_lease_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)s;
    (void)user;
    assert_int_equal(event->end, RASK_LEASE_RELEASED);
    ran++;
}

static void end_lease(struct forged_lane *lane, uint32_t word, uint32_t generation)
{
    rk_store_release(&lane->header->lease_ended[word], generation);
    rk_store_release(&lane->header->leases_ended, lane->header->leases_ended + 1);
}

/** The counter was looked at when a lease had ended whose beginning was not taken yet. */
static void test_lease_that_ended_before_its_response_was_taken(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_info info = {.size = sizeof info};
    ran = 0;
    assert_int_equal(rask_on_lease_end(forged.session, on_lease_end, NULL), 0);
    uint64_t first = submit(1000, 1, 0, NULL), second = submit(1000, 2, 0, NULL);
    answer_leased(lane, forged_take(lane), 0, 1);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    end_lease(lane, 0, 1); /* up to the second: the watermark */
    end_lease(lane, 1, 1);
    answer_leased(lane, slot, 1, 1);
    ends_as(second, RASK_OK, RASK_EXECUTED_YES, NULL);
    poll_once();
    poll_once();
    assert_int_equal(ran, 2);
    assert_int_equal(rask_info(forged.session, &info), 0);
    assert_int_equal(info.leases, 0);
    forged_stop();
}

/** A worker says twice that it keeps a request in the same word: its session ends, and every request of it. */
static void test_lease_twice(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t first = submit(1000, 1, 0, NULL), second = submit(1000, 2, rask_now_ns() + 300 * MS, NULL);
    uint64_t third = submit(1000, 3, 0, NULL);
    for (unsigned i = 0; i < 2; i++) answer_leased(lane, forged_take(lane), 9, 1);
    struct rask_completion out;
    assert_int_equal(rask_wait(forged.session, first, rask_now_ns() + 1000 * MS, &out), 0);
    rask_release(forged.session, &out);
    assert_int_equal(rask_wait(forged.session, second, rask_now_ns() + 1000 * MS, &out), 0);
    rask_release(forged.session, &out);
    ends_as(third, RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    assert_true(forged.session->ended);
    forged_stop();
}

static bool rested;

static void *never_rests(void *header)
{
    while (!rk_load_relaxed(&rested)) rk_fetch_add(&((struct rk_response_header *)header)->leases_ended, 1u);
    return NULL;
}

/** A worker that says again and again that a lease has ended does not keep its caller from its deadline. */
static void test_counter_that_never_rests(void **unused)
{
    (void)unused;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_SPIN;
    struct forged_lane *lane = forged_alone(&options);
    uint64_t first = submit(1000, 1, 0, NULL), second = submit(1000, 2, 0, NULL);
    answer_leased(lane, forged_take(lane), 0, 1);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    pthread_t bad;
    rk_store_relaxed(&rested, false);
    assert_int_equal(pthread_create(&bad, NULL, never_rests, lane->header), 0);
    struct rask_completion out;
    assert_int_equal(rask_wait(forged.session, second, rask_now_ns() + 100 * MS, &out), -ETIMEDOUT);
    rk_store_relaxed(&rested, true);
    assert_int_equal(pthread_join(bad, NULL), 0);
    forged_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_that_ended_before_its_response_was_taken),
        cmocka_unit_test(test_lease_twice),
        cmocka_unit_test(test_counter_that_never_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
