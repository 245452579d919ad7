/* SPDX-License-Identifier: MIT */
/* A session whose supervisor and workers are the test itself, step by step and in one thread: it reads the requests as a
 * worker does, and writes whatever it likes where a worker writes. Workers die when the test says so: what the client
 * gets as their pidfd is an eventfd. */
#ifndef FORGED_WORKER_H
#define FORGED_WORKER_H

#include "bell.h"
#include "clock.h"
#include "control.h"
#include "session.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000u
#define FORGED_LANES 4u
#define SLOTS 8u

struct forged_lane {
    struct rk_segment response;
    struct rk_response_header *header;
    struct rk_response_slot *responses;
    const struct rk_request_slot *requests;
    struct rk_pair *pair;
    const struct rk_request_slot *next_request;
    uint64_t entered;  /* requests taken */
    uint64_t answered; /* responses published, honest or not */
    uint64_t rung;     /* for which of the client's sleeps */
    uint32_t slot;     /* of the next response */
    uint32_t number;
    uint32_t worker;
    int death; /* readable: dead */
};

static struct {
    struct rask *session;
    int socket;       /* the supervisor's end */
    bool needs_fence; /* workers whose lanes are opened from now on lack membarrier */
    struct rk_segment word;
    struct rk_segment request;
    struct rk_segment bells;
    struct rk_params params;
    struct forged_lane lane[FORGED_LANES]; /* by number */
} forged;

static inline void forged_send(void *message, enum rk_message_type type, size_t bytes, const int *fds, unsigned count)
{
    rk_message_init(message, type, bytes);
    assert_int_equal(rk_control_send(forged.socket, message, fds, count), 0);
    rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
}

/* What is passed over when another message is waited for. */
static inline bool forged_passes(uint16_t type)
{
    return type == RK_ACK || type == RK_LANE_CLOSED || type == RK_LATE || type == RK_DEATH;
}

/* The next message of the client of this type. */
static inline void forged_receive(uint16_t type, union rk_any_message *message, int *fds)
{
    unsigned count = 0;
    do {
        assert_int_equal(rk_control_receive(forged.socket, message, fds, &count), 0);
    } while (message->head.type != type && forged_passes(message->head.type));
    assert_int_equal(message->head.type, type);
}

static inline void forged_serving(uint32_t workers)
{
    struct rk_message_workers serving = {.count = workers, .serving = {(1ull << workers) - 1}};
    forged_send(&serving, RK_WORKERS, sizeof serving, NULL, 0);
}

/* What the supervisor says at attach, said in advance. */
static inline void forged_welcome(uint32_t workers)
{
    static struct rk_message_methods methods;
    struct rk_message_welcome welcome = {
        .layout = RK_LAYOUT,
        .fingerprint = rk_layout_fingerprint(),
        .flags = rk_membarrier_register() ? RK_PEER_MEMBARRIER : 0,
        .session = 3,
        .workers = workers,
        .parallel = workers,
        .lanes = FORGED_LANES,
        .method_count = 1,
    };
    struct rk_message attached;
    memset(&methods, 0, sizeof methods);
    methods.count = 1;
    snprintf(methods.entry[0].name, sizeof methods.entry[0].name, "forged");
    forged_send(&welcome, RK_WELCOME, sizeof welcome, &forged.word.fd, 1);
    forged_send(&methods, RK_METHODS, offsetof(struct rk_message_methods, entry) + sizeof methods.entry[0], NULL, 0);
    forged_send(&attached, RK_ATTACHED, sizeof attached, NULL, 0);
    forged_serving(workers);
}

