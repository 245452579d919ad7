/* SPDX-License-Identifier: MIT */
/* Upcalls between processes: there and back at every size, several at once, nested, refused, late, and with deaths on both sides. */
#include "kit.h"
#include <errno.h>
#include <rask/stream.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;
static unsigned ran;

static struct rask *start(const char *workers, const char *plugin)
{
    kit_start(&server, "--plugin", kit_plugin(plugin), "--workers", workers, "--restart-limit", "0", "--caller-timeout",
              "300ms", NULL);
    ran = 0;
    return kit_connect(&server, NULL);
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
}

/** The caller's functions: the request back, each byte one higher; and its user data as the code. */
static int plus_one(struct rask_upcall *upcall, void *user)
{
    const uint8_t *bytes = upcall->request;
    uint8_t *room = rask_upcall_reserve(upcall, upcall->request_bytes);
    assert_non_null(room);
    assert_int_equal(((uintptr_t)bytes | (uintptr_t)room) % 8, 0);
    for (size_t i = 0; i < upcall->request_bytes; i++) room[i] = (uint8_t)(bytes[i] + 1);
    assert_int_equal(rask_upcall_reply(upcall, upcall->request_bytes + 1), -EINVAL);
    assert_int_equal(rask_upcall_reply(upcall, upcall->request_bytes), 0);
    ran++;
    return (int)(intptr_t)user;
}

static uint32_t method(const struct rask *s, const char *name)
{
    return (uint32_t)rask_method(s, name);
}

/** Call `ask` for the function `name` with `bytes` bytes that are all `value`. */
static int ask(struct rask *s, const char *name, uint8_t value, size_t bytes, struct rask_completion *out)
{
    static uint8_t request[1 << 20];
    size_t name_bytes = strlen(name) + 1;
    memcpy(request, name, name_bytes);
    memset(request + name_bytes, value, bytes);
    return rask_call(s, method(s, "ask"), request, name_bytes + bytes, 20 * KIT_S, out);
}

static void expect_sizes(struct rask *s)
{
    static const size_t sizes[] = {0, 1, 26, 31, 32, 33, 255, 1024, 70000, 1000000};
    struct rask_completion out;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(ask(s, "plus", (uint8_t)i, sizes[i], &out), 0);
        assert_int_equal(out.length, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(((const uint8_t *)out.data)[k], i + 1);
        rask_release(s, &out);
    }
}

static void test_sizes(void **unused)
{
    (void)unused;
    static const char *const plugins[] = {"flow", "flow_shared"};
    for (unsigned i = 0; i < 2; i++) {
        struct rask *s = start("1", plugins[i]);
        assert_int_equal(rask_on_upcall(s, "plus", plus_one, NULL), 0);
        expect_sizes(s);
        assert_int_equal(ran, 10);
        for (unsigned k = 0; k < 1000; k++) { /* memory of answers comes back */
            struct rask_completion out;
            assert_int_equal(ask(s, "plus", 1, 100000, &out), 0);
            rask_release(s, &out);
        }
        struct rask_info info = {.size = sizeof info};
        assert_int_equal(rask_info(s, &info), 0);
        assert_true(info.bytes_mapped < 64u << 20);
        stop(s);
    }
}

static void test_errors_have_types(void **unused)
{
    (void)unused;
    struct rask_completion out;
    struct rask *s = start("1", "flow");
    assert_true(ask(s, "plus", 0, 4, &out) < 0); /* nothing registered */
    assert_int_equal(out.status, RASK_HANDLER_ERROR);
    assert_int_equal(out.code, ENOSYS);
    rask_release(s, &out);
    assert_int_equal(rask_on_upcall(s, "plus", plus_one, (void *)33), 0);
    assert_int_equal(rask_on_upcall(s, "", plus_one, NULL), -EINVAL);
    assert_true(ask(s, "other", 0, 4, &out) < 0);
    assert_int_equal(out.code, ENOSYS);
    rask_release(s, &out);
    assert_true(ask(s, "plus", 0, 4, &out) < 0); /* its own code */
    assert_int_equal(out.code, 33);
    rask_release(s, &out);
    assert_int_equal(rask_on_upcall(s, "plus", NULL, NULL), 0);
    assert_true(ask(s, "plus", 0, 4, &out) < 0);
    assert_int_equal(out.code, ENOSYS);
    rask_release(s, &out);
    stop(s);
}

