/* SPDX-License-Identifier: MIT */
/* A client by hand: what the supervisor says about a worker's death, in which order, what it takes from a client whose
 * messages were lost, and what a worker still does that is to leave. */
#include "bell.h"
#include "clock.h"
#include "control.h"
#include "kit.h"
#include "segment.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct kit_server server;

struct raw {
    int socket;
    uint32_t session;
    struct rk_params params;
    struct rk_segment request;
    struct rk_segment bell;
    int pidfd;       /* of the last LANE */
    int response_fd; /* its responses; -1: none */
};

static union rk_any_message in;

/** The next message; its descriptors are closed but for those of a LANE. Acknowledges. */
static uint32_t next(struct raw *raw)
{
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count = 0;
    assert_int_equal(rk_control_wait(raw->socket, rk_deadline_after(5 * KIT_S)), 0);
    assert_int_equal(rk_control_receive(raw->socket, &in, fds, &fd_count), 0);
    for (unsigned i = 0; i < fd_count; i++) {
        if (in.head.type == RK_LANE && i == 1) {
            raw->pidfd = fds[i];
        } else if (in.head.type == RK_LANE) {
            if (raw->response_fd >= 0) close(raw->response_fd);
            raw->response_fd = fds[i];
        } else {
            close(fds[i]);
        }
    }
    struct rk_message ack;
    rk_message_init(&ack, RK_ACK, sizeof(ack));
    if (fd_count > 0 && in.head.type != RK_WELCOME) assert_int_equal(rk_control_send(raw->socket, &ack, NULL, 0), 0);
    if (in.head.type == RK_ENDED) print_message("ended: %s\n", in.text.text);
    return in.head.type;
}

static void expect(struct raw *raw, uint32_t type)
{
    uint32_t got = next(raw);
    if (got != type) fail_msg("%s instead of %s", rk_message_type_name(got), rk_message_type_name(type));
}

static void send_lane(struct raw *raw, enum rk_message_type type, uint32_t lane)
{
    struct rk_message_lane message = {.session = raw->session, .lane = lane};
    rk_message_init(&message.head, type, sizeof(message));
    assert_int_equal(rk_control_send(raw->socket, &message, NULL, 0), 0);
}

static void attach(struct raw *raw)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rk_message_hello hello = {
        .layout = RK_LAYOUT,
        .fingerprint = rk_layout_fingerprint(),
        .params = {.ring_slots = 64, .payload_bytes_max = 4096, .slab_bytes = 65536, .slab_bytes_max = 1u << 20},
    };
    struct rk_message message;
    *raw = (struct raw){.params = hello.params, .pidfd = -1, .response_fd = -1};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server.socket);
    raw->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(raw->socket, (struct sockaddr *)&address, sizeof(address)), 0);
    rk_message_init(&hello.head, RK_HELLO, sizeof(hello));
    assert_int_equal(rk_control_send(raw->socket, &hello, NULL, 0), 0);
    expect(raw, RK_WELCOME);
    raw->session = in.welcome.session;
    raw->params.lanes = in.welcome.lanes;
    expect(raw, RK_METHODS);
    assert_int_equal(rk_segment_create(&raw->request, RK_SEGMENT_REQUEST, rk_request_segment_bytes(&raw->params)), 0);
    assert_int_equal(rk_segment_create(&raw->bell, RK_SEGMENT_BELL, rk_bell_segment_bytes(&raw->params)), 0);
    rk_message_init(&message, RK_ATTACH, sizeof(message));
    const int fds[] = {raw->request.fd, raw->bell.fd};
    assert_int_equal(rk_control_send(raw->socket, &message, fds, 2), 0);
    expect(raw, RK_ATTACHED);
    expect(raw, RK_WORKERS);
}

static void detach(struct raw *raw)
{
    close(raw->socket);
    if (raw->response_fd >= 0) close(raw->response_fd);
    rk_segment_finish(&raw->request);
    rk_segment_finish(&raw->bell);
}

