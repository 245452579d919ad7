/* SPDX-License-Identifier: MIT */
/* The ideal single queue, against cases worked out by hand, and fairness as a number. */
#include "queue_model.h"
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* Needs the headers above. */
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_waits(struct rk_queue_request *requests, uint64_t count, uint32_t servers, const uint64_t *waits)
{
    assert_int_equal(rk_queue_model(requests, count, servers), 0);
    for (uint64_t i = 0; i < count; i++) assert_int_equal(requests[i].wait_ns, waits[i]);
}

/** One server: 0..10, 10..15, idle, 20..21, 21..31. */
static void test_one_server_serves_in_order(void **state)
{
    (void)state;
    struct rk_queue_request requests[] = {{0, 10, 0}, {3, 5, 0}, {20, 1, 0}, {20, 10, 0}};
    static const uint64_t waits[] = {0, 7, 0, 1};
    assert_waits(requests, COUNT(requests), 1, waits);
}

/** Two servers, a slow request first. A serves it, 0..100. B serves 1..11, then 11..21 (it came at 2), 21..31 (came at 3);
 * the one of 95 finds B free, 95..105; the one of 96 waits for A, 100..110; the one of 97 for B, at 105. */
static void test_two_servers_go_around_a_slow_request(void **state)
{
    (void)state;
    struct rk_queue_request requests[] = {{0, 100, 0}, {1, 10, 0},  {2, 10, 0}, {3, 10, 0},
                                          {95, 10, 0}, {96, 10, 0}, {97, 10, 0}};
    static const uint64_t waits[] = {0, 0, 9, 18, 0, 4, 8};
    assert_waits(requests, COUNT(requests), 2, waits);
}

/** All servers hold a slow one: the next waits for the first of them, however late the others are. */
static void test_a_full_pool_waits_for_the_first_that_is_free(void **state)
{
    (void)state;
    struct rk_queue_request requests[] = {{0, 90, 0}, {0, 70, 0}, {0, 80, 0}, {1, 1, 0}, {1, 20, 0}, {1, 1, 0}};
    static const uint64_t waits[] = {0, 0, 0, 69, 70, 79};
    assert_waits(requests, COUNT(requests), 3, waits);
}

static void test_more_servers_than_requests_never_wait(void **state)
{
    (void)state;
    struct rk_queue_request requests[] = {{5, 1000, 0}, {5, 1000, 0}, {6, 1000, 0}};
    static const uint64_t waits[] = {0, 0, 0};
    assert_waits(requests, COUNT(requests), 4, waits);
    assert_int_equal(rk_queue_model(requests, 0, 1), 0);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct rk_queue_request backwards[] = {{5, 1, 0}, {4, 1, 0}};
    assert_int_equal(rk_queue_model(backwards, 2, 1), -EINVAL);
    assert_int_equal(rk_queue_model(backwards, 1, 0), -EINVAL);
    assert_int_equal(rk_queue_model(backwards, 1, RK_QUEUE_SERVERS_MAX + 1), -EINVAL);
    assert_int_equal(rk_queue_model(backwards, 1, RK_QUEUE_SERVERS_MAX), 0);
}

static void test_fairness_is_one_when_all_get_the_same(void **state)
{
    (void)state;
    static const double same[] = {3, 3, 3, 3}, one[] = {0, 0, 7, 0}, half[] = {1, 1, 0, 0}, mixed[] = {1, 2, 3};
    assert_true(fabs(rk_jain_index(same, 4) - 1) < 1e-12);
    assert_true(fabs(rk_jain_index(one, 4) - 0.25) < 1e-12);
    assert_true(fabs(rk_jain_index(half, 4) - 0.5) < 1e-12);
    assert_true(fabs(rk_jain_index(mixed, 3) - 36.0 / 42) < 1e-12);
    assert_true(fabs(rk_jain_index(one, 2)) < 1e-12); /* nothing at all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_server_serves_in_order),
        cmocka_unit_test(test_two_servers_go_around_a_slow_request),
        cmocka_unit_test(test_a_full_pool_waits_for_the_first_that_is_free),
        cmocka_unit_test(test_more_servers_than_requests_never_wait),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_fairness_is_one_when_all_get_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
