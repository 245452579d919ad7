/* SPDX-License-Identifier: MIT */
/* Streams between processes: order, answers, backlog and its policies, every way to end, and that nothing is lost or twice. */
#include "kit.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

static struct kit_server server;

static struct rask *start(const char *workers)
{
    kit_start(&server, "--plugin", kit_plugin("flow"), "--workers", workers, "--restart-limit", "0", "--caller-timeout",
              "1s", NULL);
    return kit_connect(&server, NULL);
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
}

static struct rask_stream *open_stream(struct rask *s, const char *method, uint32_t policy, uint32_t queue_max)
{
    struct rask_stream *stream;
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    options.policy = policy;
    options.queue_max = queue_max;
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, method), &options, &stream), 0);
    return stream;
}

static void send_text(struct rask_stream *stream, const char *text, uint64_t user_data)
{
    assert_int_equal(rask_stream_send(stream, text, strlen(text), user_data, rask_now_ns() + 10 * KIT_S), 0);
}

static struct rask_stream_state state_of(const struct rask_stream *stream)
{
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(stream, &state), 0);
    return state;
}

/** The next answer, which must come. */
static struct rask_completion next(struct rask_stream *stream)
{
    struct rask_completion answer;
    assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 1);
    return answer;
}

static void expect(struct rask *s, struct rask_stream *stream, const char *text, uint64_t user_data)
{
    struct rask_completion answer = next(stream);
    assert_int_equal(answer.status, RASK_OK);
    assert_int_equal(answer.length, strlen(text));
    assert_memory_equal(answer.data, text, strlen(text));
    assert_int_equal(answer.user_data, user_data);
    rask_release(s, &answer);
}

/** It ends, with `status`, and nothing else comes. */
static struct rask_stream_state expect_end(struct rask_stream *stream, uint32_t status)
{
    struct rask_completion answer;
    assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 0);
    struct rask_stream_state state = state_of(stream);
    assert_int_equal(state.ended, 1);
    assert_string_equal(rask_status_name(state.status), rask_status_name(status));
    assert_int_equal(state.backlog, 0);
    assert_int_equal(state.backlog_bytes, 0);
    return state;
}

static void test_items_answers_end(void **unused)
{
    (void)unused;
    struct rask *s = start("2");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    send_text(stream, "quiet", 1);
    send_text(stream, "a1", 2);
    send_text(stream, "e2", 3);
    send_text(stream, "f", 4);
    send_text(stream, "a much longer answer that does not fit into its slot", 5);
    assert_int_equal(rask_stream_end(stream), 0);
    assert_int_equal(rask_stream_end(stream), 0);
    assert_int_equal(rask_stream_send(stream, "a", 1, 0, 0), -EPIPE);
    expect(s, stream, "a1", 2);
    for (int i = 0; i < 3; i++) expect(s, stream, "e2", 3);
    struct rask_completion failed = next(stream);
    assert_int_equal(failed.status, RASK_HANDLER_ERROR);
    assert_int_equal(failed.code, 7);
    rask_release(s, &failed);
    expect(s, stream, "a much longer answer that does not fit into its slot", 5);
    struct rask_completion count = next(stream);
    assert_int_equal(*(const uint32_t *)count.data, 5);
    rask_release(s, &count);
    struct rask_stream_state end = expect_end(stream, RASK_OK);
    assert_int_equal(end.sent, 5);
    assert_int_equal(end.processed, 5);
    assert_int_equal(end.answers, 7);
    rask_stream_close(stream);
    stop(s);
}

/** A method without stream handlers is called once for each item. */
static void test_method_as_stream(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "plain", RASK_STREAM_BLOCK, 0);
    uint64_t seed = kit_seed();
    enum { ITEMS = 20000 };
    uint64_t sent = 0, taken = 0;
    static uint8_t bytes[5000];
    while (taken < ITEMS) {
        struct rask_completion answer[16];
        while (sent < ITEMS) {
            size_t length = sent % 50 == 0 ? 1000 + kit_random(&seed, 4000) : 8 + kit_random(&seed, 40);
            memset(bytes, (int)(sent & 0xff), length);
            memcpy(bytes, &sent, sizeof sent);
            int result = rask_stream_send(stream, bytes, length, sent, rask_now_ns() + 10 * KIT_S);
            if (result == -EAGAIN) break; /* answers wait */
            assert_int_equal(result, 0);
            sent++;
        }
        if (sent == ITEMS) assert_int_equal(rask_stream_end(stream), 0);
        int count = rask_stream_wait(stream, answer, 16, rask_now_ns() + 10 * KIT_S);
        assert_true(count > 0);
        for (int i = 0; i < count; i++) {
            uint64_t number;
            memcpy(&number, answer[i].data, sizeof number);
            assert_int_equal(answer[i].status, RASK_OK);
            assert_int_equal(number, taken);
            assert_int_equal(answer[i].user_data, taken++);
            for (uint32_t k = 8; k < answer[i].length; k++)
                assert_int_equal(((const uint8_t *)answer[i].data)[k], number & 0xff);
            rask_release(s, &answer[i]);
        }
    }
    expect_end(stream, RASK_OK);
    rask_stream_close(stream);
    stop(s);
}

