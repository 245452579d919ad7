/* SPDX-License-Identifier: MIT */
/* Streams, upcalls and leases against a worker and a supervisor that are the test itself (forged_worker.h): moments that real ones
 * hit by chance, and things that only a bad one does. */
#include "forged_worker.h"
#include "stream.h"
#include <pthread.h>
#include <rask/lease.h>
#include <rask/upcall.h>
#include <sys/epoll.h>

static unsigned ran;

/* ---- the worker's side ------------------------------------------------------------------------------------------- */

static struct rk_side_slot *emission_slot(struct forged_lane *lane, uint64_t sequence)
{
    uint8_t *ring = (uint8_t *)lane->response.base + rk_response_emissions_offset(&forged.params);
    return (struct rk_side_slot *)(void *)ring + (sequence - 1) % RASK_EMITS_MAX;
}

/** An emission of the request in hand, honest but for what the test changes before forged_emit(). */
static struct rk_side_slot *emission(struct forged_lane *lane, const struct rk_request_slot *slot, uint64_t sequence)
{
    struct rk_side_slot *side = emission_slot(lane, sequence);
    memset((uint8_t *)side + sizeof side->sequence, 0, sizeof *side - sizeof side->sequence);
    side->ticket = slot->ticket;
    side->position = (uint32_t)(lane->entered - 1);
    return side;
}

static void answer_kind(struct forged_lane *lane, const struct rk_request_slot *slot, uint32_t kind)
{
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = (uint8_t)kind;
    forged_publish(lane, response);
}

static void answer_leased(struct forged_lane *lane, const struct rk_request_slot *slot, uint32_t word,
                          uint32_t generation)
{
    struct rk_response_slot *response = forged_response(lane, slot);
    response->kind = RK_RESPONSE_REPLY | RK_RESPONSE_LEASED;
    response->lease = (uint16_t)word;
    response->lease_generation = generation;
    forged_publish(lane, response);
}

/** The handler of the request in hand calls `name` with the first `bytes` bytes of block 7 of the response slab, if they are many. */
static void upcall(struct forged_lane *lane, const struct rk_request_slot *slot, const char *name, uint32_t bytes)
{
    struct rk_side_slot *side = &lane->header->upcall;
    side->ticket = slot->ticket;
    side->position = (uint32_t)(lane->entered - 1);
    side->length = bytes;
    side->method = 0x811c9dc5u;
    for (; *name != '\0'; name++) side->method = (side->method ^ (uint8_t)*name) * 0x01000193u;
    if (bytes > RASK_INLINE_BYTES)
        side->payload.block = (struct rk_block_ref){
            .offset = rk_response_slab_offset(&forged.params), .index = 7, .generation = (uint32_t)side->sequence + 1};
    rk_store_release(&side->sequence, side->sequence + 1);
}

static const struct rk_lane_request *page_of(const struct forged_lane *lane)
{
    return (const void *)((const uint8_t *)forged.request.base + rk_request_lane_offset(&forged.params, lane->number));
}

/* ---- the client's side ------------------------------------------------------------------------------------------- */

static struct rask_stream *stream_with(uint32_t policy, uint32_t queue_max)
{
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    struct rask_stream *stream;
    options.policy = policy;
    options.queue_max = queue_max;
    assert_int_equal(rask_stream_open(forged.session, 0, &options, &stream), 0);
    return stream;
}

static struct rask_stream_state state_of(const struct rask_stream *stream)
{
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(stream, &state), 0);
    return state;
}

