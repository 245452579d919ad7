/* SPDX-License-Identifier: MIT */
/* Fault 11: a handler writes random bytes over everything of rask that it can write. Its worker, or sessions of its worker, may
 * end; the supervisor and its next sessions may not, no request ends twice, and nothing ends that nobody asked for. */
#include "clock.h"
#include "oracle_load.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CALLS 24u

static struct kit_server server;

static uint64_t submit(struct rask *s, const char *method, uint64_t value)
{
    struct rask_request request;
    if (rask_reserve(s, sizeof(value), &request) != 0) return 0;
    memcpy(request.data, &value, sizeof(value));
    request.user_data = value;
    uint64_t ticket = request.ticket;
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, method), sizeof(value), NULL), 0);
    return ticket;
}

static void note(struct rask *s, struct rask_completion *completion, const uint64_t *tickets, uint32_t *ends)
{
    unsigned i = 0;
    while (i < CALLS && tickets[i] != completion->ticket) i++;
    assert_true(i < CALLS); /* a wild completion */
    assert_int_equal(++ends[i], 1);
    assert_true(completion->status < RASK_STATUS_COUNT);
    rask_release(s, completion);
}

/** Calls in flight while one of them scribbles; every one must end, whatever is written. */
static void scribble_once(uint64_t *seed)
{
    uint64_t tickets[CALLS] = {0};
    uint32_t ends[CALLS] = {0}, sent = 0, ended = 0;
    struct rask *s = kit_connect(&server, NULL);
    for (; sent < CALLS; sent++) {
        bool bad = sent == CALLS / 3;
        tickets[sent] = submit(s, bad ? "scribble" : "echo", kit_random(seed, UINT64_MAX) | 1);
        if (tickets[sent] == 0) break; /* the session has ended already */
    }
    uint64_t end_ns = rask_now_ns() + ORACLE_PATIENCE_NS;
    while (ended < sent) {
        struct rask_completion completion[8];
        int count = rask_wait_any(s, completion, 8, end_ns);
        if (count < 0) fail_msg("%u of %u calls have not ended: %s", sent - ended, sent, rask_last_error());
        for (int i = 0; i < count; i++) note(s, &completion[i], tickets, ends);
        ended += (uint32_t)count;
    }
    rask_close(s);
}

/** The worker may wait for a bell that says anything now: it is replaced. */
static void replace_worker(void)
{
    pid_t worker;
    kit_wait_children(server.pid, 1);
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    kill(worker, SIGKILL);
}

static void good_call(void)
{
    struct rask_completion completion;
    struct rask *s = kit_connect(&server, NULL);
    uint64_t ticket = submit(s, "echo", 42), answer;
    assert_int_equal(rask_wait(s, ticket, rask_now_ns() + ORACLE_PATIENCE_NS, &completion), 0);
    assert_string_equal(rask_status_name(completion.status), "OK");
    assert_int_equal(completion.length, sizeof(answer));
    memcpy(&answer, completion.data, sizeof(answer));
    assert_int_equal(answer, 42);
    rask_release(s, &completion);
    rask_close(s);
}

static void test_scribbling_handler_harms_only_its_own_sessions(void **state)
{
    (void)state;
    uint32_t rounds = oracle_scale("RASK_SCRIBBLES", 12, 3600);
    uint64_t seed = kit_seed();
    for (uint32_t i = 0; i < rounds; i++) {
        kit_start(&server, "--plugin", kit_plugin("scribbler"), NULL);
        for (unsigned k = 0; k < 3; k++) scribble_once(&seed);
        good_call();
        replace_worker();
        good_call();
        kit_stop(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_scribbling_handler_harms_only_its_own_sessions),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
