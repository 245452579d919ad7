/* SPDX-License-Identifier: MIT */
/* Sessions that sleep in an event loop of their own: rask_fd(), rask_prep_wait(), and wakes in batches. */
#include "kit.h"
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <rask/uring.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;

static bool readable_within(int fd, int timeout_ms)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    int count = poll(&look, 1, timeout_ms);
    assert_true(count >= 0);
    return count == 1;
}

static void submit_text(struct rask *s, const char *text, uint64_t deadline_ns, uint32_t flags)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.deadline_ns = deadline_ns;
    options.flags = flags;
    assert_int_equal(rask_reserve(s, strlen(text), &request), 0);
    memcpy(request.data, text, strlen(text));
    assert_int_equal(rask_submit(s, &request, 0, strlen(text), &options), 0);
}

/* What a loop does that goes by the descriptor alone: one completion, at most 5 s. */
static struct rask_completion take_by_fd(struct rask *s, int fd)
{
    struct rask_completion done;
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(readable_within(fd, 5000));
        int count = rask_poll(s, &done, 1);
        assert_true(count >= 0);
        if (count == 1) return done;
    }
    fail_msg("readable a thousand times, and nothing there");
    return done;
}

/* Poll until the descriptor is quiet. */
static void settle(struct rask *s, int fd)
{
    unsigned rounds = 0;
    while (readable_within(fd, 20)) {
        assert_int_equal(rask_poll(s, NULL, 0), 0);
        assert_true(++rounds < 100);
    }
}

/* A session whose lane is open: its descriptors are all there. */
static struct rask *connect_and_call(void)
{
    struct rask_completion done;
    struct rask *s = kit_connect(&server, NULL);
    assert_int_equal(rask_call(s, 0, "1", 1, 5 * KIT_S, &done), 0);
    rask_release(s, &done);
    return s;
}

static void test_descriptor_costs_nothing_before_it_is_asked_for(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    struct rask *s = connect_and_call();
    unsigned before = kit_descriptors(getpid());
    int fd = rask_fd(s);
    assert_true(fd >= 0);
    assert_int_equal(rask_fd(s), fd);
    assert_true(kit_descriptors(getpid()) >= before + 3);
    rask_close(s);
    s = connect_and_call();
    assert_int_equal(kit_descriptors(getpid()), before); /* and nothing stays behind */
    rask_close(s);
    kit_stop(&server);
}

static void test_descriptor_stays_readable_until_all_is_taken(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = kit_connect(&server, NULL);
    int fd = rask_fd(s);
    assert_true(readable_within(fd, 0)); /* the first poll comes by itself */
    settle(s, fd);
    for (unsigned round = 0; round < 200; round++) {
        struct rask_completion done;
        for (unsigned i = 0; i < 5; i++) submit_text(s, i == 4 && round % 8 == 0 ? "3" : "0", 0, 0);
        for (unsigned i = 0; i < 5; i++) {
            done = take_by_fd(s, fd);
            assert_int_equal(done.status, RASK_OK);
            rask_release(s, &done);
        }
        if (round % 4 == 0) settle(s, fd);
    }
    settle(s, fd);
    assert_false(readable_within(fd, 100));
    rask_close(s);
    kit_stop(&server);
}

static void test_descriptor_tells_deadlines_and_cancellations(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = connect_and_call();
    int fd = rask_fd(s);
    settle(s, fd);
    uint64_t start_ns = rask_now_ns();
    submit_text(s, "1200", start_ns + 300 * KIT_MS, 0);
    assert_false(readable_within(fd, 0));
    struct rask_completion done = take_by_fd(s, fd);
    uint64_t took_ns = rask_now_ns() - start_ns;
    /* The handler looks at the deadline, too, and may be the first to notice. */
    assert_true(done.status == RASK_TIMEOUT || done.status == RASK_ABORTED);
    assert_true(took_ns >= 300 * KIT_MS && took_ns < 1100 * KIT_MS);
    rask_release(s, &done);
    settle(s, fd);
    submit_text(s, "1", 0, 0); /* waits behind the first */
    struct rask_request request = {0};
    assert_int_equal(rask_reserve(s, 1, &request), 0);
    *(char *)request.data = '1';
    assert_int_equal(rask_submit(s, &request, 0, 1, NULL), 0);
    assert_int_equal(rask_cancel(s, request.ticket), 0);
    assert_true(readable_within(fd, 0)); /* ended by our own call */
    for (unsigned i = 0; i < 2; i++) {
        done = take_by_fd(s, fd);
        rask_release(s, &done);
    }
    rask_close(s);
    kit_stop(&server);
}

