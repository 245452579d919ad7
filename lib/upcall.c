/* SPDX-License-Identifier: MIT */
/* Functions of the caller that handlers call; see upcall.h. */
#include "upcall.h"
#include "error.h"
#include "events.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct upcall_in_hand {
    struct rask_upcall upcall; /* first: what the function sees */
    uint32_t block;
    uint32_t reserved_bytes;
    uint32_t replied_bytes;
    bool no_room;
    uint8_t bytes[RASK_INLINE_BYTES] __attribute__((aligned(8)));
};

static struct rk_upcall_entry *find(struct rk_upcalls *upcalls, uint32_t hash)
{
    for (uint32_t i = 0; i < upcalls->count; i++)
        if (upcalls->entry[i].hash == hash) return &upcalls->entry[i];
    return NULL;
}

static int create(struct rask *s)
{
    s->upcalls = calloc(1, sizeof *s->upcalls);
    if (s->upcalls == NULL) return rk_error(-ENOMEM, "out of memory for upcalls");
    s->asides++; /* for good: handlers of requests before may still ask when the last name is forgotten */
    return 0;
}

/** Some or none: requests say so from now on. */
static void count_names(struct rask *s, uint32_t count)
{
    s->upcalls->count = count;
    s->tickets.kind = (uint8_t)(count > 0 ? RK_REQUEST_CALL | RK_REQUEST_UPCALLS : RK_REQUEST_CALL);
}

static void forget(struct rask *s, struct rk_upcall_entry *entry)
{
    *entry = s->upcalls->entry[s->upcalls->count - 1];
    count_names(s, s->upcalls->count - 1);
}

int rask_on_upcall(struct rask *s, const char *name, rask_upcall_fn function, void *user)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    size_t length = name != NULL ? strlen(name) : 0;
    if (length == 0 || length > RASK_METHOD_NAME_BYTES_MAX)
        return rk_error(-EINVAL, "an upcall's name has 1 to %u bytes, not %zu", RASK_METHOD_NAME_BYTES_MAX, length);
    int result = s->upcalls == NULL ? create(s) : 0;
    if (result != 0) return result;
    struct rk_upcall_entry *entry = find(s->upcalls, rk_upcall_hash(name));
    if (entry != NULL && strcmp(entry->name, name) != 0)
        return rk_error(-EEXIST, "upcall \"%s\" has the same hash as \"%s\": choose another name", name, entry->name);
    if (function == NULL) {
        if (entry != NULL) forget(s, entry);
        return 0;
    }
    if (entry == NULL && s->upcalls->count == RASK_UPCALLS_MAX)
        return rk_error(-ENOSPC, "%u upcalls are registered, which is the limit", RASK_UPCALLS_MAX);
    if (entry == NULL) {
        entry = &s->upcalls->entry[s->upcalls->count];
        entry->hash = rk_upcall_hash(name);
        memcpy(entry->name, name, length + 1);
        count_names(s, s->upcalls->count + 1);
    }
    entry->function = function;
    entry->user = user;
    return 0;
}

bool rk_upcall_waits(const struct rask *s, const struct rk_lane *lane)
{
    if (lane->upcall_due || lane->upcalling || s->upcalls->depth >= RK_UPCALL_DEPTH_MAX) return false;
    /* SYNC R14 acquire: pairs with the worker's publication */
    return rk_load_acquire(&lane->pair->upcall.sequence) != lane->upcall_seen;
}

/** Announced before it was published, so it is on its way. */
static bool segment_is_missing(struct rask *s, struct rk_lane *lane)
{
    const struct rk_side_slot *slot = &lane->pair->upcall;
    if (rk_load_relaxed(&slot->length) <= RASK_INLINE_BYTES) return false;
    uint32_t segment = rk_load_relaxed(&slot->payload.block.segment);
    if (segment >= RK_SEGMENTS_MAX || lane->mapped->segment[segment].base != NULL) return false;
    lane->stalled = true;
    rk_session_control(s);
    return true;
}

void rk_upcall_look(struct rask *s, struct rk_lane *lane)
{
    if (!rk_upcall_waits(s, lane) || segment_is_missing(s, lane)) return;
    lane->upcall_due = true;
    s->asides_due++;
    if (s->events != NULL) rk_events_disturb(s);
}

void rk_upcall_forget_answer(struct rask *s, struct rk_lane *lane)
{
    if (lane->answer_block != RK_BLOCK_NONE) rk_slab_put(&s->slab, lane->answer_block);
    lane->answer_block = RK_BLOCK_NONE;
}

