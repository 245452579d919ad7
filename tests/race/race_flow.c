/* SPDX-License-Identifier: MIT */
/* Streams, upcalls and leases between threads over one mapping: every byte that crosses is checked on the other side, so the thread
 * sanitizer sees each of them, and answers come in their order. */
#include "race.h"
#include <rask/ext/lease.h>
#include <rask/ext/stream.h>
#include <rask/ext/upcall.h>
#include <rask/rask.h>
#include <stdlib.h>

enum { STREAM, ASK, KEEP, METHODS };
enum { KEPT = 8, ITEM_BYTES_MAX = 1500 };

struct worker {
    const struct rask_host *host;
    const struct rask_stream_host *streams;
    const struct rask_upcall_host *upcalls;
    const struct rask_lease_host *leases;
    uint32_t plus;
    struct rask_lease kept[KEPT];
    unsigned next;
};

static struct pool *pool;

/** Bytes that say which item they are of. */
static void fill(uint8_t *bytes, size_t length, uint32_t number)
{
    for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)(number + i);
}

static bool filled(const void *data, size_t length, uint32_t number)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != (uint8_t)(number + i)) return false;
    return true;
}

static uint32_t number_in(const struct rask_call *call)
{
    uint32_t number;
    memcpy(&number, call->request, sizeof number);
    return number;
}

static bool request_is_right(const struct rask_call *call)
{
    const uint8_t *bytes = call->request;
    return call->request_bytes >= 4 && filled(bytes + 4, call->request_bytes - 4, number_in(call));
}

static uint8_t *room_for(struct rask_call *call, size_t bytes)
{
    uint8_t *room = rask_reserve_reply(call, bytes);
    if (room != NULL) fill(room, bytes, number_in(call));
    return room;
}

/* Emits as often as its number says, and answers. */
static int on_item(struct rask_call *call, void *stream)
{
    const struct worker *worker = call->state;
    uint32_t number = number_in(call);
    (void)stream;
    if (!request_is_right(call)) return 1;
    for (uint32_t i = 0; i < number % 3; i++)
        if (room_for(call, number % 5 == 0 ? 700 : 20) == NULL || worker->streams->emit(call, 10 + number % 10) != 0)
            return 2;
    if (number % 4 == 0) return 0;
    return room_for(call, call->request_bytes) != NULL ? rask_reply(call, call->request_bytes) : 3;
}

static int ask(struct rask_call *call)
{
    const struct worker *worker = call->state;
    struct rask_upcall_reply reply;
    size_t bytes = call->request_bytes;
    if (!request_is_right(call)) return 1;
    uint8_t *room = worker->upcalls->reserve(call, bytes);
    if (room == NULL) return 2;
    memcpy(room, call->request, bytes);
    int result = worker->upcalls->call(call, worker->plus, bytes, 0, &reply);
    if (result != 0) return -result;
    if (reply.bytes != bytes || !filled(reply.data, bytes, number_in(call) + 1)) return 4;
    return 0;
}

static int keep(struct rask_call *call)
{
    struct worker *worker = call->state;
    struct rask_lease *oldest = &worker->kept[worker->next % KEPT];
    if (!request_is_right(call)) return 1;
    if (oldest->data != NULL) {
        uint32_t number;
        memcpy(&number, oldest->data, sizeof number);
        if (!filled((const uint8_t *)oldest->data + 4, oldest->bytes - 4, number)) return 2;
        worker->leases->release(call->host, oldest);
    }
    worker->next++;
    return worker->leases->retain(call, oldest) == 0 ? 0 : 3;
}

static int not_called(struct rask_call *call)
{
    (void)call;
    return 9;
}

static const struct rask_stream_handlers handlers = {.size = sizeof handlers, .on_item = on_item};

static int open_flow(const struct rask_host *host, void **state)
{
    struct worker *worker = calloc(1, sizeof *worker);
    *state = worker;
    if (worker == NULL) return 1;
    worker->host = host;
    worker->streams = host->extension(host, RASK_EXT_STREAM);
    worker->upcalls = host->extension(host, RASK_EXT_UPCALL);
    worker->leases = host->extension(host, RASK_EXT_LEASE);
    worker->plus = worker->upcalls->method("plus");
    return worker->streams->serve(host, "stream", &handlers);
}

static void close_flow(void *state)
{
    free(state);
}

static const struct rask_method methods[METHODS] = {
    [STREAM] = {.name = "stream", .handle = not_called},
    [ASK] = {.name = "ask", .handle = ask},
    [KEEP] = {.name = "keep", .handle = keep},
};

static const struct rask_plugin plugin = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof plugin,
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .method_count = METHODS,
    .name = "flow",
    .version = "1",
    .methods = methods,
    .open = open_flow,
    .close = close_flow,
};

/* ---- the caller ---------------------------------------------------------------------------------------------------- */

static int plus(struct rask_upcall *upcall, void *user)
{
    uint32_t number;
    unsigned *ran = user;
    memcpy(&number, upcall->request, sizeof number);
    assert_true(filled((const uint8_t *)upcall->request + 4, upcall->request_bytes - 4, number));
    assert_int_equal(upcall->user_data, number);
    uint8_t *room = rask_upcall_reserve(upcall, upcall->request_bytes);
    assert_non_null(room);
    fill(room, upcall->request_bytes, number + 1);
    assert_int_equal(rask_upcall_reply(upcall, upcall->request_bytes), 0);
    ++*ran;
    return 0;
}