static void poll_once(void)
{
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/** Its first ticket ends before it was sent: what follows must not be sent behind it. */
static void test_stream_of_a_broken_pool(void **unused)
{
    (void)unused;
    for (unsigned how = 0; how < 3; how++) {
        struct rask_request item = {0}, other = {0};
        forged_start(1, NULL);
        struct rk_message_workers none = {.count = 1, .flags = RK_POOL_BROKEN};
        forged_send(&none, RK_WORKERS, sizeof none, NULL, 0);
        poll_once();
        struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
        if (how == 0) {
            assert_int_equal(rask_stream_send(stream, "x", 1, 0, 0), -EPIPE);
        } else if (how == 1) {
            assert_int_equal(rask_stream_reserve(stream, 1000, 0, &other), 0);
            assert_int_equal(rask_stream_reserve(stream, 1000, 0, &item), 0);
            assert_int_equal(rask_stream_submit(stream, &item, 1000), -EPIPE);
            assert_int_equal(rask_stream_submit(stream, &other, 1000), -EPIPE);
        } else {
            assert_int_equal(rask_stream_end(stream), -EPIPE);
        }
        assert_int_equal(state_of(stream).ended, 1);
        assert_int_equal(state_of(stream).status, RASK_UNAVAILABLE);
        assert_int_equal(state_of(stream).sent, 0);
        assert_int_equal(state_of(stream).backlog, 0);
        assert_int_equal(rask_pending(forged.session), 0);
        assert_int_equal(forged.session->tickets.used, 0);
        rask_stream_close(stream);
        forged_stop();
    }
}

/** Its worker entered the item between the look for the oldest and the mark, and then saw the mark: it is a drop. */
static void test_drop_that_the_worker_does(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_request item;
    struct rask_stream *stream = stream_with(RASK_STREAM_DROP_OLDEST, 2);
    assert_int_equal(rask_stream_reserve(stream, 1000, 0, &item), 0);
    assert_int_equal(rask_stream_submit(stream, &item, 1000), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET); /* OPEN */
    const struct rk_request_slot *slot = forged_take(lane);
    struct rk_ticket *ticket = rk_ticket_find(&forged.session->tickets, item.ticket);
    assert_false(rk_settle_retract(forged.session, ticket, RK_CANCEL_RETRACT));
    answer_kind(lane, slot, RK_RESPONSE_SKIPPED);
    poll_once();
    struct rask_stream_state state = state_of(stream);
    assert_int_equal(state.sent, 1);
    assert_int_equal(state.processed, 0);
    assert_int_equal(state.dropped, 1);
    assert_int_equal(state.backlog + state.backlog_bytes, 0);
    assert_int_equal(forged.session->header->sent[0], 0); /* as the handler sees it */
    rask_stream_close(stream);
    forged_stop();
}

/** Everything that a stream left behind is taken while there is no arena. */
static void test_answers_outlive_the_attachment(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_REPLY);
    poll_once();
    forged.session->path = strdup("/nonexistent/rask.sock");
    close(forged.socket);
    forged.socket = -1;
    rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
    poll_once();
    assert_int_equal(rask_reconnect(forged.session), -ENOENT);
    assert_null(forged.session->lanes);
    assert_int_equal(state_of(stream).status, RASK_UNAVAILABLE);
    assert_int_equal(rask_stream_wait(stream, &out, 1, 0), 1);
    assert_int_equal(out.user_data, 5);
    rask_release(forged.session, &out);
    assert_int_equal(rask_stream_take(stream, &out, 1), 0);
    rask_stream_close(stream);
    forged_stop();
}

/** While an emission waits for its segment, a message says that the worker is gone. */
static void test_lane_goes_while_an_emission_waits(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "any", (rask_upcall_fn)(void *)abort, NULL), 0);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    struct rk_side_slot *side = emission(lane, forged_take(lane), 1);
    side->length = 1000;
    side->payload.block = (struct rk_block_ref){.offset = RK_PAGE_BYTES, .segment = 1};
    rk_store_release(&side->sequence, 1);
    forged_die(lane, true);
    poll_once();
    assert_int_equal(state_of(stream).status, RASK_CRASHED);
    assert_int_equal(state_of(stream).ended, 1);
    rask_stream_close(stream);
    forged_stop();
}

