/* SPDX-License-Identifier: MIT */
/* `rask bench compare`: which figures are found in a result, and when two of them differ. */
#include "figures.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* Needs the headers above. */
#include <cmocka.h>

static enum rk_change compare(double a10, double a50, double a90, double b10, double b50, double b90, bool noisy)
{
    const struct rk_figure a = {.p10 = a10, .p50 = a50, .p90 = a90},
                           b = {.p10 = b10, .p50 = b50, .p90 = b90, .noisy = noisy};
    return rk_figures_compare(&a, &b);
}

static void test_figures_differ_when_their_spreads_do_not_touch(void **state)
{
    (void)state;
    assert_int_equal(compare(90, 100, 110, 111, 120, 130, false), RK_HIGHER);
    assert_int_equal(compare(90, 100, 110, 110, 120, 130, false), RK_SAME);
    assert_int_equal(compare(90, 100, 110, 70, 80, 89, false), RK_LOWER);
    assert_int_equal(compare(90, 100, 110, 70, 80, 90, false), RK_SAME);
}

static void test_figures_that_differ_by_less_than_a_hundredth_do_not(void **state)
{
    (void)state;
    assert_int_equal(compare(100, 100, 100, 100.9, 100.9, 100.9, false), RK_SAME);
    assert_int_equal(compare(100, 100, 100, 101.1, 101.1, 101.1, false), RK_HIGHER);
    assert_int_equal(compare(100, 100, 100, 98.9, 98.9, 98.9, false), RK_LOWER);
}

static void test_figures_of_a_busy_machine_are_unsure_and_never_a_difference(void **state)
{
    (void)state;
    assert_int_equal(compare(90, 100, 110, 200, 300, 400, true), RK_UNSURE);
    assert_int_equal(compare(90, 100, 110, 100, 101, 102, true), RK_SAME);
}

static const char result[] =
    "{\"conditions\": {\"load\": 1},"
    " \"ratio_p50\": 1.5, \"ratio_p50_p10\": 1.4, \"ratio_p50_p90\": 1.6, \"p50_ns\": 3,"
    " \"contests\": [{\"kind\": \"spin\", \"size\": 32, \"noisy\": false, \"contenders\": [{\"name\": \"pipe\","
    "   \"depths\": {\"1\": {\"ns\": {\"p10\": 1, \"p50\": 2, \"p90\": 3, \"count\": 9}}}}]},"
    "  {\"kind\": \"park\", \"size\": 32, \"noisy\": true, \"contenders\": [{\"name\": \"pipe\","
    "   \"depths\": {\"1\": {\"ns\": {\"p10\": 4, \"p50\": 5, \"p90\": 6}}}}]}],"
    " \"cells\": [{\"gap_ns\": 1000, \"mode\": \"park\", \"cpu\": {\"p10\": 7, \"p50\": 8, \"p90\": 9}},"
    "  {\"gap_ns\": 1000, \"mode\": \"spin\", \"cpu\": {\"p10\": null, \"p50\": 8, \"p90\": 9}}]}";

static void test_figures_are_found_by_their_place(void **state)
{
    (void)state;
    static struct rk_figure_list list;
    json_t *json = json_loads(result, 0, NULL);
    assert_non_null(json);
    rk_figures_collect(&list, json);
    json_decref(json);
    assert_int_equal(list.count, 4);
    const struct rk_figure *flat = rk_figures_find(&list, "ratio_p50");
    const struct rk_figure *quiet = rk_figures_find(&list, "contests / spin 32 / contenders / pipe / depths / 1 / ns");
    const struct rk_figure *noisy = rk_figures_find(&list, "contests / park 32 / contenders / pipe / depths / 1 / ns");
    const struct rk_figure *cell = rk_figures_find(&list, "cells / park 1000 / cpu");
    assert_true(flat != NULL && quiet != NULL && noisy != NULL && cell != NULL);
    assert_true(flat->p10 == 1.4 && flat->p50 == 1.5 && flat->p90 == 1.6);
    assert_true(quiet->p50 == 2 && !quiet->noisy);
    assert_true(noisy->p50 == 5 && noisy->noisy);
    assert_true(cell->p90 == 9);
    assert_null(rk_figures_find(&list, "cells / spin 1000 / cpu")); /* a spread with a hole is none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures_differ_when_their_spreads_do_not_touch),
        cmocka_unit_test(test_figures_that_differ_by_less_than_a_hundredth_do_not),
        cmocka_unit_test(test_figures_of_a_busy_machine_are_unsure_and_never_a_difference),
        cmocka_unit_test(test_figures_are_found_by_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
