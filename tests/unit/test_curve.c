/* SPDX-License-Identifier: MIT */
/* The backlog over time: what was noted is found again, in a fixed amount of memory, and in the picture. */
#include "curve.h"
#include "curve_plot.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* Needs the headers above. */
#include <cmocka.h>

#define MS 1000000ull

static struct rk_curve backlog;

static int start(void **state)
{
    (void)state;
    rk_curve_init(&backlog);
    return 0;
}

static void expect_span(uint32_t index, uint64_t most, uint64_t last)
{
    assert_true(index < backlog.count);
    assert_int_equal(backlog.span[index].most, most);
    assert_int_equal(backlog.span[index].last, last);
}

static void test_most_and_last_of_each_span_are_kept(void **state)
{
    (void)state;
    rk_curve_note(&backlog, 0, 1);
    rk_curve_note(&backlog, 100, 5);
    rk_curve_note(&backlog, 900000, 2);
    rk_curve_note(&backlog, 3 * MS, 1);
    rk_curve_note(&backlog, 4 * MS, 0);
    assert_int_equal(backlog.count, 5);
    expect_span(0, 5, 2);
    expect_span(1, 2, 2); /* nothing was noted: it goes on as it was */
    expect_span(2, 2, 2);
    expect_span(3, 2, 1); /* it fell in here */
    expect_span(4, 1, 0);
    assert_int_equal(backlog.most, 5);
}

static void test_long_streams_keep_their_peaks_in_the_same_memory(void **state)
{
    (void)state;
    enum { SECONDS = 1000 };
    for (uint64_t s = 0; s < SECONDS; s++) {
        rk_curve_note(&backlog, s * 1000 * MS, s);
        rk_curve_note(&backlog, s * 1000 * MS + 100, 0);
    }
    assert_in_range(backlog.count, RK_CURVE_SPANS / 4, RK_CURVE_SPANS);
    assert_in_range(backlog.count * backlog.span_ns, (SECONDS - 1) * 1000 * MS, (SECONDS + 2) * 1000 * MS);
    for (uint64_t s = 0; s < SECONDS; s++) {
        const struct rk_curve_span *span = &backlog.span[s * 1000 * MS / backlog.span_ns];
        assert_true(span->most >= s);
        assert_true(span->most <= s + backlog.span_ns / (1000 * MS) + 1);
        assert_int_equal(span->last, 0);
    }
}

static void test_one_note_far_away_does_not_take_long(void **state)
{
    (void)state;
    rk_curve_note(&backlog, 1, 3);
    rk_curve_note(&backlog, 1ull << 62, 4);
    assert_true(backlog.count <= RK_CURVE_SPANS);
    expect_span(0, 3, 3);
    expect_span(backlog.count - 1, 4, 4);
}

static char *picture(void)
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    rk_curve_plot(&backlog, "backlog of a-method", to);
    assert_int_equal(fclose(to), 0);
    return text;
}

static unsigned count(const char *text, const char *what)
{
    unsigned found = 0;
    for (; (text = strstr(text, what)); text++) found++;
    return found;
}

/** The line goes up and down by one step for each note, over the whole width. */
static void test_picture_shows_each_step(void **state)
{
    (void)state;
    for (uint64_t i = 0; i <= 8; i++) rk_curve_note(&backlog, i * 10 * MS, i < 4 ? i + 1 : 8 - i);
    char *text = picture(), *line = strstr(text, "d=\"M56.0 232.0H56.0V");
    assert_non_null(line); /* it starts at the left, on the ground */
    assert_int_equal(strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39), 0);
    assert_non_null(strstr(text, ">backlog of a-method</text>"));
    assert_non_null(strstr(line, "H704.0V232.0Z")); /* the end, at the right, on the ground */
    *strchr(line, 'Z') = '\0';
    assert_int_equal(count(line, "V"), 4 + 4 + 1); /* 1 2 3 4, (4) 3 2 1 0, the end */
    free(text);
}

static void test_picture_of_nothing_is_a_picture(void **state)
{
    (void)state;
    char *text = picture();
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "</svg>\n"));
    free(text);
}

static void test_axes_have_a_few_numbers_at_any_size(void **state)
{
    (void)state;
    for (uint64_t items = 1; items < 1ull << 40; items *= 7) {
        rk_curve_init(&backlog);
        rk_curve_note(&backlog, items * MS / 3, items);
        char *text = picture();
        assert_in_range(count(text, "text-anchor=\"end\""), 2, 10);
        assert_in_range(count(text, "<text stroke=\"none\" text-anchor=\"middle\""), 2, 10);
        free(text);
    }
}

#define CURVE_TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CURVE_TEST(test_most_and_last_of_each_span_are_kept),
        CURVE_TEST(test_long_streams_keep_their_peaks_in_the_same_memory),
        CURVE_TEST(test_one_note_far_away_does_not_take_long),
        CURVE_TEST(test_picture_shows_each_step),
        CURVE_TEST(test_picture_of_nothing_is_a_picture),
        CURVE_TEST(test_axes_have_a_few_numbers_at_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