/** A caller's loop that sleeps whenever there is nothing: no answer is left lying where two streams are read in turn. */
static void test_loop_reads_two_streams(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    struct epoll_event event;
    int fd = rask_fd(forged.session);
    assert_true(fd >= 0);
    struct rask_stream *one = stream_with(RASK_STREAM_BLOCK, 0), *two = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(one, "1", 1, 1, 0), 0);
    assert_int_equal(rask_stream_send(two, "2", 1, 2, 0), 0);
    poll_once();
    assert_int_equal(rask_stream_take(one, &out, 1), 0);
    for (unsigned i = 0; i < 4; i++)
        answer_kind(lane, forged_take(lane), i % 2 == 0 ? RK_RESPONSE_QUIET : RK_RESPONSE_REPLY);
    assert_int_equal(rask_stream_take(two, &out, 1), 1); /* brings in the answer of the other, too */
    rask_release(forged.session, &out);
    assert_int_equal(rask_stream_take(two, &out, 1), 0);
    assert_int_equal(state_of(one).waiting, 1);
    assert_int_equal(epoll_wait(fd, &event, 1, 0), 1); /* the loop must not sleep */
    poll_once();
    assert_int_equal(rask_stream_take(one, &out, 1), 1);
    rask_release(forged.session, &out);
    rask_stream_close(one);
    rask_stream_close(two);
    forged_stop();
}

/** The supervisor is gone, and the worker goes a moment later: a loop that sleeps hears of the end, with nothing in flight. */
static void test_loop_hears_of_a_late_death(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct epoll_event event;
    struct rask_completion out;
    int fd = rask_fd(forged.session);
    assert_true(fd >= 0);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "1", 1, 1, 0), 0);
    for (unsigned i = 0; i < 2; i++) answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    poll_once();
    assert_int_equal(rask_pending(forged.session), 0);
    assert_int_equal(epoll_wait(fd, &event, 1, 0), 0);
    close(forged.socket);
    forged.socket = -1;
    assert_int_equal(epoll_wait(fd, &event, 1, 1000), 1);
    poll_once();
    poll_once();
    assert_int_equal(state_of(stream).ended, 0);
    forged_die(lane, false);
    for (unsigned i = 0; i < 100 && !state_of(stream).ended; i++) {
        assert_int_equal(epoll_wait(fd, &event, 1, 1000), 1);
        poll_once();
        assert_int_equal(rask_stream_take(stream, &out, 1), 0);
    }
    assert_int_equal(state_of(stream).ended, 1);
    assert_int_equal(state_of(stream).processed, 1);
    rask_stream_close(stream);
    for (unsigned i = 0; i < 5; i++) poll_once();
    assert_int_equal(epoll_wait(fd, &event, 1, 100), 0); /* and then it sleeps */
    forged_stop();
}

static void test_item_is_not_waited_for_or_cancelled_by_number(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_request item;
    struct rask_completion out;
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_reserve(stream, 5, 0, &item), 0);
    assert_int_equal(rask_stream_submit(stream, &item, 5), 0);
    assert_int_equal(rask_wait(forged.session, item.ticket, rask_now_ns() + 100 * MS, &out), -EINVAL);
    assert_int_equal(rask_cancel(forged.session, item.ticket), -EINVAL);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    assert_int_equal(state_of(stream).processed, 1);
    rask_stream_close(stream);
    forged_stop();
}

/** What keeps the backlog full is in the caller's own hands: waiting would not help. */
static void test_own_reservations_are_not_waited_for(void **unused)
{
    (void)unused;
    forged_alone(NULL);
    struct rask_request item;
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 1);
    assert_int_equal(rask_stream_reserve(stream, 5, 0, &item), 0);
    assert_int_equal(rask_stream_send(stream, "x", 1, 0, rask_now_ns() + 100 * MS), -EAGAIN);
    rask_stream_close(stream);
    forged_stop();
}

