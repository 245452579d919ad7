/* SPDX-License-Identifier: MIT */
/* The parts of `rask bench wake` and `rask bench sweep` that need no process: percentiles of a series, names of parts, shares of the time. */
#include "histogram.h"
#include "series.h"
#include "sweep.h"
#include "wake.h"
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* Needs the headers above. */
#include <cmocka.h>

#define ALL ((1u << RK_WAKE_PARTS) - 1)

static void assert_about(double value, double expected)
{
    if (fabs(value - expected) > 1e-9) fail_msg("%.12g instead of %.12g", value, expected);
}

static void test_series_percentiles_are_exact(void **state)
{
    (void)state;
    struct rk_series series = {.count = 0};
    assert_about(rk_series_percentile(&series, 50), 0);
    /* 1000 down to 0: out of order, and past the first room. */
    for (int i = 1000; i >= 0; i--) assert_int_equal(rk_series_add(&series, i), 0);
    assert_about(rk_series_percentile(&series, 0), 0);
    assert_about(rk_series_percentile(&series, 50), 500);
    assert_about(rk_series_percentile(&series, 90), 900);
    assert_about(rk_series_percentile(&series, 100), 1000);
    assert_int_equal(rk_series_add(&series, 2000), 0);
    assert_about(rk_series_percentile(&series, 50), 500.5);
    rk_series_finish(&series);
    rk_series_finish(&series);
    assert_int_equal(series.count, 0);
}

static void test_wake_parts_are_parsed_by_whole_names(void **state)
{
    (void)state;
    static const char *const none[] = {"", "park", "parkedd", "gaps,", ",gaps", "gaps,,idle", "gaps idle"};
    uint32_t parts;
    char bad[8];
    assert_int_equal(rk_suite_parts_parse(&rk_wake, "gaps,parked,gaps", &parts, bad, sizeof bad), 0);
    assert_int_equal(parts, 1u << RK_WAKE_GAPS | 1u << RK_WAKE_PARKED);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(rk_suite_parts_parse(&rk_wake, none[i], &parts, bad, sizeof bad), -EINVAL);
    assert_int_equal(rk_suite_parts_parse(&rk_wake, "idle,everything", &parts, bad, sizeof bad), -EINVAL);
    assert_string_equal(bad, "everyth");
    for (uint32_t i = 0; i < RK_WAKE_PARTS; i++) {
        assert_int_equal(rk_suite_parts_parse(&rk_wake, rk_suite_part_name(&rk_wake, i), &parts, bad, sizeof bad), 0);
        assert_int_equal(parts, 1u << i);
    }
}

static void test_wake_shares_add_up_to_the_duration(void **state)
{
    (void)state;
    uint64_t sum_ns = 0, default_ns = 0, minute_ns = 60000000000ull;
    for (uint32_t i = 0; i < RK_WAKE_PARTS; i++) {
        sum_ns += rk_suite_share_ns(&rk_wake, i, ALL, minute_ns);
        default_ns += rk_suite_share_ns(&rk_wake, i, ALL, 0);
    }
    assert_true(sum_ns <= minute_ns && sum_ns > minute_ns - 1000);
    assert_true(default_ns > 50000000000ull && default_ns < 70000000000ull);
    /* Alone, a part has all of it; not said, what it has among all. */
    assert_int_equal(rk_suite_share_ns(&rk_wake, RK_WAKE_GAPS, 1u << RK_WAKE_GAPS, 24000000000ull), 24000000000ull);
    assert_int_equal(rk_suite_share_ns(&rk_wake, RK_WAKE_GAPS, 1u << RK_WAKE_GAPS, 0),
                     rk_suite_share_ns(&rk_wake, RK_WAKE_GAPS, ALL, 0));
    assert_int_equal(rk_suite_share_ns(&rk_wake, RK_WAKE_IDLE, ALL, 0), 10000000000ull);
}

static void test_sweep_parts_have_names_and_add_up_to_what_help_says(void **state)
{
    (void)state;
    uint64_t sum_ns = 0;
    uint32_t parts;
    char bad[16];
    assert_int_equal(rk_sweep.count, RK_SWEEP_PARTS);
    for (uint32_t i = 0; i < RK_SWEEP_PARTS; i++) {
        sum_ns += rk_suite_share_ns(&rk_sweep, i, (1u << RK_SWEEP_PARTS) - 1, 0);
        assert_int_equal(rk_suite_parts_parse(&rk_sweep, rk_suite_part_name(&rk_sweep, i), &parts, bad, sizeof bad), 0);
        assert_int_equal(parts, 1u << i);
    }
    assert_int_equal(sum_ns, 110000000000ull);
    assert_int_equal(rk_suite_parts_parse(&rk_sweep, "sizes,gaps", &parts, bad, sizeof bad), -EINVAL);
    assert_string_equal(bad, "gaps");
}

static void test_wake_times_have_a_fitting_unit(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(rk_suite_time(0, text, sizeof text), "-");
    assert_string_equal(rk_suite_time(531, text, sizeof text), "531 ns");
    assert_string_equal(rk_suite_time(36400, text, sizeof text), "36.4 us");
    assert_string_equal(rk_suite_time(12.5e6, text, sizeof text), "12.5 ms");
}

static void test_suite_latency_leaves_out_what_is_luck(void **state)
{
    (void)state;
    struct rk_histogram *histogram = rk_histogram_create();
    for (uint64_t i = 1; i <= 1999; i++) rk_histogram_record(histogram, i);
    json_t *latency = rk_suite_latency(histogram);
    assert_int_equal(json_integer_value(json_object_get(latency, "p50")), 1000);
    assert_int_equal(json_integer_value(json_object_get(latency, "p90")), 1800); /* 199 beyond it */
    assert_true(json_is_null(json_object_get(latency, "p99")));                  /* 19 */
    assert_true(json_is_null(json_object_get(latency, "p99.999")));
    assert_int_equal(json_integer_value(json_object_get(latency, "max")), 1999);
    json_decref(latency);
    rk_histogram_destroy(histogram);
}

static void test_wake_verdicts_say_what_was_reached(void **state)
{
    (void)state;
    struct rk_suite wake = {.tables = false};
    json_t *list = json_array();
    rk_suite_verdict(&wake, list, "a", 1.15, true, 1.15);
    rk_suite_verdict(&wake, list, "b", 1.16, true, 1.15);
    rk_suite_verdict(&wake, list, "c", 3.9, false, 4);
    rk_suite_verdict(&wake, list, "d", 4, false, 4);
    rk_suite_verdict(&wake, list, "e", -1, true, 4);
    static const int reached[] = {1, 0, 0, 1};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(json_is_true(json_object_get(json_array_get(list, i), "reached")), reached[i]);
    assert_true(json_is_null(json_object_get(json_array_get(list, 4), "reached")));
    assert_true(json_is_null(json_object_get(json_array_get(list, 4), "value")));
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_percentiles_are_exact),
        cmocka_unit_test(test_wake_parts_are_parsed_by_whole_names),
        cmocka_unit_test(test_wake_shares_add_up_to_the_duration),
        cmocka_unit_test(test_sweep_parts_have_names_and_add_up_to_what_help_says),
        cmocka_unit_test(test_wake_times_have_a_fitting_unit),
        cmocka_unit_test(test_suite_latency_leaves_out_what_is_luck),
        cmocka_unit_test(test_wake_verdicts_say_what_was_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
