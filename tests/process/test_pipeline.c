/* SPDX-License-Identifier: MIT */
/* Many in flight: what a wait and what a poll hand over, and what is said of those that wait for a worker. */
#include "kit.h"
#include "ladder.h"
#include "run.h"
#include "session.h"
#include <stdio.h>
#include <string.h>

#define IN_FLIGHT 96u
#define ROUNDS 20u
#define BEHIND 30u

static struct kit_server server;

static void submit(struct rask *s, const char *method, const char *text, uint64_t number)
{
    struct rask_request request;
    assert_int_equal(rask_reserve(s, strlen(text), &request), 0);
    memcpy(request.data, text, strlen(text));
    request.user_data = number;
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, method), strlen(text), NULL), 0);
}

/** In order, since there is one worker. */
static void judge(struct rask *s, struct rask_completion *done, int count, uint64_t *next)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(done[i].status, RASK_OK);
        assert_int_equal(done[i].user_data, (*next)++);
        rask_release(s, &done[i]);
    }
}

/** As many requests as that, and a moment for the worker to answer all of them. */
static void send_all(struct rask *s, uint64_t *sent)
{
    for (unsigned i = 0; i < IN_FLIGHT; i++) submit(s, "echo", "many", (*sent)++);
    kit_pause_ms(10);
}

static void test_wait_hands_over_a_run_and_poll_all(void **state)
{
    struct rask_completion done[IN_FLIGHT];
    struct rask_options options = RASK_OPTIONS_INIT;
    uint64_t sent = 0, next = 0;
    unsigned whole = 0;
    (void)state;
    options.wait_mode = RASK_WAIT_SPIN;
    kit_start(&server, "--plugin", "echo", "--wait", "spin", NULL);
    struct rask *s = kit_connect(&server, &options);
    for (unsigned round = 0; round < ROUNDS; round++) {
        send_all(s, &sent);
        bool apart = rk_ladder_meets(&s->ladder);
        int count = rask_wait_any(s, done, IN_FLIGHT, rask_now_ns() + 10 * KIT_S);
        apart = apart && rk_ladder_meets(&s->ladder);
        assert_in_range(count, 1, apart ? RK_RUN_MAX + RK_RUN_PAIR : IN_FLIGHT);
        judge(s, done, count, &next);
        count = rask_poll(s, done, IN_FLIGHT);
        whole += next + (uint64_t)count == sent;
        judge(s, done, count, &next);
        while (next < sent) judge(s, done, rask_wait_any(s, done, IN_FLIGHT, 0), &next);
    }
    assert_true(whole > 0); /* not always: something may keep the worker from its processor */
    rask_close(s);
    kit_stop(&server);
}

/** "queue_depth" of the only worker. */
static unsigned depth_shown(void)
{
    const struct kit_result *result = kit_rask("stats", "--socket", server.socket, "--json", NULL);
    const char *found = strstr(result->out, "\"queue_depth\":");
    assert_non_null(found);
    unsigned depth;
    assert_int_equal(sscanf(found, "\"queue_depth\":%u", &depth), 1);
    return depth;
}

static void test_what_waits_behind_a_sampled_request_is_counted(void **state)
{
    struct rask_completion done[BEHIND];
    uint64_t sent = 0, next = 0;
    (void)state;
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = kit_connect(&server, NULL);
    /* The first two are sampled, and then one in RK_SAMPLE_EVERY. */
    while (sent < RK_SAMPLE_EVERY) {
        submit(s, "sleep", "0", sent++);
        judge(s, done, rask_wait_any(s, done, 1, 0), &next);
    }
    submit(s, "sleep", "100", sent++);
    submit(s, "sleep", "1000", sent++); /* entered when all others are there */
    for (unsigned i = 0; i < BEHIND; i++) submit(s, "sleep", "0", sent++);
    kit_pause_ms(500);
    assert_int_equal(depth_shown(), BEHIND);
    while (next < sent) judge(s, done, rask_wait_any(s, done, BEHIND, 0), &next);
    kit_pause_ms(100); /* it sleeps */
    assert_int_equal(depth_shown(), 0);
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_wait_hands_over_a_run_and_poll_all),
        KIT_TEST(test_what_waits_behind_a_sampled_request_is_counted),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