/** A caller that does not look: the handler gives up, the late answer hurts nobody. */
static void test_stuck_caller(void **unused)
{
    (void)unused;
    struct rask *s = start("1", "flow");
    assert_int_equal(rask_on_upcall(s, "plus", plus_one, NULL), 0);
    struct rask_completion out;
    assert_int_equal(ask(s, "plus", 1, 4, &out), 0); /* a lane is open */
    rask_release(s, &out);
    for (unsigned i = 1; i < 4; i++) {
        struct rask_request request;
        assert_int_equal(rask_reserve(s, 6, &request), 0);
        memcpy(request.data, "plus\0x", 6);
        assert_int_equal(rask_submit(s, &request, method(s, "ask"), 6, NULL), 0);
        kit_pause_ms(500);
        assert_int_equal(rask_wait(s, request.ticket, rask_now_ns() + 10 * KIT_S, &out), 0);
        assert_int_equal(out.status, RASK_HANDLER_ERROR);
        assert_int_equal(out.code, ETIMEDOUT);
        rask_release(s, &out);
        assert_int_equal(ran, i); /* it had given up: nothing ran */
        assert_int_equal(ask(s, "plus", 1, 4, &out), 0);
        rask_release(s, &out);
    }
    stop(s);
}

static struct rask *nested_session;
static int nested_result;
static uint32_t nested_code;

/** Calls another method of the same session, in the middle of an upcall. */
static int calls_back(struct rask_upcall *upcall, void *user)
{
    (void)user;
    struct rask_completion out;
    nested_result = rask_call(nested_session, method(nested_session, "plain"), "inner", 5, 5 * KIT_S, &out);
    nested_code = out.status;
    if (nested_result == 0) assert_memory_equal(out.data, "inner", 5);
    rask_release(nested_session, &out);
    return plus_one(upcall, NULL);
}

static void test_nested_calls(void **unused)
{
    (void)unused;
    struct rask_completion out;
    nested_session = start("1", "flow");
    assert_int_equal(rask_on_upcall(nested_session, "back", calls_back, NULL), 0);
    assert_int_equal(ask(nested_session, "back", 1, 3, &out), 0);
    assert_int_equal(nested_result, -EDEADLK); /* its only worker waits for us */
    assert_int_not_equal(nested_code, RASK_OK);
    rask_release(nested_session, &out);
    stop(nested_session);
    nested_session = start("2", "flow");
    assert_int_equal(rask_on_upcall(nested_session, "back", calls_back, NULL), 0);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(ask(nested_session, "back", 1, 3, &out), 0);
        assert_int_equal(nested_result, 0);
        rask_release(nested_session, &out);
    }
    stop(nested_session);
}

static uint64_t awaited_ticket;

static int waits_for_itself(struct rask_upcall *upcall, void *user)
{
    struct rask_completion out;
    (void)user;
    nested_result = rask_wait(upcall->session, awaited_ticket, 0, &out);
    assert_int_equal(upcall->ticket, awaited_ticket);
    assert_int_equal(rask_wait_any(upcall->session, &out, 1, 0), -EDEADLK);
    return 0;
}

static void test_waiting_for_oneself(void **unused)
{
    (void)unused;
    struct rask *s = start("1", "flow");
    struct rask_request request;
    struct rask_completion out;
    assert_int_equal(rask_on_upcall(s, "self", waits_for_itself, NULL), 0);
    assert_int_equal(rask_reserve(s, 5, &request), 0);
    memcpy(request.data, "self", 5);
    assert_int_equal(rask_submit(s, &request, method(s, "ask"), 5, NULL), 0);
    awaited_ticket = request.ticket;
    assert_int_equal(rask_wait(s, request.ticket, rask_now_ns() + 10 * KIT_S, &out), 0);
    assert_int_equal(nested_result, -EDEADLK);
    rask_release(s, &out);
    stop(s);
}