/** One request, many answers, one end; the ring of emissions and the caller's list are full meanwhile. */
static void test_many_answers_to_one_item(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 10);
    send_text(stream, "E", 9);
    assert_int_equal(rask_stream_end(stream), 0);
    for (unsigned i = 0; i < 200; i++) {
        struct rask_completion answer = next(stream);
        assert_int_equal(answer.status, RASK_OK);
        assert_int_equal(answer.user_data, 9);
        assert_int_equal(*(const uint32_t *)answer.data, i);
        rask_release(s, &answer);
    }
    struct rask_completion count = next(stream);
    rask_release(s, &count);
    expect_end(stream, RASK_OK);
    rask_stream_close(stream);
    stop(s);
}

/** A handler whose caller takes nothing gives up in time, and the session goes on. */
static void test_caller_that_takes_nothing(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 10);
    send_text(stream, "E", 9);
    struct rask_completion out;
    assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "plain"), "x", 1, 5 * KIT_S, &out), 0);
    rask_release(s, &out);
    struct rask_stream_state state = state_of(stream);
    assert_true(state.answers >= 64 && state.answers < 200);
    assert_int_equal(state.processed, 1);
    rask_stream_close(stream);
    stop(s);
}

static void test_backlog_is_one_number(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_FAIL, 5);
    send_text(stream, "s", 0);
    send_text(stream, "b", 1);
    for (int i = 0; i < 3; i++) send_text(stream, "q", 2);
    assert_int_equal(state_of(stream).backlog, 5);
    assert_int_equal(rask_stream_send(stream, "q", 1, 0, 0), -EAGAIN);
    struct rask_info info = {.size = sizeof info};
    assert_int_equal(rask_info(s, &info), 0);
    assert_int_equal(info.streams, 1);
    assert_int_equal(info.stream_backlog, 5);
    struct rask_completion answer = next(stream);
    assert_int_equal(*(const uint64_t *)answer.data, 4); /* this one and those behind it */
    rask_release(s, &answer);
    assert_int_equal(rask_stream_end(stream), 0);
    answer = next(stream);
    rask_release(s, &answer);
    struct rask_stream_state end = expect_end(stream, RASK_OK);
    assert_int_equal(end.dropped, 0);
    assert_int_equal(end.processed, 5);
    rask_stream_close(stream);
    stop(s);
}

/** Ten items at once into a backlog of four behind a slow one. Returns how many answers came, in `order`. */
static unsigned drop_some(struct rask *s, uint32_t policy, uint64_t order[10], struct rask_stream_state *end)
{
    struct rask_stream *stream = open_stream(s, "collect", policy, 4);
    send_text(stream, "s", 0);
    kit_pause_ms(5); /* it is in its handler, as a rule: the counts below hold either way */
    for (uint64_t i = 1; i < 10; i++) assert_true(rask_stream_send(stream, "a", 1, i, 0) >= 0);
    assert_true(state_of(stream).backlog <= 4);
    assert_int_equal(rask_stream_end(stream), 0);
    struct rask_completion answer;
    unsigned count = 0;
    while (rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S) == 1) {
        if (answer.length == 1) order[count++] = answer.user_data;
        rask_release(s, &answer);
    }
    *end = state_of(stream);
    rask_stream_close(stream);
    return count;
}

static void test_policies_that_drop(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream_state end;
    uint64_t order[10];
    assert_int_equal(drop_some(s, RASK_STREAM_DROP_NEWEST, order, &end), 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(order[i], i + 1);
    assert_int_equal(end.dropped, 6);
    assert_int_equal(end.sent, 4);
    assert_int_equal(end.processed, 4);
    assert_int_equal(drop_some(s, RASK_STREAM_DROP_OLDEST, order, &end), 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(order[i], i + 7);
    assert_int_equal(end.dropped, 6);
    assert_int_equal(end.sent, 10);
    assert_int_equal(end.processed, 4);
    stop(s);
}

static void test_block_waits_and_memory_is_bounded(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream;
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    options.queue_bytes_max = 4096; /* four blocks of 1 KiB */
    static char item[1000] = "s";
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "collect"), &options, &stream), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(rask_stream_send(stream, item, sizeof item, 0, 0), 0);
    assert_int_equal(state_of(stream).backlog_bytes, 4096);
    assert_int_equal(rask_stream_send(stream, item, sizeof item, 0, rask_now_ns() + KIT_MS), -ETIMEDOUT);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rask_stream_send(stream, item, sizeof item, 0, rask_now_ns() + 10 * KIT_S), 0);
        assert_true(state_of(stream).backlog_bytes <= 4096);
    }
    struct rask_request reserved;
    assert_int_equal(rask_stream_reserve(stream, 5000, 0, &reserved), -EMSGSIZE);
    assert_int_equal(rask_stream_end(stream), 0);
    struct rask_completion answer = next(stream);
    rask_release(s, &answer);
    assert_int_equal(expect_end(stream, RASK_OK).processed, 8);
    rask_stream_close(stream);
    stop(s);
}

