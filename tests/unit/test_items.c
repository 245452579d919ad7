/* SPDX-License-Identifier: MIT */
/* `rask stream`: items are taken apart and answers put together without losing a byte, however they come, and without waiting for
 * who does not read. */
#include "items.h"
#include "outlet.h"
#include "random.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
/* Needs the headers above. */
#include <cmocka.h>

static int ends[2]; /* of a pipe: what is read here was written there */

static int open_pipe(void **state)
{
    (void)state;
    return pipe2(ends, O_CLOEXEC);
}

static int close_pipe(void **state)
{
    (void)state;
    close(ends[0]);
    return ends[1] >= 0 ? close(ends[1]) : 0;
}

static void send_bytes(const void *data, size_t bytes)
{
    assert_int_equal(write(ends[1], data, bytes), bytes);
}

static void send_end(void)
{
    close(ends[1]);
    ends[1] = -1;
}

/** Read until there is an item or none can be. */
static int next(struct rk_items *items, const void **data, size_t *bytes)
{
    int found;
    while ((found = rk_items_next(items, data, bytes)) == -EAGAIN) assert_int_equal(rk_items_read(items), 0);
    return found;
}

static void expect_item(struct rk_items *items, const void *wanted, size_t wanted_bytes)
{
    const void *data;
    size_t bytes;
    for (unsigned again = 0; again < 2; again++) { /* it stays the next until it is taken */
        assert_int_equal(next(items, &data, &bytes), 1);
        assert_int_equal(bytes, wanted_bytes);
        assert_memory_equal(data, wanted, bytes);
    }
    rk_items_take(items, data, bytes);
}

