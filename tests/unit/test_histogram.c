/* SPDX-License-Identifier: MIT */
/* The histogram against exact quantiles of the same samples, sorted. Samples come from a seed that is printed;
 * RASK_SEED=N plays one again. */
#include "histogram.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* Needs the four headers above. */
#include <cmocka.h>

#define SAMPLES 20000u

/** Percentiles in hundredths of a percent, so that the exact rank is integer arithmetic. */
static const uint64_t basis_points[] = {0, 1, 100, 1000, 5000, 7500, 9000, 9900, 9990, 9999, 10000};

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state += 0x9e3779b97f4a7c15ull;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t exact_rank(uint64_t count, uint64_t points)
{
    uint64_t rank = (count * points + 9999u) / 10000u;
    return rank > 0 ? rank : 1;
}

/** Every percentile is the exact one or less than 1/1024 more; maximum, count and mean are exact. Sorts the samples. */
static void assert_matches(const struct rk_histogram *histogram, uint64_t *samples, uint64_t count)
{
    double sum = 0;
    qsort(samples, count, sizeof samples[0], compare);
    for (uint64_t i = 0; i < count; i++) sum += (double)samples[i];
    assert_int_equal(rk_histogram_count(histogram), count);
    assert_int_equal(rk_histogram_max(histogram), samples[count - 1]);
    double mean = rk_histogram_mean(histogram), expected = sum / (double)count;
    assert_true(mean >= expected * (1 - 1e-9) && mean <= expected * (1 + 1e-9));
    for (size_t i = 0; i < sizeof basis_points / sizeof basis_points[0]; i++) {
        uint64_t rank = exact_rank(count, basis_points[i]);
        uint64_t exact = samples[rank - 1];
        uint64_t got = rk_histogram_percentile(histogram, (double)basis_points[i] / 100.0);
        if (got < exact || (double)got > (double)exact * (1.0 + 1.0 / 1024))
            fail_msg("p%.2f of %" PRIu64 " samples is %" PRIu64 ", exact %" PRIu64, (double)basis_points[i] / 100.0,
                     count, got, exact);
        assert_int_equal(rk_histogram_beyond(histogram, (double)basis_points[i] / 100.0), count - rank);
    }
}

/** Random number of bits, then random bits: every octave up to `bits` is as likely. */
static uint64_t log_uniform(uint32_t bits)
{
    return random_next() >> (64u - 1u - random_next() % bits);
}

static uint64_t small_sample(void)
{
    return random_next() % 2048;
}
static uint64_t wide_sample(void)
{
    return log_uniform(36);
}
static uint64_t constant_sample(void)
{
    return 123456789;
}
static uint64_t bimodal_sample(void)
{
    return random_next() % 100 < 97 ? 90 + random_next() % 40 : 3000000 + random_next() % 1000000;
}

static void check_distribution(uint64_t (*sample)(void), uint64_t count)
{
    struct rk_histogram *histogram = rk_histogram_create();
    uint64_t *samples = calloc(count, sizeof *samples);
    assert_non_null(histogram);
    assert_non_null(samples);
    for (uint64_t i = 0; i < count; i++) {
        samples[i] = sample();
        rk_histogram_record(histogram, samples[i]);
    }
    assert_matches(histogram, samples, count);
    free(samples);
    rk_histogram_destroy(histogram);
}

static void test_histogram_is_exact_below_2048_ns(void **state)
{
    (void)state;
    struct rk_histogram *histogram = rk_histogram_create();
    assert_non_null(histogram);
    for (uint64_t value = 0; value < 2048; value++) rk_histogram_record(histogram, value);
    for (uint64_t i = 1; i <= 2048; i++)
        assert_int_equal(rk_histogram_percentile(histogram, (double)i * 100.0 / 2048), i - 1);
    rk_histogram_destroy(histogram);
}

static void test_histogram_matches_sorted_random_samples(void **state)
{
    (void)state;
    check_distribution(small_sample, SAMPLES);
    check_distribution(wide_sample, SAMPLES);
    for (uint64_t count = 1; count <= 20; count++) check_distribution(wide_sample, count);
}

static void test_histogram_matches_constant_samples(void **state)
{
    (void)state;
    check_distribution(constant_sample, 1);
    check_distribution(constant_sample, SAMPLES);
}

static void test_histogram_matches_bimodal_samples(void **state)
{
    (void)state;
    check_distribution(bimodal_sample, SAMPLES);
}