static void test_descriptor_tells_deaths(void **state)
{
    (void)state;
    pid_t worker;
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = kit_connect(&server, NULL);
    int fd = rask_fd(s);
    submit_text(s, "20000", 0, 0);
    kit_pause_ms(100);
    settle(s, fd);
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    kill(worker, SIGKILL);
    struct rask_completion done = take_by_fd(s, fd);
    assert_int_equal(done.status, RASK_CRASHED);
    rask_release(s, &done);
    submit_text(s, "20000", 0, 0);
    kit_pause_ms(300);
    rask_poll(s, NULL, 0);
    kill(server.pid, SIGKILL);
    done = take_by_fd(s, fd);
    assert_true(done.status == RASK_CRASHED || done.status == RASK_UNAVAILABLE);
    rask_release(s, &done);
    settle(s, fd); /* a dead supervisor does not keep the loop busy */
    kit_ended(&server, 5000);
    rask_close(s);
    kit_reap_orphans(5000);
}

static void test_descriptor_survives_calls_that_wait_themselves(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", "--wait", "park", NULL);
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_PARK;
    struct rask *s = kit_connect(&server, &options);
    struct rask_info info = {.size = sizeof(info)};
    int fd = rask_fd(s);
    for (unsigned i = 0; i < 50; i++) {
        struct rask_completion done;
        settle(s, fd);
        submit_text(s, "0", 0, 0);
        assert_int_equal(rask_call(s, 0, "1", 1, 5 * KIT_S, &done), 0); /* sleeps on the same bell */
        rask_release(s, &done);
        done = take_by_fd(s, fd);
        rask_release(s, &done);
    }
    assert_int_equal(rask_info(s, &info), 0);
    assert_int_equal(info.rescues, 0);
    rask_close(s);
    kit_stop(&server);
}

static void test_descriptor_is_refused_in_a_forked_child(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    struct rask *s = kit_connect(&server, NULL);
    int fd = rask_fd(s);
    settle(s, fd);
    pid_t child = kit_fork();
    if (child == 0) {
        int result = rask_fd(s);
        rask_close(s);
        _exit(result == -EOWNERDEAD ? 0 : 1);
    }
    assert_int_equal(kit_wait(child, 5000), 0);
    submit_text(s, "still ours", 0, 0);
    struct rask_completion done = take_by_fd(s, fd);
    assert_int_equal(done.status, RASK_OK);
    rask_release(s, &done);
    rask_close(s);
    kit_stop(&server);
}

static void test_idle_descriptor_uses_no_processor_time(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", "--workers", "3", NULL);
    struct rask *s = kit_connect(&server, NULL);
    int fd = rask_fd(s);
    submit_text(s, "x", 0, 0);
    struct rask_completion done = take_by_fd(s, fd);
    rask_release(s, &done);
    uint64_t before_ns;
    unsigned rounds = 0;
    do { /* on a slow machine the other two workers may not serve yet, which is news */
        settle(s, fd);
        assert_true(++rounds < 5);
        before_ns = kit_cpu_ns(getpid());
    } while (readable_within(fd, 1000));
    assert_true(kit_cpu_ns(getpid()) - before_ns < 3 * KIT_MS);
    rask_close(s);
    kit_stop(&server);
}

/* ---- the caller's own ring --------------------------------------------------------------------------------------- */

