/* SPDX-License-Identifier: MIT */
/* Streams, upcalls and leases while workers are killed at random: every stream ends once and says exactly which items were
 * processed, answers come in order and none is lost or twice, every lease ends once, and all memory comes back. */
#include "oracle_load.h"
#include <errno.h>
#include <rask/rask.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 3, STREAMS = 4, ITEMS_MAX = 4000, BYTES_MAX = 3000, CALLS_MAX = 40 };

static struct kit_server server;
static uint64_t seed;

/** What was sent to a stream, and how far its answers have been read. */
struct sent {
    struct rask_stream *stream;
    uint32_t count;
    uint32_t limit;  /* then it is ended */
    uint32_t item;   /* whose answers are read */
    uint32_t answer; /* of this item: so many were read */
    char kind[ITEMS_MAX];
};

static struct {
    uint64_t ok, crashed, cut; /* ends of streams */
    uint64_t items, answers, upcalls, calls, calls_crashed;
    uint64_t released, died;
    uint32_t calls_open;
} seen;

static int echo(struct rask_upcall *upcall, void *user)
{
    (void)user;
    void *room = rask_upcall_reserve(upcall, upcall->request_bytes);
    assert_non_null(room);
    memcpy(room, upcall->request, upcall->request_bytes);
    seen.upcalls++;
    return rask_upcall_reply(upcall, upcall->request_bytes);
}

static void on_lease_end(struct rask *s, const struct rask_lease_event *event, void *user)
{
    (void)s;
    (void)user;
    seen.released += event->end == RASK_LEASE_RELEASED;
    seen.died += event->end == RASK_LEASE_DIED;
}

/* ---- streams ------------------------------------------------------------------------------------------------------- */

static uint32_t answers_of(char kind)
{
    return kind == 'e' ? 3 : kind == 'a' || kind == 'u' ? 1 : 0;
}

static void open_one(struct rask *s, struct sent *sent)
{
    sent->count = sent->item = sent->answer = 0;
    sent->limit = 1 + (uint32_t)kit_random(&seed, ITEMS_MAX - 1);
    assert_int_equal(rask_stream_open(s, (uint32_t)rask_method(s, "collect"), NULL, &sent->stream), 0);
}

static void skip_quiet(struct sent *sent)
{
    while (sent->item < sent->count && sent->answer == answers_of(sent->kind[sent->item])) {
        sent->item++;
        sent->answer = 0;
    }
}

static void judge_answer(struct rask *s, struct sent *sent, struct rask_completion *answer)
{
    skip_quiet(sent);
    assert_int_equal(answer->status, RASK_OK);
    if (sent->item == sent->count) { /* of the end */
        assert_int_equal(answer->length, sizeof(uint32_t));
        assert_int_equal(*(const uint32_t *)answer->data, sent->count);
    } else {
        assert_int_equal(answer->user_data, sent->item);
        assert_int_equal(*(const char *)answer->data, sent->kind[sent->item]);
        for (uint32_t i = 1; i < answer->length; i++)
            assert_int_equal(((const uint8_t *)answer->data)[i], sent->item & 0xff);
        sent->answer++;
        seen.answers++;
    }
    rask_release(s, answer);
}

/** It has ended, and every answer was read. */
static void judge_end(struct sent *sent)
{
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(sent->stream, &state), 0);
    skip_quiet(sent);
    assert_int_equal(state.backlog, 0);
    assert_int_equal(state.sent, sent->count);
    assert_int_equal(state.waiting, 0);
    if (state.status == RASK_OK) {
        assert_int_equal(state.processed, sent->count);
        assert_int_equal(sent->item, sent->count);
        seen.ok++;
    } else {
        assert_string_equal(rask_status_name(state.status), "CRASHED");
        assert_true(state.processed <= sent->count);
        assert_true(sent->item >=
                    state.processed); /* all answers of what was processed; of the next one emissions at most */
        for (uint32_t i = (uint32_t)state.processed; i < sent->item; i++)
            assert_int_equal(answers_of(sent->kind[i]), 0);
        seen.crashed++;
    }
    rask_stream_close(sent->stream);
    sent->stream = NULL;
}

static void send_one(struct sent *sent)
{
    static const char kinds[] = "aaaaqqqqeu";
    static char bytes[BYTES_MAX];
    char kind = kinds[kit_random(&seed, sizeof kinds - 1)];
    size_t length = kit_random(&seed, 4) == 0 ? 1 + kit_random(&seed, BYTES_MAX - 1) : 1 + kit_random(&seed, 31);
    memset(bytes, (int)(sent->count & 0xff), length);
    bytes[0] = kind;
    int result = rask_stream_send(sent->stream, bytes, length, sent->count, rask_now_ns() + 1);
    if (result == 0) {
        sent->kind[sent->count++] = kind;
        seen.items++;
    } else if (result != -EAGAIN && result != -ETIMEDOUT) {
        assert_int_equal(result, -EPIPE); /* its worker died */
    }
}

