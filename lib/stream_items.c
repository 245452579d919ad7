/* SPDX-License-Identifier: MIT */
/* What the owner of a stream does with it: items in, answers out, its end; see <rask/stream.h>. */
#include "batch.h"
#include "error.h"
#include "events.h"
#include "stream.h"
#include "upcall.h"
#include <errno.h>
#include <string.h>

static int has_ended(const struct rask_stream *stream)
{
    if (stream->phase == RK_STREAM_ENDING) return rk_error(-EPIPE, "the stream was told that nothing more comes");
    return rk_error(-EPIPE, "the stream has ended: %s", rask_status_name(stream->status));
}

static bool takes_items(const struct rask_stream *stream)
{
    return stream->phase <= RK_STREAM_RUNNING && !stream->decided;
}

/** May one more item of so much memory come into the backlog? */
static bool has_room(const struct rask_stream *stream, uint64_t memory)
{
    return stream->backlog + stream->reserved < stream->options.queue_max &&
           (memory == 0 || stream->backlog_bytes + stream->reserved_bytes + memory <= stream->options.queue_bytes_max);
}

static int backlog_full(const struct rask_stream *stream)
{
    return rk_error(
        -EAGAIN, "the backlog is full: %llu items, %llu bytes, and %llu reserved (queue_max %u, queue_bytes_max %llu)",
        (unsigned long long)stream->backlog, (unsigned long long)stream->backlog_bytes,
        (unsigned long long)stream->reserved, stream->options.queue_max,
        (unsigned long long)stream->options.queue_bytes_max);
}

/** Waiting would not help: its worker may wait for these answers to be taken, or for the memory they keep. */
static bool has_its_fill(const struct rask_stream *stream)
{
    return stream->waiting_answers >= stream->options.queue_max ||
           stream->waiting_bytes >= stream->s->params.slab_bytes_max / 2;
}

static int answers_wait(const struct rask_stream *stream)
{
    return rk_error(
        -EAGAIN, "%u answers of the stream wait, with %llu bytes (queue_max %u, slab_bytes_max %llu): take them first",
        stream->waiting_answers, (unsigned long long)stream->waiting_bytes, stream->options.queue_max,
        (unsigned long long)stream->s->params.slab_bytes_max);
}

/** A call that ran callbacks is done with the stream. 0; -EPIPE: one of them has closed it, and it may be gone. */
static int leave(struct rask_stream *stream)
{
    bool closed = stream->closed;
    if (--stream->users == 0 && closed && stream->phase == RK_STREAM_OVER) rk_stream_forget(stream);
    return closed ? rk_error(-EPIPE, "a callback has closed the stream") : 0;
}

/** Wait for something to happen to the session. */
static int wait_once(struct rask_stream *stream, uint64_t deadline_ns)
{
    struct rask *s = stream->s;
    bool deadlock = stream->bound ? s->lanes[stream->lane].upcalling : rk_upcall_blocks(s);
    if (RK_UNLIKELY(deadlock)) return rk_refuse_deadlock();
    int result = rk_session_wait(s, NULL, deadline_ns);
    if (rk_callbacks_due(s)) rk_run_callbacks(s);
    if (result == 0 && deadline_ns != 0 && rask_now_ns() >= deadline_ns) return -ETIMEDOUT;
    return result;
}

/** The backlog is at its limit: what the policy says. 0: look again; 1: dropped. */
static int make_room(struct rask_stream *stream, uint64_t deadline_ns)
{
    switch (stream->options.policy) {
    case RASK_STREAM_FAIL:
        return backlog_full(stream);
    case RASK_STREAM_DROP_OLDEST:
        return rk_stream_drop_oldest(stream) ? 0 : backlog_full(stream);
    case RASK_STREAM_DROP_NEWEST:
        stream->dropped++;
        return 1;
    default:
        if (has_its_fill(stream)) return answers_wait(stream);
        return stream->backlog > 0 ? wait_once(stream, deadline_ns) : backlog_full(stream); /* by reservations only */
    }
}

static uint64_t memory_of(const struct rask *s, const struct rk_ticket *ticket)
{
    return ticket->block == RK_BLOCK_NONE ? 0 : rk_class_bytes(s->slab.blocks[ticket->block].class_index);
}

/** What an item is to hold: room for so many bytes, or those of another reservation. */
struct wanted {
    size_t bytes;
    const struct rk_ticket *same_as; /* NULL: room of its own */
};