static void expect_end(struct rk_items *items, int wanted)
{
    const void *data;
    size_t bytes;
    assert_int_equal(next(items, &data, &bytes), wanted);
    rk_items_finish(items);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static void test_lines_may_be_empty_and_hold_any_byte(void **state)
{
    (void)state;
    struct rk_items items = RK_ITEMS_INIT(ends[0], false, 100);
    send_bytes("\n\na\0b\r\n\xff\n", 9);
    send_end();
    expect_item(&items, "", 0);
    expect_item(&items, "", 0);
    expect_item(&items, "a\0b\r", 4);
    expect_item(&items, "\xff", 1);
    assert_int_equal(items.taken, 4);
    expect_end(&items, 0);
}

static void test_last_line_needs_no_newline(void **state)
{
    (void)state;
    const void *data;
    size_t bytes;
    struct rk_items items = RK_ITEMS_INIT(ends[0], false, 100);
    send_bytes("one\ntwo", 7);
    expect_item(&items, "one", 3);
    assert_int_equal(rk_items_next(&items, &data, &bytes), -EAGAIN); /* more of it may come */
    send_end();
    expect_item(&items, "two", 3);
    expect_end(&items, 0);
}

static void test_no_input_is_no_item(void **state)
{
    (void)state;
    struct rk_items items = RK_ITEMS_INIT(ends[0], false, 100);
    send_end();
    expect_end(&items, 0);
}

static void test_lines_over_the_limit_are_refused_also_without_their_end(void **state)
{
    (void)state;
    struct rk_items items = RK_ITEMS_INIT(ends[0], false, 4);
    send_bytes("1234\n12345", 10);
    expect_item(&items, "1234", 4);
    expect_end(&items, -EMSGSIZE);
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

static void test_frames_are_length_and_bytes(void **state)
{
    (void)state;
    struct rk_items items = RK_ITEMS_INIT(ends[0], true, 300);
    static char long_one[4 + 0x102] = {2, 1};
    memset(long_one + 4, 'x', 0x102);
    send_bytes("\0\0\0\0\3\0\0\0a\nb", 11);
    send_bytes(long_one, sizeof(long_one));
    send_end();
    expect_item(&items, "", 0);
    expect_item(&items, "a\nb", 3);
    expect_item(&items, long_one + 4, 0x102);
    expect_end(&items, 0);
}

static void test_input_that_ends_within_a_frame_is_told(void **state)
{
    (void)state;
    static const size_t cuts[] = {1, 3, 4, 6};
    for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct rk_items items = RK_ITEMS_INIT(ends[0], true, 100);
        send_bytes("\3\0\0\0ab", cuts[i]);
        send_end();
        expect_end(&items, -EBADMSG);
        close(ends[0]);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    }
}

static void test_frames_over_the_limit_are_refused_by_their_length(void **state)
{
    (void)state;
    struct rk_items items = RK_ITEMS_INIT(ends[0], true, 100);
    send_bytes("\377\377\377\377", 4); /* nothing is reserved for it */
    expect_end(&items, -EMSGSIZE);
    assert_true(items.capacity < 1u << 20);
}

/* ---- there and back -------------------------------------------------------------------------------------------- */

enum { ROUNDS = 400, BYTES_MAX = 9000 };

/** Of what is in the answers still, the pipe has room for a part. */
static int next_of_both(struct rk_items *items, struct rk_outlet *answers, const void **data, size_t *bytes)
{
    int found;
    while ((found = rk_items_next(items, data, bytes)) == -EAGAIN) {
        assert_int_equal(rk_outlet_write(answers), 0);
        assert_int_equal(rk_items_read(items), 0);
    }
    return found;
}

/** Answers written in pieces are the items that are read, whatever the sizes, at whatever moment they are read. */
static void go_there_and_back(bool framed)
{
    static char text[BYTES_MAX];
    uint64_t seed = random_seed();
    struct rk_items items = RK_ITEMS_INIT(ends[0], framed, BYTES_MAX);
    struct rk_outlet answers;
    rk_outlet_init(&answers, ends[1], framed);
    for (uint32_t sent = 0, got = 0; got < ROUNDS;) {
        size_t bytes = random_below(&seed, random_below(&seed, 4) ? 40 : BYTES_MAX);
        memset(text, 'a' + (int)(sent % 26), bytes);
        if (sent < ROUNDS && !rk_outlet_full(&answers)) {
            assert_int_equal(rk_outlet_put(&answers, text, bytes), 0);
            sent++;
        }
        while (got < sent && (sent == ROUNDS || random_below(&seed, 3))) {
            const void *data;
            assert_int_equal(next_of_both(&items, &answers, &data, &bytes), 1);
            for (size_t i = 0; i < bytes; i++) assert_int_equal(((const char *)data)[i], 'a' + (int)(got % 26));
            rk_items_take(&items, data, bytes);
            got++;
        }
    }
    rk_outlet_finish(&answers);
    rk_items_finish(&items);
}

static void test_lines_come_through_in_any_pieces(void **state)
{
    (void)state;
    go_there_and_back(false);
}

static void test_frames_come_through_in_any_pieces(void **state)
{
    (void)state;
    go_there_and_back(true);
}

static void test_answers_never_wait_for_their_reader(void **state)
{
    (void)state;
    static char text[300000];
    struct rk_outlet answers;
    rk_outlet_init(&answers, ends[1], false);
    assert_int_equal(rk_outlet_put(&answers, text, sizeof(text)), 0);
    assert_int_equal(rk_outlet_write(&answers), 0); /* the pipe takes a part, and this comes back */
    size_t left = rk_outlet_waiting(&answers);
    assert_in_range(left, 1, sizeof(text));
    assert_true(rk_outlet_full(&answers));
    assert_int_equal(rk_outlet_write(&answers), 0);
    assert_int_equal(rk_outlet_waiting(&answers), left);
    assert_true(read(ends[0], text, 50000) > 0);
    assert_int_equal(rk_outlet_write(&answers), 0);
    assert_true(rk_outlet_waiting(&answers) < left);
    rk_outlet_finish(&answers);
}

static void test_reader_that_is_gone_is_told(void **state)
{
    (void)state;
    struct rk_outlet answers;
    rk_outlet_init(&answers, ends[1], false);
    close(ends[0]);
    assert_int_equal(rk_outlet_put(&answers, "a", 1), 0);
    assert_int_equal(rk_outlet_write(&answers), -EPIPE);
    rk_outlet_finish(&answers);
    ends[0] = dup(ends[1]);
}

#define PIPE_TEST(name) cmocka_unit_test_setup_teardown(name, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPE_TEST(test_lines_may_be_empty_and_hold_any_byte),
        PIPE_TEST(test_last_line_needs_no_newline),
        PIPE_TEST(test_no_input_is_no_item),
        PIPE_TEST(test_lines_over_the_limit_are_refused_also_without_their_end),
        PIPE_TEST(test_frames_are_length_and_bytes),
        PIPE_TEST(test_input_that_ends_within_a_frame_is_told),
        PIPE_TEST(test_frames_over_the_limit_are_refused_by_their_length),
        PIPE_TEST(test_lines_come_through_in_any_pieces),
        PIPE_TEST(test_frames_come_through_in_any_pieces),
        PIPE_TEST(test_answers_never_wait_for_their_reader),
        PIPE_TEST(test_reader_that_is_gone_is_told),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
