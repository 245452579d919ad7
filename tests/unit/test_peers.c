/* SPDX-License-Identifier: MIT */
/* The arithmetic of `rask bench peers`: what counts as a right answer, histograms that travel, ratios, who is best, words. */
#include "contest.h"
#include "runner_wire.h"
#include "verdict.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* Needs the headers above. */
#include <cmocka.h>

static void test_talk_accepts_only_the_next_number_and_every_byte(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 20, 32, 33, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct rk_talk talk;
        uint8_t first[1000], second[1000];
        size_t size = sizes[i];
        assert_int_equal(rk_talk_init(&talk, size, 4), 0);
        talk.in_full = true;
        memcpy(first, rk_talk_next(&talk), size);
        memcpy(second, rk_talk_next(&talk), size);
        struct rk_talk before = talk;
        assert_true(rk_talk_accepts(&talk, first, size));
        assert_true(rk_talk_accepts(&talk, second, size));
        talk = before;
        assert_false(rk_talk_accepts(&talk, second, size)); /* a message too early */
        talk = before;
        assert_false(rk_talk_accepts(&talk, first, size - 1));
        for (size_t byte = 0; byte < size; byte++) {
            talk = before;
            first[byte] ^= 0x10;
            assert_false(rk_talk_accepts(&talk, first, size));
            first[byte] ^= 0x10;
        }
        rk_talk_finish(&before);
    }
}

static void test_talk_reads_all_of_a_large_answer_when_measured_too(void **state)
{
    (void)state;
    struct rk_talk talk;
    uint8_t answer[300];
    assert_int_equal(rk_talk_init(&talk, sizeof answer, 1), 0);
    memcpy(answer, rk_talk_next(&talk), sizeof answer);
    answer[150] ^= 1;
    assert_false(rk_talk_accepts(&talk, answer, sizeof answer));
    rk_talk_finish(&talk);
}

static void test_talk_hello_is_the_request_of_the_plugin(void **state)
{
    (void)state;
    struct rk_talk talk;
    assert_int_equal(rk_talk_init(&talk, 12, 1), 0);
    rk_talk_hello(&talk);
    assert_int_equal(talk.size, 12);
    assert_memory_equal(rk_talk_next(&talk), "\005Hello\005World", 12);
    assert_true(rk_talk_accepts(&talk, (const uint8_t *)"\013Hello World", 12));
    assert_false(rk_talk_accepts(&talk, (const uint8_t *)"\013Hello world", 12));
    rk_talk_finish(&talk);
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/** Values over five decades; the exact quantile is the one with the rank. */
static void test_histogram_put_together_again_has_the_same_quantiles(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    static const double percents[] = {0, 1, 50, 90, 99, 99.9, 99.99, 100};
    struct rk_histogram *one = rk_histogram_create(), *other = rk_histogram_create();
    uint64_t seed = 20261125, value_ns, count, buckets = 0;
    uint32_t place = 0;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = (seed >> 40) % (1ull << (4 + (seed >> 60)));
        rk_histogram_record(one, values[i]);
    }
    while (rk_histogram_next(one, &place, &value_ns, &count)) {
        rk_histogram_add(other, value_ns, count);
        buckets++;
    }
    assert_true(buckets > 100);
    qsort(values, COUNT, sizeof values[0], by_value);
    assert_int_equal(rk_histogram_count(other), COUNT);
    assert_int_equal(rk_histogram_max(other), values[COUNT - 1]);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        uint64_t rank = (uint64_t)(percents[i] / 100 * COUNT + 0.999999);
        uint64_t exact = values[rank > 0 ? rank - 1 : 0], got = rk_histogram_percentile(other, percents[i]);
        assert_int_equal(got, rk_histogram_percentile(one, percents[i]));
        assert_true(got >= exact && (double)got <= (double)exact * (1 + 1.0 / 1024));
    }
    rk_histogram_destroy(one);
    rk_histogram_destroy(other);
}

static void test_histogram_walk_of_nothing_ends_at_once(void **state)
{
    (void)state;
    struct rk_histogram *none = rk_histogram_create();
    uint64_t value_ns, count;
    uint32_t place = 0;
    assert_false(rk_histogram_next(none, &place, &value_ns, &count));
    rk_histogram_destroy(none);
}

static void fill(struct rk_contestant *contestant, const char *name, const double *ratios, size_t count)
{
    for (uint32_t i = 0; i < rk_peers_count; i++)
        if (strcmp(rk_peers[i].name, name) == 0) contestant->peer = &rk_peers[i];
    assert_non_null(contestant->peer);
    for (size_t i = 0; i < count; i++) rk_series_add(&contestant->entries[0].ratio, ratios[i]);
}

