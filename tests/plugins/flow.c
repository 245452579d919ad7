/* SPDX-License-Identifier: MIT */
/* Streams, upcalls and leases, driven by the first byte of each item or request:
 *
 *   collect   'q' quiet  'a' answer  'e' emit, emit, answer  'f' fail with 7  's' sleep 30 ms  'x' crash  'h' hang until told to stop
 *             'b' answer with the backlog  'u' upcall, answer with its answer  'E' emit 200 times
 *             on_open refuses when the setting `refuse` is there; on_end answers how many items came
 *   plain     a method without stream handlers: answers with the request
 *   ask       upcall `name`, NUL, bytes: answers with the answer; fails with the negated error
 *   nest      the same, but sleeps first
 *   pester    upcall `again` until that fails
 *   hoard     reserves room for an upcall and makes none
 *   keep      'k' retain, answer with the item number; 'r' + 8 bytes: release up to; 'o' release the oldest; 'c' check all bytes kept
 *   closed    answers with the number of streams that were closed
 *   overlaps  answers how many of them while `ask` waited for its answer */
#include <errno.h>
#include <rask/ext/lease.h>
#include <rask/ext/stream.h>
#include <rask/ext/upcall.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT_MAX 300

static const struct rask_stream_host *streams;
static const struct rask_upcall_host *upcalls;
static const struct rask_lease_host *leases;
static const struct rask_host *host;
static struct rask_lease kept[KEPT_MAX];
static unsigned kept_count;
static unsigned closed;
static unsigned overlaps; /* closed in the middle of another handler */
static int asking;
static int refuse;

static int answer(struct rask_call *call, const void *bytes, size_t length)
{
    void *room = rask_reserve_reply(call, length);
    if (!room) return ENOMEM;
    memcpy(room, bytes, length);
    return rask_reply(call, length);
}

static int emit(struct rask_call *call, const void *bytes, size_t length)
{
    void *room = rask_reserve_reply(call, length);
    if (!room) return ENOMEM;
    memcpy(room, bytes, length);
    return streams->emit(call, length);
}

