/* SPDX-License-Identifier: MIT */
/* Leases as the caller hears of them, step by step; the worker, honest or not, is the test itself. */
#include "forged_worker.h"
#include "lease.h"

#define BYTES 1000u

static unsigned released;

static int tear_down(void **state)
{
    (void)state;
    forged_stop();
    return 0;
}

static void on_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)s;
    (void)user;
    assert_int_equal(event->end, RASK_LEASE_RELEASED);
    released++;
}

static struct forged_lane *start(void)
{
    struct forged_lane *lane = forged_alone(NULL);
    released = 0;
    assert_int_equal(rask_on_lease_end(forged.session, on_end, NULL), 0);
    return lane;
}

/* The next request is answered, and its bytes stay with the worker. */
static void lease(struct forged_lane *lane, uint16_t word, uint32_t generation)
{
    struct rk_response_slot *response = forged_response(lane, forged_take(lane));
    response->kind = RK_RESPONSE_REPLY | RK_RESPONSE_LEASED;
    response->lease = word;
    response->lease_generation = generation;
    forged_publish(lane, response);
}

static void release(struct forged_lane *lane, uint16_t word, uint32_t generation)
{
    rk_store_release(&lane->header->lease_ended[word], generation);
    rk_store_release(&lane->header->leases_ended, lane->header->leases_ended + 1);
}

static uint32_t leases(void)
{
    struct rask_info info = {.size = sizeof info};
    assert_int_equal(rask_info(forged.session, &info), 0);
    return info.leases;
}

/* Its worker has retained and released many times before the caller looks. */
static void test_worker_far_ahead(void **state)
{
    (void)state;
    struct forged_lane *lane = start();
    uint64_t ticket[4];
    for (unsigned i = 0; i < 4; i++) ticket[i] = submit(BYTES, 1, 0, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        lease(lane, 0, i + 1);
        if (i < 3) release(lane, 0, i + 1);
    }
    for (unsigned i = 0; i < 4; i++) ends_as(ticket[i], RASK_OK, RASK_EXECUTED_YES, NULL);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(released, 3);
    assert_int_equal(leases(), 1);
    release(lane, 0, 4);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(released, 4);
}

/* The counter was seen when the lease was not known yet: its word is looked at once more. */
static void test_end_before_the_response_was_read(void **state)
{
    (void)state;
    struct forged_lane *lane = start();
    uint64_t first = submit(BYTES, 1, 0, NULL), second = submit(BYTES, 2, 0, NULL);
    lease(lane, 0, 1);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    lease(lane, 1, 1);
    release(lane, 0, 1);
    release(lane, 1, 1);
    ends_as(second, RASK_OK, RASK_EXECUTED_YES, NULL);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(released, 2);
    assert_int_equal(leases(), 0);
}

static void test_generations_wrap(void **state)
{
    (void)state;
    struct forged_lane *lane = start();
    lane->header->lease_ended[7] = UINT32_MAX - 1;
    uint64_t first = submit(BYTES, 1, 0, NULL), second = submit(BYTES, 2, 0, NULL);
    lease(lane, 7, UINT32_MAX);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    assert_int_equal(leases(), 1);
    release(lane, 7, UINT32_MAX);
    lease(lane, 7, 0);
    ends_as(second, RASK_OK, RASK_EXECUTED_YES, NULL);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(released, 1);
    assert_int_equal(leases(), 1);
    release(lane, 7, 0);
    rask_poll(forged.session, NULL, 0);
    assert_int_equal(released, 2);
}

/* A word that is in use is leased once more: the session ends, and every request has its end. */
static void test_a_lie_ends_the_session_and_no_request_hangs(void **state)
{
    (void)state;
    struct forged_lane *lane = start();
    uint64_t first = submit(BYTES, 1, 0, NULL), second = submit(BYTES, 2, 0, NULL), third = submit(BYTES, 3, 0, NULL);
    lease(lane, 0, 1);
    lease(lane, 0, 1);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    ends_as(second, RASK_OK, RASK_EXECUTED_YES, NULL);
    ends_as(third, RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    assert_int_equal(rask_reserve(forged.session, 1, &(struct rask_request){0}), -ENOTCONN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_worker_far_ahead, tear_down),
        cmocka_unit_test_teardown(test_end_before_the_response_was_read, tear_down),
        cmocka_unit_test_teardown(test_generations_wrap, tear_down),
        cmocka_unit_test_teardown(test_a_lie_ends_the_session_and_no_request_hangs, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
