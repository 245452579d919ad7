/* SPDX-License-Identifier: MIT */
/* The files that HdrHistogram's tools read: rows at the levels they expect, exact values, and a foot that adds up. */
#include "distribution.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* Needs the headers above. */
#include <cmocka.h>

static char *text_of(const struct rk_histogram *histogram, int (*write)(FILE *, const struct rk_histogram *))
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    assert_int_equal(write(to, histogram), 0);
    fclose(to);
    return text;
}

/** 1000, 2000 ... 1000000 ns, once each: the value of a rank is known. */
static struct rk_histogram *thousand(void)
{
    struct rk_histogram *histogram = rk_histogram_create();
    for (uint64_t i = 1; i <= 1000; i++) rk_histogram_record(histogram, i * 1000);
    return histogram;
}

static void test_distribution_rows_have_the_exact_quantiles(void **state)
{
    (void)state;
    struct rk_histogram *histogram = thousand();
    char *text = text_of(histogram, rk_distribution_hgrm), *line = strtok(text, "\n");
    double value, part, inverse, part_before = -1;
    unsigned long long count;
    int rows = 0;
    assert_string_equal(line, "       Value     Percentile TotalCount 1/(1-Percentile)");
    while ((line = strtok(NULL, "\n")) != NULL && line[0] != '#') {
        int fields = sscanf(line, "%lf %lf %llu %lf", &value, &part, &count, &inverse);
        assert_true(fields == 4 || (fields == 3 && part == 1));
        /* `count` values are no greater than `value`: exactly so many thousands, or up to 1/1024 more. */
        assert_true(value >= (double)count && value <= (double)count * (1 + 1.0 / 1024));
        assert_true((double)count / 1000 >= part - 1e-9);
        assert_true(part > part_before);
        if (fields == 4) assert_true(fabs(inverse * (1 - part) - 1) < 0.01);
        part_before = part;
        rows++;
    }
    assert_true(part == 1 && count == 1000 && value == 1000);
    /* Five rows for each halving: 0, 10, 20, 30, 40, 50, 55, 60 ... up to the last sample but one, and the last. */
    assert_int_equal(rows, 51);
    free(text);
    rk_histogram_destroy(histogram);
}

static void test_distribution_foot_has_mean_deviation_and_count(void **state)
{
    (void)state;
    double mean, deviation, max;
    unsigned long long count;
    int buckets, sub_buckets;
    struct rk_histogram *histogram = rk_histogram_create();
    rk_histogram_add(histogram, 1000, 3);
    rk_histogram_add(histogram, 2000, 1);
    char *text = text_of(histogram, rk_distribution_hgrm);
    const char *foot = strstr(text, "#[Mean");
    assert_non_null(foot);
    assert_int_equal(sscanf(foot,
                            "#[Mean = %lf, StdDeviation = %lf]\n#[Max = %lf, Total count = %llu]\n"
                            "#[Buckets = %d, SubBuckets = %d]",
                            &mean, &deviation, &max, &count, &buckets, &sub_buckets),
                     6);
    assert_true(mean == 1.25 && fabs(deviation - 0.433) < 0.0005 && max == 2 && count == 4);
    assert_true(buckets == 27 && sub_buckets == 2048);
    free(text);
    rk_histogram_destroy(histogram);
}

static void test_distribution_csv_has_the_same_rows(void **state)
{
    (void)state;
    struct rk_histogram *histogram = thousand();
    char *text = text_of(histogram, rk_distribution_csv);
    assert_int_equal(
        strncmp(text, "\"Value\",\"Percentile\",\"TotalCount\",\"1/(1-Percentile)\"\n1.000,0.000000000000,1,1.00\n",
                78),
        0);
    assert_non_null(strstr(text, "\n500.223,0.500000000000,500,2.00\n"));
    assert_non_null(strstr(text, "\n1000.000,1.000000000000,1000,Infinity\n"));
    free(text);
    rk_histogram_destroy(histogram);
}

static void test_distribution_of_nothing_is_a_head_and_a_foot(void **state)
{
    (void)state;
    struct rk_histogram *none = rk_histogram_create();
    char *text = text_of(none, rk_distribution_hgrm);
    assert_non_null(strstr(text, "Total count    =            0]"));
    free(text);
    rk_histogram_destroy(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution_rows_have_the_exact_quantiles),
        cmocka_unit_test(test_distribution_foot_has_mean_deviation_and_count),
        cmocka_unit_test(test_distribution_csv_has_the_same_rows),
        cmocka_unit_test(test_distribution_of_nothing_is_a_head_and_a_foot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
