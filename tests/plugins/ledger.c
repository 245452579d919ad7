/* SPDX-License-Identifier: MIT */
/* Handlers that count their executions in a file, so that a test knows what really ran; see ledger.h. */
#include "ledger.h"
#include <errno.h>
#include <fcntl.h>
#include <rask/plugin.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HOG_STEP_BYTES (1u << 20)
#define HOG_STEPS_MAX 1024u

static struct ledger *ledger;

static int enter(const struct rask_call *call, struct ledger_request *request)
{
    if (call->request_bytes < sizeof(*request)) return EINVAL;
    memcpy(request, call->request, sizeof(*request));
    if (request->number >= LEDGER_NUMBERS) return ERANGE;
    __atomic_store_n(&ledger->worker[request->number], (uint32_t)getpid(), __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&ledger->started[request->number], 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int answer(struct rask_call *call, const struct ledger_request *request)
{
    const uint8_t *bytes = call->request;
    uint8_t *reply = rask_reserve_reply(call, call->request_bytes);
    if (!reply) return ENOMEM;
    memcpy(reply, &request->number, sizeof(request->number));
    for (size_t i = sizeof(request->number); i < call->request_bytes; i++) reply[i] = (uint8_t)~bytes[i];
    __atomic_fetch_add(&ledger->finished[request->number], 1, __ATOMIC_SEQ_CST);
    return rask_reply(call, call->request_bytes);
}

static void sleep_ms(uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
}

static int ok(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    return error ? error : answer(call, &request);
}

static int slow(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    sleep_ms(request.argument);
    return answer(call, &request);
}

static int stoppable(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    for (uint32_t ms = 0; ms < request.argument; ms++) {
        if (rask_cancelled(call)) return -ECANCELED;
        sleep_ms(1);
    }
    return answer(call, &request);
}

static int crash(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    return error ? error : raise(SIGSEGV);
}

static int hang(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    while (pause() < 0) continue;
    return 0;
}

static int spin(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    for (volatile uint32_t turns = 0;; turns++) continue;
}

static int ordered(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    uint32_t *last = &ledger->last[request.argument % LEDGER_KEYS];
    if (__atomic_exchange_n(last, request.number, __ATOMIC_SEQ_CST) > request.number) return EPROTO;
    return answer(call, &request);
}

static int large(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    uint8_t *reply = rask_reserve_reply(call, request.argument);
    if (!reply) return ENOMEM;
    memset(reply, 'x', request.argument);
    return rask_reply(call, request.argument);
}

/** Takes memory until the kernel ends it, or there is as much as nobody expected. */
static int hog(struct rask_call *call)
{
    struct ledger_request request;
    int error = enter(call, &request);
    if (error) return error;
    for (unsigned i = 0; i < HOG_STEPS_MAX; i++) {
        char *more = malloc(HOG_STEP_BYTES);
        if (!more) return ENOMEM;
        memset(more, 1, HOG_STEP_BYTES);
    }
    return EOVERFLOW;
}

static int open_plugin(const struct rask_host *host, void **state)
{
    (void)state;
    const char *path = host->config(host, "ledger");
    if (!path) return EINVAL;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return errno;
    void *base = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED) return errno;
    ledger = base;
    return 0;
}

static void close_plugin(void *state)
{
    (void)state;
    munmap(ledger, sizeof(struct ledger));
}

static const struct rask_method methods[] = {
    {.name = "ok", .handle = ok, .summary = "answers at once"},
    {.name = "slow", .handle = slow, .summary = "answers after some milliseconds, whatever happens"},
    {.name = "stoppable", .handle = stoppable, .summary = "the same, unless asked to stop"},
    {.name = "crash", .handle = crash, .summary = "dies of SIGSEGV"},
    {.name = "hang", .handle = hang, .summary = "never answers"},
    {.name = "spin", .handle = spin, .summary = "never answers, and uses a processor"},
    {.name = "ordered", .handle = ordered, .summary = "fails after one with the same argument and a higher number"},
    {.name = "large", .handle = large, .summary = "answers with that many bytes"},
    {.name = "hog", .handle = hog, .summary = "takes memory until it is killed for it"},
};
static const char *const keys[] = {"ledger", NULL};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
    .name = "ledger",
    .version = "1",
    .flags = RASK_PLUGIN_SHARED_REQUEST,
    .methods = methods,
    .method_count = sizeof(methods) / sizeof(methods[0]),
    .config_keys = keys,
    .open = open_plugin,
    .close = close_plugin,
};
