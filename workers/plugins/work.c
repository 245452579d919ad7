/* SPDX-License-Identifier: MIT */
/* work: handlers of a known cost, for `rask bench sweep`. See work.h for the bytes.
 *
 *   work    burns processor time, then sleeps, as the request says; answers when it began and when it ended
 *   weigh   answers how many bytes the request has, without looking at any of them
 *   sum     answers the sum of the request's words, reading them where the caller wrote them
 *
 * Numbers are read once and any value is fine, so the request may be shared with the caller. */
#include "work.h"
#include <rask/plugin.h>
#include <time.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum work_error {
    WORK_BAD_LENGTH = 1, /* `work`: not the size of a struct rk_work_order */
    WORK_NO_ROOM = 2     /* no room for the response; the caller sees RASK_REPLY_TOO_LARGE */
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

static const struct rask_method methods[] = {
    {.name = "work", .handle = work, .summary = "rounds to burn and ns to sleep in, when it began and ended out"},
    {.name = "weigh", .handle = weigh, .summary = "any bytes in, their number out, without looking at them"},
    {.name = "sum", .handle = sum, .summary = "64-bit words in, their sum modulo 2^64 out"},
};

RASK_PLUGIN("work", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