static void wait_in_ring(struct rask *s, struct io_uring *ring, bool *under_way)
{
    struct io_uring_cqe *cqe;
    if (!*under_way) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        assert_true(rask_prep_wait(s, sqe) >= 0);
        sqe->user_data = 7;
        *under_way = true;
    }
    uint64_t limit_ns = rask_next_deadline_ns(s), now_ns = rask_now_ns();
    uint64_t left_ns = limit_ns == 0 ? 5 * KIT_S : limit_ns > now_ns ? limit_ns - now_ns : 0;
    struct __kernel_timespec left = {.tv_nsec = (long long)(left_ns % KIT_S), .tv_sec = (long long)(left_ns / KIT_S)};
    io_uring_submit_and_wait_timeout(ring, &cqe, 1, &left, NULL);
    while (io_uring_peek_cqe(ring, &cqe) == 0) {
        assert_int_equal(cqe->user_data, 7);
        assert_true(cqe->res == 0 || cqe->res == -EAGAIN);
        io_uring_cqe_seen(ring, cqe);
        *under_way = false;
    }
}

static void test_own_ring_waits_for_completions(void **state)
{
    (void)state;
    struct io_uring ring;
    bool under_way = false;
    if (io_uring_queue_init(8, &ring, 0) != 0) {
        print_message("io_uring is not allowed here\n");
        skip();
    }
    kit_start(&server, "--plugin", "sleep", "--workers", "3", NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned round = 0; round < 100; round++) {
        struct rask_completion done[4];
        unsigned taken = 0;
        uint64_t start_ns = rask_now_ns();
        for (unsigned i = 0; i < 4; i++) submit_text(s, i == 3 ? "5" : "0", 0, 0);
        if (round % 10 == 9) assert_int_equal(rask_call(s, 0, "1", 1, 5 * KIT_S, &done[0]), 0);
        if (round % 10 == 9) rask_release(s, &done[0]);
        while (taken < 4) {
            wait_in_ring(s, &ring, &under_way);
            int count = rask_poll(s, done, 4);
            for (int i = 0; i < count; i++) rask_release(s, &done[i]);
            taken += (unsigned)count;
            assert_true(rask_now_ns() - start_ns < 5 * KIT_S);
        }
    }
    assert_int_equal(rask_next_deadline_ns(s), 0);
    assert_int_equal(rask_fd(s), -EINVAL);
    io_uring_queue_exit(&ring);
    rask_close(s);
    kit_stop(&server);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static void test_batch_reaches_every_sleeping_worker(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", "--workers", "8", "--wait", "park", NULL);
    kit_wait_children(server.pid, 8);
    struct rask *s = kit_connect(&server, NULL);
    struct rask_info info = {.size = sizeof(info)};
    struct rask_completion done;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 16; i++) submit_text(s, "2", 0, i < 15 || round % 2 ? RASK_SUBMIT_MORE : 0);
        if (round % 4 == 1) assert_int_equal(rask_flush(s), 0); /* else rask_wait_any() does it */
        while (rask_pending(s) > 0) {
            assert_int_equal(rask_wait_any(s, &done, 1, rask_now_ns() + 2 * KIT_S), 1);
            assert_int_equal(done.status, RASK_OK);
            rask_release(s, &done);
        }
    }
    assert_int_equal(rask_info(s, &info), 0);
    print_message("%u lanes\n", info.lanes_open);
    assert_true(info.lanes_open > 4);
    assert_int_equal(info.rescues, 0);
    rask_close(s);
    kit_stop(&server);
}

static void test_batch_left_open_is_flushed_by_the_loop(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", "--wait", "park", NULL);
    struct rask *s = kit_connect(&server, NULL);
    int fd = rask_fd(s);
    for (unsigned i = 0; i < 5; i++) {
        settle(s, fd);
        kit_pause_ms(5); /* the worker sleeps */
        submit_text(s, "x", 0, RASK_SUBMIT_MORE);
        struct rask_completion done = take_by_fd(s, fd);
        rask_release(s, &done);
    }
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_descriptor_costs_nothing_before_it_is_asked_for),
        KIT_TEST(test_descriptor_stays_readable_until_all_is_taken),
        KIT_TEST(test_descriptor_tells_deadlines_and_cancellations),
        KIT_TEST(test_descriptor_tells_deaths),
        KIT_TEST(test_descriptor_survives_calls_that_wait_themselves),
        KIT_TEST(test_descriptor_is_refused_in_a_forked_child),
        KIT_TEST(test_idle_descriptor_uses_no_processor_time),
        KIT_TEST(test_own_ring_waits_for_completions),
        KIT_TEST(test_batch_reaches_every_sleeping_worker),
        KIT_TEST(test_batch_left_open_is_flushed_by_the_loop),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
