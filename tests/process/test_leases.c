/* SPDX-License-Identifier: MIT */
/* Leases between processes: bytes stay as they were while they are held, and come back one by one, by watermark, and by death. */
#include "kit.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define BYTES 1500

static struct kit_server server;
static struct rask *server_session;
static struct {
    unsigned released;
    unsigned died;
    uint64_t bytes;
    uint64_t last;
    uint64_t most;
} seen;

static void on_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)user;
    assert_int_equal(rask_leased(s, event->ticket), 0);
    seen.released += event->end == RASK_LEASE_RELEASED;
    seen.died += event->end == RASK_LEASE_DIED;
    seen.bytes += event->bytes;
    seen.last = event->user_data;
    if (seen.last > seen.most) seen.most = seen.last;
}

static struct rask *start(const char *plugin, const char *workers)
{
    kit_start(&server, "--plugin", kit_plugin(plugin), "--workers", workers, "--restart-limit", "0", NULL);
    struct rask *s = kit_connect(&server, NULL);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(rask_on_lease_end(s, on_end, NULL), 0);
    return s;
}

static void stop(struct rask *s)
{
    rask_close(s);
    kit_stop(&server);
}

static uint64_t number_of(struct rask *s, struct rask_completion *out)
{
    uint64_t number = 0;
    memcpy(&number, out->data, out->length < sizeof number ? out->length : sizeof number);
    rask_release(s, out);
    return number;
}

/** One request to `keep`: 'k' with `bytes` bytes of `value`. Returns the item number; *ticket its ticket. */
static uint64_t keep(struct rask *s, uint8_t value, uint32_t bytes, uint64_t *ticket)
{
    struct rask_request request;
    struct rask_completion out;
    assert_int_equal(rask_reserve(s, bytes, &request), 0);
    memset(request.data, value, bytes);
    *(char *)request.data = 'k';
    request.user_data = value;
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, "keep"), bytes, NULL), 0);
    if (ticket != NULL) *ticket = request.ticket;
    assert_int_equal(rask_wait(s, request.ticket, rask_now_ns() + 10 * KIT_S, &out), 0);
    assert_int_equal(out.status, RASK_OK);
    return number_of(s, &out);
}

static uint64_t command(struct rask *s, char letter, uint64_t item)
{
    char request[9] = {letter};
    struct rask_completion out;
    memcpy(request + 1, &item, sizeof item);
    assert_int_equal(rask_call(s, (uint32_t)rask_method(s, "keep"), request, sizeof request, 10 * KIT_S, &out), 0);
    return number_of(s, &out);
}

static struct rask_info info_of(const struct rask *s)
{
    struct rask_info info = {.size = sizeof info};
    assert_int_equal(rask_info(s, &info), 0);
    return info;
}

static void test_watermark(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    uint64_t ticket[20], item[20];
    for (unsigned i = 0; i < 20; i++) item[i] = keep(s, (uint8_t)(i + 1), BYTES, &ticket[i]);
    assert_int_equal(info_of(s).leases, 20);
    assert_int_equal(info_of(s).leased_bytes, 20 * 4096);
    assert_int_equal(rask_leased(s, ticket[7]), 1);
    assert_int_equal(command(s, 'c', 0), 20); /* what the handler holds is what was sent */
    assert_int_equal(seen.released, 0);
    assert_int_equal(command(s, 'r', item[9]), 10);
    rask_poll(s, NULL, 0);
    assert_int_equal(seen.released, 10);
    assert_int_equal(seen.most, 10); /* the last is another one where a look came in the middle */
    assert_int_equal(rask_leased(s, ticket[7]), 0);
    assert_int_equal(rask_leased(s, ticket[10]), 1);
    assert_int_equal(info_of(s).leases, 10);
    assert_int_equal(command(s, 'r', UINT64_MAX), 10);
    rask_poll(s, NULL, 0);
    assert_int_equal(seen.released, 20);
    assert_int_equal(seen.bytes, 20 * 4096);
    assert_int_equal(info_of(s).leased_bytes, 0);
    stop(s);
}

static void test_one_by_one_and_memory_returns(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    uint64_t before = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 10; i++) keep(s, (uint8_t)(i + 1), 60000, NULL);
        assert_int_equal(command(s, 'c', 0), 10);
        for (unsigned i = 0; i < 10; i++) {
            command(s, 'o', 0);
            rask_poll(s, NULL, 0);
            assert_int_equal(seen.released, round * 10 + i + 1);
            assert_int_equal(seen.last, i + 1);
        }
        if (round == 0) before = info_of(s).bytes_mapped;
        command(s, 'r', UINT64_MAX);
    }
    assert_int_equal(info_of(s).bytes_mapped, before); /* the same blocks, again and again */
    stop(s);
}

