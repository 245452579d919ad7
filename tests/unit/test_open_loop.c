/* SPDX-License-Identifier: MIT */
/* When the calls of an open loop are due: exact, however high the rate and however long the run. */
#include "open_loop.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_loop_due_times_are_exact_at_whole_seconds),
        cmocka_unit_test(test_open_loop_due_times_do_not_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
