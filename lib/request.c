/* SPDX-License-Identifier: MIT */
/* Reserve, submit, abandon: a request before it has a lane. */
#include "batch.h"
#include "bind.h"
#include "clock.h"
#include "error.h"
#include "events.h"
#include "session.h"
#include "stream.h"
#include <errno.h>
#include <string.h>

int rk_session_refuse_child(void)
{
    return rk_error(-EOWNERDEAD, "this session was opened before fork(): open another one in the child");
}

static int refuse(const struct rask *s)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (s->ended) return rk_error(-ENOTCONN, "the supervisor ended this session: %s", s->ended_text);
    if (!s->connected) return rk_error(-ENOTCONN, "the supervisor is gone: rask_reconnect() once there is another one");
    return rk_error(-ESHUTDOWN, "the supervisor is shutting down");
}

static inline bool usable(const struct rask *s)
{
    return RK_LIKELY(!rk_session_forked(s) && s->connected && !s->shutting_down);
}

int rk_session_usable(const struct rask *s)
{
    return usable(s) ? 0 : refuse(s);
}

static int announce(struct rask *s, uint32_t id)
{
    struct rk_message_segment message = {
        .session = s->id,
        .kind = RK_SEGMENT_REQUEST_EXTRA,
        .id = id,
        .bytes = s->request[id].bytes,
    };
    rk_message_init(&message.head, RK_SEGMENT, sizeof message);
    int result = rk_session_send(s, &message, &s->request[id].fd, 1);
    return result == -EPIPE || result == -ECONNRESET ? rk_error(-ENOTCONN, "the supervisor is gone") : result;
}

/** Add a segment with blocks of one class. -EAGAIN when the cap is reached. */
static int grow(struct rask *s, uint32_t class_index)
{
    uint64_t bytes = rk_slab_extent_bytes(class_index);
    uint32_t id = s->request_segments;
    if (id >= RK_SEGMENTS_MAX || s->request_bytes + bytes > s->params.slab_bytes_max)
        return rk_error(-EAGAIN,
                        "the request slab is full at %llu bytes: release completions, or raise slab_bytes_max (%llu)",
                        (unsigned long long)s->request_bytes, (unsigned long long)s->params.slab_bytes_max);
    uint32_t blocks = rk_slab_extent_blocks(class_index);
    int result = rk_slab_make_room(&s->slab, blocks);
    if (result == 0) result = rk_segment_create(&s->request[id], RK_SEGMENT_REQUEST_EXTRA, RK_PAGE_BYTES + bytes);
    if (result != 0) return result;
    result = announce(s, id);
    if (result == 0) result = rk_slab_add(&s->slab, id, RK_PAGE_BYTES, class_index, blocks);
    if (result != 0) {
        rk_segment_finish(&s->request[id]);
        return result;
    }
    rk_segment_close_fd(&s->request[id]);
    s->request_segments++;
    s->request_bytes += bytes;
    return 0;
}

/** A block of the class, then of a new extent, then of a larger class that happens to have one. */
int rk_take_block(struct rask *s, size_t bytes, uint32_t *block)
{
    uint32_t wanted = rk_class_of(bytes);
    *block = rk_slab_take(&s->slab, wanted);
    if (RK_LIKELY(*block != RK_BLOCK_NONE)) return 0;
    int result = grow(s, wanted);
    if (result == 0) *block = rk_slab_take(&s->slab, wanted);
    for (uint32_t class_index = wanted + 1; *block == RK_BLOCK_NONE && class_index < RK_CLASSES; class_index++)
        *block = rk_slab_take(&s->slab, class_index);
    return *block != RK_BLOCK_NONE ? 0 : result;
}

static inline void begin_small(struct rk_ticket *ticket)
{
    ticket->block = RK_BLOCK_NONE;
    memset(ticket->bytes, 0, sizeof ticket->bytes); /* all of them travel */
}

/** It is likely to go by the pair: its lines come here while the caller writes the block. */
static void fetch_pair(const struct rask *s, size_t bytes)
{
    const struct rk_lane *lane = s->pending == 0 ? rk_bind_lane(s) : NULL;
    if (lane != NULL && lane->slot >= RK_SLOT_PAIR && bytes <= RK_PAIR_ROOM)
        rk_lines_fetch(lane->next_request + 1, bytes);
}

/** Any reservation but a small one. */
__attribute__((noinline)) static int reserve(struct rask *s, size_t bytes, struct rk_ticket **out)
{
    if (!usable(s)) return refuse(s);
    if (RK_UNLIKELY(bytes > s->params.payload_bytes_max))
        return rk_error(-EMSGSIZE, "a request of %zu bytes is over the limit of %u: raise payload_bytes_max", bytes,
                        s->params.payload_bytes_max);
    struct rk_ticket *ticket = rk_ticket_take(&s->tickets);
    if (RK_UNLIKELY(ticket == NULL))
        return rk_error(-EAGAIN, "%u requests are in use: release completions, or raise queue_max",
                        s->tickets.capacity);
    *out = ticket;
    if (bytes <= RASK_INLINE_BYTES) {
        begin_small(ticket);
        return 0;
    }
    ticket->block = RK_BLOCK_NONE;
    int result = rk_take_block(s, bytes, &ticket->block);
    if (RK_UNLIKELY(result != 0))
        rk_ticket_put(&s->tickets, ticket);
    else
        fetch_pair(s, bytes);
    return result;
}