/** Private copies: small requests, and plugins that want copies. The caller's memory is free at once. */
static void test_copies(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    for (unsigned i = 0; i < 5; i++) keep(s, (uint8_t)(i + 1), 20, NULL);
    assert_int_equal(info_of(s).leases, 0);
    assert_int_equal(command(s, 'c', 0), 5);
    stop(s);
    s = start("flow", "1");
    for (unsigned i = 0; i < 5; i++) keep(s, (uint8_t)(i + 1), BYTES, NULL);
    assert_int_equal(info_of(s).leases, 0);
    assert_int_equal(command(s, 'c', 0), 5);
    assert_int_equal(command(s, 'r', UINT64_MAX), 5);
    stop(s);
}

static void test_bounds(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    for (unsigned i = 0; i < RASK_LEASES_MAX; i++) keep(s, 1, 300, NULL);
    char request[300] = "k";
    struct rask_completion out;
    assert_true(rask_call(s, (uint32_t)rask_method(s, "keep"), request, sizeof request, 10 * KIT_S, &out) < 0);
    assert_int_equal(out.status, RASK_HANDLER_ERROR);
    assert_int_equal(out.code, EDQUOT);
    rask_release(s, &out);
    assert_int_equal(info_of(s).leases, RASK_LEASES_MAX);
    assert_non_null(strstr(kit_rask("stats", "--socket", server.socket, "--json", NULL)->out, "\"leases\":256"));
    stop(s);
}

static void test_death_releases(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    uint64_t ticket;
    for (unsigned round = 0; round < 3; round++) {
        memset(&seen, 0, sizeof seen);
        for (unsigned i = 0; i < 7; i++) keep(s, (uint8_t)(i + 1), BYTES, &ticket);
        struct rask_completion out;
        const char deadly[] = {'x', (char)round}; /* the same one would be poison */
        assert_true(rask_call(s, (uint32_t)rask_method(s, "keep"), deadly, sizeof deadly, 10 * KIT_S, &out) < 0);
        assert_int_equal(out.status, RASK_CRASHED);
        rask_release(s, &out);
        rask_poll(s, NULL, 0);
        assert_int_equal(seen.died, 7);
        assert_int_equal(seen.released, 0);
        assert_int_equal(rask_leased(s, ticket), 0);
        assert_int_equal(info_of(s).leases, 0);
    }
    stop(s);
}

/** The caller goes while its bytes are held: they stay readable until released. */
static void test_caller_goes(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    struct rask *other = kit_connect(&server, NULL);
    for (unsigned i = 0; i < 5; i++) keep(other, (uint8_t)(i + 1), BYTES, NULL);
    rask_close(other);
    for (unsigned i = 0; i < 5; i++) {
        kit_pause_ms(20);
        assert_int_equal(command(s, 'c', 0), 5 - i);
        command(s, 'o', 0);
    }
    assert_int_equal(command(s, 'c', 0), 0);
    stop(s);
}

static void test_items_of_streams(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    struct rask_stream *stream;
    struct rask_completion answer;
    static char item[BYTES];
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "keep"), NULL, &stream), 0);
    for (unsigned i = 0; i < 30; i++) {
        memset(item, (int)i + 1, sizeof item);
        item[0] = 'k';
        assert_int_equal(rask_stream_send(stream, item, sizeof item, i, 0), 0);
        assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 1);
        assert_int_equal(rask_leased(s, answer.ticket), 0); /* of the item, not of the answer */
        assert_int_equal(number_of(s, &answer), i + i / 10);
        if (i % 10 != 9) continue;
        uint64_t up_to = i;
        item[0] = 'r';
        memcpy(item + 1, &up_to, sizeof up_to);
        assert_int_equal(rask_stream_send(stream, item, 9, 0, 0), 0);
        assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 1);
        assert_true(number_of(s, &answer) >= 8);
    }
    rask_poll(s, NULL, 0);
    assert_true(seen.released >= 27);
    assert_int_equal(rask_stream_end(stream), 0);
    assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 0);
    rask_stream_close(stream);
    stop(s);
}

/** One more item of the same bytes, and its answer. */
static uint32_t send_same(struct rask_stream *stream, const struct rask_request *held)
{
    struct rask_request item;
    struct rask_completion answer;
    assert_int_equal(rask_stream_reserve_same(stream, held, 0, &item), 0);
    assert_ptr_equal(item.data, held->data);
    assert_int_equal(rask_stream_submit(stream, &item, BYTES), 0);
    if (rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S) != 1) return RASK_CRASHED;
    uint32_t status = answer.status;
    if (status == RASK_OK) assert_int_equal(answer.user_data, held->user_data);
    rask_release(server_session, &answer);
    return status;
}

/** What the caller holds it can send again, to the successor of a worker that died with it, too; the memory returns when
 * nobody needs it any more. */