static void pause_ms(long ms)
{
    struct timespec left = {.tv_nsec = ms * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static int ask(struct rask_call *call)
{
    const char *name = call->request;
    size_t name_bytes = strnlen(name, call->request_bytes);
    if (name_bytes == call->request_bytes) return EINVAL;
    size_t bytes = call->request_bytes - name_bytes - 1;
    struct rask_upcall_reply reply;
    void *room = upcalls->reserve(call, bytes);
    if (!room) return ENOMEM;
    memcpy(room, name + name_bytes + 1, bytes);
    asking = 1;
    int result = upcalls->call(call, upcalls->method(name), bytes, 0, &reply);
    asking = 0;
    if (result == -ECANCELED) return result;
    if (result != 0) return -result;
    if (reply.code != 0) return reply.code;
    return answer(call, reply.data, reply.bytes);
}

static int nest(struct rask_call *call)
{
    pause_ms(20);
    return ask(call);
}

static int pester(struct rask_call *call)
{
    struct rask_upcall_reply reply;
    int result;
    do result = upcalls->call(call, upcalls->method("again"), 0, 0, &reply);
    while (result == 0);
    return result == -ECANCELED ? result : -result;
}

static int hoard(struct rask_call *call)
{
    return upcalls->reserve(call, call->request_bytes) ? 0 : ENOMEM;
}

static int on_open(struct rask_call *call, void **stream)
{
    (void)call;
    if (refuse) return 42;
    unsigned *count = calloc(1, sizeof *count);
    *stream = count;
    return count ? 0 : ENOMEM;
}

static int emit_many(struct rask_call *call, unsigned count)
{
    int result = 0;
    for (unsigned i = 0; i < count && result == 0; i++) result = emit(call, &i, sizeof i);
    return result;
}

static int ask_for_item(struct rask_call *call)
{
    struct rask_upcall_reply reply;
    void *room = upcalls->reserve(call, call->request_bytes);
    if (!room) return ENOMEM;
    memcpy(room, call->request, call->request_bytes);
    int result = upcalls->call(call, upcalls->method("echo"), call->request_bytes, 0, &reply);
    return result != 0 ? -result : answer(call, reply.data, reply.bytes);
}

static int on_item(struct rask_call *call, void *stream)
{
    unsigned *count = stream;
    const char *bytes = call->request;
    ++*count;
    switch (call->request_bytes > 0 ? bytes[0] : 'q') {
    case 'a':
        return answer(call, bytes, call->request_bytes);
    case 'b': {
        uint64_t backlog = streams->backlog(call);
        return answer(call, &backlog, sizeof backlog);
    }
    case 'e':
        if (emit(call, bytes, call->request_bytes) != 0) return EIO;
        if (emit(call, bytes, call->request_bytes) != 0) return EIO;
        return answer(call, bytes, call->request_bytes);
    case 'E':
        return emit_many(call, 200);
    case 'f':
        return 7;
    case 's':
        pause_ms(30);
        return 0;
    case 'h':
        while (!rask_cancelled(call)) pause_ms(1);
        return -ECANCELED;
    case 'u':
        return ask_for_item(call);
    case 'x':
        abort();
    default:
        return 0;
    }
}

static int on_end(struct rask_call *call, void *stream)
{
    return answer(call, stream, sizeof(unsigned));
}

static void on_close(void *stream, void *state)
{
    (void)state;
    free(stream);
    closed++;
    overlaps += (unsigned)asking;
}

static int say_closed(struct rask_call *call)
{
    return answer(call, &closed, sizeof closed);
}

static int say_overlaps(struct rask_call *call)
{
    return answer(call, &overlaps, sizeof overlaps);
}

static int plain(struct rask_call *call)
{
    return answer(call, call->request, call->request_bytes);
}

/** Every byte that is kept is still what its first byte says. */
static int check_kept(struct rask_call *call)
{
    unsigned count = 0;
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        const unsigned char *bytes = kept[i].data;
        if (!bytes) continue;
        for (size_t k = 1; k < kept[i].bytes; k++)
            if (bytes[k] != bytes[1]) return EBADMSG;
        count++;
    }
    return answer(call, &count, sizeof count);
}

static int keep(struct rask_call *call)
{
    const char *bytes = call->request;
    struct rask_lease *lease = &kept[kept_count % KEPT_MAX];
    uint64_t item;
    switch (call->request_bytes > 0 ? bytes[0] : 0) {
    case 'k': {
        int result = leases->retain(call, lease);
        if (result != 0) return -result;
        if (leases->retain(call, &(struct rask_lease){0}) != -EALREADY) return EPROTO;
        kept_count++;
        return answer(call, &lease->item, sizeof lease->item);
    }
    case 'r':
        memcpy(&item, bytes + 1, sizeof item);
        item = leases->release_up_to(call, item);
        for (unsigned i = 0; i < KEPT_MAX; i++) kept[i].data = NULL; /* the test releases them all */
        return answer(call, &item, sizeof item);
    case 'o':
        for (unsigned i = 0; i < KEPT_MAX; i++)
            if (kept[i].data) {
                leases->release(host, &kept[i]);
                break;
            }
        return 0;
    case 'c':
        return check_kept(call);
    case 'x':
        abort();
    default:
        return EINVAL;
    }
}

static const struct rask_stream_handlers handlers = {
    .size = sizeof handlers,
    .on_open = on_open,
    .on_item = on_item,
    .on_end = on_end,
    .on_close = on_close,
};

static int open_flow(const struct rask_host *table, void **state)
{
    (void)state;
    host = table;
    streams = table->extension(table, RASK_EXT_STREAM);
    upcalls = table->extension(table, RASK_EXT_UPCALL);
    leases = table->extension(table, RASK_EXT_LEASE);
    refuse = table->config(table, "refuse") != NULL;
    if (!streams || !upcalls || !leases) return ENOSYS;
    if (streams->serve(table, "none", &handlers) == 0) return EPROTO;
    return streams->serve(table, "collect", &handlers);
}

static int not_a_call(struct rask_call *call)
{
    return streams->emit(call, 0) == -ENOTSUP ? ENOTSUP : EPROTO;
}

static const struct rask_method methods[] = {
    {.name = "collect", .handle = not_a_call, .summary = "a stream; see its source"},
    {.name = "plain", .handle = plain, .summary = "the request"},
    {.name = "ask", .handle = ask, .summary = "an upcall"},
    {.name = "nest", .handle = nest, .summary = "an upcall, a little later"},
    {.name = "pester", .handle = pester, .summary = "upcalls without end"},
    {.name = "hoard", .handle = hoard, .summary = "room for an upcall"},
    {.name = "keep", .handle = keep, .summary = "leases"},
    {.name = "overlaps", .handle = say_overlaps, .summary = "of those, in the middle of another handler"},
    {.name = "closed", .handle = say_closed, .summary = "streams that were closed"},
};

static const char *const config_keys[] = {"refuse", NULL};

RASK_PLUGIN_SYMBOL = {
    .abi = RASK_PLUGIN_ABI,
    .size = sizeof(struct rask_plugin),
#ifdef FLOW_SHARED
    .flags = RASK_PLUGIN_SHARED_REQUEST,
#endif
    .method_count = sizeof methods / sizeof methods[0],
    .name = "flow",
    .version = "1",
    .methods = methods,
    .config_keys = config_keys,
    .open = open_flow,
};