/** A ticket with room of its own, whose block the backlog has room for: there may be larger ones only. */
static int reserve_room(struct rask_stream *stream, size_t bytes, struct rk_ticket **ticket)
{
    struct rask *s = stream->s;
    int result = rk_reserve(s, bytes, ticket);
    if (RK_UNLIKELY(result != 0) || RK_LIKELY(has_room(stream, memory_of(s, *ticket)))) return result;
    result =
        rk_error(-EAGAIN, "the request slab has only a block of %llu bytes left, which is over queue_bytes_max (%llu)",
                 (unsigned long long)memory_of(s, *ticket), (unsigned long long)stream->options.queue_bytes_max);
    rk_request_block_free(s, *ticket);
    rk_ticket_put(&s->tickets, *ticket);
    return result;
}

static int reserve_one(struct rask_stream *stream, const struct wanted *wanted, struct rk_ticket **ticket)
{
    struct rask *s = stream->s;
    const struct rk_ticket *same = wanted->same_as;
    if (RK_LIKELY(same == NULL)) return reserve_room(stream, wanted->bytes, ticket);
    int result = rk_reserve(s, 0, ticket);
    if (result != 0) return result;
    (*ticket)->block = same->block;
    if (same->block != RK_BLOCK_NONE)
        rk_slab_use(&s->slab, same->block);
    else
        memcpy((*ticket)->bytes, same->bytes, sizeof same->bytes);
    return 0;
}

/** Room in the session for an item that the backlog has room for. -EAGAIN only where waiting would not help. */
static int reserve(struct rask_stream *stream, const struct wanted *wanted, uint64_t deadline_ns,
                   struct rk_ticket **ticket)
{
    struct rask *s = stream->s;
    for (;;) {
        int result = reserve_one(stream, wanted, ticket);
        if (result != -EAGAIN || stream->options.policy != RASK_STREAM_BLOCK || s->pending == s->ready.count)
            return result;
        if (has_its_fill(stream)) return answers_wait(stream);
        result = wait_once(stream, deadline_ns);
        if (result != 0) return result;
        if (!takes_items(stream)) return has_ended(stream);
    }
}

static int reserve_in_backlog(struct rask_stream *stream, const struct wanted *wanted, uint64_t deadline_ns,
                              struct rk_ticket **ticket)
{
    size_t bytes = wanted->bytes;
    uint64_t memory = bytes <= RASK_INLINE_BYTES ? 0 : rk_class_bytes(rk_class_of(bytes));
    if (memory > stream->options.queue_bytes_max)
        return rk_error(-EMSGSIZE, "an item of %zu bytes takes %llu of memory, queue_bytes_max is %llu", bytes,
                        (unsigned long long)memory, (unsigned long long)stream->options.queue_bytes_max);
    if (RK_UNLIKELY(!has_room(stream, memory))) {
        rk_batch_flush(stream->s);
        if (stream->options.policy == RASK_STREAM_BLOCK) rk_session_gather(stream->s);
        rk_progress(stream->s);
        if (!takes_items(stream)) return has_ended(stream);
    }
    while (RK_UNLIKELY(!has_room(stream, memory))) {
        if (stream->waiting_answers >= stream->options.queue_max) return answers_wait(stream);
        int result = make_room(stream, deadline_ns);
        if (result != 0) return result;
        if (!takes_items(stream)) return has_ended(stream);
    }
    if (RK_UNLIKELY(stream->waiting_answers >= stream->options.queue_max)) return answers_wait(stream);
    return reserve(stream, wanted, deadline_ns, ticket);
}

/** A ticket that is reserved for the stream, counted. */
static int take_ticket(struct rask_stream *stream, const struct wanted *wanted, uint64_t deadline_ns,
                       struct rk_ticket **out)
{
    if (RK_UNLIKELY(rk_session_forked(stream->s))) return rk_session_refuse_child();
    if (RK_UNLIKELY(!takes_items(stream))) return has_ended(stream);
    struct rk_ticket *ticket;
    stream->users++;
    int result = reserve_in_backlog(stream, wanted, deadline_ns, &ticket);
    int closed = leave(stream);
    if (RK_UNLIKELY(result != 0)) return closed != 0 ? closed : result;
    ticket->wishes = RK_WISH_STREAM;
    ticket->flags |= RK_TICKET_SPECIAL;
    ticket->key = stream->index;
    stream->reserved++;
    stream->reserved_bytes += memory_of(stream->s, ticket);
    *out = ticket;
    return 0;
}

