/* SPDX-License-Identifier: MIT */
/* work: handlers of a known cost, for `rask bench sweep`. See work.h for the bytes.
 *
 *   work    burns processor time, then sleeps, as the request says; answers when it began and when it ended
 *   weigh   answers how many bytes the request has, without looking at any of them
 *   sum     answers the sum of the request's words, reading them where the caller wrote them
 *   count   a stream whose items are counted and not answered; its end answers how many
 *   ask     asks its caller for "echo" of the request, and answers with that
 *   keep    keeps its request, and gives the one before it back
 *
 * Numbers are read once and any value is fine, so the request may be shared with the caller. */
#include "work.h"
#include <rask/ext/lease.h>
#include <rask/ext/stream.h>
#include <rask/ext/upcall.h>
#include <stdlib.h>
#include <time.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum work_error {
    WORK_BAD_LENGTH = 1, /* `work`: not the size of a struct rk_work_order */
    WORK_NO_ROOM = 2,    /* no room for the response; the caller sees RASK_REPLY_TOO_LARGE */
    WORK_NO_ANSWER = 3,  /* `ask`: its caller did not answer */
    WORK_NOT_KEPT = 4,   /* `keep`: too much is kept */
    WORK_ONLY_STREAM = 5 /* `count`: open a stream to it */
};

struct worker {
    const struct rask_upcall_host *upcalls;
    const struct rask_lease_host *leases;
    uint32_t echo;
    struct rask_lease kept;
};

#define NS_PER_S 1000000000ull

static int answer(struct rask_call *call, const void *data, size_t bytes)
{
    void *reply = rask_reserve_reply(call, bytes);
    if (!reply) return WORK_NO_ROOM;
    memcpy(reply, data, bytes);
    return rask_reply(call, bytes);
}

static void sleep_until(uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int work(struct rask_call *call)
{
    struct rk_work_order order;
    struct rk_work_stamps stamps = {.begin_ns = call->host->now_ns()};
    if (call->request_bytes != sizeof order) {
        call->host->log(call->host, RASK_LOG_WARNING, "work: refused a request of %zu bytes: send %zu",
                        call->request_bytes, sizeof order);
        return WORK_BAD_LENGTH;
    }
    memcpy(&order, call->request, sizeof order);
    rk_work_burn(order.rounds);
    if (order.sleep_ns > 0) sleep_until(call->host->now_ns() + order.sleep_ns);
    stamps.end_ns = call->host->now_ns();
    return answer(call, &stamps, sizeof stamps);
}

static int weigh(struct rask_call *call)
{
    uint64_t bytes = call->request_bytes;
    return answer(call, &bytes, sizeof bytes);
}

static int sum(struct rask_call *call)
{
    uint64_t total = rk_work_sum(call->request, call->request_bytes);
    return answer(call, &total, sizeof total);
}

static int open_count(struct rask_call *call, void **stream)
{
    (void)call;
    *stream = calloc(1, sizeof(uint64_t));
    return *stream ? 0 : WORK_NO_ROOM;
}

static int count_item(struct rask_call *call, void *stream)
{
    (void)call;
    ++*(uint64_t *)stream;
    return 0;
}

static int end_count(struct rask_call *call, void *stream)
{
    return answer(call, stream, sizeof(uint64_t));
}

static void close_count(void *stream, void *state)
{
    (void)state;
    free(stream);
}

static const struct rask_stream_handlers counting = {.size = sizeof counting,
                                                     .on_open = open_count,
                                                     .on_item = count_item,
                                                     .on_end = end_count,
                                                     .on_close = close_count};

static int count(struct rask_call *call)
{
    (void)call;
    return WORK_ONLY_STREAM;
}

static int ask(struct rask_call *call)
{
    const struct worker *worker = call->state;
    struct rask_upcall_reply reply;
    void *room = worker->upcalls->reserve(call, call->request_bytes);
    if (!room) return WORK_NO_ROOM;
    memcpy(room, call->request, call->request_bytes);
    if (worker->upcalls->call(call, worker->echo, call->request_bytes, 0, &reply) != 0) return WORK_NO_ANSWER;
    return answer(call, reply.data, reply.bytes);
}

static int keep(struct rask_call *call)
{
    struct worker *worker = call->state;
    struct rask_lease before = worker->kept;
    uint64_t bytes = call->request_bytes;
    if (worker->leases->retain(call, &worker->kept) != 0) return WORK_NOT_KEPT;
    worker->leases->release(call->host, &before);
    return answer(call, &bytes, sizeof bytes);
}

static int open_work(const struct rask_host *host, void **state)
{
    const struct rask_stream_host *streams = host->extension(host, RASK_EXT_STREAM);
    struct worker *worker = calloc(1, sizeof *worker);
    *state = worker;
    if (!worker || !streams) return WORK_NO_ROOM;
    worker->upcalls = host->extension(host, RASK_EXT_UPCALL);
    worker->leases = host->extension(host, RASK_EXT_LEASE);
    if (!worker->upcalls || !worker->leases) return WORK_NO_ROOM;
    worker->echo = worker->upcalls->method("echo");
    return streams->serve(host, "count", &counting);
}

static const struct rask_method methods[] = {
    {.name = "work", .handle = work, .summary = "rounds to burn and ns to sleep in, when it began and ended out"},
    {.name = "weigh", .handle = weigh, .summary = "any bytes in, their number out, without looking at them"},
    {.name = "sum", .handle = sum, .summary = "64-bit words in, their sum modulo 2^64 out"},
    {.name = "count", .handle = count, .summary = "a stream: any items in, at its end how many they were"},
    {.name = "ask", .handle = ask, .summary = "any bytes in, out what the caller's function echo makes of them"},
    {.name = "keep", .handle = keep, .summary = "any bytes in, kept until the next request; their number out"},
};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .method_count = sizeof methods / sizeof methods[0],
    .name = "work",
    .version = "1.1",
    .methods = methods,
    .open = open_work,
    .close = free,
};
