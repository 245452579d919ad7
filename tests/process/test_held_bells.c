/* SPDX-License-Identifier: MIT */
/* Bells that a worker holds back (worker_serve.c): whoever sleeps, in a call or in a loop of its own, hears of an answer soon, also
 * where a request behind it turns out slow. */
#include "clock.h"
#include "kit.h"
#include <liburing.h>
#include <poll.h>
#include <rask/uring.h>
#include <stdio.h>

static struct kit_server server;

/** A server whose worker has learnt that requests are quick, and a client that sleeps. */
static struct rask *start_quick(struct kit_ledger *ledger, const char *workers)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_PARK;
    kit_ledger_open(ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger->setting, "--wait", "park", "--workers",
              workers, NULL);
    struct rask *s = kit_connect(&server, &options);
    for (unsigned i = 0; i < 300; i++) kit_call_ok(s, ledger, 16);
    return s;
}

static void stop_quick(struct rask *s, struct kit_ledger *ledger)
{
    struct rask_info info = {.size = sizeof(info)};
    rask_info(s, &info);
    assert_int_equal(info.rescues, 0);
    rask_close(s);
    kit_stop(&server);
    kit_ledger_close(ledger);
}

/** From `start_ns` to the end of `ticket`. */
static uint64_t told_ns(struct rask *s, uint64_t start_ns, uint64_t ticket)
{
    struct rask_completion completion;
    assert_int_equal(rask_wait(s, ticket, 0, &completion), 0);
    uint64_t took_ns = rask_now_ns() - start_ns;
    print_message("told after %.2f ms\n", (double)took_ns / 1e6);
    rask_release(s, &completion);
    return took_ns;
}

/** Nothing is there for a loop: it may sleep. On a busy machine something may be there by now and stays: a round that shows nothing. */
static void let_loop_sleep(struct rask *s)
{
    enum { LOOKS = 100 };

    struct pollfd look = {.fd = rask_fd(s), .events = POLLIN};
    for (unsigned i = 0; i < LOOKS && poll(&look, 1, 0) == 1; i++) assert_int_equal(rask_poll(s, NULL, 0), 0);
}

/** Two of another client that sleeps, behind which the worker finds whatever comes in the next 5 ms: it has just looked at the tick
 * of the clock then, so it holds the bell back for the first of them. */
static void occupy(struct rask *other, struct kit_ledger *ledger)
{
    kit_submit(other, ledger, "slow", 5, 16, 0);
    kit_wait_started(other, ledger, ledger->next - 1);
    kit_submit(other, ledger, "ok", 0, 16, 0);
    let_loop_sleep(other);
}

static void take_all(struct rask *s)
{
    struct rask_completion completion;
    while (rask_pending(s) > 0) {
        assert_int_equal(rask_wait_any(s, &completion, 1, rask_now_ns() + 5 * KIT_S), 1);
        assert_int_equal(completion.status, RASK_OK);
        rask_release(s, &completion);
    }
}

/** Quick answers in a row are told with one ring, after the last of them. One that takes long surprisingly comes between
 * answer and ring: the client hears of the first answer at a look of its own, which is no rescue. */
static void test_quick_answer_does_not_wait_for_a_slow_one(void **state)
{
    (void)state;
    struct kit_ledger ledger;
    struct rask *s = start_quick(&ledger, "1"), *other = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 5; i++) {
        occupy(other, &ledger);
        uint64_t start_ns = rask_now_ns();
        uint64_t quick = kit_submit(s, &ledger, "ok", 0, 16, 0);
        kit_submit(s, &ledger, "slow", 400, 16, 0);
        assert_true(told_ns(s, start_ns, quick) < 200 * KIT_MS);
        take_all(s);
        take_all(other);
    }
    rask_close(other);
    stop_quick(s, &ledger);
}

