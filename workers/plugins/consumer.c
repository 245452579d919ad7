/* SPDX-License-Identifier: MIT */
/* consumer: takes its time over each item and answers with the item itself. Shows how a handler serves streams, and, behind
 * `rask stream`, what a backlog does when producer and consumer are not equally fast.
 *
 * Item of `consume`, or request of a plain call: any bytes. Answer: the same bytes, after `--set delay=DURATION` (default
 * 100ms; a number with ns, us, ms or s, a bare number means ms; at most one hour). If the caller cancels or the deadline
 * passes meanwhile, the handler notices within SLICE_NS and stops with -ECANCELED.
 * Bytes are read once, so the caller may change them meanwhile (RASK_PLUGIN_SHARED_REQUEST). */
#include "options.h"
#include <errno.h>
#include <rask/ext/stream.h>
#include <rask/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum consumer_error { CONSUMER_NO_ROOM = 1 /* for the answer; the caller sees RASK_REPLY_TOO_LARGE */ };

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
#define DELAY_NS_DEFAULT (100 * NS_PER_MS)
#define DELAY_NS_MAX (3600 * NS_PER_S)
#define SLICE_NS (5 * NS_PER_MS)

struct consumer {
    uint64_t delay_ns;
};

/* Sleeps until an absolute time: a signal that interrupts it does not make it longer. */
static void sleep_until(uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* 0, or -ECANCELED when the caller wants no answer any more. */
static int take_time(struct rask_call *call, uint64_t delay_ns)
{
    if (delay_ns == 0) return 0;
    uint64_t now_ns = call->host->now_ns();
    uint64_t end_ns = now_ns + delay_ns;
    while (now_ns < end_ns) {
        if (rask_cancelled(call)) return -ECANCELED;
        sleep_until(end_ns - now_ns < SLICE_NS ? end_ns : now_ns + SLICE_NS);
        now_ns = call->host->now_ns();
    }
    return 0;
}

static int consume(struct rask_call *call)
{
    const struct consumer *consumer = call->state;
    int error = take_time(call, consumer->delay_ns);
    if (error) return error;
    void *reply = rask_reserve_reply(call, call->request_bytes);
    if (!reply) return CONSUMER_NO_ROOM;
    memcpy(reply, call->request, call->request_bytes);
    return rask_reply(call, call->request_bytes);
}

/* Nothing is kept from one item to the next, so there is nothing to open, to end or to close. */
static int consume_item(struct rask_call *call, void *stream)
{
    (void)stream;
    return consume(call);
}

static const struct rask_stream_handlers handlers = {.size = sizeof(handlers), .on_item = consume_item};

/* Refuses what is no duration, so that a typing error does not become a consumer without delay. */
static int read_delay(const struct rask_host *host, uint64_t *delay_ns)
{
    const char *text = host->config(host, "delay");
    *delay_ns = DELAY_NS_DEFAULT;
    if (!text) return 0;
    if (rk_parse_duration(text, delay_ns) == 0 && *delay_ns <= DELAY_NS_MAX) return 0;
    host->log(host, RASK_LOG_ERROR,
              "consumer: delay=%s is not a duration up to one hour: use a number with ns, us, ms or s", text);
    return -EINVAL;
}

/* On a host without streams `consume` is called once for each item, which comes to the same. */
static int serve_streams(const struct rask_host *host)
{
    const struct rask_stream_host *streams = host->extension(host, RASK_EXT_STREAM);
    return streams ? streams->serve(host, "consume", &handlers) : 0;
}

static int open_consumer(const struct rask_host *host, void **state)
{
    uint64_t delay_ns;
    int error = read_delay(host, &delay_ns);
    if (error == 0) error = serve_streams(host);
    if (error) return error;
    struct consumer *consumer = malloc(sizeof(*consumer));
    if (!consumer) return -ENOMEM;
    consumer->delay_ns = delay_ns;
    *state = consumer;
    return 0;
}

static const struct rask_method methods[] = {
    {.name = "consume", .handle = consume, .summary = "any bytes in, the same bytes out after a delay; serves streams"},
};
static const char *const keys[] = {"delay", NULL};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .method_count = sizeof(methods) / sizeof(methods[0]),
    .name = "consumer",
    .version = "1.0",
    .methods = methods,
    .config_keys = keys,
    .open = open_consumer,
    .close = free,
};
