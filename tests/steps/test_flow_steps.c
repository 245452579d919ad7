/* SPDX-License-Identifier: MIT */
/* Killed at every step of a stream, an upcall and a lease: one side dies right behind each store (lib/step.h). The other side
 * learns of one end, nothing is believed that was not published, what was held comes back, and the next call is OK. */
#include "../process/kit.h"
#include "page.h"
#include "step.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE_NS (10 * KIT_S)
#define BYTES 3000u

static struct kit_server server;
static struct step_page *page;
static unsigned leases_ended[3]; /* by enum rask_lease_end */

static void arm(enum rk_step step, pid_t victim)
{
    __atomic_store_n(&page->reached, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&page->victim, (uint32_t)victim, __ATOMIC_SEQ_CST);
    __atomic_store_n(&page->armed, (uint32_t)step + 1, __ATOMIC_SEQ_CST);
}

static void disarm(void)
{
    assert_int_equal(__atomic_load_n(&page->reached, __ATOMIC_SEQ_CST), 1);
    __atomic_store_n(&page->armed, 0, __ATOMIC_SEQ_CST);
}

static int echo(struct rask_upcall *upcall, void *user)
{
    (void)user;
    void *room = rask_upcall_reserve(upcall, upcall->request_bytes);
    if (room == NULL) return ENOMEM;
    memcpy(room, upcall->request, upcall->request_bytes);
    return rask_upcall_reply(upcall, upcall->request_bytes);
}

static void on_lease_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)s;
    (void)user;
    leases_ended[event->end]++;
}

static struct rask *start(void)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_PARK;
    kit_start(&server, "--plugin", kit_plugin("flow_shared"), "--wait", "park", "--restart-limit", "0",
              "--caller-timeout", "2s", NULL);
    kit_wait_children(server.pid, 1);
    struct rask *s = kit_connect(&server, &options);
    assert_int_equal(rask_on_upcall(s, "echo", echo, NULL), 0);
    assert_int_equal(rask_on_lease_end(s, on_lease_end, NULL), 0);
    memset(leases_ended, 0, sizeof leases_ended);
    return s;
}

static void stop(struct rask *s)
{
    struct rask_info info = {.size = sizeof info};
    assert_int_equal(rask_info(s, &info), 0);
    assert_int_equal(info.rescues, 0);
    assert_int_equal(info.streams, 0);
    assert_int_equal(info.leases, 0);
    rask_close(s);
    kit_stop(&server);
}

static pid_t the_worker(void)
{
    pid_t worker;
    assert_int_equal(kit_workers(server.pid, &worker, 1), 1);
    return worker;
}

static uint32_t call(struct rask *s, const char *method, const void *data, size_t length)
{
    struct rask_completion out;
    rask_call(s, (uint32_t)rask_method(s, method), data, length, PATIENCE_NS, &out);
    uint32_t status = out.status;
    rask_release(s, &out);
    return status;
}

/** Five items, each emits twice and answers; the worker dies in the first emission of the third. */
static void die_emitting(enum rk_step step)
{
    struct rask *s = start();
    struct rask_stream *stream;
    struct rask_completion answer;
    static char item[BYTES] = "e";
    unsigned answers = 0;
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "collect"), NULL, &stream), 0);
    for (unsigned i = 0; i < 2; i++) assert_int_equal(rask_stream_send(stream, item, i == 0 ? BYTES : 3, i, 0), 0);
    for (; answers < 6; answers++) {
        assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + PATIENCE_NS), 1);
        rask_release(s, &answer);
    }
    arm(step, the_worker());
    for (unsigned i = 2; i < 5; i++) assert_int_equal(rask_stream_send(stream, item, i == 3 ? BYTES : 3, i, 0), 0);
    int count;
    while ((count = rask_stream_wait(stream, &answer, 1, rask_now_ns() + PATIENCE_NS)) == 1) {
        assert_int_equal(answer.user_data, 2);
        rask_release(s, &answer);
        answers++;
    }
    assert_int_equal(count, 0);
    disarm();
    assert_int_equal(answers, step == RK_STEP_EMISSION_FIELDS ? 6 : 7); /* what was published is delivered */
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(stream, &state), 0);
    assert_int_equal(state.status, RASK_CRASHED);
    assert_int_equal(state.processed, 2);
    assert_int_equal(state.backlog, 0);
    rask_stream_close(stream);
    assert_int_equal(call(s, "plain", "x", 1), RASK_OK);
    stop(s);
}

/** The worker dies while it asks. */
static void die_asking(enum rk_step step)
{
    struct rask *s = start();
    static char request[BYTES] = "echo";
    for (unsigned large = 0; large < 2; large++) {
        size_t bytes = large ? BYTES : 10;
        request[7] = (char)large; /* another request: the same one would be poison after a second death */
        assert_int_equal(call(s, "ask", request, bytes), RASK_OK);
        arm(step, the_worker());
        assert_int_equal(call(s, "ask", request, bytes), RASK_CRASHED);
        disarm();
        assert_int_equal(call(s, "ask", request, bytes), RASK_OK);
    }
    stop(s);
}