/** A small reservation where an entry that was used before is free; else NULL. */
static inline struct rk_ticket *reserve_small(struct rask *s, size_t bytes)
{
    if (RK_UNLIKELY(!usable(s) || bytes > RASK_INLINE_BYTES || s->tickets.free_head == RK_TICKET_NONE)) return NULL;
    struct rk_ticket *ticket = rk_ticket_take(&s->tickets);
    begin_small(ticket);
    return ticket;
}

int rk_reserve(struct rask *s, size_t bytes, struct rk_ticket **out)
{
    struct rk_ticket *ticket = reserve_small(s, bytes);
    if (RK_UNLIKELY(ticket == NULL)) return reserve(s, bytes, out);
    *out = ticket;
    return 0;
}

uint32_t rk_bind_to_pair(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket)
{
    if (ticket->length > RK_PAIR_ROOM || (ticket->kind & RK_REQUEST_KIND_BITS) != RK_REQUEST_CALL) return 0;
    if (rk_ticket_copy(&s->tickets, ticket) == NULL) return 0;
    memcpy(lane->next_request + 1, rk_block_data(s, ticket->block), ticket->length);
    return ticket->pair_room = RK_PAIR_ROOM;
}

void *rk_reservation_data(struct rask *s, const struct rk_ticket *ticket)
{
    if (RK_LIKELY(ticket->block == RK_BLOCK_NONE)) return (void *)(uintptr_t)ticket->bytes;
    return rk_block_data(s, ticket->block);
}

size_t rk_reservation_capacity(const struct rask *s, const struct rk_ticket *ticket)
{
    if (RK_LIKELY(ticket->block == RK_BLOCK_NONE)) return RASK_INLINE_BYTES;
    uint64_t capacity = rk_class_bytes(s->slab.blocks[ticket->block].class_index);
    return capacity < s->params.payload_bytes_max ? capacity : s->params.payload_bytes_max;
}

static int reserve_request(struct rask *s, size_t bytes, struct rask_request *request)
{
    struct rk_ticket *ticket;
    int result = reserve(s, bytes, &ticket);
    if (RK_UNLIKELY(result != 0)) return result;
    request->ticket = ticket->id;
    request->data = rk_reservation_data(s, ticket);
    request->capacity = rk_reservation_capacity(s, ticket);
    return 0;
}

int rask_reserve(struct rask *s, size_t bytes, struct rask_request *request)
{
    struct rk_ticket *ticket = reserve_small(s, bytes);
    if (RK_UNLIKELY(ticket == NULL)) return reserve_request(s, bytes, request);
    request->ticket = ticket->id;
    request->data = ticket->bytes;
    request->capacity = RASK_INLINE_BYTES;
    return 0;
}

static int check_options(const struct rask_request_options *options)
{
    static const uint32_t known = RASK_SUBMIT_MORE | RASK_REQUEST_IDEMPOTENT;
    if (options->size != sizeof *options || (options->flags & ~known) != 0 || options->reserved0 != 0 ||
        options->reserved[0] != 0 || options->reserved[1] != 0)
        return rk_error(-EINVAL,
                        "request options: size %u (this library: %zu), flags %#x (only RASK_SUBMIT_MORE and "
                        "RASK_REQUEST_IDEMPOTENT), reserved words must be 0",
                        options->size, sizeof *options, options->flags);
    if (options->retries_max > RASK_RETRIES_MAX)
        return rk_error(-EINVAL, "request options: retries_max is %u: at most %u", options->retries_max,
                        RASK_RETRIES_MAX);
    if (options->retries_max > 0 && !(options->flags & RASK_REQUEST_IDEMPOTENT))
        return rk_error(-EINVAL, "request options: retries_max is %u: only a RASK_REQUEST_IDEMPOTENT one is sent again",
                        options->retries_max);
    return 0;
}

void rk_set_deadline(struct rask *s, struct rk_ticket *ticket, uint64_t deadline_ns)
{
    ticket->deadline_ns = deadline_ns;
    ticket->flags |= RK_TICKET_SPECIAL;
    s->with_deadline++;
    s->nearest_deadline_ns = rk_earlier(s->nearest_deadline_ns, deadline_ns);
}