static void test_held_bytes_are_sent_again(void **unused)
{
    (void)unused;
    struct rask *s = server_session = start("flow_shared", "1");
    uint64_t mapped = 0;
    for (unsigned round = 0; round < 12; round++) {
        struct rask_stream *stream[2];
        struct rask_request held;
        memset(&seen, 0, sizeof seen);
        assert_int_equal(rask_reserve(s, BYTES, &held), 0);
        held.user_data = round + 1;
        memset(held.data, (int)round + 1, BYTES);
        *(char *)held.data = 'k';
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "keep"), NULL, &stream[i]), 0);
            assert_int_equal(send_same(stream[i], &held), RASK_OK);
            assert_int_equal(send_same(stream[i], &held), RASK_OK);
            assert_int_equal(info_of(s).leases, 2);
            if (i == 1) break;
            const char deadly[] = {'x', (char)round};
            assert_int_equal(rask_stream_send(stream[i], deadly, sizeof deadly, 0, 0), 0);
            struct rask_completion none;
            assert_int_equal(rask_stream_wait(stream[i], &none, 1, rask_now_ns() + 10 * KIT_S), 0);
            rask_poll(s, NULL, 0);
            assert_int_equal(seen.died, 2);
            assert_int_equal(seen.last, round + 1);
        }
        assert_int_equal(rask_abandon(s, &held), 0);
        assert_int_equal(command(s, 'c', 0), 2); /* still leased, and nothing else lies there */
        for (unsigned i = 0; i < 2; i++) rask_stream_close(stream[i]);
        command(s, 'o', 0);
        command(s, 'o', 0);
        rask_poll(s, NULL, 0);
        assert_int_equal(seen.released, 2);
        assert_int_equal(info_of(s).leased_bytes, 0);
        if (round == 1) mapped = info_of(s).bytes_mapped;
    }
    assert_int_equal(info_of(s).bytes_mapped, mapped); /* the same block, again and again */
    stop(s);
}

static void test_only_held_bytes_are_sent_again(void **unused)
{
    (void)unused;
    struct rask *s = start("flow_shared", "1");
    struct rask_stream *stream;
    struct rask_request held, item, same;
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "plain"), NULL, &stream), 0);
    assert_int_equal(rask_stream_reserve(stream, BYTES, 0, &item), 0);
    assert_int_equal(rask_stream_reserve_same(stream, &item, 0, &same), -EINVAL); /* another item */
    assert_int_equal(rask_abandon(s, &item), 0);
    assert_int_equal(rask_reserve(s, 5, &held), 0); /* so little travels as a copy */
    memcpy(held.data, "small", 5);
    assert_int_equal(rask_stream_reserve_same(stream, &held, 0, &same), 0);
    assert_int_equal(rask_stream_submit(stream, &same, 5), 0);
    struct rask_completion answer;
    assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 1);
    assert_memory_equal(answer.data, "small", 5);
    rask_release(s, &answer);
    assert_int_equal(rask_abandon(s, &held), 0);
    assert_int_equal(rask_stream_reserve_same(stream, &held, 0, &same), -EINVAL); /* given back */
    rask_stream_close(stream);
    stop(s);
}

/** A caller that looks only when the worker has released everything, and used each lease's place again: it learns of all. */
static void test_ends_are_told_however_late(void **unused)
{
    (void)unused;
    enum { LEASES = 60 };
    static const char keep_it[BYTES] = {'k', 7}, release_it[] = {'o'};
    struct rask *s = start("flow_shared", "1");
    struct rask_stream *stream;
    struct rask_completion answer;
    char items[32];
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "keep"), NULL, &stream), 0);
    command(s, 'c', 0);      /* a lane is open: what is sent now needs no look of the caller */
    keep(s, 7, BYTES, NULL); /* one is always held, so that ends are looked for */
    for (unsigned i = 0; i < LEASES; i++) {
        assert_int_equal(rask_stream_send(stream, keep_it, sizeof keep_it, i, 0), 0);
        assert_int_equal(rask_stream_send(stream, release_it, sizeof release_it, i, 0), 0);
    }
    snprintf(items, sizeof items, "\"items\":%u,", 2 * LEASES);
    while (!strstr(kit_rask("stats", "--socket", server.socket, "--json", NULL)->out, items)) kit_pause_ms(1);
    for (unsigned i = 0; i < 2 * LEASES; i++) {
        assert_int_equal(rask_stream_wait(stream, &answer, 1, rask_now_ns() + 10 * KIT_S), 1);
        assert_int_equal(answer.status, RASK_OK);
        rask_release(s, &answer);
    }
    rask_poll(s, NULL, 0);
    assert_int_equal(seen.released, LEASES);
    assert_int_equal(info_of(s).leases, 1);
    rask_stream_close(stream);
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_watermark),
        KIT_TEST(test_one_by_one_and_memory_returns),
        KIT_TEST(test_copies),
        KIT_TEST(test_bounds),
        KIT_TEST(test_death_releases),
        KIT_TEST(test_caller_goes),
        KIT_TEST(test_items_of_streams),
        KIT_TEST(test_held_bytes_are_sent_again),
        KIT_TEST(test_only_held_bytes_are_sent_again),
        KIT_TEST(test_ends_are_told_however_late),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