static struct rask_stream *closed_by_callback;

static void closes_stream(const struct rask_completion *completion, void *user)
{
    (void)completion;
    (void)user;
    rask_stream_close(closed_by_callback);
    ran++;
}

/** A callback closes the stream that is waited for: the wait ends, and so does the stream's memory. */
static void test_callback_closes_the_stream(void **unused)
{
    (void)unused;
    for (unsigned how = 0; how < 3; how++) {
        struct forged_lane *lane = forged_alone(NULL);
        struct rask_completion out;
        struct rask_stream *stream = closed_by_callback = stream_with(RASK_STREAM_BLOCK, 1);
        ran = 0;
        assert_int_equal(rask_request(forged.session, 0, 0, NULL, closes_stream, NULL, NULL), 0);
        assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
        forged_reply(lane, forged_take(lane), RASK_OK);
        if (how == 0)
            assert_int_equal(rask_stream_wait(stream, &out, 1, rask_now_ns() + 1000 * MS), -EPIPE);
        else if (how == 1)
            assert_int_equal(rask_stream_take(stream, &out, 1), -EPIPE);
        else
            assert_int_equal(rask_stream_send(stream, "1", 1, 6, rask_now_ns() + 1000 * MS), -EPIPE);
        assert_int_equal(ran, 1);
        while (forged_has_request(lane)) {
            const struct rk_request_slot *slot = forged_take(lane);
            answer_kind(lane, slot, slot->cancel ? RK_RESPONSE_SKIPPED : RK_RESPONSE_QUIET);
            poll_once();
        }
        assert_null(forged.session->streams->all);
        forged_stop();
    }
}

/** A full ring of emissions is fine. */
static void test_as_many_emissions_as_there_is_room_for(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
    assert_int_equal(rask_stream_send(stream, "0", 1, 5, 0), 0);
    answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
    poll_once();
    const struct rk_request_slot *slot = forged_take(lane);
    for (uint64_t round = 0; round < 2; round++) {
        for (uint64_t i = 1; i <= RASK_EMITS_MAX; i++) {
            uint64_t sequence = round * RASK_EMITS_MAX + i;
            rk_store_release(&emission(lane, slot, sequence)->sequence, sequence);
        }
        poll_once();
        assert_int_equal(state_of(stream).waiting, (round + 1) * RASK_EMITS_MAX);
        assert_int_equal(page_of(lane)->emissions_taken, (round + 1) * RASK_EMITS_MAX);
        assert_false(forged.session->lanes[0].broken);
    }
    rask_stream_close(stream);
    forged_stop();
}

/** A reply of on_end is an answer, an empty one, too. */
static void test_empty_reply_at_the_end(void **unused)
{
    (void)unused;
    for (unsigned quiet = 0; quiet < 2; quiet++) {
        struct forged_lane *lane = forged_alone(NULL);
        struct rask_completion out;
        struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 0);
        assert_int_equal(rask_stream_end(stream), 0);
        answer_kind(lane, forged_take(lane), RK_RESPONSE_QUIET);
        answer_kind(lane, forged_take(lane), quiet ? RK_RESPONSE_QUIET : RK_RESPONSE_REPLY);
        assert_int_equal(rask_stream_wait(stream, &out, 1, rask_now_ns() + 1000 * MS), quiet ? 0 : 1);
        if (!quiet) rask_release(forged.session, &out);
        assert_int_equal(state_of(stream).ended, 1);
        assert_int_equal(state_of(stream).status, RASK_OK);
        rask_stream_close(stream);
        forged_stop();
    }
}

/* ---- leases ------------------------------------------------------------------------------------------------------ */

static void on_lease_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)s;
    (void)user;
    assert_int_equal(event->end, RASK_LEASE_RELEASED);
    ran++;
}