/* Start a session with this many workers; none has a lane yet. */
static inline void forged_start(uint32_t workers, const struct rask_options *wanted)
{
    static union rk_any_message message;
    struct rask_options options = RASK_OPTIONS_INIT;
    int pair[2], fds[RK_MESSAGE_FDS_MAX];
    if (wanted != NULL) options = *wanted;
    options.ring_slots = SLOTS;
    if (options.wait_mode == RASK_WAIT_DEFAULT) options.wait_mode = RASK_WAIT_PARK;
    memset(&forged, 0, sizeof forged);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    forged.socket = pair[0];
    assert_int_equal(rk_segment_create(&forged.word, RK_SEGMENT_CONTROL, RK_PAGE_BYTES), 0);
    forged_welcome(workers);
    assert_int_equal(rk_session_create(&forged.session, &options), 0);
    assert_int_equal(rk_session_attach(forged.session, pair[1], rask_now_ns() + 1000u * MS), 0);
    forged_receive(RK_HELLO, &message, fds);
    forged.params = message.hello.params;
    forged.params.lanes = FORGED_LANES;
    forged_receive(RK_ATTACH, &message, fds);
    assert_int_equal(
        rk_segment_map(&forged.request, fds[0], RK_SEGMENT_REQUEST, rk_request_segment_bytes(&forged.params), false),
        0);
    assert_int_equal(
        rk_segment_map(&forged.bells, fds[1], RK_SEGMENT_BELL, rk_bell_segment_bytes(&forged.params), false), 0);
}

/* The worker that the client has asked for opens its lane. */
static inline struct forged_lane *forged_open_lane(void)
{
    static union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    forged_receive(RK_OPEN_LANE, &message, fds);
    struct rk_message_lane answer = message.lane;
    assert_true(answer.lane < FORGED_LANES);
    struct forged_lane *lane = &forged.lane[answer.lane];
    assert_null(lane->response.base);
    assert_int_equal(rk_segment_create(&lane->response, RK_SEGMENT_RESPONSE, rk_response_segment_bytes(&forged.params)),
                     0);
    lane->header = lane->response.base;
    lane->responses = (struct rk_response_slot *)(void *)((uint8_t *)lane->response.base + RK_PAGE_BYTES);
    lane->requests =
        (const struct rk_request_slot *)(const void *)((const uint8_t *)forged.request.base +
                                                       rk_request_lane_offset(&forged.params, answer.lane) +
                                                       RK_PAGE_BYTES);
    lane->pair = (void *)((uint8_t *)forged.bells.base + rk_bell_pair_offset(&forged.params, answer.lane));
    lane->next_request = lane->requests;
    lane->number = answer.lane;
    lane->worker = answer.worker;
    lane->death = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    answer.flags = rk_membarrier_register() && !forged.needs_fence ? RK_PEER_MEMBARRIER : 0;
    answer.generation = 1;
    const int handed[2] = {lane->response.fd, lane->death};
    forged_send(&answer, RK_LANE, sizeof answer, handed, 2);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    return lane;
}

/* A session with one worker, ready. */
static inline struct forged_lane *forged_alone(const struct rask_options *options)
{
    forged_start(1, options);
    return forged_open_lane();
}

static inline void forged_end_lane(struct forged_lane *lane)
{
    if (lane->response.base == NULL) return;
    rk_segment_finish(&lane->response);
    close(lane->death);
    *lane = (struct forged_lane){0};
}

static inline void forged_stop(void)
{
    rask_close(forged.session);
    if (forged.socket >= 0) close(forged.socket);
    for (uint32_t i = 0; i < FORGED_LANES; i++) forged_end_lane(&forged.lane[i]);
    rk_segment_finish(&forged.word);
    rk_segment_finish(&forged.request);
    rk_segment_finish(&forged.bells);
}

static inline bool forged_has_request(const struct forged_lane *lane)
{
    return rk_load_acquire(&lane->next_request->sequence) == lane->entered + 1;
}

/* Enter the next request as an honest worker does. */
static inline const struct rk_request_slot *forged_take(struct forged_lane *lane)
{
    assert_true(forged_has_request(lane));
    const struct rk_request_slot *slot = lane->next_request;
    rk_store_release(&lane->header->taken, ++lane->entered);
    rk_full_fence();
    lane->next_request = rk_slot_request(lane->requests, lane->pair, slot->next, SLOTS - 1);
    return slot;
}

