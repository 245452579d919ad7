/* SPDX-License-Identifier: MIT */
/* What a worker and a supervisor can write, as a client reads it: response slots, block references, `taken`, waiter state,
 * emissions, upcalls, words of leases, messages with and without descriptors. Whatever they do, every request and every stream ends
 * exactly once, no memory stays away, and closing leaves nothing. */
#include "../unit/forged_worker.h"
#include "fuzz.h"
#include "lease.h"
#include "stream.h"
#include "upcall.h"

#define TICKETS_MAX 64u
#define STREAMS 4u

static struct {
    uint64_t id;
    bool ended;
} tickets[TICKETS_MAX];
static unsigned ticket_count;
static volatile uint8_t sink;

static void note_end(struct rask_completion *completion)
{
    const uint8_t *bytes = completion->data;
    unsigned i = 0;
    while (i < ticket_count && tickets[i].id != completion->ticket) i++;
    FUZZ_CHECK(i < ticket_count, "a completion belongs to a request");
    FUZZ_CHECK(!tickets[i].ended, "a request ends once");
    FUZZ_CHECK(completion->status < RASK_STATUS_COUNT, "a status is known");
    tickets[i].ended = true;
    for (uint32_t at = 0; at < completion->length; at += 61) sink = bytes[at];
    rask_release(forged.session, completion);
}

static void take_all(void)
{
    struct rask_completion completion[8];
    int count;
    while ((count = rask_poll(forged.session, completion, 8)) > 0)
        for (int i = 0; i < count; i++) note_end(&completion[i]);
}

static void send_request(struct fuzz_input *in)
{
    static const size_t sizes[] = {0, 8, 32, 33, 300, 5000, 60000};
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    uint8_t what = fuzz_byte(in);
    size_t bytes = sizes[what % 7];
    if (ticket_count == TICKETS_MAX || rask_reserve(forged.session, bytes, &request) != 0) return;
    if (what & 0x80) options.deadline_ns = rask_now_ns() + 1000;
    memset(request.data, 'q', bytes);
    tickets[ticket_count].id = request.ticket;
    tickets[ticket_count].ended = false;
    if (rask_submit(forged.session, &request, 0, bytes, &options) == 0)
        ticket_count++;
    else
        rask_abandon(forged.session, &request);
}

/* ---- streams, upcalls, leases: the client's side ----------------------------------------------------------------- */

static struct rask_stream *streams[STREAMS];

static void read_answers(struct rask_stream *stream)
{
    struct rask_completion answer[4];
    int count = rask_stream_take(stream, answer, 4);
    for (int i = 0; i < count; i++) {
        const uint8_t *bytes = answer[i].data;
        for (uint32_t at = 0; at < answer[i].length; at += 61) sink = bytes[at];
        rask_release(forged.session, &answer[i]);
    }
}

static void check_sums(const struct rask_stream *stream)
{
    struct rask_stream_state state = {.size = sizeof state};
    FUZZ_CHECK(rask_stream_state(stream, &state) == 0, "a stream has a state");
    if (stream->options.policy != RASK_STREAM_DROP_NEWEST)
        FUZZ_CHECK(state.processed + state.dropped + state.backlog <= state.sent, "no item counts twice");
    FUZZ_CHECK(!state.ended || state.backlog + state.backlog_bytes == 0, "what has ended has no backlog");
}

static void use_stream(struct fuzz_input *in)
{
    uint8_t what = fuzz_byte(in);
    struct rask_stream **stream = &streams[what % STREAMS];
    static const uint8_t item[3000];
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    options.policy = RASK_STREAM_FAIL + what / 64 % 3;
    options.queue_max = 3;
    if (*stream == NULL) {
        rask_stream_open(forged.session, 0, &options, stream);
        return;
    }
    switch (what / STREAMS % 8) {
    case 0:
        rask_stream_end(*stream);
        break;
    case 1:
        rask_stream_cancel(*stream);
        break;
    case 2:
        rask_stream_close(*stream);
        *stream = NULL;
        return;
    case 3:
        read_answers(*stream);
        break;
    default:
        rask_stream_send(*stream, item, what / STREAMS % 2 == 0 ? 5 : sizeof item, what, 0);
    }
    check_sums(*stream);
}

