/* SPDX-License-Identifier: MIT */
/* sleep: does nothing for a while. Shows how a handler that takes long stays stoppable.
 *
 * Request of `sleep`: decimal milliseconds as text, 0 to 3600000 (one hour); one newline behind them is fine.
 * Response: empty, when they are over. If the caller cancels or the deadline passes, the handler notices within
 * SLICE_NS and stops with -ECANCELED, which the caller sees as RASK_ABORTED.
 * The request is a private copy (no RASK_PLUGIN_SHARED_REQUEST), so it can be parsed at leisure. */
#include <errno.h>
#include <rask/plugin.h>
#include <time.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum sleep_error {
    SLEEP_NOT_A_NUMBER = 1, /* empty, or something else than digits */
    SLEEP_TOO_LONG = 2      /* over an hour */
};

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
#define SLEEP_MS_MAX 3600000ull
#define SLICE_NS (5 * NS_PER_MS)

/* Digits -> *ms. Stops at the limit, so no number is long enough to overflow. */
static int parse_ms(const char *text, size_t bytes, uint64_t *ms)
{
    if (bytes > 0 && text[bytes - 1] == '\n') bytes--;
    if (bytes == 0) return SLEEP_NOT_A_NUMBER;
    *ms = 0;
    int error = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') return SLEEP_NOT_A_NUMBER;
        if (!error) *ms = *ms * 10 + (uint64_t)(text[i] - '0');
        if (*ms > SLEEP_MS_MAX) error = SLEEP_TOO_LONG;
    }
    return error;
}

/* Sleeps until an absolute time: a signal that interrupts it does not make it longer. */
static void sleep_until(uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int sleep_ms(struct rask_call *call)
{
    uint64_t ms;
    int error = parse_ms(call->request, call->request_bytes, &ms);
    if (error) {
        call->host->log(call->host, RASK_LOG_WARNING,
                        "sleep: refused a request of %zu bytes: send milliseconds as digits, 0 to %llu",
                        call->request_bytes, SLEEP_MS_MAX);
        return error;
    }
    uint64_t now_ns = call->host->now_ns();
    uint64_t end_ns = now_ns + ms * NS_PER_MS;
    while (now_ns < end_ns) {
        if (rask_cancelled(call)) return -ECANCELED;
        sleep_until(end_ns - now_ns < SLICE_NS ? end_ns : now_ns + SLICE_NS);
        now_ns = call->host->now_ns();
    }
    return 0; /* without rask_reply() the response is empty */
}

static const struct rask_method methods[] = {
    {.name = "sleep",
     .handle = sleep_ms,
     .summary = "milliseconds as decimal text in, empty answer when they are over"},
};

RASK_PLUGIN("sleep", "1.0", 0, methods);
