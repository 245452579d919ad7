/* SPDX-License-Identifier: MIT */
/* Reserve, submit, abandon: a request before it has a lane. */
#include "clock.h"
#include "error.h"
#include "session.h"
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

static int announce(struct rask *s, uint32_t id)
{
    struct rk_message_segment message = {
        .session = s->id,
        .kind = RK_SEGMENT_REQUEST_EXTRA,
        .id = id,
        .bytes = s->request[id].bytes,
    };
    rk_message_init(&message.head, RK_SEGMENT, sizeof message);
    return rk_session_send(s, &message, &s->request[id].fd, 1);
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
    int result = rk_segment_create(&s->request[id], RK_SEGMENT_REQUEST_EXTRA, RK_PAGE_BYTES + bytes);
    if (result != 0) return result;
    result = announce(s, id);
    if (result == 0) result = rk_slab_add(&s->slab, id, RK_PAGE_BYTES, class_index, rk_slab_extent_blocks(class_index));
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
static int take_block(struct rask *s, size_t bytes, uint32_t *block)
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

int rask_reserve(struct rask *s, size_t bytes, struct rask_request *request)
{
    if (!usable(s)) return refuse(s);
    if (RK_UNLIKELY(bytes > s->params.payload_bytes_max))
        return rk_error(-EMSGSIZE, "a request of %zu bytes is over the limit of %u: raise payload_bytes_max", bytes,
                        s->params.payload_bytes_max);
    struct rk_ticket *ticket = rk_ticket_take(&s->tickets);
    if (RK_UNLIKELY(ticket == NULL))
        return rk_error(-EAGAIN, "%u requests are in use: release completions, or raise queue_max",
                        s->tickets.capacity);
    ticket->block = RK_BLOCK_NONE;
    request->ticket = ticket->id;
    if (bytes <= RASK_INLINE_BYTES) {
        request->data = ticket->bytes;
        request->capacity = RASK_INLINE_BYTES;
        return 0;
    }
    int result = take_block(s, bytes, &ticket->block);
    if (RK_UNLIKELY(result != 0)) {
        rk_ticket_put(&s->tickets, ticket);
        return result;
    }
    const struct rk_block *block = &s->slab.blocks[ticket->block];
    request->data = (uint8_t *)s->request[block->segment].base + block->offset;
    uint64_t capacity = rk_class_bytes(block->class_index);
    request->capacity = capacity < s->params.payload_bytes_max ? capacity : s->params.payload_bytes_max;
    return 0;
}

static int read_options(const struct rask_request_options *options, uint64_t *deadline_ns)
{
    if (options->size != sizeof *options || options->flags != 0 || options->reserved[0] != 0 ||
        options->reserved[1] != 0 || options->reserved[2] != 0 || options->reserved[3] != 0)
        return rk_error(-EINVAL, "request options: size %u (this library: %zu), flags %#x and reserved words must be 0",
                        options->size, sizeof *options, options->flags);
    *deadline_ns = options->deadline_ns;
    return 0;
}

static int check(struct rask *s, const struct rask_request *request, uint32_t method, size_t length,
                 struct rk_ticket **ticket)
{
    *ticket = rk_ticket_find(&s->tickets, request->ticket);
    if (RK_UNLIKELY(*ticket == NULL || (*ticket)->state != RK_TICKET_RESERVED))
        return rk_error(-EINVAL, "ticket %#llx is not a reservation", (unsigned long long)request->ticket);
    if (RK_UNLIKELY(method >= s->method_count))
        return rk_error(-EINVAL, "method %u: the plugin has %u methods", method, s->method_count);
    uint64_t capacity = RASK_INLINE_BYTES;
    if ((*ticket)->block != RK_BLOCK_NONE) capacity = rk_class_bytes(s->slab.blocks[(*ticket)->block].class_index);
    if (RK_UNLIKELY(length > capacity || length > s->params.payload_bytes_max))
        return rk_error(-EMSGSIZE, "%zu bytes do not fit the %llu that were reserved", length,
                        (unsigned long long)capacity);
    return 0;
}

int rask_submit(struct rask *s, struct rask_request *request, uint32_t method, size_t length,
                const struct rask_request_options *options)
{
    if (!usable(s)) return refuse(s);
    struct rk_ticket *ticket;
    int result = check(s, request, method, length, &ticket);
    if (RK_UNLIKELY(result != 0)) return result;
    if (options != NULL && (result = read_options(options, &ticket->deadline_ns)) != 0) return result;
    ticket->user_data = request->user_data;
    ticket->length = (uint32_t)length;
    ticket->method = (uint16_t)method;
    if (RK_UNLIKELY(length <= RASK_INLINE_BYTES && ticket->block != RK_BLOCK_NONE)) {
        memcpy(ticket->bytes, request->data, length); /* a large reservation with little in it travels in the slot */
        rk_request_block_free(s, ticket);
    }
    if (ticket->deadline_ns != 0) {
        s->with_deadline++;
        s->nearest_deadline_ns = rk_earlier(s->nearest_deadline_ns, ticket->deadline_ns);
    }
    s->pending++;
    s->requests++;
    request->data = NULL;
    rk_dispatch(s, ticket);
    return 0;
}

int rask_abandon(struct rask *s, struct rask_request *request)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    struct rk_ticket *ticket = rk_ticket_find(&s->tickets, request->ticket);
    if (ticket == NULL || ticket->state != RK_TICKET_RESERVED)
        return rk_error(-EINVAL, "ticket %#llx is not a reservation", (unsigned long long)request->ticket);
    rk_request_block_free(s, ticket);
    rk_ticket_put(&s->tickets, ticket);
    request->data = NULL;
    return 0;
}