static int on_upcall(struct rask_upcall *upcall, void *user)
{
    const uint8_t *bytes = upcall->request;
    (void)user;
    for (size_t at = 0; at < upcall->request_bytes; at += 61) sink = bytes[at];
    uint8_t *room = rask_upcall_reserve(upcall, sink % 3 == 0 ? 10 : 1000);
    if (room != NULL) rask_upcall_reply(upcall, sink % 2 == 0 ? 10 : 0);
    if (sink % 5 == 0) rask_poll(upcall->session, NULL, 0);
    return 0;
}

static void on_lease(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)user;
    FUZZ_CHECK(event->bytes >= RASK_BLOCK_BYTES_MIN && rask_leased(s, event->ticket) >= 0, "a lease has bytes");
}

/* ---- and the worker's -------------------------------------------------------------------------------------------- */

/** What the request at a position says of its ticket. */
static uint32_t generation_of(const struct forged_lane *lane, uint64_t position)
{
    const struct rk_lane *theirs = &forged.session->lanes[lane->number];
    uint32_t index = position < theirs->position ? rk_lane_entry(theirs, position)->ticket : RK_HOLE;
    return index != RK_HOLE ? (uint32_t)(forged.session->tickets.table[index].id >> 32) : 0;
}

/** A side slot that is honest but for a few bytes. */
static void bend_side(struct forged_lane *lane, struct rk_side_slot *side, uint64_t sequence, struct fuzz_input *in)
{
    uint8_t *bytes = (uint8_t *)side;
    uint64_t in_hand = lane->entered > 0 ? lane->entered - 1 : 0;
    memset(bytes + 8, 0, sizeof(*side) - 8);
    side->position = (uint32_t)in_hand;
    side->ticket = generation_of(lane, in_hand);
    side->length = fuzz_byte(in);
    side->method = rk_upcall_hash(fuzz_byte(in) & 1 ? "f" : "g");
    side->payload.block.offset = RK_PAGE_BYTES + (SLOTS * sizeof(struct rk_response_slot) + 8191) / 4096 * 4096;
    for (unsigned i = fuzz_byte(in) % 4; i > 0; i--) {
        unsigned at = 8 + fuzz_byte(in) % 56;
        bytes[at] = fuzz_byte(in);
    }
    rk_store_release(&side->sequence, sequence);
}

static uint64_t emitted;

static void write_side(struct forged_lane *lane, struct fuzz_input *in)
{
    if (lane->response.base == NULL) return;
    uint8_t what = fuzz_byte(in);
    struct rk_side_slot *ring = (void *)((uint8_t *)lane->response.base + rk_response_emissions_offset(&forged.params));
    switch (what % 4) {
    case 0:
        bend_side(lane, &ring[emitted % RASK_EMITS_MAX], emitted + 1, in);
        emitted++;
        break;
    case 1:
        bend_side(lane, &lane->pair->upcall, lane->pair->upcall.sequence + 1, in);
        break;
    case 2:
        rk_store_release(&lane->header->lease_ended[what / 4 % 4], fuzz_byte(in));
        rk_store_release(&lane->header->leases_ended, lane->header->leases_ended + 1);
        break;
    default:
        rk_store_release(&lane->header->leases_ended, fuzz_word(in));
        rk_store_release(&ring[what / 4 % RASK_EMITS_MAX].sequence, fuzz_byte(in));
    }
}

static void write_slot(struct forged_lane *lane, struct fuzz_input *in)
{
    uint8_t which = fuzz_byte(in);
    uint32_t number = which % (SLOTS + 2) < SLOTS ? which % (SLOTS + 2) : RK_SLOT_PAIR + which / (SLOTS + 2) % 2;
    struct rk_response_slot *slot = (void *)(uintptr_t)rk_slot_response(lane->responses, lane->pair, number, SLOTS - 1);
    fuzz_bytes(in, (uint8_t *)slot + 8, sizeof(*slot) - 8);
    rk_store_release(&slot->sequence, which < 128 ? lane->answered + 1 : fuzz_byte(in));
}