/** What the caller wishes goes to the ticket. The last thing that can fail before it is sent. */
static int take_options(struct rask *s, struct rk_ticket *ticket, const struct rask_request_options *options)
{
    int result = check_options(options);
    if (result == 0 && options->key != 0) result = rk_key_find(s, options->key, &ticket->key);
    if (result != 0) return result;
    if (options->key != 0) ticket->wishes |= RK_WISH_KEY;
    if (options->flags & RASK_REQUEST_IDEMPOTENT)
        ticket->retries = (uint8_t)(options->retries_max > 0 ? options->retries_max : RASK_RETRIES_DEFAULT);
    if (ticket->wishes != 0 || ticket->retries != 0) ticket->flags |= RK_TICKET_SPECIAL;
    if (options->deadline_ns != 0) rk_set_deadline(s, ticket, options->deadline_ns);
    return 0;
}

static struct rk_ticket *reservation(struct rask *s, const struct rask_request *request)
{
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, request->ticket);
    return RK_LIKELY(ticket != NULL && ticket->state == RK_TICKET_RESERVED) ? ticket : NULL;
}

static bool is_streams(const struct rk_ticket *ticket)
{
    return (ticket->flags & RK_TICKET_SPECIAL) && (ticket->wishes & RK_WISH_STREAM);
}

static int not_reserved(const struct rask_request *request)
{
    return rk_error(-EINVAL, "ticket %#llx is not a reservation", (unsigned long long)request->ticket);
}

void rk_submit(struct rask *s, struct rk_ticket *ticket, uint32_t method, size_t length)
{
    if (RK_UNLIKELY(length <= RASK_INLINE_BYTES && ticket->block != RK_BLOCK_NONE)) {
        /* A large reservation with little in it travels in the slot. */
        memcpy(ticket->bytes, rk_reservation_data(s, ticket), length);
        rk_request_block_free(s, ticket);
    }
    ticket->length = (uint32_t)length;
    ticket->method = (uint16_t)method;
    s->pending++;
    s->requests++;
    if (RK_LIKELY(!(ticket->flags & RK_TICKET_SPECIAL)) || !rk_dispatch_special(s, ticket)) rk_dispatch(s, ticket);
    if (RK_UNLIKELY(s->events != NULL)) rk_events_submitted(s);
}

/** With others before or after it whose workers are woken together. */
static void submit_in_batch(struct rask *s, struct rk_ticket *ticket, uint32_t method, size_t length, bool more)
{
    rk_batch_open(s);
    rk_submit(s, ticket, method, length);
    rk_batch_close(s);
    if (!more) rk_batch_flush(s);
    if (s->wakes_held > 0 && s->events != NULL) rk_events_disturb(s); /* its loop comes back to flush */
}

/** Any but a plain one. */
__attribute__((noinline)) static int submit(struct rask *s, struct rask_request *request, uint32_t method,
                                            size_t length, const struct rask_request_options *options)
{
    if (!usable(s)) return refuse(s);
    struct rk_ticket *ticket = reservation(s, request);
    if (RK_UNLIKELY(ticket == NULL)) return not_reserved(request);
    if (RK_UNLIKELY(is_streams(ticket)))
        return rk_error(-EINVAL, "ticket %#llx is reserved for a stream: rask_stream_submit() it",
                        (unsigned long long)request->ticket);
    if (RK_UNLIKELY(method >= s->method_count))
        return rk_error(-EINVAL, "method %u: the plugin has %u methods", method, s->method_count);
    size_t capacity = rk_reservation_capacity(s, ticket);
    if (RK_UNLIKELY(length > capacity))
        return rk_error(-EMSGSIZE, "%zu bytes do not fit the %zu that were reserved", length, capacity);
    bool more = options != NULL && (options->flags & RASK_SUBMIT_MORE);
    int result = options != NULL ? take_options(s, ticket, options) : 0;
    if (RK_UNLIKELY(result != 0)) return result;
    ticket->user_data = request->user_data;
    request->data = NULL;
    if (RK_LIKELY(!more && s->wakes_held == 0))
        rk_submit(s, ticket, method, length);
    else
        submit_in_batch(s, ticket, method, length, more);
    return 0;
}

int rask_submit(struct rask *s, struct rask_request *request, uint32_t method, size_t length,
                const struct rask_request_options *options)
{
    struct rk_ticket *ticket = usable(s) && options == NULL ? reservation(s, request) : NULL;
    bool plain = ticket != NULL && ticket->block == RK_BLOCK_NONE && length <= RASK_INLINE_BYTES &&
                 method < s->method_count && s->wakes_held == 0;
    if (RK_UNLIKELY(!plain || (ticket->flags & RK_TICKET_SPECIAL))) return submit(s, request, method, length, options);
    ticket->user_data = request->user_data; /* like the caller's, until it is sent */
    if (RK_UNLIKELY(!rk_submit_plain(s, ticket, method, length))) return submit(s, request, method, length, options);
    request->data = NULL;
    return 0;
}

int rask_abandon(struct rask *s, struct rask_request *request)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    struct rk_ticket *ticket = reservation(s, request);
    if (ticket == NULL) return not_reserved(request);
    if (is_streams(ticket)) rk_stream_abandoned(s, ticket);
    rk_request_block_free(s, ticket);
    ticket->read = NULL;
    rk_ticket_put(&s->tickets, ticket);
    request->data = NULL;
    return 0;
}