bool rk_upcall_blocks(const struct rask *s)
{
    if (s->upcalls == NULL || s->upcalls->depth == 0) return false;
    uint32_t upcalling = 0;
    for (uint32_t i = 0; i < s->open_count; i++) upcalling += s->lanes[s->open_lanes[i]].upcalling;
    return s->workers <= upcalling; /* one that starts just now will do */
}

bool rk_upcall_stuck(const struct rask *s)
{
    if (s->upcalls == NULL || s->upcalls->depth == 0) return false;
    for (uint32_t i = 0; i < s->open_count; i++) {
        const struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (!lane->upcalling && rk_lane_load(lane) > 0) return false;
    }
    return s->backlog.count == 0 || rk_upcall_blocks(s);
}

int rk_refuse_deadlock(void)
{
    return rk_error(-EDEADLK, "the worker that would do this waits for the function that asks for it: submit, and wait "
                              "after the function has returned");
}

void *rask_upcall_reserve(struct rask_upcall *upcall, size_t bytes)
{
    struct upcall_in_hand *hand = (struct upcall_in_hand *)(void *)upcall;
    struct rask *s = upcall->session;
    if (hand->block != RK_BLOCK_NONE) rk_slab_put(&s->slab, hand->block);
    hand->block = RK_BLOCK_NONE;
    hand->reserved_bytes = hand->replied_bytes = 0;
    hand->no_room = false;
    if (bytes <= RASK_INLINE_BYTES) {
        hand->reserved_bytes = (uint32_t)bytes;
        return hand->bytes;
    }
    int result = bytes <= s->params.payload_bytes_max
                     ? rk_take_block(s, bytes, &hand->block)
                     : rk_error(-EMSGSIZE, "an answer of %zu bytes is over the limit of %u: raise payload_bytes_max",
                                bytes, s->params.payload_bytes_max);
    if (result != 0) {
        hand->no_room = true;
        return NULL;
    }
    hand->reserved_bytes = (uint32_t)bytes;
    return rk_block_data(s, hand->block);
}

int rask_upcall_reply(struct rask_upcall *upcall, size_t bytes)
{
    struct upcall_in_hand *hand = (struct upcall_in_hand *)(void *)upcall;
    if (bytes > hand->reserved_bytes)
        return rk_error(-EINVAL, "an answer of %zu bytes, %u were reserved", bytes, hand->reserved_bytes);
    hand->replied_bytes = (uint32_t)bytes;
    return 0;
}

/** What needs no block travels in the slot. */
static void bring_into_slot(struct rask *s, struct upcall_in_hand *hand)
{
    if (hand->block == RK_BLOCK_NONE || hand->replied_bytes > RASK_INLINE_BYTES) return;
    memcpy(hand->bytes, rk_block_data(s, hand->block), hand->replied_bytes);
    rk_slab_put(&s->slab, hand->block);
    hand->block = RK_BLOCK_NONE;
}

/** Publish the answer: `failed`, or what is in hand. */
static void answer(struct rask *s, struct rk_lane *lane, struct upcall_in_hand *hand, bool failed, int code)
{
    struct rk_side_slot *slot = &lane->pair->answer;
    bring_into_slot(s, hand);
    slot->length = failed ? 0 : hand->replied_bytes;
    slot->code = code;
    slot->failed = failed;
    if (!failed && hand->block != RK_BLOCK_NONE) {
        const struct rk_block *block = &s->slab.blocks[hand->block];
        slot->payload.block = (struct rk_block_ref){.offset = block->offset, .segment = block->segment};
        lane->answer_block = hand->block;
    } else if (!failed) {
        memcpy(slot->payload.bytes, hand->bytes, sizeof hand->bytes);
    }
    RK_STEP(ANSWER_FIELDS);
    /* SYNC R15 release: pairs with rk_upcall_answered */
    rk_store_release(&slot->sequence, lane->upcall_seen);
    RK_STEP(ANSWER_SEQUENCE);
    rk_publish(lane->worker_state, lane->worker_bell, &lane->rung);
}

