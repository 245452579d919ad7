/* SPDX-License-Identifier: MIT */
/* Two clients that are the test itself, and a worker's view of each: the test writes whatever it likes where a client
 * writes. What the worker reads past the end of a request segment meets a page that nobody may read. */
#ifndef FORGED_CLIENT_H
#define FORGED_CLIENT_H

#include "bell.h"
#include "host.h"
#include "served.h"
#include <errno.h>
#include <rask/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOTS 8u
#define PAYLOAD_BYTES_MAX 100000u
#define MANY (SLOTS - RK_SLOTS_SPARE)

/* One client's memory and the worker's view of it. */
struct guest {
    struct rk_segment request;
    struct rk_segment bells;
    struct rk_request_slot *slots;
    struct rk_served *served;
    struct rk_handling handling;
    const struct rk_response_slot *responses;
    void *guard;
    uint64_t position; /* requests published */
    uint32_t slot;     /* of the next request */
};

static struct guest one, two;

/* Moves a mapping so that whoever reads past its end meets a page that nobody may read. Returns that page. */
static inline void *move_before_guard(struct rk_segment *segment)
{
    uint8_t *room = mmap(NULL, segment->bytes + RK_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);
    void *moved = mremap(segment->base, segment->bytes, segment->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    assert_ptr_equal(moved, room);
    segment->base = moved;
    return room + segment->bytes;
}

static inline void guest_start(struct guest *g)
{
    int response_fd;
    struct rk_message_session session = {
        .session = 1,
        .params = {.ring_slots = SLOTS,
                   .lanes = 2,
                   .payload_bytes_max = PAYLOAD_BYTES_MAX,
                   .slab_bytes = RASK_SLAB_BYTES_MIN,
                   .slab_bytes_max = RASK_SLAB_BYTES_MIN},
    };
    memset(g, 0, sizeof *g);
    uint64_t bytes = rk_request_segment_bytes(&session.params);
    assert_int_equal(rk_segment_create(&g->request, RK_SEGMENT_REQUEST, bytes), 0);
    assert_int_equal(rk_segment_create(&g->bells, RK_SEGMENT_BELL, rk_bell_segment_bytes(&session.params)), 0);
    assert_int_equal(rk_served_create(&g->served, &session, dup(g->request.fd), dup(g->bells.fd)), 0);
    g->guard = move_before_guard(&g->served->request[0]);
    assert_int_equal(rk_served_open_lane(g->served, 1, true, &response_fd), 0);
    assert_true(response_fd >= 0);
    g->slots = (struct rk_request_slot *)(void *)((uint8_t *)g->request.base +
                                                  rk_request_lane_offset(&session.params, 1) + RK_PAGE_BYTES);
    g->responses = (const void *)((const uint8_t *)g->served->response[0].base + RK_PAGE_BYTES);
}

static inline void guest_end(struct guest *g)
{
    if (g->served == NULL) return;
    rk_served_destroy(g->served);
    rk_segment_finish(&g->request);
    rk_segment_finish(&g->bells);
    munmap(g->guard, RK_PAGE_BYTES);
    g->served = NULL;
}

static inline int set_up(void **state)
{
    (void)state;
    guest_start(&one);
    guest_start(&two);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    guest_end(&one);
    guest_end(&two);
    return 0;
}

/* The next slot as an honest client fills it, an empty request; `consumed` responses were read. */
static inline struct rk_request_slot *fill(struct guest *g, uint64_t consumed)
{
    struct rk_request_slot *slot = &g->slots[g->slot];
    memset((uint8_t *)slot + sizeof slot->sequence, 0, sizeof *slot - sizeof slot->sequence);
    slot->ticket = (uint32_t)g->position + 1000;
    slot->next = (uint16_t)((g->slot + 1) % SLOTS);
    slot->consumed = (uint16_t)consumed;
    slot->kind = RK_REQUEST_CALL;
    return slot;
}

static inline void publish(struct guest *g, struct rk_request_slot *slot)
{
    g->slot = (g->slot + 1) % SLOTS;
    rk_store_release(&slot->sequence, ++g->position);
}

/* The worker looks and takes. */
static inline enum rk_take take(struct guest *g)
{
    assert_true(rk_served_ready(g->served));
    return rk_served_take(g->served, &g->handling);
}

/* The response behind this one, found as a client finds it. */
static inline const struct rk_response_slot *response_behind(const struct guest *g, const struct rk_response_slot *slot)
{
    return rk_slot_response(g->responses, g->served->pair, slot->next, SLOTS - 1);
}

/* The response to the oldest unread request. */
static inline const struct rk_response_slot *response_at(const struct guest *g, uint64_t position)
{
    const struct rk_response_slot *slot = g->responses;
    for (uint64_t i = 0; i < position; i++) slot = response_behind(g, slot);
    return slot;
}

static inline void refused(struct guest *g, const char *what, const char *words)
{
    enum rk_take found = take(g);
    if (found != RK_TAKE_BAD) fail_msg("%s: taken as %d", what, found);
    if (strstr(rask_last_error(), words) == NULL) fail_msg("%s: \"%s\"", what, rask_last_error());
}

/* Requests that are served until this many were, each with everything before it read. */
static inline void serve(struct guest *g, uint64_t until)
{
    while (g->position < until) {
        publish(g, fill(g, g->position));
        assert_int_equal(take(g), RK_TAKE_REQUEST);
        rk_served_reply(g->served, &g->handling, RASK_OK, 0);
    }
}

#endif
