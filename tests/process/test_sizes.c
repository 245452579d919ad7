/* SPDX-License-Identifier: MIT */
/* Payloads of every size around those where the way changes: in the slot, behind it, in blocks. One call at a time and several
 * in flight, with answers that stay in the caller's hands while further calls are made. */
#include "kit.h"
#include <string.h>

#define BYTES_MAX 5000u
#define HELD 7u

static struct kit_server server;

static uint8_t byte_of(uint64_t number, size_t at)
{
    return (uint8_t)(number * 131 + at * 7 + at / 251);
}

static void fill(uint8_t *data, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) data[i] = byte_of(number, i);
}

static void is_echo(const struct rask_completion *done, uint64_t number, size_t bytes)
{
    assert_int_equal(done->status, RASK_OK);
    assert_int_equal(done->length, bytes);
    for (size_t i = 0; i < bytes; i++)
        if (((const uint8_t *)done->data)[i] != byte_of(number, i))
            fail_msg("call %llu, byte %zu of %zu", (unsigned long long)number, i, bytes);
}

/* Answers in hand are looked at only when they are let go. */
static struct {
    struct rask_completion done[HELD];
    size_t bytes[HELD];
} held;

static void let_go(struct rask *s, uint64_t number)
{
    is_echo(&held.done[number % HELD], number, held.bytes[number % HELD]);
    rask_release(s, &held.done[number % HELD]);
}

static void test_every_size_comes_back_and_stays(void **state)
{
    static uint8_t data[BYTES_MAX];
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint32_t method = (uint32_t)rask_method(s, "echo");
    uint64_t number = 0;
    for (size_t bytes = 0; bytes <= BYTES_MAX; bytes++, number++) {
        if (number >= HELD) let_go(s, number - HELD);
        fill(data, number, bytes);
        held.bytes[number % HELD] = bytes;
        assert_int_equal(rask_call(s, method, data, bytes, 10 * KIT_S, &held.done[number % HELD]), 0);
    }
    for (unsigned i = HELD; i > 0; i--) let_go(s, number - i);
    rask_close(s);
    kit_stop(&server);
}

/* Up to `depth` requests at once, each of another size, answers in any order of looking. */
static void in_flight(struct rask *s, uint32_t method, unsigned depth, uint64_t *number)
{
    struct rask_completion done[16];
    uint64_t first = *number;
    for (unsigned i = 0; i < depth; i++, (*number)++) {
        struct rask_request request;
        size_t bytes = *number * 37 % 2200;
        assert_int_equal(rask_reserve(s, bytes, &request), 0);
        fill(request.data, *number, bytes);
        request.user_data = *number;
        assert_int_equal(rask_submit(s, &request, method, bytes, NULL), 0);
    }
    for (unsigned got = 0; got < depth;) {
        int count = rask_wait_any(s, done, 16, rask_now_ns() + 10 * KIT_S);
        assert_true(count > 0);
        for (int i = 0; i < count; i++) {
            assert_in_range(done[i].user_data, first, first + depth - 1);
            is_echo(&done[i], done[i].user_data, done[i].user_data * 37 % 2200);
            rask_release(s, &done[i]);
        }
        got += (unsigned)count;
    }
}

static void test_sizes_mixed_with_depths(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    struct rask *s = kit_connect(&server, NULL);
    uint64_t number = 0;
    for (unsigned round = 0; round < 2000; round++)
        in_flight(s, (uint32_t)rask_method(s, "echo"), round % 5 == 0 ? 1 + round % 16 : 1 + round % 3, &number);
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_every_size_comes_back_and_stays),
        KIT_TEST(test_sizes_mixed_with_depths),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
