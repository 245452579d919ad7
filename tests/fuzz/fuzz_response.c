/* SPDX-License-Identifier: MIT */
/* What a worker and a supervisor can write, as a client reads it: response slots, block references, `taken`, waiter state,
 * messages with and without descriptors. Whatever they do, every request ends exactly once, and closing leaves nothing. */
#include "../unit/forged_worker.h"
#include "fuzz.h"

#define TICKETS_MAX 64u

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
    if (rask_submit(forged.session, &request, 0, bytes, &options) == 0) ticket_count++;
}

static void write_slot(struct forged_lane *lane, struct fuzz_input *in)
{
    uint8_t which = fuzz_byte(in);
    struct rk_response_slot *slot = &lane->responses[which % SLOTS];
    fuzz_bytes(in, (uint8_t *)slot + 8, sizeof(*slot) - 8);
    rk_store_release(&slot->sequence, which < 128 ? lane->answered + 1 : fuzz_byte(in));
}

/** An honest response with a few bytes changed. */
static void bend_one(struct forged_lane *lane, struct fuzz_input *in)
{
    if (!forged_has_request(lane)) return;
    const struct rk_request_slot *slot = forged_take(lane);
    struct rk_response_slot *response = forged_response(lane, slot);
    uint8_t *bytes = (uint8_t *)response;
    response->length = fuzz_byte(in);
    response->payload.block.offset = RK_PAGE_BYTES + (SLOTS * sizeof(*slot) + 4095) / 4096 * 4096;
    for (unsigned i = fuzz_byte(in) % 4; i > 0; i--) {
        unsigned at = 8 + fuzz_byte(in) % 56;
        bytes[at] = fuzz_byte(in);
    }
    forged_publish(lane, response);
}

static void write_words(struct forged_lane *lane, struct fuzz_input *in)
{
    uint8_t what = fuzz_byte(in);
    if (what & 1) lane->header->taken = what & 2 ? lane->entered + fuzz_byte(in) % 8 : fuzz_word(in);
    lane->header->worker.state = fuzz_byte(in) & ~RK_WAITER_PARKED;
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
    switch (fuzz_byte(in) % 8) {
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
    default:
        rk_session_tick(forged.session, rask_now_ns() + fuzz_byte(in) * 10000000ull);
    }
    take_all();
    hear();
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
    struct forged_lane *lane = forged_alone(&options);
    for (unsigned i = 0; i < 200 && in.left > 0; i++) step(lane, &in);
    end_all(lane);
    forged_stop();
    FUZZ_CHECK(fuzz_lowest_fd() == lowest, "every descriptor is closed");
    return 0;
}