static void test_cancel_reaches_the_handler(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    send_text(stream, "a", 1);
    expect(s, stream, "a", 1);
    send_text(stream, "h", 2);
    for (int i = 0; i < 20; i++) send_text(stream, "a", 3);
    kit_pause_ms(20);
    assert_int_equal(rask_stream_cancel(stream), 0);
    assert_int_equal(rask_stream_cancel(stream), 0);
    struct rask_completion answer;
    int count = rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S);
    if (count == 1) { /* of the one that was told to stop */
        assert_int_equal(answer.status, RASK_ABORTED);
        rask_release(s, &answer);
    }
    struct rask_stream_state end = expect_end(stream, RASK_CANCELLED);
    assert_true(end.processed <= 2);
    rask_stream_close(stream);
    struct rask_completion out;
    assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "closed"), NULL, 0, 5 * KIT_S, &out), 0);
    assert_int_equal(*(const uint32_t *)out.data, 1);
    rask_release(s, &out);
    stop(s);
}

/** Refused streams, streams that nothing was sent to, reservations that are not sent. */
static void test_streams_that_come_to_nothing(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    struct rask_request item;
    struct rask_completion answer;
    assert_int_equal(rask_stream_wait(stream, &answer, 1, 0), -ENODATA);
    assert_int_equal(rask_stream_reserve(stream, 100, 0, &item), 0);
    assert_int_equal(rask_submit(s, &item, 0, 1, NULL), -EINVAL);
    assert_int_equal(rask_abandon(s, &item), 0);
    assert_int_equal(rask_stream_reserve(stream, 100, 0, &item), 0);
    rask_stream_close(stream);
    stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_end(stream), 0);
    answer = next(stream);
    assert_int_equal(*(const uint32_t *)answer.data, 0);
    rask_release(s, &answer);
    expect_end(stream, RASK_OK);
    rask_stream_close(stream);
    for (unsigned i = 0; i < 200; i++) {
        stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
        send_text(stream, "a", i);
        rask_stream_close(stream); /* cut while it runs: its number comes again */
        assert_true(rask_poll(s, &answer, 1) == 0);
        struct rask_completion out;
        if (i % 16 == 0) {
            assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "plain"), "x", 1, 5 * KIT_S, &out), 0);
            rask_release(s, &out);
        }
    }
    assert_int_equal(rask_stream_open(s, 99, NULL, &stream), -EINVAL);
    stop(s);
}

static void test_refused_stream(void **unused)
{
    (void)unused;
    kit_start(&server, "--plugin", kit_plugin("flow"), "--set", "refuse=1", NULL);
    struct rask *s = kit_connect(&server, NULL);
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    for (int i = 0; i < 5; i++)
        if (rask_stream_send(stream, "a", 1, 0, 0) == -EPIPE) break;
    struct rask_stream_state end = expect_end(stream, RASK_HANDLER_ERROR);
    assert_int_equal(end.code, 42);
    assert_int_equal(end.processed, 0);
    rask_stream_close(stream);
    stop(s);
}

static void test_death_tells_what_was_processed(void **unused)
{
    (void)unused;
    struct rask *s = start("2");
    for (unsigned round = 0; round < 5; round++) {
        struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
        for (unsigned i = 0; i < 10; i++) send_text(stream, "a", i);
        send_text(stream, "x", 10);
        for (unsigned i = 0; i < 10; i++)
            if (rask_stream_send(stream, "a", 1, 11 + i, 0) == -EPIPE) break;
        for (unsigned i = 0; i < 10; i++) expect(s, stream, "a", i);
        struct rask_stream_state end = expect_end(stream, RASK_CRASHED);
        assert_int_equal(end.processed, 10);
        assert_true(end.code == SIGABRT || end.code == 0);
        assert_int_equal(rask_stream_send(stream, "a", 1, 0, 0), -EPIPE);
        rask_stream_close(stream);
    }
    stop(s);
}