static void end_lease(struct forged_lane *lane, uint32_t word, uint32_t generation)
{
    rk_store_release(&lane->header->lease_ended[word], generation);
    rk_store_release(&lane->header->leases_ended, lane->header->leases_ended + 1);
}

/** The counter was looked at when a lease had ended whose beginning was not taken yet. */
static void test_lease_that_ended_before_its_response_was_taken(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_info info = {.size = sizeof info};
    ran = 0;
    assert_int_equal(rask_on_lease_end(forged.session, on_lease_end, NULL), 0);
    uint64_t first = submit(1000, 1, 0, NULL), second = submit(1000, 2, 0, NULL);
    answer_leased(lane, forged_take(lane), 0, 1);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    end_lease(lane, 0, 1); /* up to the second: the watermark */
    end_lease(lane, 1, 1);
    answer_leased(lane, slot, 1, 1);
    ends_as(second, RASK_OK, RASK_EXECUTED_YES, NULL);
    poll_once();
    poll_once();
    assert_int_equal(ran, 2);
    assert_int_equal(rask_info(forged.session, &info), 0);
    assert_int_equal(info.leases, 0);
    forged_stop();
}

/** A worker says twice that it keeps a request in the same word: its session ends, and every request of it. */
static void test_lease_twice(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    uint64_t first = submit(1000, 1, 0, NULL), second = submit(1000, 2, rask_now_ns() + 300 * MS, NULL);
    uint64_t third = submit(1000, 3, 0, NULL);
    for (unsigned i = 0; i < 2; i++) answer_leased(lane, forged_take(lane), 9, 1);
    struct rask_completion out;
    assert_int_equal(rask_wait(forged.session, first, rask_now_ns() + 1000 * MS, &out), 0);
    rask_release(forged.session, &out);
    assert_int_equal(rask_wait(forged.session, second, rask_now_ns() + 1000 * MS, &out), 0);
    rask_release(forged.session, &out);
    ends_as(third, RASK_UNAVAILABLE, RASK_EXECUTED_MAYBE, NULL);
    assert_true(forged.session->ended);
    forged_stop();
}

static bool rested;

static void *never_rests(void *header)
{
    while (!rk_load_relaxed(&rested)) rk_fetch_add(&((struct rk_response_header *)header)->leases_ended, 1u);
    return NULL;
}

/** A worker that says again and again that a lease has ended does not keep its caller from its deadline. */
static void test_counter_that_never_rests(void **unused)
{
    (void)unused;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_SPIN;
    struct forged_lane *lane = forged_alone(&options);
    uint64_t first = submit(1000, 1, 0, NULL), second = submit(1000, 2, 0, NULL);
    answer_leased(lane, forged_take(lane), 0, 1);
    ends_as(first, RASK_OK, RASK_EXECUTED_YES, NULL);
    pthread_t bad;
    rk_store_relaxed(&rested, false);
    assert_int_equal(pthread_create(&bad, NULL, never_rests, lane->header), 0);
    struct rask_completion out;
    assert_int_equal(rask_wait(forged.session, second, rask_now_ns() + 100 * MS, &out), -ETIMEDOUT);
    rk_store_relaxed(&rested, true);
    assert_int_equal(pthread_join(bad, NULL), 0);
    forged_stop();
}

/* ---- upcalls ----------------------------------------------------------------------------------------------------- */

static int answers_shortly(struct rask_upcall *asked, void *user)
{
    (void)user;
    uint8_t *room = rask_upcall_reserve(asked, 1000);
    assert_non_null(room);
    memcpy(room, "short", 5);
    assert_int_equal(rask_upcall_reply(asked, 5), 0);
    ran++;
    return 0;
}

