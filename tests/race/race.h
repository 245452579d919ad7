/* SPDX-License-Identifier: MIT */
/* What the race programs share: stamped payloads, requests that tell the handler what to do, pauses. */
#ifndef RASK_TEST_RACE_H
#define RASK_TEST_RACE_H

#include "../unit/random.h"
#include "atomic.h"
#include "pool.h"
#include <errno.h>
#include <rask/client.h>
#include <rask/plugin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define US 1000u
#define MS 1000000u

/* How much work a test does: the thread sanitizer makes everything slower. */
#if defined(__SANITIZE_THREAD__)
#define SLOWER 2u
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOWER 2u
#endif
#endif
#ifndef SLOWER
#define SLOWER 1u
#endif

/** What a request says to the handler; what follows in it is stamped with `stamp`. */
struct order {
    uint32_t index; /* in the ledger */
    uint32_t stamp;
    uint32_t reply_bytes;
    uint32_t pause_ns;
};

static inline uint8_t stamp_byte(uint32_t stamp, size_t at)
{
    return (uint8_t)(stamp + at * 37u + (at >> 8));
}

static inline void stamp_fill(uint8_t *bytes, size_t count, uint32_t stamp)
{
    for (size_t i = 0; i < count; i++) bytes[i] = stamp_byte(stamp, i);
}

/** Are these bytes what stamp_fill() wrote? */
static inline bool stamp_holds(const uint8_t *bytes, size_t count, uint32_t stamp)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != stamp_byte(stamp, i)) return false;
    return true;
}

static inline void busy_ns(uint64_t ns)
{
    if (ns == 0) return;
    uint64_t end_ns = rask_now_ns() + ns;
    while (rask_now_ns() < end_ns) rk_pause();
}

#define LEDGER_MAX 65536u
static uint32_t ledger[LEDGER_MAX]; /* how often each request ran */
static uint32_t damaged;            /* requests that did not arrive as they were sent */

static inline int handle_order(struct rask_call *call)
{
    struct order order;
    const uint8_t *bytes = call->request;
    if (call->request_bytes < sizeof order) {
        rk_fetch_add(&damaged, 1u);
        return EINVAL;
    }
    memcpy(&order, bytes, sizeof order);
    rk_fetch_add(&ledger[order.index % LEDGER_MAX], 1u);
    if (!stamp_holds(bytes + sizeof order, call->request_bytes - sizeof order, order.stamp)) rk_fetch_add(&damaged, 1u);
    busy_ns(order.pause_ns);
    uint8_t *reply = rask_reserve_reply(call, order.reply_bytes);
    if (reply == NULL) return ENOMEM;
    stamp_fill(reply, order.reply_bytes, ~order.stamp);
    return rask_reply(call, order.reply_bytes);
}

static inline int handle_echo(struct rask_call *call)
{
    void *reply = rask_reserve_reply(call, call->request_bytes);
    if (reply == NULL) return ENOMEM;
    memcpy(reply, call->request, call->request_bytes);
    return rask_reply(call, call->request_bytes);
}

enum { ORDER, ECHO };
static const struct rask_method race_methods[] = {{"order", handle_order, 0, NULL}, {"echo", handle_echo, 0, NULL}};
static const struct rask_plugin race_plugin = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .method_count = 2,
    .name = "race",
    .version = "1",
    .methods = race_methods,
};

/** Reserve, write and submit an order with `bytes` bytes in all. Returns the ticket, or a negative errno. */
static inline int64_t send_order(struct rask *s, struct order order, size_t bytes, uint64_t deadline_ns)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    if (bytes < sizeof order) bytes = sizeof order;
    int result = rask_reserve(s, bytes, &request);
    if (result != 0) return result;
    memcpy(request.data, &order, sizeof order);
    stamp_fill((uint8_t *)request.data + sizeof order, bytes - sizeof order, order.stamp);
    request.user_data = order.index;
    options.deadline_ns = deadline_ns;
    result = rask_submit(s, &request, ORDER, bytes, &options);
    assert_int_equal(result, 0);
    return (int64_t)request.ticket;
}

static inline struct rask_info info_of(const struct rask *s)
{
    struct rask_info info = {.size = sizeof info};
    assert_int_equal(rask_info(s, &info), 0);
    return info;
}

static inline void clear_ledger(void)
{
    memset(ledger, 0, sizeof ledger);
    damaged = 0;
}

#endif
