/* SPDX-License-Identifier: MIT */
/* More sessions than one futex_waitv takes words: on io_uring they are served, a sleeping worker is woken by each of them; on
 * the classic engine the first one too many is refused in words. */
#include "clock.h"
#include "kit.h"
#include "reactor_crowd.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 200u

static struct kit_server server;
static struct rask *sessions[SESSIONS];

static struct rask_options small(void)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.ring_slots = RASK_RING_SLOTS_MIN;
    options.slab_bytes = RASK_SLAB_BYTES_MIN;
    options.wait_mode = RASK_WAIT_PARK;
    return options;
}

static bool has_crowds(void)
{
    struct rk_crowd *crowd;
    const char *engine = getenv("RASK_ENGINE");
    if (engine && strcmp(engine, "classic") == 0) return false;
    if (rk_crowd_create(&crowd) != 0) {
        print_message("no more than %u sessions here: %s\n", RASK_SESSIONS_MAX_CLASSIC, rask_last_error());
        return false;
    }
    rk_crowd_destroy(crowd);
    return true;
}

static void test_more_sessions_than_words_of_one_wait(void **state)
{
    (void)state;
    struct rask_options options = small();
    struct rask_completion completion;
    bool crowds = has_crowds();
    unsigned count = 0;
    kit_start(&server, "--plugin", "echo", "--wait", "park", NULL);
    while (count < SESSIONS && rask_connect(&sessions[count], server.socket, &options) == 0) count++;
    if (crowds) {
        assert_int_equal(count, SESSIONS);
    } else {
        assert_int_equal(count, RASK_SESSIONS_MAX_CLASSIC);
        assert_non_null(strstr(rask_last_error(), "127"));
        assert_non_null(strstr(rask_last_error(), "io_uring"));
    }
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < count; i++) {
            if (i % 16 == 0) kit_pause_ms(2); /* the worker falls asleep */
            assert_int_equal(rask_call(sessions[i], 0, "wake", 4, 5 * KIT_S, &completion), 0);
            assert_memory_equal(completion.data, "wake", 4);
            rask_release(sessions[i], &completion);
        }
    for (unsigned i = 0; i < count; i++) {
        struct rask_info info = {.size = sizeof(info)};
        assert_int_equal(rask_info(sessions[i], &info), 0);
        assert_int_equal(info.rescues, 0);
        rask_close(sessions[i]);
    }
    assert_null(strstr(kit_log(&server), "rescued"));
    kit_stop(&server);
}

static void call(struct rask *s)
{
    struct rask_completion completion;
    assert_int_equal(rask_call(s, 0, "wake", 4, 5 * KIT_S, &completion), 0);
    rask_release(s, &completion);
}

/* A worker that sleeps for its only client hears of another one soon, and not when it looks by itself, 2 s later. */
static void test_newcomer_is_heard_beside_a_brisk_client(void **state)
{
    (void)state;
    const struct rask_options options = small();
    struct rask *brisk, *newcomer;
    kit_start(&server, "--plugin", "echo", "--wait", "park", NULL);
    assert_int_equal(rask_connect(&brisk, server.socket, &options), 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 50; i++) call(brisk);
        uint64_t start_ns = rask_now_ns();
        assert_int_equal(rask_connect(&newcomer, server.socket, &options), 0);
        call(newcomer); /* its lane is opened by a message of the supervisor's */
        if (!kit_sanitized) assert_in_range(rask_now_ns() - start_ns, 0, 1000 * KIT_MS);
        rask_close(newcomer);
    }
    struct rask_info info = {.size = sizeof(info)};
    assert_int_equal(rask_info(brisk, &info), 0);
    assert_int_equal(info.rescues, 0);
    rask_close(brisk);
    assert_null(strstr(kit_log(&server), "rescued"));
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_more_sessions_than_words_of_one_wait),
        KIT_TEST(test_newcomer_is_heard_beside_a_brisk_client),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