static void test_contest_best_is_the_lowest_median_of_its_role(void **state)
{
    (void)state;
    static struct rk_contest contest;
    static const double ones[] = {1, 1, 1}, pipe[] = {9, 1.5, 1.4}, stream[] = {1.7, 0.1, 1.6}, floor[] = {0.5, 0.5};
    contest.count = 5;
    contest.depth_count = 1;
    fill(&contest.contestants[0], "rask", ones, 3);
    fill(&contest.contestants[1], "pipe", pipe, 3);
    fill(&contest.contestants[2], "socketpair stream", stream, 3);
    fill(&contest.contestants[3], "floor: bare ring", floor, 2);
    fill(&contest.contestants[4], "iceoryx", NULL, 0); /* not measured */
    assert_ptr_equal(rk_contest_best(&contest, RK_PEER_OTHER, 0), &contest.contestants[1]);
    assert_ptr_equal(rk_contest_best(&contest, RK_PEER_FLOOR, 0), &contest.contestants[3]);
    assert_true(rk_entry_ratio(&contest.contestants[1].entries[0], 50) == 1.5);
    assert_true(rk_entry_ratio(&contest.contestants[2].entries[0], 10) < 1);
    assert_null(rk_contest_best(&contest, RK_PEER_OTHER, 1));
    rk_contest_finish(&contest);
}

static void test_entry_gives_a_percentile_with_a_hundred_samples_beyond(void **state)
{
    (void)state;
    struct rk_entry entry = {.latencies = rk_histogram_create()};
    rk_histogram_add(entry.latencies, 1000, 9999);
    assert_false(rk_entry_has(&entry, 99)); /* 99 beyond */
    rk_histogram_add(entry.latencies, 1000, 1);
    assert_true(rk_entry_has(&entry, 99));
    assert_false(rk_entry_has(&entry, 99.9));
    rk_histogram_destroy(entry.latencies);
}

static uint32_t count_of(uint32_t selected, enum rk_peer_role role)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rk_peers_count; i++)
        if ((selected & 1u << i) != 0 && rk_peers[i].role == role) count++;
    return count;
}

static void test_peers_words_select_and_the_wrong_one_is_named(void **state)
{
    (void)state;
    uint32_t selected, all;
    char bad[16], words[400];
    assert_int_equal(rk_peers_parse("pipe,zeromq", &selected, bad, sizeof bad), 0);
    assert_int_equal(count_of(selected, RK_PEER_OTHER), 2);
    assert_true(count_of(selected, RK_PEER_RASK) > 0 && count_of(selected, RK_PEER_FLOOR) > 0);
    assert_int_equal(rk_peers_parse("pipe,pip", &selected, bad, sizeof bad), -EINVAL);
    assert_string_equal(bad, "pip");
    assert_int_equal(rk_peers_parse("", &selected, bad, sizeof bad), -EINVAL);
    assert_int_equal(rk_peers_parse(rk_peers_words(words, sizeof words), &all, bad, sizeof bad), -EINVAL); /* blanks */
    assert_non_null(strstr(words, "boost") != NULL ? strstr(words, "piscina") : NULL);
}

static void test_verdict_is_exact_at_its_target(void **state)
{
    (void)state;
    char text[200];
    assert_non_null(strstr(rk_verdict_text(text, sizeof text, "x", 1.1, true, 1.1), "  reached"));
    assert_non_null(strstr(rk_verdict_text(text, sizeof text, "x", 1.11, true, 1.1), "NOT REACHED"));
    assert_non_null(strstr(rk_verdict_text(text, sizeof text, "x", 59.9, false, 60), "NOT REACHED"));
    assert_non_null(strstr(rk_verdict_text(text, sizeof text, "x", -1, false, 60), "NOT MEASURED"));
    json_t *json = rk_verdict_json("x", -1, true, 2);
    assert_true(json_is_null(json_object_get(json, "value")) && json_is_null(json_object_get(json, "reached")));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk_accepts_only_the_next_number_and_every_byte),
        cmocka_unit_test(test_talk_reads_all_of_a_large_answer_when_measured_too),
        cmocka_unit_test(test_talk_hello_is_the_request_of_the_plugin),
        cmocka_unit_test(test_histogram_put_together_again_has_the_same_quantiles),
        cmocka_unit_test(test_histogram_walk_of_nothing_ends_at_once),
        cmocka_unit_test(test_contest_best_is_the_lowest_median_of_its_role),
        cmocka_unit_test(test_entry_gives_a_percentile_with_a_hundred_samples_beyond),
        cmocka_unit_test(test_peers_words_select_and_the_wrong_one_is_named),
        cmocka_unit_test(test_verdict_is_exact_at_its_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
