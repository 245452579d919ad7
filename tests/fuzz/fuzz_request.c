/* SPDX-License-Identifier: MIT */
/* What a client can write, as a worker reads it: request slots, block references, `released` words, answers to upcalls, how many
 * emissions it took, waiter state, bell. Behind the request segment lies a page that nobody may read; every byte that a handler
 * would get is read. Handlers of streams emit, ask, retain and release. */
#include "../unit/forged_client.h"
#include "../unit/serve_streams.h"
#include "fuzz.h"
#include "leases.h"

static volatile uint8_t sink;

static void read_all(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i += 97) sink = bytes[i];
    if (count > 0) sink = bytes[count - 1];
}

/** What a handler of a stream may do. */
static void use_host(struct rask_call *call)
{
    struct rk_handling *handling = (struct rk_handling *)(void *)call;
    const uint8_t *bytes = call->request;
    uint8_t how = call->request_bytes > 0 ? bytes[0] : 0;
    struct rask_upcall_reply reply;
    struct rask_lease lease;
    size_t room = how & 1 ? 300 : 8;
    read_all(bytes, call->request_bytes);
    if ((how & 2) && rk_served_reserve(handling->served, handling, room) != NULL) rk_stream_host.emit(call, room);
    FUZZ_CHECK(rk_stream_host.backlog(call) <= RASK_STREAM_QUEUE_MAX_LIMIT, "a backlog is bounded");
    if ((how & 4) && rk_upcall_host.reserve(call, room) != NULL &&
        rk_upcall_host.call(call, 1, how & 8 ? room : 5, 1, &reply) == 0)
        read_all(reply.data, reply.bytes);
    if ((how & 16) && rk_lease_host.retain(call, &lease) == 0) read_all(lease.data, lease.bytes);
    if (how & 32) rk_lease_host.release_up_to(call, how / 64);
}

/** One request as the worker serves it. False: the session is over. */
static bool serve_one(struct guest *g, uint8_t how)
{
    static const size_t answers[] = {0, 8, 33, 300, 70000, PAYLOAD_BYTES_MAX + 1};
    if (how % 2 == 0) return serve_streams_one(g);
    enum rk_take found = rk_served_take(g->served, &g->handling);
    if (found == RK_TAKE_BAD || found == RK_TAKE_STALLED) return false;
    if (found == RK_TAKE_SKIPPED) return true;
    FUZZ_CHECK(g->handling.call.request_bytes <= PAYLOAD_BYTES_MAX, "no request is over the limit");
    read_all(g->handling.call.request, g->handling.call.request_bytes);
    size_t bytes = answers[how % (sizeof answers / sizeof answers[0])];
    uint8_t *room = rk_served_reserve(g->served, &g->handling, bytes);
    if (room != NULL) {
        memset(room, 'r', bytes);
        g->handling.replied_bytes = (uint32_t)bytes;
    }
    rk_served_reply(g->served, &g->handling, room != NULL ? RASK_OK : RASK_REPLY_TOO_LARGE, 0);
    return true;
}

static bool serve_all(struct guest *g, uint8_t how)
{
    for (unsigned i = 0; i < 4 * SLOTS && rk_served_ready(g->served); i++)
        if (!serve_one(g, how)) return false;
    return true;
}

/** Where the worker looks for the next request, as the client can write there. */
static struct rk_request_slot *announced(struct guest *g)
{
    const struct rk_served *served = g->served;
    size_t from = (size_t)((const uint8_t *)served->next_request - (const uint8_t *)served->requests);
    bool in_ring = rk_slots_in_ring(served->requests, served->next_request, served->mask);
    return in_ring ? (void *)((uint8_t *)g->slots + from) : (void *)(uintptr_t)served->next_request;
}

/** One of the ring or of the pair. */
static uint16_t number_of(uint8_t byte)
{
    return (uint16_t)(byte % 4 < 2 ? byte / 4 % SLOTS : RK_SLOT_PAIR + byte / 4 % 2);
}