/** Three leases; the worker dies in the release of the first. */
static void die_releasing(enum rk_step step)
{
    struct rask *s = start();
    static char request[BYTES] = "k";
    for (unsigned i = 0; i < 3; i++) assert_int_equal(call(s, "keep", request, BYTES), RASK_OK);
    arm(step, the_worker());
    assert_int_equal(call(s, "keep", "o", 1), RASK_CRASHED);
    disarm();
    rask_poll(s, NULL, 0);
    assert_int_equal(leases_ended[RASK_LEASE_RELEASED] + leases_ended[RASK_LEASE_DIED], 3); /* each exactly once */
    assert_true(leases_ended[RASK_LEASE_DIED] >= 2);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(call(s, "keep", request, BYTES), RASK_OK);
    assert_int_equal(call(s, "keep", "r\xff\xff\xff\xff\xff\xff\xff\xff", 9), RASK_OK);
    rask_poll(s, NULL, 0);
    stop(s);
}

static int be_client(enum rk_step step)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_completion out;
    struct rask *s;
    static char request[BYTES] = "echo";
    options.wait_mode = RASK_WAIT_PARK;
    if (rask_connect(&s, server.socket, &options) != 0 || rask_on_upcall(s, "echo", echo, NULL) != 0) return 1;
    arm(step, getpid());
    rask_call(s, (uint32_t)rask_method(s, "ask"), request, BYTES, PATIENCE_NS, &out);
    return 2;
}

/** The caller dies while it answers: its handler hears of it, and others are served. */
static void die_answering(enum rk_step step)
{
    struct rask *s = start();
    pid_t client = kit_fork();
    if (client == 0) _exit(be_client(step));
    assert_int_equal(kit_wait(client, 8000), -SIGKILL);
    disarm();
    uint64_t start_ns = rask_now_ns();
    for (unsigned i = 0; i < 3; i++) assert_int_equal(call(s, "plain", "x", 1), RASK_OK);
    assert_true(rask_now_ns() - start_ns < KIT_S); /* the handler did not wait out its time */
    stop(s);
}

static void test_flow_killed_at_every_step(void **state)
{
    (void)state;
    die_emitting(RK_STEP_EMISSION_FIELDS);
    die_emitting(RK_STEP_EMISSION_SEQUENCE);
    die_asking(RK_STEP_UPCALL_FIELDS);
    die_asking(RK_STEP_UPCALL_SEQUENCE);
    die_answering(RK_STEP_ANSWER_FIELDS);
    die_answering(RK_STEP_ANSWER_SEQUENCE);
    die_releasing(RK_STEP_LEASE_ENDED);
}

/** A stream's items are requests: every step of one, with the worker dying there. */
static void test_item_killed_at_every_step(void **state)
{
    static const enum rk_step steps[] = {
        RK_STEP_TAKEN,           RK_STEP_TAKEN_BARRIER,   RK_STEP_REQUEST_READ,      RK_STEP_STATUS_PAGE,
        RK_STEP_EPOCH_ODD,       RK_STEP_HANDLED,         RK_STEP_RESPONSE_LENGTH,   RK_STEP_RESPONSE_PAYLOAD,
        RK_STEP_RESPONSE_STATUS, RK_STEP_RESPONSE_FIELDS, RK_STEP_RESPONSE_SEQUENCE, RK_STEP_RESPONSE_RUNG,
        RK_STEP_RESPONSE_NOTED,  RK_STEP_EPOCH_EVEN,
    };
    (void)state;
    struct rask *s = start();
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct rask_stream *stream;
        struct rask_completion answer;
        struct rask_stream_state end = {.size = sizeof end};
        unsigned answers = 0;
        int count;
        assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "collect"), NULL, &stream), 0);
        assert_int_equal(rask_stream_send(stream, "a", 1, 0, 0), 0);
        assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + PATIENCE_NS), 1);
        rask_release(s, &answer);
        kit_pause_ms(20); /* the worker sleeps: it has made all steps of the first item */
        arm(steps[i], the_worker());
        for (unsigned k = 0; k < 3; k++) assert_int_equal(rask_stream_send(stream, "a", 1, k + 1, 0), 0);
        while ((count = rask_stream_wait(stream, &answer, 1, rask_now_ns() + PATIENCE_NS)) == 1) {
            assert_int_equal(answer.user_data, ++answers);
            rask_release(s, &answer);
        }
        assert_int_equal(count, 0);
        disarm();
        assert_int_equal(rask_stream_state(stream, &end), 0);
        assert_int_equal(end.status, RASK_CRASHED);
        assert_int_equal(end.processed, 1 + answers); /* exactly those whose answers came */
        assert_int_equal(answers, steps[i] >= RK_STEP_RESPONSE_SEQUENCE ? 1 : 0);
        rask_stream_close(stream);
        assert_int_equal(call(s, "plain", "x", 1), RASK_OK);
    }
    stop(s);
}

static void open_page(void)
{
    static char name[64];
    int fd = memfd_create("steps", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*page)), 0);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(page != MAP_FAILED);
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)getpid(), fd);
    setenv("RASK_STEP_PAGE", name, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_flow_killed_at_every_step),
        KIT_TEST(test_item_killed_at_every_step),
    };
    kit_init();
    open_page();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