/** The answer of one that took long is told at once, whatever follows: 80 ms are between two looks of a client. */
static void test_slow_answer_does_not_wait_for_the_next(void **state)
{
    (void)state;
    struct kit_ledger ledger;
    unsigned at_once = 0;
    struct rask *s = start_quick(&ledger, "1");
    for (unsigned i = 0; i < 5; i++) {
        uint64_t start_ns = rask_now_ns();
        uint64_t first = kit_submit(s, &ledger, "slow", 80, 16, 0);
        kit_submit(s, &ledger, "ok", 0, 16, 0);
        kit_submit(s, &ledger, "slow", 150, 16, 0);
        at_once += told_ns(s, start_ns, first) < 100 * KIT_MS;
        take_all(s);
    }
    assert_true(at_once >= 3);
    stop_quick(s, &ledger);
}

/** What a loop does: one completion, when the descriptor says so. */
static void take_by_fd(struct rask *s, struct rask_completion *completion)
{
    struct pollfd look = {.fd = rask_fd(s), .events = POLLIN};
    do assert_int_equal(poll(&look, 1, 5000), 1);
    while (rask_poll(s, completion, 1) == 0);
}

/** A quick request and a slow one: how long until the loop is told of the quick one? One was answered just before, so no look is
 * due for other reasons. */
static uint64_t loop_is_told_ns(struct rask *s, struct rask *other, struct kit_ledger *ledger)
{
    struct rask_completion completion;
    kit_pause_ms(60);
    kit_submit(s, ledger, "ok", 0, 16, 0);
    take_by_fd(s, &completion);
    rask_release(s, &completion);
    occupy(other, ledger);
    let_loop_sleep(s);
    uint64_t start_ns = rask_now_ns();
    kit_submit(s, ledger, "ok", 0, 16, 0);
    kit_submit(s, ledger, "slow", 200, 16, 0);
    take_by_fd(s, &completion);
    uint64_t took_ns = rask_now_ns() - start_ns;
    rask_release(s, &completion);
    take_all(s);
    take_all(other);
    return took_ns;
}

/** A program that sleeps in a loop of its own comes and looks as soon as one that waits. */
static void test_loop_hears_of_a_quick_answer_before_a_slow_one(void **state)
{
    (void)state;
    struct kit_ledger ledger;
    unsigned soon = 0;
    struct rask *s = start_quick(&ledger, "1"), *other = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 6; i++) {
        uint64_t took_ns = loop_is_told_ns(s, other, &ledger);
        print_message("told after %.2f ms\n", (double)took_ns / 1e6);
        soon += took_ns < 25 * KIT_MS;
    }
    assert_true(soon >= 3);
    rask_close(other);
    stop_quick(s, &ledger);
}

/** Sleep in the loop for so long; nothing is answered meanwhile. */
static void loop_for(struct rask *s, uint64_t ns)
{
    struct pollfd look = {.fd = rask_fd(s), .events = POLLIN};
    uint64_t end_ns = rask_now_ns() + ns;
    while (rask_now_ns() < end_ns)
        if (poll(&look, 1, 10) == 1) assert_int_equal(rask_poll(s, NULL, 0), 0);
}

/** A quick request and a slow one, behind what keeps their worker busy for 5 ms: when does the loop hear of the quick one? */
static uint64_t busy_loop_is_told_ns(struct rask *s, struct rask *other, struct kit_ledger *ledger)
{
    struct rask_completion completion;
    occupy(other, ledger);
    let_loop_sleep(s);
    uint64_t start_ns = rask_now_ns();
    kit_submit(s, ledger, "ok", 0, 16, 0);
    kit_submit(s, ledger, "slow", 100, 16, 0);
    take_by_fd(s, &completion);
    uint64_t took_ns = rask_now_ns() - start_ns;
    rask_release(s, &completion);
    take_by_fd(s, &completion);
    rask_release(s, &completion);
    take_all(other);
    return took_ns;
}

/** A loop that has something in flight all the time has looked in vain for long, and looks rarely. What is submitted then is
 * looked for soon all the same. */