/** The worker of a stream with nothing in flight dies: its owner learns of it. */
static void test_death_of_an_idle_stream(void **unused)
{
    (void)unused;
    pid_t workers[2];
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    send_text(stream, "a", 1);
    expect(s, stream, "a", 1);
    assert_int_equal(kit_workers(server.pid, workers, 2), 1);
    kill(workers[0], SIGKILL);
    int result = 0;
    for (uint64_t end_ns = rask_now_ns() + 10 * KIT_S; result != -EPIPE && rask_now_ns() < end_ns;) {
        result = rask_stream_send(stream, "q", 1, 2, 0);
        rask_poll(s, NULL, 0);
    }
    assert_int_equal(result, -EPIPE);
    assert_int_equal(expect_end(stream, RASK_CRASHED).processed >= 1, 1);
    rask_stream_close(stream);
    stop(s);
}

/** A reload lets a stream finish on the worker that it has. */
static void test_reload_lets_streams_finish(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    send_text(stream, "a", 1);
    expect(s, stream, "a", 1);
    pid_t workers[3];
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    while (kit_workers(server.pid, workers, 3) < 2) kit_pause_ms(1);
    while (strstr(kit_log(&server), "reloaded") == NULL) kit_pause_ms(1); /* the new one serves, the old one leaves */
    for (unsigned i = 0; i < 100; i++) send_text(stream, "a", i);
    for (unsigned i = 0; i < 100; i++) expect(s, stream, "a", i);
    assert_int_equal(rask_stream_end(stream), 0);
    struct rask_completion count = next(stream);
    assert_int_equal(*(const uint32_t *)count.data, 101);
    rask_release(s, &count);
    expect_end(stream, RASK_OK);
    rask_stream_close(stream);
    stop(s);
}

static void test_shutdown_ends_streams(void **unused)
{
    (void)unused;
    struct rask *s = start("1");
    struct rask_stream *stream = open_stream(s, "collect", RASK_STREAM_BLOCK, 0);
    for (unsigned i = 0; i < 20; i++) send_text(stream, "s", i);
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    struct rask_completion answer;
    int result;
    while ((result = rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S)) == 1) rask_release(s, &answer);
    assert_int_equal(result, 0);
    struct rask_stream_state end = state_of(stream);
    assert_int_equal(end.status, RASK_SHUTDOWN);
    assert_true(end.processed < 20);
    rask_stream_close(stream);
    rask_close(s);
    assert_int_equal(kit_ended(&server, 5000), 0);
}

/** Streams to several workers and calls, all at once, in one session. */
static void test_streams_beside_calls(void **unused)
{
    (void)unused;
    struct rask *s = start("3");
    struct rask_stream *stream[8];
    uint64_t next_number[8] = {0};
    for (unsigned i = 0; i < 8; i++) stream[i] = open_stream(s, "plain", RASK_STREAM_BLOCK, 64);
    for (uint64_t k = 0; k < 500; k++) {
        for (unsigned i = 0; i < 8; i++) {
            while (rask_stream_send(stream[i], &k, sizeof k, k, rask_now_ns() + 10 * KIT_S) == -EAGAIN) {
                struct rask_completion answer = next(stream[i]);
                assert_int_equal(answer.user_data, next_number[i]++);
                rask_release(s, &answer);
            }
        }
        struct rask_completion out;
        assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "plain"), &k, sizeof k, 5 * KIT_S, &out), 0);
        rask_release(s, &out);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(rask_stream_end(stream[i]), 0);
        struct rask_completion answer;
        while (rask_stream_wait(stream[i], &answer, 1, rask_now_ns() + 10 * KIT_S) == 1) {
            assert_int_equal(answer.user_data, next_number[i]++);
            rask_release(s, &answer);
        }
        assert_int_equal(next_number[i], 500);
        expect_end(stream[i], RASK_OK);
        rask_stream_close(stream[i]);
    }
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_items_answers_end),
        KIT_TEST(test_method_as_stream),
        KIT_TEST(test_many_answers_to_one_item),
        KIT_TEST(test_caller_that_takes_nothing),
        KIT_TEST(test_backlog_is_one_number),
        KIT_TEST(test_policies_that_drop),
        KIT_TEST(test_block_waits_and_memory_is_bounded),
        KIT_TEST(test_cancel_reaches_the_handler),
        KIT_TEST(test_streams_that_come_to_nothing),
        KIT_TEST(test_refused_stream),
        KIT_TEST(test_death_tells_what_was_processed),
        KIT_TEST(test_death_of_an_idle_stream),
        KIT_TEST(test_reload_lets_streams_finish),
        KIT_TEST(test_shutdown_ends_streams),
        KIT_TEST(test_streams_beside_calls),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