/* Where the bytes of a request over the inline size lie, in the base segment. */
static inline const uint8_t *forged_bytes(const struct rk_request_slot *slot)
{
    assert_int_equal(slot->payload.block.segment, 0);
    return (const uint8_t *)forged.request.base + slot->payload.block.offset;
}

/* An honest, empty response to `slot`; what a test changes, it changes before forged_publish(). */
static inline struct rk_response_slot *forged_response(struct forged_lane *lane, const struct rk_request_slot *slot)
{
    struct rk_response_slot *response = &lane->responses[lane->slot];
    memset((uint8_t *)response + sizeof response->sequence, 0, sizeof *response - sizeof response->sequence);
    response->ticket = slot->ticket;
    response->kind = RK_RESPONSE_REPLY;
    response->next = (uint16_t)((lane->slot + 1) % SLOTS);
    return response;
}

static inline void forged_publish(struct forged_lane *lane, struct rk_response_slot *response)
{
    lane->slot = (lane->slot + 1) % SLOTS;
    rk_store_release(&response->sequence, ++lane->answered);
    rk_publish(&((const struct rk_request_header *)forged.request.base)->client.state,
               &((struct rk_bell_page *)forged.bells.base)->client.word, &lane->rung);
}

static inline void forged_reply(struct forged_lane *lane, const struct rk_request_slot *slot, uint32_t status)
{
    struct rk_response_slot *response = forged_response(lane, slot);
    response->status = (uint16_t)status;
    forged_publish(lane, response);
}

/* The worker of the lane dies; the supervisor says so, or leaves it to the client to notice. */
static inline void forged_die_of(struct forged_lane *lane, int signal, enum rk_gone_cause cause)
{
    uint64_t one = 1;
    assert_int_equal(write(lane->death, &one, sizeof one), sizeof one);
    struct rk_message_lane_gone gone = {.lane = lane->number, .worker = lane->worker, .signal = signal, .cause = cause};
    forged_send(&gone, RK_LANE_GONE, sizeof gone, NULL, 0);
}

static inline void forged_die(struct forged_lane *lane, bool announced)
{
    uint64_t one = 1;
    assert_int_equal(write(lane->death, &one, sizeof one), sizeof one);
    if (!announced) return;
    struct rk_message_lane_gone gone = {.lane = lane->number, .worker = lane->worker, .signal = 11};
    forged_send(&gone, RK_LANE_GONE, sizeof gone, NULL, 0);
}

/* Submit `bytes` bytes of `fill`; returns the ticket, and where it was written. */
static inline uint64_t submit(size_t bytes, uint8_t fill, uint64_t deadline_ns, void **data)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.deadline_ns = deadline_ns;
    assert_int_equal(rask_reserve(forged.session, bytes, &request), 0);
    memset(request.data, fill, bytes);
    if (data != NULL) *data = request.data;
    request.user_data = fill;
    assert_int_equal(rask_submit(forged.session, &request, 0, bytes, &options), 0);
    return request.ticket;
}

/* The request ends like this, and soon. *out is not released. */
static inline void ends_as(uint64_t ticket, uint32_t status, uint32_t executed, struct rask_completion *out)
{
    struct rask_completion mine;
    if (out == NULL) out = &mine;
    int result = rask_wait(forged.session, ticket, rask_now_ns() + 1000u * MS, out);
    if (result != 0) fail_msg("the request has no end: %s, %s", rask_strerror(result), rask_last_error());
    if (out->status != status || out->executed != executed)
        fail_msg("it ended as %s, executed %s", rask_status_name(out->status), rask_executed_name(out->executed));
    assert_int_equal(rask_wait(forged.session, ticket, 1, &(struct rask_completion){0}), -EINVAL);
    if (out == &mine) rask_release(forged.session, out);
}

#endif