/** An answer that needs no block travels in its slot, and the block is free again. */
static void test_short_answer_from_a_large_room(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    uint32_t used = forged.session->slab.used;
    assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    upcall(lane, slot, "f", 0);
    poll_once();
    assert_int_equal(page_of(lane)->answer.sequence, 1);
    assert_int_equal(page_of(lane)->answer.length, 5);
    assert_memory_equal(page_of(lane)->answer.payload.bytes, "short", 5);
    assert_int_equal(forged.session->slab.used, used);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

/** The bytes of an upcall that no function sees are given back, too. */
static void test_bytes_of_unknown_and_late_upcalls_come_back(void **unused)
{
    (void)unused;
    for (unsigned late = 0; late < 2; late++) {
        struct forged_lane *lane = forged_alone(NULL);
        assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
        uint64_t ticket = submit(5, 1, 0, NULL);
        const struct rk_request_slot *slot = forged_take(lane);
        ran = 0;
        upcall(lane, slot, late ? "f" : "g", 1000);
        if (late) forged_reply(lane, slot, RASK_OK);
        poll_once();
        poll_once();
        assert_int_equal(page_of(lane)->answer.sequence, 1);
        assert_int_equal(page_of(lane)->answer.failed, 1);
        assert_int_equal(page_of(lane)->released[7], 1);
        assert_int_equal(ran, 0);
        if (!late) forged_reply(lane, slot, RASK_OK);
        ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
        forged_stop();
    }
}

/** The caller forgot its last name while a handler that may ask for it runs: it is told so at once. */
static void test_last_name_is_forgotten(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "f", answers_shortly, NULL), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    assert_int_equal(rask_on_upcall(forged.session, "f", NULL, NULL), 0);
    upcall(lane, slot, "f", 0);
    poll_once();
    assert_int_equal(page_of(lane)->answer.sequence, 1);
    assert_int_equal(page_of(lane)->answer.code, -ENOSYS);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

/** All that waits for the only worker, which waits for this function. */
static int waits_for_everything(struct rask_upcall *asked, void *user)
{
    struct rask_completion out;
    uint64_t soon_ns = rask_now_ns() + 300 * MS;
    (void)user;
    uint64_t ticket = submit(5, 2, 0, NULL);
    assert_int_equal(rask_wait(asked->session, ticket, soon_ns, &out), -EDEADLK);
    struct rask_stream *stream = stream_with(RASK_STREAM_BLOCK, 1);
    assert_int_equal(rask_stream_send(stream, "x", 1, 0, soon_ns), 0);
    assert_int_equal(rask_stream_wait(stream, &out, 1, soon_ns), -EDEADLK);
    assert_int_equal(rask_stream_send(stream, "x", 1, 0, soon_ns), -EDEADLK);
    rask_stream_close(stream);
    assert_int_equal(rask_cancel(asked->session, ticket), 0);
    assert_int_equal(rask_wait(asked->session, ticket, soon_ns, &out), 0);
    rask_release(asked->session, &out);
    ran++;
    return 0;
}

static void test_waits_that_only_this_worker_could_end(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "f", waits_for_everything, NULL), 0);
    uint64_t ticket = submit(5, 1, 0, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    poll_once();
    assert_int_equal(ran, 1);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

static uint64_t submit_key(void)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.key = 7;
    assert_int_equal(rask_reserve(forged.session, 5, &request), 0);
    assert_int_equal(rask_submit(forged.session, &request, 0, 5, &options), 0);
    return request.ticket;
}

/** Another worker is there, but the key's requests are with the one that waits. */
static int waits_for_key(struct rask_upcall *asked, void *user)
{
    struct rask_completion out;
    (void)user;
    uint64_t ticket = submit_key();
    assert_int_equal(rask_wait(asked->session, ticket, rask_now_ns() + 300 * MS, &out), -EDEADLK);
    assert_int_equal(rask_cancel(asked->session, ticket), 0);
    ran++;
    return 0;
}

