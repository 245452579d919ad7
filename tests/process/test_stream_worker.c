/* SPDX-License-Identifier: MIT */
/* Streams that name their worker: they go there and nowhere else, from as many sessions as there are, also to its successor. */
#include "kit.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kit_server server;

static struct rask_stream *open_to(struct rask *s, uint32_t worker)
{
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    struct rask_stream *stream;
    options.worker = worker;
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "plain"), &options, &stream), 0);
    return stream;
}

static void send_some(struct rask *s, struct rask_stream *stream, unsigned count)
{
    struct rask_completion answer;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(rask_stream_send(stream, "x", 1, i, 0), 0);
        assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 20 * KIT_S), 1);
        assert_int_equal(answer.status, RASK_OK);
        rask_release(s, &answer);
    }
}

/* Items that a worker has processed. */
static uint64_t items_of(unsigned index)
{
    char wanted[32];
    const char *text = kit_rask("stats", "--socket", server.socket, "--json", NULL)->out;
    snprintf(wanted, sizeof wanted, "\"index\":%u,", index);
    const char *at = strstr(text, wanted);
    at = at != NULL ? strstr(at, "\"items\":") : NULL;
    assert_non_null(at);
    return strtoull(at + strlen("\"items\":"), NULL, 10);
}

static void test_they_go_to_the_worker_they_name(void **state)
{
    struct rask *s[3];
    struct rask_stream *stream[9];
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("flow"), "--workers", "3", NULL);
    for (unsigned i = 0; i < 3; i++) s[i] = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 9; i++) {
        stream[i] = open_to(s[i / 3], 1 + i % 3);
        send_some(s[i / 3], stream[i], 10 * (1 + i % 3));
    }
    for (unsigned worker = 0; worker < 3; worker++) assert_int_equal(items_of(worker), 30 * (worker + 1));
    for (unsigned i = 0; i < 9; i++) rask_stream_close(stream[i]);
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    options.worker = 4;
    assert_int_equal(rask_stream_open(s[0], (uint32_t)rask_method(s[0], "plain"), &options, &stream[0]), -EINVAL);
    assert_non_null(strstr(rask_last_error(), "worker is 4"));
    for (unsigned i = 0; i < 3; i++) rask_close(s[i]);
    kit_stop(&server);
}

static void test_they_wait_for_its_successor(void **state)
{
    pid_t workers[2];
    (void)state;
    kit_start(&server, "--plugin", kit_plugin("flow"), "--workers", "2", "--restart-limit", "0", NULL);
    struct rask *s = kit_connect(&server, NULL);
    for (unsigned round = 0; round < 3; round++) {
        kit_wait_children(server.pid, 2);
        assert_int_equal(kit_workers(server.pid, workers, 2), 2);
        for (unsigned i = 0; i < 2; i++) kill(workers[i], SIGKILL);
        for (unsigned worker = 1; worker <= 2; worker++) {
            struct rask_stream *stream = open_to(s, worker);
            send_some(s, stream, 5);
            rask_stream_close(stream);
        }
        for (unsigned i = 0; i < 2; i++) assert_int_equal(items_of(i), 5); /* its own, not those of the dead */
    }
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_they_go_to_the_worker_they_name),
        KIT_TEST(test_they_wait_for_its_successor),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