static void on_lease_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)s;
    assert_int_equal(event->end, RASK_LEASE_RELEASED);
    ++*(unsigned *)user;
}

static size_t some_size(uint64_t *random)
{
    return 4 + (random_below(random, 4) == 0 ? random_below(random, ITEM_BYTES_MAX) : random_below(random, 28));
}

static void write_request(uint8_t *bytes, size_t length, uint32_t number)
{
    memcpy(bytes, &number, sizeof number);
    fill(bytes + 4, length - 4, number);
}

/** Answers of a stream, one after the other: emissions of an item, then its reply. */
struct reader {
    uint32_t number;
    uint32_t emitted;
};

static void skip_silent(struct reader *reader)
{
    while (reader->number % 3 == 0 && reader->number % 4 == 0) reader->number++;
}

static void read_answer(struct rask *s, struct reader *reader, struct rask_completion *answer)
{
    skip_silent(reader);
    uint32_t number = reader->number;
    assert_int_equal(answer->status, RASK_OK);
    assert_int_equal(answer->user_data, number);
    assert_true(filled(answer->data, answer->length, number));
    bool emission = reader->emitted < number % 3;
    if (emission) assert_int_equal(answer->length, 10 + number % 10);
    reader->emitted += emission;
    if (!emission || (reader->emitted == number % 3 && number % 4 == 0))
        *reader = (struct reader){.number = number + 1};
    rask_release(s, answer);
}

static void call_some(struct rask *s, uint64_t *random, uint32_t number)
{
    static uint8_t bytes[ITEM_BYTES_MAX + 32];
    struct rask_request request;
    size_t length = some_size(random);
    static unsigned calls;
    uint32_t method = calls++ % 2 == 0 ? ASK : KEEP;
    if (rask_reserve(s, length, &request) != 0) return;
    write_request(bytes, length, number);
    memcpy(request.data, bytes, length);
    request.user_data = number;
    assert_int_equal(rask_submit(s, &request, method, length, NULL), 0);
}

static void take_calls(struct rask *s)
{
    struct rask_completion out[8];
    int count = rask_poll(s, out, 8);
    for (int i = 0; i < count; i++) {
        assert_int_equal(out[i].status, RASK_OK);
        rask_release(s, &out[i]);
    }
}

static void mix(uint32_t workers, uint32_t wait_mode, unsigned items)
{
    enum { STREAMS = 3 };
    static uint8_t bytes[ITEM_BYTES_MAX + 32];
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_stream *stream[STREAMS];
    struct reader reader[STREAMS] = {{0}};
    uint32_t sent[STREAMS] = {0};
    unsigned ran = 0, ended = 0, open = STREAMS;
    uint64_t random = random_seed();
    options.wait_mode = wait_mode;
    options.ring_slots = 32;
    pool = pool_start(&plugin, workers, wait_mode, &options);
    struct rask *s = pool_session(pool);
    assert_int_equal(rask_on_upcall(s, "plus", plus, &ran), 0);
    assert_int_equal(rask_on_lease_end(s, on_lease_end, &ended), 0);
    for (unsigned i = 0; i < STREAMS; i++) assert_int_equal(rask_stream_open(s, STREAM, NULL, &stream[i]), 0);
    while (open > 0) {
        for (unsigned i = 0; i < STREAMS; i++) {
            struct rask_completion answer;
            if (stream[i] == NULL) continue;
            size_t length = some_size(&random);
            write_request(bytes, length, sent[i]);
            if (sent[i] < items && random_below(&random, 3) > 0) {
                int result = rask_stream_send(stream[i], bytes, length, sent[i], 0);
                assert_true(result == 0 || result == -EAGAIN);
                if (result == 0) sent[i]++;
            }
            if (sent[i] == items) assert_int_equal(rask_stream_end(stream[i]), 0);
            int count = sent[i] < items ? rask_stream_take(stream[i], &answer, 1)
                                        : rask_stream_wait(stream[i], &answer, 1, rask_now_ns() + 20000 * (uint64_t)MS);
            assert_true(count >= 0);
            if (count == 1) {
                read_answer(s, &reader[i], &answer);
            } else if (sent[i] == items) {
                struct rask_stream_state state = {.size = sizeof state};
                assert_int_equal(rask_stream_state(stream[i], &state), 0);
                assert_int_equal(state.status, RASK_OK);
                assert_int_equal(state.processed, items);
                rask_stream_close(stream[i]);
                stream[i] = NULL;
                open--;
            }
        }
        if (random_below(&random, 2) == 0) call_some(s, &random, random_below(&random, 1000));
        take_calls(s);
    }
    while (rask_pending(s) > 0) take_calls(s); /* a handler that asks is answered */
    struct rask_info info = {.size = sizeof info};
    assert_int_equal(rask_info(s, &info), 0);
    print_message("%u upcalls, %u leases ended, %u are held\n", ran, ended, info.leases);
    assert_true(ran > 0);
    assert_true(ended > 0);
    assert_int_equal(pool_figures(pool).bad_peer, 0);
    pool_stop(pool);
    pool = NULL;
}

static void test_everything_at_once(void **state)
{
    (void)state;
    mix(1, RASK_WAIT_PARK, 2000 / SLOWER);
    mix(2, RASK_WAIT_HYBRID, 4000 / SLOWER);
    mix(3, RASK_WAIT_PARK, 3000 / SLOWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_at_once)};
    alarm(50);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