static void test_key_that_only_this_worker_could_serve(void **unused)
{
    (void)unused;
    forged_start(2, NULL);
    struct forged_lane *lane = forged_open_lane();
    assert_int_equal(rask_on_upcall(forged.session, "f", waits_for_key, NULL), 0);
    uint64_t ticket = submit_key();
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    assert_int_equal(rask_poll(forged.session, NULL, 0), 0);
    assert_int_equal(ran, 1);
    forged_reply(lane, slot, RASK_OK);
    ends_as(ticket, RASK_OK, RASK_EXECUTED_YES, NULL);
    forged_stop();
}

/** The supervisor dies, and the function wants to be attached again before it returns. */
static int reconnects(struct rask_upcall *asked, void *user)
{
    (void)user;
    asked->session->path = strdup("/nonexistent/rask.sock");
    close(forged.socket);
    forged.socket = -1;
    rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
    assert_int_equal(rask_poll(asked->session, NULL, 0), 0);
    assert_int_equal(rask_reconnect(asked->session), -EBUSY);
    ran++;
    return 0;
}

static void test_reconnecting_inside(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    assert_int_equal(rask_on_upcall(forged.session, "f", reconnects, NULL), 0);
    submit(5, 1, 0, NULL);
    ran = 0;
    upcall(lane, forged_take(lane), "f", 0);
    poll_once();
    assert_int_equal(ran, 1);
    assert_int_equal(rask_reconnect(forged.session), -ENOENT);
    forged_stop();
}

/** A handler that asks without a pause does not keep its caller from the call's deadline. */
static int asks_again(struct rask_upcall *asked, void *user)
{
    struct forged_lane *lane = user;
    (void)asked;
    ran++;
    rk_store_release(&lane->header->upcall.sequence, lane->header->upcall.sequence + 1);
    return 0;
}

static void test_deadline_between_upcalls(void **unused)
{
    (void)unused;
    struct forged_lane *lane = forged_alone(NULL);
    struct rask_completion out;
    assert_int_equal(rask_on_upcall(forged.session, "f", asks_again, lane), 0);
    uint64_t ticket = submit(5, 1, rask_now_ns() + 100 * MS, NULL);
    const struct rk_request_slot *slot = forged_take(lane);
    ran = 0;
    upcall(lane, slot, "f", 0);
    uint64_t most_ns = rask_now_ns() + 5000 * MS; /* only so that a failure ends */
    assert_int_equal(rask_wait(forged.session, ticket, most_ns, &out), 0);
    assert_int_equal(out.status, RASK_TIMEOUT);
    assert_true(ran > 10);
    rask_release(forged.session, &out);
    forged_stop();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_of_a_broken_pool),
        cmocka_unit_test(test_drop_that_the_worker_does),
        cmocka_unit_test(test_answers_outlive_the_attachment),
        cmocka_unit_test(test_lane_goes_while_an_emission_waits),
        cmocka_unit_test(test_loop_reads_two_streams),
        cmocka_unit_test(test_loop_hears_of_a_late_death),
        cmocka_unit_test(test_empty_reply_at_the_end),
        cmocka_unit_test(test_item_is_not_waited_for_or_cancelled_by_number),
        cmocka_unit_test(test_own_reservations_are_not_waited_for),
        cmocka_unit_test(test_callback_closes_the_stream),
        cmocka_unit_test(test_as_many_emissions_as_there_is_room_for),
        cmocka_unit_test(test_lease_that_ended_before_its_response_was_taken),
        cmocka_unit_test(test_lease_twice),
        cmocka_unit_test(test_counter_that_never_rests),
        cmocka_unit_test(test_short_answer_from_a_large_room),
        cmocka_unit_test(test_bytes_of_unknown_and_late_upcalls_come_back),
        cmocka_unit_test(test_last_name_is_forgotten),
        cmocka_unit_test(test_waits_that_only_this_worker_could_end),
        cmocka_unit_test(test_key_that_only_this_worker_could_serve),
        cmocka_unit_test(test_reconnecting_inside),
        cmocka_unit_test(test_deadline_between_upcalls),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