/** Where the client looks for the next response, as the worker can write there. */
static struct rk_response_slot *announced(struct forged_lane *lane)
{
    const struct rk_lane *theirs = &forged.session->lanes[lane->number];
    size_t from = (size_t)((const uint8_t *)theirs->next_response - (const uint8_t *)theirs->responses);
    bool in_ring = rk_slots_in_ring(theirs->responses, theirs->next_response, theirs->mask);
    if (in_ring) return (void *)((uint8_t *)lane->responses + from);
    from = (size_t)((const uint8_t *)theirs->next_response - (const uint8_t *)theirs->pair);
    return (void *)((uint8_t *)(uintptr_t)lane->pair + from);
}

/** An honest response with a few bytes changed. */
static void bend_one(struct forged_lane *lane, struct fuzz_input *in)
{
    const struct rk_lane *theirs = &forged.session->lanes[lane->number];
    if (!forged_has_request(lane) || theirs->state != RK_LANE_IS_OPEN) return;
    const struct rk_request_slot *slot = forged_take(lane);
    struct rk_response_slot *response = announced(lane);
    uint8_t *bytes = (uint8_t *)response;
    uint8_t how = fuzz_byte(in), next = fuzz_byte(in);
    memset(bytes + 8, 0, sizeof(*response) - 8);
    response->ticket = slot->ticket;
    response->kind = RK_RESPONSE_REPLY;
    response->next = (uint16_t)(next % 4 < 2 ? next / 4 % SLOTS : RK_SLOT_PAIR + next / 4 % 2);
    response->length = fuzz_byte(in) * (next & 0x40 ? 8u : 1u);
    if (how & 1) response->kind = RK_RESPONSE_QUIET;
    if (how & 2) response->kind = (uint8_t)(response->kind | RK_RESPONSE_LEASED);
    response->lease = how / 4 % 4;
    response->lease_generation = how / 16;
    if (slot->cancel != 0 && (how & 0x80)) response->kind = RK_RESPONSE_SKIPPED;
    response->payload.block.offset = RK_PAGE_BYTES + (SLOTS * sizeof(*slot) + 4095) / 4096 * 4096;
    if (next & 0x80) response->payload.block.segment = RK_SEGMENT_IN_PAIR;
    for (unsigned i = fuzz_byte(in) % 4; i > 0; i--) {
        unsigned at = 8 + fuzz_byte(in) % 56;
        bytes[at] = fuzz_byte(in);
    }
    lane->answered = theirs->response_position;
    forged_publish(lane, response);
}

static void write_words(struct forged_lane *lane, struct fuzz_input *in)
{
    uint8_t what = fuzz_byte(in);
    if (what & 1) lane->header->taken = what & 2 ? lane->entered + fuzz_byte(in) % 8 : fuzz_word(in);
    lane->header->worker.state = fuzz_byte(in) & ~(uint64_t)RK_WAITER_PARKED;
    ((struct rk_bell_page *)forged.bells.base)->client.word = fuzz_word(in);
}

/** Any message of a supervisor, with as many descriptors as its type has: the response segment, or the bells. */
static void say(struct forged_lane *lane, struct fuzz_input *in)
{
    static const uint8_t types[] = {RK_LANE,     RK_LANE_GONE, RK_WORKERS, RK_SEGMENT,
                                    RK_SHUTDOWN, RK_ENDED,     RK_ACK,     RK_WELCOME};
    static union rk_any_message message;
    const int fds[2] = {lane->response.fd >= 0 ? lane->response.fd : forged.word.fd, forged.word.fd};
    uint32_t type = types[fuzz_byte(in) % sizeof types];
    static const size_t bytes[] = {sizeof(struct rk_message_lane),    sizeof(struct rk_message_lane_gone),
                                   sizeof(struct rk_message_workers), sizeof(struct rk_message_segment),
                                   sizeof(struct rk_message),         sizeof(struct rk_message_text),
                                   sizeof(struct rk_message),         sizeof(struct rk_message_welcome)};
    size_t length = 0;
    for (unsigned i = 0; i < sizeof types; i++)
        if (types[i] == type) length = bytes[i];
    fuzz_bytes(in, (uint8_t *)&message + sizeof(message.head),
               length - sizeof(message.head) > 40 ? 40 : length - sizeof(message.head));
    rk_message_init(&message.head, (enum rk_message_type)type, length);
    rk_control_send(forged.socket, &message, fds, rk_message_fd_count(type));
    rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
}