/** An honest request with a few bytes changed. */
static void bend_one(struct guest *g, struct fuzz_input *in)
{
    struct rk_request_slot *slot = announced(g);
    memset((uint8_t *)slot + 8, 0, sizeof(*slot) - 8);
    slot->consumed = (uint16_t)g->served->position;
    uint8_t *bytes = (uint8_t *)slot;
    uint8_t kind = fuzz_byte(in);
    slot->length = fuzz_byte(in);
    slot->next = number_of(fuzz_byte(in));
    slot->kind = (uint8_t)(kind % RK_REQUEST_KIND_COUNT | (kind & RK_REQUEST_UPCALLS));
    if (kind % RK_REQUEST_KIND_COUNT != RK_REQUEST_CALL)
        slot->method = (uint16_t)(kind / RK_REQUEST_KIND_COUNT % 4 << 8);
    slot->payload.bytes[0] = fuzz_byte(in);
    if (slot->length > RASK_INLINE_BYTES)
        slot->payload.block =
            (struct rk_block_ref){.offset = rk_request_slab_offset(&g->served->params), .room = fuzz_byte(in) * 8u};
    for (unsigned i = fuzz_byte(in) % 4; i > 0; i--) {
        unsigned at = 8 + fuzz_byte(in) % 56;
        bytes[at] = fuzz_byte(in);
    }
    rk_store_release(&slot->sequence, g->served->position + 1);
}

static void write_slot(struct guest *g, struct fuzz_input *in)
{
    uint8_t where = fuzz_byte(in);
    uint32_t number = where % (SLOTS + 2) < SLOTS ? where % (SLOTS + 2) : RK_SLOT_PAIR + where / (SLOTS + 2) % 2;
    struct rk_request_slot *slot = (void *)(uintptr_t)rk_slot_request(g->slots, g->served->pair, number, SLOTS - 1);
    fuzz_bytes(in, (uint8_t *)slot + 8, sizeof(*slot) - 8);
    uint8_t which = fuzz_byte(in);
    rk_store_release(&slot->sequence, which < 128 ? g->served->position + 1 : which);
}

static void write_words(struct guest *g, struct fuzz_input *in)
{
    struct rk_lane_request *page = (void *)((uint8_t *)g->slots - RK_PAGE_BYTES);
    struct rk_request_header *header = g->request.base;
    struct rk_bell_page *bells = g->bells.base;
    page->released[fuzz_word(in) % RK_RESPONSE_BLOCKS_MAX] = fuzz_word(in) % 8;
    page->emissions_taken = fuzz_byte(in) % 2 ? g->served->emissions : fuzz_word(in);
    header->sent[fuzz_byte(in) % RASK_STREAMS_MAX] = fuzz_byte(in);
    uint8_t whole = fuzz_byte(in);
    fuzz_bytes(in, (uint8_t *)&g->served->pair->answer + 8, whole & 1 ? sizeof g->served->pair->answer - 8 : 0);
    g->served->pair->answer.length = whole & 2 ? g->served->pair->answer.length % 64 : g->served->pair->answer.length;
    g->served->pair->answer.sequence = g->served->upcalls + whole / 4 % 2; /* the next is answered before it is asked */
    header->client.state =
        fuzz_byte(in) & ~(uint64_t)RK_WAITER_PARKED; /* a ring is a system call: slow, and of no interest */
    bells->client.word = fuzz_word(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    int lowest = fuzz_lowest_fd();
    serve_streams_start();
    streams_handler = use_host;
    guest_start(&one);
    one.served->control_fd = -1;
    bool going = true;
    while (going && in.left > 0) {
        uint8_t what = fuzz_byte(&in);
        if (what % 4 == 0) write_slot(&one, &in);
        if (what % 4 == 1) bend_one(&one, &in);
        if (what % 4 == 2) write_words(&one, &in);
        going = serve_all(&one, what / 4);
    }
    rk_streams_close_all(&streams_worker, one.served);
    FUZZ_CHECK(streams_opened == streams_closed && streams_worker.page->streams == 0, "every stream is closed once");
    guest_end(&one);
    FUZZ_CHECK(fuzz_lowest_fd() == lowest, "every descriptor is closed");
    return 0;
}