static void turn_of(struct rask *s, struct sent *sent)
{
    struct rask_completion answer[8];
    if (sent->stream == NULL) open_one(s, sent);
    for (unsigned i = 0; i < 8 && sent->count < sent->limit; i++) send_one(sent);
    if (sent->count == sent->limit) {
        int result = rask_stream_end(sent->stream);
        assert_true(result == 0 || result == -EPIPE);
    }
    int count = rask_stream_take(sent->stream, answer, 8);
    for (int i = 0; i < count; i++) judge_answer(s, sent, &answer[i]);
    struct rask_stream_state state = {.size = sizeof state};
    assert_int_equal(rask_stream_state(sent->stream, &state), 0);
    if (state.ended && state.waiting == 0) {
        judge_end(sent);
    } else if (kit_random(&seed, 2000) == 0) {
        rask_stream_close(sent->stream); /* nobody wants it any more */
        sent->stream = NULL;
        seen.cut++;
    }
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

static void call_one(struct rask *s)
{
    struct rask_request request;
    size_t bytes = 10 + kit_random(&seed, BYTES_MAX);
    if (seen.calls_open >= CALLS_MAX || rask_reserve(s, bytes, &request) != 0) return;
    uint64_t what = kit_random(&seed, 10);
    memset(request.data, 7, bytes);
    if (what < 4)
        memcpy(request.data, "echo", 5);
    else if (what < 9)
        memcpy(request.data, "k", 1);
    else
        memcpy(request.data, "r\xff\xff\xff\xff\xff\xff\xff\x7f", 9);
    const char *method = what < 4 ? "ask" : "keep";
    assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, method), bytes, NULL), 0);
    seen.calls_open++;
}

static void take_calls(struct rask *s)
{
    struct rask_completion out[16];
    int count = rask_poll(s, out, 16);
    for (int i = 0; i < count; i++) {
        bool quota = out[i].status == RASK_HANDLER_ERROR && out[i].code == EDQUOT;
        if (out[i].status != RASK_OK && out[i].status != RASK_CRASHED && !quota)
            fail_msg("a call ended as %s, code %d", rask_status_name(out[i].status), out[i].code);
        seen.calls++;
        seen.calls_crashed += out[i].status == RASK_CRASHED;
        seen.calls_open--;
        rask_release(s, &out[i]);
    }
}

/** On a busy machine it takes more kills than planned. */
static bool seen_everything(void)
{
    return seen.crashed > 0 && seen.answers > 0 && seen.upcalls > 0 && seen.died > 0;
}

static void kill_one(void)
{
    pid_t workers[WORKERS];
    unsigned count = kit_workers(server.pid, workers, WORKERS);
    if (count > 0) kill(workers[kit_random(&seed, count)], SIGKILL);
}

static void kill_all_at_the_end(struct rask *s)
{
    struct rask_info info = {.size = sizeof info};
    uint64_t end_ns = rask_now_ns() + 10 * KIT_S;
    do {
        pid_t workers[WORKERS];
        unsigned count = kit_workers(server.pid, workers, WORKERS);
        for (unsigned i = 0; i < count; i++) kill(workers[i], SIGKILL);
        for (unsigned i = 0; i < 100; i++) {
            take_calls(s);
            kit_pause_ms(1);
        }
        assert_int_equal(rask_info(s, &info), 0);
    } while ((info.leases > 0 || seen.calls_open > 0) && rask_now_ns() < end_ns);
    assert_int_equal(info.leases, 0);
    assert_int_equal(info.leased_bytes, 0);
    assert_int_equal(info.streams, 0);
    assert_int_equal(info.stream_backlog, 0);
    assert_int_equal(info.rescues, 0);
    assert_int_equal(seen.calls_open, 0);
}

static void test_storm_of_kills_over_streams_upcalls_leases(void **state)
{
    (void)state;
    static struct sent sent[STREAMS];
    uint32_t kills = oracle_scale("RASK_FLOW_KILLS", 60, 3600);
    seed = kit_seed();
    memset(&seen, 0, sizeof seen);
    kit_start(&server, "--plugin", kit_plugin("flow_shared"), "--workers", "3", "--restart-limit", "0", NULL);
    struct rask *s = kit_connect(&server, NULL);
    assert_int_equal(rask_on_upcall(s, "echo", echo, NULL), 0);
    assert_int_equal(rask_on_lease_end(s, on_lease_end, NULL), 0);
    uint64_t next_kill_ns = rask_now_ns() + 20 * KIT_MS;
    for (uint32_t done = 0; done < kills || (!seen_everything() && done < 20 * kills);) {
        for (unsigned i = 0; i < STREAMS; i++) turn_of(s, &sent[i]);
        call_one(s);
        take_calls(s);
        if (rask_now_ns() < next_kill_ns) continue;
        kill_one();
        done++;
        next_kill_ns = rask_now_ns() + kit_random(&seed, 40 * KIT_MS);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        if (sent[i].stream != NULL) rask_stream_close(sent[i].stream);
        sent[i].stream = NULL;
    }
    kill_all_at_the_end(s);
    print_message(
        "%u kills: %llu items, %llu answers, %llu upcalls; streams ended %llu OK, %llu CRASHED, %llu were cut;\n"
        "%llu calls, %llu CRASHED; leases: %llu released, %llu with their worker\n",
        kills, (unsigned long long)seen.items, (unsigned long long)seen.answers, (unsigned long long)seen.upcalls,
        (unsigned long long)seen.ok, (unsigned long long)seen.crashed, (unsigned long long)seen.cut,
        (unsigned long long)seen.calls, (unsigned long long)seen.calls_crashed, (unsigned long long)seen.released,
        (unsigned long long)seen.died);
    assert_true(seen_everything());
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_storm_of_kills_over_streams_upcalls_leases)};
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