static void open_lane(struct raw *raw, uint32_t lane)
{
    send_lane(raw, RK_OPEN_LANE, lane);
    expect(raw, RK_LANE);
    assert_int_equal(in.lane.lane, lane);
}

/** Kill the worker of the last LANE; returns when the death can be seen. */
static void kill_worker(struct raw *raw)
{
    struct pollfd dead = {.fd = raw->pidfd, .events = POLLIN};
    assert_int_equal(kill((pid_t)in.lane.pid, SIGKILL), 0);
    assert_int_equal(poll(&dead, 1, 5000), 1);
    close(raw->pidfd);
}

static void test_workers_comes_before_the_lanes_that_are_gone(void **state)
{
    (void)state;
    struct raw raw;
    kit_start(&server, "--plugin", "echo", NULL);
    attach(&raw);
    for (unsigned round = 0; round < 3; round++) {
        open_lane(&raw, 0);
        kill_worker(&raw);
        expect(&raw, RK_WORKERS);
        assert_int_equal(in.workers.serving[0], 0);
        expect(&raw, RK_LANE_GONE);
        assert_int_equal(in.lane_gone.signal, SIGKILL);
        expect(&raw, RK_WORKERS);
        assert_int_equal(in.workers.serving[0], 1);
        send_lane(&raw, RK_LANE_CLOSED, 0);
    }
    detach(&raw);
    kit_stop(&server);
}

/** The death was announced, LANE_CLOSED was lost: asking again says that the lane is settled. */
static void test_asking_again_for_a_lane_that_is_gone_says_that_it_is_settled(void **state)
{
    (void)state;
    struct raw raw;
    kit_start(&server, "--plugin", "echo", NULL);
    attach(&raw);
    for (unsigned round = 0; round < 3; round++) {
        open_lane(&raw, 1);
        kill_worker(&raw);
        expect(&raw, RK_WORKERS);
        expect(&raw, RK_LANE_GONE);
        expect(&raw, RK_WORKERS);
    }
    open_lane(&raw, 1);
    close(raw.pidfd);
    detach(&raw);
    kit_stop(&server);
}

/** Something to read before what comes next: one more connection, closed at once. */
static void send_adopt(const struct raw *raw)
{
    int pair[2];
    struct rk_message message;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    rk_message_init(&message, RK_ADOPT, sizeof(message));
    assert_int_equal(rk_control_send(raw->socket, &message, &pair[1], 1), 0);
    close(pair[0]);
    close(pair[1]);
}

/** The client saw the death by its pidfd and goes on at once, with the same lane or another one. The supervisor, which was
 * stopped meanwhile, hears of the death from the client first: its socket was readable before. */
static void test_client_that_knows_of_a_death_first_may_ask_again(void **state)
{
    (void)state;
    struct raw raw;
    kit_start(&server, "--plugin", "echo", NULL);
    attach(&raw);
    send_lane(&raw, RK_OPEN_LANE, 0);
    for (unsigned round = 0; round < 5; round++) {
        while (next(&raw) != RK_LANE) {
            assert_int_not_equal(in.head.type, RK_ENDED);
            if (in.head.type == RK_LANE_GONE) assert_int_equal(in.lane_gone.never_opened, 0);
        }
        assert_int_equal(kill(server.pid, SIGSTOP), 0);
        send_adopt(&raw);
        kill_worker(&raw);
        send_lane(&raw, RK_OPEN_LANE, (round + 1) / 2 % 2); /* another one every other time */
        assert_int_equal(kill(server.pid, SIGCONT), 0);
    }
    while (next(&raw) != RK_LANE) assert_int_not_equal(in.head.type, RK_ENDED);
    close(raw.pidfd);
    detach(&raw);
    kit_stop(&server);
}