static int reserve_item(struct rask_stream *stream, const struct wanted *wanted, uint64_t deadline_ns,
                        struct rask_request *item)
{
    struct rk_ticket *ticket;
    int result = take_ticket(stream, wanted, deadline_ns, &ticket);
    if (result != 0) return result;
    *item = (struct rask_request){.data = rk_reservation_data(stream->s, ticket),
                                  .capacity = rk_reservation_capacity(stream->s, ticket),
                                  .ticket = ticket->id};
    return 0;
}

int rask_stream_reserve(struct rask_stream *stream, size_t bytes, uint64_t deadline_ns, struct rask_request *item)
{
    return reserve_item(stream, &(struct wanted){.bytes = bytes}, deadline_ns, item);
}

int rask_stream_reserve_same(struct rask_stream *stream, const struct rask_request *held, uint64_t deadline_ns,
                             struct rask_request *item)
{
    struct rask *s = stream->s;
    const struct rk_ticket *ticket = rk_ticket_find(&s->tickets, held->ticket);
    if (ticket == NULL || ticket->state != RK_TICKET_RESERVED || (ticket->wishes & RK_WISH_STREAM))
        return rk_error(-EINVAL, "ticket %#llx is not a reservation of rask_reserve() with this session",
                        (unsigned long long)held->ticket);
    struct wanted wanted = {.bytes = rk_reservation_capacity(s, ticket), .same_as = ticket};
    int result = reserve_item(stream, &wanted, deadline_ns, item);
    if (result == 0) item->user_data = held->user_data;
    return result;
}

void rk_stream_abandoned(struct rask *s, struct rk_ticket *ticket)
{
    struct rask_stream *stream = rk_stream_of(s, ticket);
    stream->reserved--;
    stream->reserved_bytes -= memory_of(s, ticket);
    ticket->wishes = 0;
}

/** With others before or after it whose worker is woken once. */
static void send_in_batch(struct rask_stream *stream, struct rk_ticket *ticket, bool more)
{
    struct rask *s = stream->s;
    rk_batch_open(s);
    rk_stream_send(stream, ticket, RK_REQUEST_ITEM);
    rk_batch_close(s);
    if (!more) rk_batch_flush(s);
    if (s->wakes_held > 0 && s->events != NULL) rk_events_disturb(s); /* its loop comes back to flush */
}

/** OPEN goes before what comes first. The stream may end at once where no worker will serve it: with its reservations. */
static int begin(struct rask_stream *stream)
{
    if (RK_LIKELY(stream->phase != RK_STREAM_IDLE)) return 0;
    rk_stream_begin(stream);
    return takes_items(stream) ? 0 : has_ended(stream);
}

/** Send a reservation that was checked. */
static int submit(struct rask_stream *stream, struct rk_ticket *ticket, size_t length)
{
    struct rask *s = stream->s;
    int result = begin(stream);
    if (RK_UNLIKELY(result != 0)) return result;
    stream->reserved--;
    stream->reserved_bytes -= memory_of(s, ticket);
    if (RK_UNLIKELY(length <= RASK_INLINE_BYTES && ticket->block != RK_BLOCK_NONE)) {
        memcpy(ticket->bytes, rk_reservation_data(s, ticket), length);
        rk_request_block_free(s, ticket);
    }
    ticket->length = (uint32_t)length;
    ticket->memory_class = 0;
    if (ticket->block != RK_BLOCK_NONE) {
        ticket->memory_class = (uint8_t)(s->slab.blocks[ticket->block].class_index + 1);
        stream->backlog_bytes += memory_of(s, ticket);
    }
    stream->sent++;
    stream->backlog++;
    /* SYNC R17 relaxed store: a figure */
    rk_store_relaxed(&s->header->sent[stream->index], ++stream->announced);
    bool more = (stream->options.flags & RASK_STREAM_MORE) != 0;
    if (RK_UNLIKELY(more || s->wakes_held > 0))
        send_in_batch(stream, ticket, more);
    else
        rk_stream_send(stream, ticket, RK_REQUEST_ITEM);
    return 0;
}

static struct rk_ticket *reservation(const struct rask_stream *stream, const struct rask_request *item)
{
    struct rk_ticket *ticket = rk_ticket_find(&stream->s->tickets, item->ticket);
    bool ours = ticket != NULL && ticket->state == RK_TICKET_RESERVED && (ticket->wishes & RK_WISH_STREAM) &&
                ticket->key == stream->index;
    return ours ? ticket : NULL;
}