static void hear(void)
{
    static union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned count;
    while (rk_control_receive(forged.socket, &message, fds, &count) == 0)
        for (unsigned i = 0; i < count; i++) close(fds[i]);
}

static void step(struct forged_lane *lane, struct fuzz_input *in)
{
    switch (fuzz_byte(in) % 12) {
    case 0:
    case 1:
        send_request(in);
        break;
    case 2:
        write_slot(lane, in);
        break;
    case 3:
        bend_one(lane, in);
        break;
    case 4:
        write_words(lane, in);
        break;
    case 5:
        say(lane, in);
        break;
    case 6:
        if (ticket_count > 0) rask_cancel(forged.session, tickets[fuzz_byte(in) % ticket_count].id);
        break;
    case 7:
    case 8:
        use_stream(in);
        break;
    case 9:
    case 10:
        write_side(lane, in);
        break;
    default:
        rk_session_tick(forged.session, rask_now_ns() + fuzz_byte(in) * 10000000ull);
    }
    take_all();
    hear();
}

/** Every request and stream was given back, every worker is dead: so is what they held. */
static void check_nothing_left(const struct rask *s)
{
    FUZZ_CHECK(rask_pending(s) == 0 && s->backlog.count == 0, "nothing is on its way");
    FUZZ_CHECK(s->tickets.used == 0 && s->slab.used == 0, "tickets and blocks are free");
    FUZZ_CHECK(s->streams == NULL || s->streams->all == NULL, "streams are forgotten");
    FUZZ_CHECK(s->leases == NULL || s->leases->count + s->leases->bytes + s->leases->waiting == 0, "leases have ended");
    FUZZ_CHECK(s->asides == 1 && s->asides_due == 0, "only upcalls are looked for");
}

/** The supervisor and the worker are gone: what is left has to end now. */
static void end_all(struct forged_lane *lane)
{
    forged_die(lane, false);
    close(forged.socket);
    forged.socket = -1;
    for (unsigned i = 0; i < 4; i++) {
        rk_fetch_add(&((struct rk_control_page *)forged.word.base)->word, 1u);
        rk_session_tick(forged.session, rask_now_ns() + (i + 1) * 2000000000ull);
        take_all();
    }
    for (unsigned i = 0; i < ticket_count; i++) FUZZ_CHECK(tickets[i].ended, "every request ends");
    for (unsigned i = 0; i < STREAMS; i++) {
        struct rask_stream_state state = {.size = sizeof state};
        if (streams[i] == NULL) continue;
        check_sums(streams[i]);
        rask_stream_cancel(streams[i]); /* one that nothing was sent of */
        FUZZ_CHECK(rask_stream_state(streams[i], &state) == 0 && state.ended, "every stream ends");
        rask_stream_close(streams[i]);
    }
    check_nothing_left(forged.session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    int lowest = fuzz_lowest_fd();
    ticket_count = 0;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.payload_bytes_max = 65536;
    options.slab_bytes = RASK_SLAB_BYTES_MIN; /* small memory, many runs */
    options.slab_bytes_max = 4 * RASK_SLAB_BYTES_MIN;
    options.queue_max = TICKETS_MAX;
    memset(streams, 0, sizeof streams);
    emitted = 0;
    struct forged_lane *lane = forged_alone(&options);
    rask_on_upcall(forged.session, "f", on_upcall, NULL);
    rask_on_lease_end(forged.session, on_lease, NULL);
    for (unsigned i = 0; i < 200 && in.left > 0; i++) step(lane, &in);
    end_all(lane);
    forged_stop();
    FUZZ_CHECK(fuzz_lowest_fd() == lowest, "every descriptor is closed");
    return 0;
}