/** Both rings full in both directions, and every handler asks: nothing gets stuck. */
static void test_full_rings_with_upcalls(void **unused)
{
    (void)unused;
    enum { REQUESTS = 3000 };
    struct rask_options options = RASK_OPTIONS_INIT;
    options.ring_slots = 8;
    kit_start(&server, "--plugin", kit_plugin("flow"), "--workers", "2", NULL);
    struct rask *s = kit_connect(&server, &options);
    assert_int_equal(rask_on_upcall(s, "plus", plus_one, NULL), 0);
    assert_int_equal(rask_on_upcall(s, "echo", plus_one, NULL), 0);
    struct rask_stream *stream;
    struct rask_stream_options stream_options = RASK_STREAM_OPTIONS_INIT;
    stream_options.policy = RASK_STREAM_FAIL; /* who waits takes no completions of calls */
    assert_int_equal(rask_stream_open(s, method(s, "collect"), &stream_options, &stream), 0);
    ran = 0;
    unsigned sent = 0, done = 0, items = 0, answers = 0;
    while (done < REQUESTS || answers < items) {
        struct rask_request request;
        struct rask_completion out;
        while (sent < REQUESTS && rask_reserve(s, 1000, &request) == 0) {
            memset(request.data, 1, 1000);
            memcpy(request.data, "plus", 5);
            assert_int_equal(rask_submit(s, &request, method(s, "ask"), 1000, NULL), 0);
            sent++;
        }
        while (items < REQUESTS && rask_stream_send(stream, "u", 1, items, 0) == 0) items++;
        while (rask_poll(s, &out, 1) == 1) {
            assert_int_equal(out.status, RASK_OK);
            assert_int_equal(out.length, 995);
            rask_release(s, &out);
            done++;
        }
        while (rask_stream_take(stream, &out, 1) == 1) {
            assert_int_equal(out.status, RASK_OK);
            assert_int_equal(out.user_data, answers++);
            rask_release(s, &out);
        }
        assert_true(items <= REQUESTS);
        if (done == REQUESTS && items < REQUESTS) continue;
    }
    assert_int_equal(ran, REQUESTS + items);
    rask_stream_close(stream);
    stop(s);
}

/** Room that a handler reserved and did not use is not the next one's, of another session least of all. */
static void test_room_that_was_not_used(void **unused)
{
    (void)unused;
    struct rask_completion out;
    struct rask *s = start("1", "flow"), *other = kit_connect(&server, NULL);
    pid_t before, after;
    assert_int_equal(kit_workers(server.pid, &before, 1), 1);
    assert_int_equal(rask_on_upcall(other, "plus", plus_one, NULL), 0);
    for (unsigned i = 0; i < 300; i++) {
        static const uint8_t request[60000];
        assert_int_equal(rask_call(s, method(s, "hoard"), request, sizeof request, 10 * KIT_S, &out), 0);
        rask_release(s, &out);
        assert_int_equal(ask(other, "plus", 1, 50, &out), 0);
        rask_release(other, &out);
    }
    assert_int_equal(kit_workers(server.pid, &after, 1), 1);
    assert_int_equal(before, after);
    rask_close(other);
    stop(s);
}

static struct rask *leaving;

/** Another session goes, with its stream, while this one's handler waits. */
static int closes_another(struct rask_upcall *upcall, void *user)
{
    rask_close(leaving);
    kit_pause_ms(100); /* the worker hears of it meanwhile */
    return plus_one(upcall, user);
}

static unsigned number_of(struct rask *s, const char *name)
{
    struct rask_completion out;
    unsigned number = 0;
    assert_int_equal(rask_call(s, method(s, name), "", 0, 10 * KIT_S, &out), 0);
    memcpy(&number, out.data, sizeof number);
    rask_release(s, &out);
    return number;
}

/** A plugin's on_close() does not come in the middle of one of its handlers. */
static void test_session_goes_meanwhile(void **unused)
{
    (void)unused;
    struct rask_completion out;
    struct rask_stream *stream;
    struct rask *s = start("1", "flow");
    leaving = kit_connect(&server, NULL);
    assert_int_equal(rask_stream_open(leaving, method(leaving, "collect"), NULL, &stream), 0);
    assert_int_equal(rask_stream_send(stream, "a", 1, 0, 0), 0);
    assert_int_equal(rask_stream_wait(stream, &out, 1, rask_now_ns() + 10 * KIT_S), 1);
    assert_int_equal(rask_on_upcall(s, "close", closes_another, NULL), 0);
    assert_int_equal(ask(s, "close", 1, 3, &out), 0);
    rask_release(s, &out);
    assert_int_equal(number_of(s, "closed"), 1);
    assert_int_equal(number_of(s, "overlaps"), 0);
    stop(s);
}

/** Cancels the request that asks, the hundredth time. */
static int cancels(struct rask_upcall *upcall, void *user)
{
    (void)user;
    if (++ran == 100) assert_int_equal(rask_cancel(upcall->session, upcall->ticket), 0);
    return 0;
}