static void test_loop_hears_of_a_quick_answer_beside_a_long_one(void **state)
{
    (void)state;
    enum { ROUNDS = 16 };

    struct kit_ledger ledger;
    unsigned soon = 0;
    struct rask *s = start_quick(&ledger, "2"), *other = kit_connect(&server, NULL);
    uint64_t longest = kit_submit(s, &ledger, "slow", 5000, 16, 0);
    kit_wait_started(s, &ledger, ledger.next - 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        loop_for(s, (100 + 7 * i) * KIT_MS);
        uint64_t took_ns = busy_loop_is_told_ns(s, other, &ledger);
        print_message("told after %.2f ms\n", (double)took_ns / 1e6);
        soon += took_ns < (kit_sanitized ? 30 : 12) * KIT_MS;
    }
    assert_in_range(soon, ROUNDS - 5, ROUNDS);
    kit_expect(s, &ledger, longest, RASK_OK, RASK_EXECUTED_YES);
    rask_close(other);
    stop_quick(s, &ledger);
}

/* ---- the loop is a ring of the program's own --------------------------------------------------------------------- */

struct own_ring {
    struct io_uring ring;
    bool waits;
};

static void ring_begins_wait(struct rask *s, struct own_ring *own)
{
    if (!own->waits) assert_true(rask_prep_wait(s, io_uring_get_sqe(&own->ring)) >= 0);
    own->waits = true;
    io_uring_submit(&own->ring);
}

/** As <rask/uring.h> says: one completion. */
static void take_by_ring(struct rask *s, struct own_ring *own, struct rask_completion *completion)
{
    struct io_uring_cqe *cqe;
    do {
        ring_begins_wait(s, own);
        uint64_t limit_ns = rask_next_deadline_ns(s), now_ns = rask_now_ns();
        uint64_t left_ns = limit_ns == 0 ? 5 * KIT_S : limit_ns > now_ns ? limit_ns - now_ns : 0;
        struct __kernel_timespec left = {.tv_sec = (long long)(left_ns / KIT_S),
                                         .tv_nsec = (long long)(left_ns % KIT_S)};
        io_uring_submit_and_wait_timeout(&own->ring, &cqe, 1, &left, NULL);
        for (; io_uring_peek_cqe(&own->ring, &cqe) == 0; own->waits = false) io_uring_cqe_seen(&own->ring, cqe);
    } while (rask_poll(s, completion, 1) == 0);
}

/** A quick request and a slow one from a ring that slept with nothing in flight, behind what keeps their worker busy for 5 ms: when
 * does it hear of the quick one? */
static uint64_t ring_is_told_ns(struct rask *s, struct rask *other, struct kit_ledger *ledger, struct own_ring *own)
{
    struct rask_completion completion;
    kit_submit(s, ledger, "ok", 0, 16, 0);
    take_by_ring(s, own, &completion);
    rask_release(s, &completion);
    ring_begins_wait(s, own);
    occupy(other, ledger);
    uint64_t start_ns = rask_now_ns();
    kit_submit(s, ledger, "ok", 0, 16, 0);
    kit_submit(s, ledger, "slow", 100, 16, 0);
    take_by_ring(s, own, &completion);
    uint64_t took_ns = rask_now_ns() - start_ns;
    rask_release(s, &completion);
    take_by_ring(s, own, &completion);
    rask_release(s, &completion);
    take_all(other);
    return took_ns;
}

static void test_ring_hears_of_a_quick_answer_before_a_slow_one(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };

    struct kit_ledger ledger;
    struct own_ring own = {.waits = false};
    unsigned soon = 0;
    if (io_uring_queue_init(8, &own.ring, 0) != 0) {
        print_message("io_uring is not allowed here\n");
        skip();
    }
    struct rask *s = start_quick(&ledger, "1"), *other = kit_connect(&server, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t took_ns = ring_is_told_ns(s, other, &ledger, &own);
        print_message("told after %.2f ms\n", (double)took_ns / 1e6);
        soon += took_ns < (kit_sanitized ? 30 : 12) * KIT_MS;
    }
    assert_in_range(soon, ROUNDS - 4, ROUNDS);
    io_uring_queue_exit(&own.ring);
    rask_close(other);
    stop_quick(s, &ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_quick_answer_does_not_wait_for_a_slow_one),
        KIT_TEST(test_slow_answer_does_not_wait_for_the_next),
        KIT_TEST(test_loop_hears_of_a_quick_answer_before_a_slow_one),
        KIT_TEST(test_loop_hears_of_a_quick_answer_beside_a_long_one),
        KIT_TEST(test_ring_hears_of_a_quick_answer_before_a_slow_one),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