int rask_stream_submit(struct rask_stream *stream, struct rask_request *item, size_t length)
{
    struct rask *s = stream->s;
    if (RK_UNLIKELY(rk_session_forked(s))) return rk_session_refuse_child();
    struct rk_ticket *ticket = reservation(stream, item);
    if (RK_UNLIKELY(!takes_items(stream))) {
        if (ticket != NULL) rask_abandon(s, item);
        return has_ended(stream);
    }
    if (RK_UNLIKELY(ticket == NULL))
        return rk_error(-EINVAL, "ticket %#llx is not a reservation of this stream", (unsigned long long)item->ticket);
    size_t capacity = rk_reservation_capacity(s, ticket);
    if (RK_UNLIKELY(length > capacity))
        return rk_error(-EMSGSIZE, "%zu bytes do not fit the %zu that were reserved", length, capacity);
    ticket->user_data = item->user_data;
    item->data = NULL;
    return submit(stream, ticket, length);
}

int rask_stream_send(struct rask_stream *stream, const void *data, size_t length, uint64_t user_data,
                     uint64_t deadline_ns)
{
    struct rk_ticket *ticket;
    int result = take_ticket(stream, &(struct wanted){.bytes = length}, deadline_ns, &ticket);
    if (RK_UNLIKELY(result != 0)) return result;
    if (length > 0) memcpy(rk_reservation_data(stream->s, ticket), data, length);
    ticket->user_data = user_data;
    return submit(stream, ticket, length);
}

int rask_stream_end(struct rask_stream *stream)
{
    if (rk_session_forked(stream->s)) return rk_session_refuse_child();
    bool ended = stream->phase == RK_STREAM_ENDING || (stream->phase == RK_STREAM_OVER && stream->status == RASK_OK);
    if (ended) return 0;
    if (!takes_items(stream)) return has_ended(stream);
    int result = begin(stream);
    if (result != 0) return result;
    rk_stream_send_control(stream, RK_REQUEST_END);
    rk_batch_flush(stream->s);
    return 0;
}

/** What is there goes to the caller. */
static uint32_t take_listed(struct rask_stream *stream, struct rask_completion *out, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && rk_answer_take(stream, &out[count])) count++;
    if (count > 0 && stream->bound) stream->s->lanes[stream->lane].full = false;
    return count;
}

/** It may bring in answers of other streams, which were read already: so a loop that sleeps is woken, and not let sleep. */
int rask_stream_take(struct rask_stream *stream, struct rask_completion *out, uint32_t max)
{
    if (rk_session_forked(stream->s)) return rk_session_refuse_child();
    if (stream->waiting_answers < max && stream->phase != RK_STREAM_OVER) {
        stream->users++;
        rk_poll(stream->s, NULL, 0);
        int result = leave(stream);
        if (RK_UNLIKELY(result != 0)) return result;
    }
    return (int)take_listed(stream, out, max);
}

static int wait_for_answers(struct rask_stream *stream, struct rask_completion *out, uint32_t max, uint64_t deadline_ns)
{
    for (;;) {
        rk_progress(stream->s);
        uint32_t count = take_listed(stream, out, max);
        if (count > 0 || stream->phase == RK_STREAM_OVER) return (int)count;
        if (stream->phase <= RK_STREAM_RUNNING && stream->held == 0)
            return rk_error(-ENODATA, "nothing was sent that could be answered");
        int result = wait_once(stream, deadline_ns);
        if (stream->closed) return 0;
        if (result == -ETIMEDOUT && (stream->waiting_answers > 0 || stream->phase == RK_STREAM_OVER)) continue;
        if (result != 0) return result;
    }
}

int rask_stream_wait(struct rask_stream *stream, struct rask_completion *out, uint32_t max, uint64_t deadline_ns)
{
    if (rk_session_forked(stream->s)) return rk_session_refuse_child();
    stream->users++;
    int result = wait_for_answers(stream, out, max, deadline_ns);
    int closed = leave(stream);
    return closed != 0 ? closed : result;
}

int rask_stream_cancel(struct rask_stream *stream)
{
    if (rk_session_forked(stream->s)) return rk_session_refuse_child();
    rk_stream_cut(stream, RASK_CANCELLED, 0);
    return 0;
}

void rask_stream_close(struct rask_stream *stream)
{
    if (stream == NULL) return;
    if (rk_session_forked(stream->s)) return;
    rk_answers_drop(stream);
    stream->closed = true;
    if (stream->phase != RK_STREAM_OVER)
        rk_stream_cut(stream, RASK_CANCELLED, 0);
    else if (stream->users == 0)
        rk_stream_forget(stream);
}