/** Where the bytes are that the worker sends. False: it broke the rules. */
static bool find_request(struct rk_lane *lane, const struct rk_side_slot *slot, struct upcall_in_hand *hand,
                         uint8_t *copy, struct rk_view *view)
{
    uint32_t length = (uint32_t)hand->upcall.request_bytes;
    hand->upcall.request = copy;
    if (length <= RASK_INLINE_BYTES) {
        memcpy(copy, slot->payload.bytes, RASK_INLINE_BYTES);
        return true;
    }
    enum rk_taking found = rk_lane_find_block(lane, &slot->payload.block, length, view);
    if (found == RK_TAKING_LATER) /* rk_upcall_look() saw that it is here: the slot has changed */
        rk_error(-EPROTO, "worker %u: it changed an upcall that was not answered", lane->worker);
    hand->upcall.request = view->data;
    return found == RK_TAKING_REPLY;
}

/** The function runs; anything may happen to the session meanwhile. */
static int run_function(struct rask *s, struct rk_lane *lane, const struct rk_upcall_entry *entry,
                        struct upcall_in_hand *hand)
{
    struct rk_upcall_entry called = *entry; /* it may be forgotten meanwhile */
    lane->upcalling = true;
    s->upcalls->depth++;
    int code = called.function(&hand->upcall, called.user);
    s->upcalls->depth--;
    return code;
}

/** Its handler has given up and answered without it. */
static bool has_returned(const struct rk_lane *lane, uint32_t low_position)
{
    uint32_t before = (uint32_t)lane->response_position - low_position;
    return (before > 0 && before <= INT32_MAX) || (before == 0 && rk_lane_ready(lane));
}

/** The lane's upcall, from the slot to the answer. */
static void run(struct rask *s, struct rk_lane *lane)
{
    const struct rk_side_slot *slot = &lane->pair->upcall;
    struct upcall_in_hand hand = {.upcall = {.session = s}, .block = RK_BLOCK_NONE};
    struct rk_view view = {.block = RK_BLOCK_NONE};
    struct rk_responses *mapped = lane->mapped;
    uint8_t copy[RASK_INLINE_BYTES] __attribute__((aligned(8)));
    uint64_t position;
    lane->upcall_due = false;
    s->asides_due--;
    lane->upcall_seen = rk_load_relaxed(&slot->sequence);
    hand.upcall.request_bytes = rk_load_relaxed(&slot->length);
    uint32_t low_position = rk_load_relaxed(&slot->position);
    rk_line_fetch(&lane->pair->answer);
    bool over = has_returned(lane, low_position);
    struct rk_ticket *ticket =
        over ? NULL : rk_lane_asks_for(lane, &s->tickets, low_position, rk_load_relaxed(&slot->ticket), &position);
    if ((!over && ticket == NULL) || !find_request(lane, slot, &hand, copy, &view)) {
        rk_settle_end(s, rask_last_error());
        return;
    }
    struct rk_upcall_entry *entry =
        over || s->upcalls == NULL ? NULL : find(s->upcalls, rk_load_relaxed(&slot->method));
    rk_upcall_forget_answer(s, lane);
    mapped->references++;
    if (entry == NULL) {
        rk_responses_release(mapped, view.block, view.generation);
        answer(s, lane, &hand, true, -ENOSYS);
        return;
    }
    hand.upcall.ticket = ticket->id;
    hand.upcall.user_data = ticket->user_data;
    ticket->flags |= RK_TICKET_SPECIAL; /* its response frees the answer */
    lane->answer_position = position;
    int code = run_function(s, lane, entry, &hand);
    bool same = lane->mapped == mapped && lane->state == RK_LANE_IS_OPEN;
    if (same) lane->upcalling = false;
    rk_responses_release(mapped, view.block, view.generation);
    if (same && !s->ended)
        answer(s, lane, &hand, hand.no_room, hand.no_room ? -EMSGSIZE : code);
    else if (hand.block != RK_BLOCK_NONE)
        rk_slab_put(&s->slab, hand.block);
}

/** Too deep for one more: they are found again when a function has returned. Otherwise every wait would end at once for them. */
static void put_off(struct rask *s)
{
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        s->asides_due -= lane->upcall_due;
        lane->upcall_due = false;
    }
}

uint32_t rk_upcalls_run(struct rask *s)
{
    uint32_t count = 0;
    if (s->upcalls == NULL) return 0;
    if (RK_UNLIKELY(s->upcalls->depth >= RK_UPCALL_DEPTH_MAX)) put_off(s);
    for (uint32_t i = 0; i < s->open_count && s->upcalls->depth < RK_UPCALL_DEPTH_MAX; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (!lane->upcall_due) continue;
        run(s, lane);
        count++;
        i = UINT32_MAX; /* lanes may have come and gone: look at all of them once more */
    }
    return count;
}
