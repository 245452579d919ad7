/* SPDX-License-Identifier: MIT */
/* When the calls of an open loop are due: exact, however high the rate and however long the run; by chance, with the right
 * number of them and gaps as a Poisson process has them. */
#include "arrivals.h"
#include "open_loop.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
/* Needs the headers above. */
#include <cmocka.h>

#define SECOND_NS 1000000000ull

static void test_open_loop_due_times_are_exact_at_whole_seconds(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1, 3, 7, 1000, 333333, 99999989, 100000000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        assert_int_equal(rk_open_loop_due_ns(0, rates[i]), 0);
        for (uint64_t seconds = 1; seconds < 100000; seconds *= 7)
            assert_int_equal(rk_open_loop_due_ns(seconds * rates[i], rates[i]), seconds * SECOND_NS);
    }
}

static void test_open_loop_due_times_do_not_drift(void **state)
{
    (void)state;
    /* A third of a second is no whole number of ns: each is cut off, and none is early by more than that. */
    assert_int_equal(rk_open_loop_due_ns(1, 3), 333333333);
    assert_int_equal(rk_open_loop_due_ns(2, 3), 666666666);
    assert_int_equal(rk_open_loop_due_ns(3000001, 3), 1000000ull * SECOND_NS + 333333333);
    for (uint64_t index = 1; index < 100000; index++) {
        uint64_t step = rk_open_loop_due_ns(index, 300000) - rk_open_loop_due_ns(index - 1, 300000);
        assert_true(step == 3333 || step == 3334);
    }
}

static void test_open_loop_counts_what_is_due_within_the_time(void **state)
{
    (void)state;
    struct rk_open_loop loop = {.rate = 1000, .duration_ns = SECOND_NS / 10};
    assert_int_equal(rk_open_loop_count(&loop), 101); /* both ends */
    struct rk_arrivals arrivals;
    loop = (struct rk_open_loop){.rate = 1000, .duration_ns = SECOND_NS, .poisson = true, .seed = 7};
    uint64_t count = 0, at_ns = 0;
    rk_arrivals_init(&arrivals, 1000, true, 7);
    while ((at_ns = rk_arrivals_next(&arrivals)) <= loop.duration_ns) count++;
    assert_int_equal(rk_open_loop_count(&loop), count);
}

/** Of exponential gaps the mean is 1/rate, so is the deviation, and exp(-1) of them are longer than the mean. */
static void test_arrivals_by_chance_have_exponential_gaps(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct rk_arrivals arrivals, again;
    double sum = 0, squares = 0, longer = 0;
    uint64_t last_ns = 0;
    rk_arrivals_init(&arrivals, 5000, true, 1);
    rk_arrivals_init(&again, 5000, true, 1);
    for (int i = 0; i < COUNT; i++) {
        uint64_t at_ns = rk_arrivals_next(&arrivals);
        assert_int_equal(rk_arrivals_next(&again), at_ns);
        assert_true(at_ns >= last_ns);
        double gap_ns = (double)(at_ns - last_ns);
        sum += gap_ns;
        squares += gap_ns * gap_ns;
        longer += gap_ns > 200000;
        last_ns = at_ns;
    }
    double mean = sum / COUNT, deviation = sqrt(squares / COUNT - mean * mean);
    assert_true(fabs(mean / 200000 - 1) < 0.02);
    assert_true(fabs(deviation / 200000 - 1) < 0.02);
    assert_true(fabs(longer / COUNT - exp(-1)) < 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_loop_due_times_are_exact_at_whole_seconds),
        cmocka_unit_test(test_open_loop_due_times_do_not_drift),
        cmocka_unit_test(test_open_loop_counts_what_is_due_within_the_time),
        cmocka_unit_test(test_arrivals_by_chance_have_exponential_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