static void test_lane_of_a_living_worker_stays_its_own(void **state)
{
    (void)state;
    struct raw raw;
    kit_start(&server, "--plugin", "echo", NULL);
    for (unsigned i = 0; i < 3; i++) {
        attach(&raw);
        open_lane(&raw, 0);
        close(raw.pidfd);
        if (i == 0) send_lane(&raw, RK_OPEN_LANE, 0); /* in use */
        if (i == 1) send_lane(&raw, RK_OPEN_LANE, 1); /* a second one to the same worker */
        if (i == 2) send_lane(&raw, RK_LANE_CLOSED, 0);
        expect(&raw, RK_ENDED);
        detach(&raw);
    }
    kit_stop(&server);
}

/** A request in slot 0 whose payload lies in a segment that the worker does not have yet. */
static void publish_ahead_of_its_segment(struct raw *raw)
{
    uint8_t *lane = (uint8_t *)raw->request.base + rk_request_lane_offset(&raw->params, 0);
    struct rk_request_slot *slot = (struct rk_request_slot *)(void *)(lane + RK_PAGE_BYTES);
    struct rk_bell_page *bells = raw->bell.base;
    slot->kind = RK_REQUEST_CALL;
    slot->length = 64;
    slot->next = 1;
    slot->payload.block = (struct rk_block_ref){.segment = 1, .offset = RK_PAGE_BYTES};
    __atomic_store_n(&slot->sequence, 1, __ATOMIC_RELEASE);
    rk_bell_ring(&bells->lane[0].word);
}

static void send_segment(struct raw *raw)
{
    struct rk_segment extra;
    assert_int_equal(rk_segment_create(&extra, RK_SEGMENT_REQUEST_EXTRA, 2 * RK_PAGE_BYTES), 0);
    memset((uint8_t *)extra.base + RK_PAGE_BYTES, 'x', 64);
    struct rk_message_segment message = {
        .session = raw->session, .kind = RK_SEGMENT_REQUEST_EXTRA, .id = 1, .bytes = extra.bytes};
    rk_message_init(&message.head, RK_SEGMENT, sizeof(message));
    assert_int_equal(rk_control_send(raw->socket, &message, &extra.fd, 1), 0);
    rk_segment_finish(&extra);
}

static void wait_for(const uint64_t *word, uint64_t value)
{
    for (unsigned ms = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value; ms++) {
        if (ms > 3000) fail_msg("%llu instead of %llu", (unsigned long long)*word, (unsigned long long)value);
        kit_pause_ms(1);
    }
}

/** The segment that a request waits for and the word that the worker is to leave come together. */
static void test_entered_request_is_finished_although_its_worker_leaves(void **state)
{
    (void)state;
    struct raw raw;
    struct rk_segment response;
    kit_start(&server, "--plugin", "echo", "--wait", "park", NULL);
    attach(&raw);
    open_lane(&raw, 0);
    pid_t pid = (pid_t)in.lane.pid;
    assert_int_equal(
        rk_segment_map(&response, raw.response_fd, RK_SEGMENT_RESPONSE, rk_response_segment_bytes(&raw.params), true),
        0);
    raw.response_fd = -1;
    const struct rk_response_header *header = response.base;
    const struct rk_response_slot *slot =
        (const struct rk_response_slot *)(const void *)((const uint8_t *)response.base + RK_PAGE_BYTES);
    publish_ahead_of_its_segment(&raw);
    wait_for(&header->taken, 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    send_segment(&raw);
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    while (next(&raw) != RK_LANE_LEAVING) continue;
    assert_int_equal(kill(pid, SIGCONT), 0);
    wait_for(&slot->sequence, 1);
    assert_int_equal(slot->status, RASK_OK);
    assert_int_equal(slot->length, 64);
    close(raw.pidfd);
    rk_segment_finish(&response);
    detach(&raw);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_workers_comes_before_the_lanes_that_are_gone),
        KIT_TEST(test_asking_again_for_a_lane_that_is_gone_says_that_it_is_settled),
        KIT_TEST(test_client_that_knows_of_a_death_first_may_ask_again),
        KIT_TEST(test_lane_of_a_living_worker_stays_its_own),
        KIT_TEST(test_entered_request_is_finished_although_its_worker_leaves),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