/** Both sides of every octave's start, of every bucket width and of the range's end. */
static void test_histogram_matches_at_the_edges_of_buckets(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 37; bit++) {
        for (uint64_t offset = 0; offset < 3; offset++) {
            uint64_t value = (UINT64_C(1) << bit) + offset - 1;
            if (value > RK_HISTOGRAM_NS_MAX) continue;
            struct rk_histogram *histogram = rk_histogram_create();
            uint64_t samples[3] = {0, value, RK_HISTOGRAM_NS_MAX};
            assert_non_null(histogram);
            for (int i = 0; i < 3; i++) rk_histogram_record(histogram, samples[i]);
            assert_matches(histogram, samples, 3);
            rk_histogram_destroy(histogram);
        }
    }
}

static void test_histogram_counts_what_is_too_long_and_keeps_its_maximum(void **state)
{
    (void)state;
    struct rk_histogram *histogram = rk_histogram_create();
    assert_non_null(histogram);
    rk_histogram_record(histogram, 5);
    rk_histogram_record(histogram, 3 * RK_HISTOGRAM_NS_MAX);
    rk_histogram_record(histogram, UINT64_MAX);
    assert_int_equal(rk_histogram_count(histogram), 3);
    assert_int_equal(rk_histogram_max(histogram), UINT64_MAX);
    assert_int_equal(rk_histogram_percentile(histogram, 1), 5);
    uint64_t clamped_ns = rk_histogram_percentile(histogram, 99);
    assert_true(clamped_ns >= RK_HISTOGRAM_NS_MAX);
    assert_true(clamped_ns <= RK_HISTOGRAM_NS_MAX + RK_HISTOGRAM_NS_MAX / 1024);
    rk_histogram_destroy(histogram);
}

static void test_histogram_merge_equals_recording_everything_in_one(void **state)
{
    (void)state;
    struct rk_histogram *parts[3], *merged = rk_histogram_create();
    uint64_t *samples = calloc(SAMPLES, sizeof *samples);
    assert_non_null(merged);
    assert_non_null(samples);
    for (int i = 0; i < 3; i++) {
        parts[i] = rk_histogram_create();
        assert_non_null(parts[i]);
    }
    /* The third part stays empty: merging nothing changes nothing. */
    for (uint64_t i = 0; i < SAMPLES; i++) {
        samples[i] = i % 2 ? small_sample() : wide_sample();
        rk_histogram_record(parts[i % 2], samples[i]);
    }
    for (int i = 0; i < 3; i++) {
        rk_histogram_merge(merged, parts[i]);
        rk_histogram_destroy(parts[i]);
    }
    assert_matches(merged, samples, SAMPLES);
    free(samples);
    rk_histogram_destroy(merged);
}

static void test_histogram_reset_leaves_nothing_behind(void **state)
{
    (void)state;
    struct rk_histogram *histogram = rk_histogram_create();
    assert_non_null(histogram);
    for (uint64_t i = 0; i < SAMPLES; i++) rk_histogram_record(histogram, wide_sample());
    rk_histogram_reset(histogram);
    rk_histogram_reset(histogram);
    assert_int_equal(rk_histogram_count(histogram), 0);
    assert_int_equal(rk_histogram_max(histogram), 0);
    assert_int_equal(rk_histogram_percentile(histogram, 50), 0);
    assert_int_equal(rk_histogram_beyond(histogram, 50), 0);
    assert_true(rk_histogram_mean(histogram) == 0);
    uint64_t samples[2] = {7, 70000};
    for (int i = 0; i < 2; i++) rk_histogram_record(histogram, samples[i]);
    assert_matches(histogram, samples, 2);
    rk_histogram_destroy(histogram);
    rk_histogram_destroy(NULL);
}

int main(void)
{
    const char *given = getenv("RASK_SEED");
    random_state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    printf("# seed: RASK_SEED=%" PRIu64 "\n", random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_is_exact_below_2048_ns),
        cmocka_unit_test(test_histogram_matches_sorted_random_samples),
        cmocka_unit_test(test_histogram_matches_constant_samples),
        cmocka_unit_test(test_histogram_matches_bimodal_samples),
        cmocka_unit_test(test_histogram_matches_at_the_edges_of_buckets),
        cmocka_unit_test(test_histogram_counts_what_is_too_long_and_keeps_its_maximum),
        cmocka_unit_test(test_histogram_merge_equals_recording_everything_in_one),
        cmocka_unit_test(test_histogram_reset_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