static int counts(struct rask_upcall *upcall, void *user)
{
    (void)upcall;
    (void)user;
    ran++;
    return 0;
}

/** A handler whose upcalls are all answered at once hears of cancellation and of its deadline: nobody has to kill it. */
static void test_handler_that_asks_for_ever(void **unused)
{
    (void)unused;
    struct rask_completion out;
    struct rask *s = start("1", "flow");
    pid_t before, after;
    assert_int_equal(kit_workers(server.pid, &before, 1), 1);
    assert_int_equal(rask_on_upcall(s, "again", cancels, NULL), 0);
    assert_true(rask_call(s, method(s, "pester"), "", 0, 0, &out) < 0);
    assert_int_equal(out.status, RASK_ABORTED);
    rask_release(s, &out);
    assert_int_equal(rask_on_upcall(s, "again", counts, NULL), 0);
    ran = 0;
    assert_true(rask_call(s, method(s, "pester"), "", 0, KIT_S / 10, &out) < 0);
    assert_true(out.status == RASK_TIMEOUT || (out.status == RASK_HANDLER_ERROR && out.code == ETIMEDOUT));
    assert_true(ran > 100);
    rask_release(s, &out);
    assert_int_equal(rask_call(s, method(s, "plain"), "x", 1, 10 * KIT_S, &out), 0);
    rask_release(s, &out);
    assert_int_equal(kit_workers(server.pid, &after, 1), 1);
    assert_int_equal(before, after);
    stop(s);
}

/** The worker dies while its caller's function runs. */
static int kills_worker(struct rask_upcall *upcall, void *user)
{
    pid_t workers[2];
    (void)user;
    assert_int_equal(kit_workers(server.pid, workers, 2), 1);
    kill(workers[0], SIGKILL);
    kit_pause_ms(30);
    rask_poll(upcall->session, NULL, 0); /* it learns of it in the middle */
    assert_non_null(rask_upcall_reserve(upcall, 5000));
    assert_int_equal(rask_upcall_reply(upcall, 5000), 0);
    return 0;
}

static void test_worker_dies_meanwhile(void **unused)
{
    (void)unused;
    struct rask *s = start("1", "flow");
    struct rask_completion out;
    assert_int_equal(rask_on_upcall(s, "kill", kills_worker, NULL), 0);
    assert_int_equal(rask_on_upcall(s, "plus", plus_one, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(ask(s, "kill", 1, 100, &out) < 0);
        assert_int_equal(out.status, RASK_CRASHED);
        rask_release(s, &out);
        assert_int_equal(ask(s, "plus", 1, 100, &out), 0);
        rask_release(s, &out);
    }
    stop(s);
}

/** The caller dies while a handler waits for it: others are served. */
static void test_caller_dies(void **unused)
{
    (void)unused;
    struct rask *s = start("1", "flow");
    pid_t child = kit_fork();
    if (child == 0) {
        struct rask *mine = NULL;
        struct rask_request request;
        if (rask_connect(&mine, server.socket, NULL) != 0) _exit(1);
        if (rask_on_upcall(mine, "plus", plus_one, NULL) != 0 || rask_reserve(mine, 6, &request) != 0) _exit(2);
        memcpy(request.data, "plus\0x", 6);
        if (rask_submit(mine, &request, method(mine, "ask"), 6, NULL) != 0) _exit(3);
        for (;;) pause();
    }
    kit_pause_ms(100);
    kill(child, SIGKILL);
    assert_int_equal(kit_wait(child, 5000), -SIGKILL);
    uint64_t start_ns = rask_now_ns();
    struct rask_completion out;
    assert_int_equal(rask_call(s, method(s, "plain"), "x", 1, 10 * KIT_S, &out), 0);
    rask_release(s, &out);
    assert_true(rask_now_ns() - start_ns < 5 * KIT_S);
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_sizes),
        KIT_TEST(test_errors_have_types),
        KIT_TEST(test_stuck_caller),
        KIT_TEST(test_nested_calls),
        KIT_TEST(test_waiting_for_oneself),
        KIT_TEST(test_full_rings_with_upcalls),
        KIT_TEST(test_session_goes_meanwhile),
        KIT_TEST(test_room_that_was_not_used),
        KIT_TEST(test_handler_that_asks_for_ever),
        KIT_TEST(test_worker_dies_meanwhile),
        KIT_TEST(test_caller_dies),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
