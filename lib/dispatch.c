/* SPDX-License-Identifier: MIT */
/* Which worker gets which request. The backlog is private memory, and a request is bound late: each lane holds only a
 * window of requests, the rest waits here.
 *
 * The window needs no clock: it starts small, doubles when a lane ran dry while others waited in the backlog, and halves
 * when a request had to be taken back from it. What was bound too early to a worker that turns out slow is retracted
 * (lane.h) and goes elsewhere, so a wrong window costs a little time and never a stuck request. How many lanes take part is
 * for spread.h to say. */
#include "batch.h"
#include "bind.h"
#include "clock.h"
#include "error.h"
#include "poison.h"
#include "session.h"
#include "stream.h"
#include <string.h>

#define WINDOW_START 4u
/** Pause between two attempts to take requests back: short at first, longer while it does not help. */
#define MOVE_PAUSE_NS_MIN 200000u
/** The first one where nothing waits behind a request of ours that is being handled: the worker sleeps still, or serves others, and
 * to take requests back from it helps nobody. Parked clients wake up for each look. */
#define MOVE_PAUSE_NS_OUTSIDE 2000000u
/** Then they are taken back only from here on: a worker that serves many sessions in turns is not slow. */
#define MOVE_PAUSE_NS_THEIRS 16000000u
#define MOVE_PAUSE_NS_MAX 50000000u

static bool bit(const uint64_t *set, uint32_t index)
{
    return (set[index / 64] >> (index % 64)) & 1;
}

/** What its worker says of requests of others, where those take long (`now_ns` is not 0 then). */
static uint32_t rank_of(const struct rk_lane *lane, uint64_t now_ns)
{
    if (RK_LIKELY(now_ns == 0)) return 0;
    const struct rk_response_header *header = lane->header;
    return rk_spread_rank(rk_load_relaxed(&header->others_since_ns), now_ns, rk_load_relaxed(&header->service_ns));
}

/** An idle lane if there is one, else the least loaded with room; NULL if none has room, or if one without room will have
 * some before that of a worker that is held up. Only the first lanes that move, as many as the session spreads over. Among all
 * of them the search starts at the lane used last: calls made one at a time stay with one worker, whose caches know them. */
struct rk_lane *rk_dispatch_choose(struct rask *s)
{
    struct rk_lane *best = NULL;
    uint32_t best_at = 0, best_rank = 0, count = s->open_count, left = s->spread.lanes;
    uint32_t start = left < count ? 0 : s->turn;
    uint64_t now_ns = s->spread.window == 1 && count > 1 ? rask_now_ns() : 0;
    bool soon = false;
    for (uint32_t i = 0; i < count && left > 0; i++) {
        uint32_t at = start + i < count ? start + i : start + i - count;
        struct rk_lane *lane = &s->lanes[s->open_lanes[at]];
        if (!rk_lane_moves(lane)) continue;
        left--;
        uint32_t load = rk_lane_load(lane), rank = rank_of(lane, now_ns);
        soon |= load > 0 && rank < RK_RANK_HELD_UP;
        if (!rk_lane_window_open(lane)) continue;
        if (best != NULL && (rank > best_rank || (rank == best_rank && load >= rk_lane_load(best)))) continue;
        best = lane;
        best_at = at;
        best_rank = rank;
        if (load == 0 && rank == 0) break;
    }
    if (best_rank == RK_RANK_HELD_UP && soon) return NULL;
    s->turn = best_at;
    return best;
}

void rk_dispatch_ask(struct rask *s)
{
    rk_dispatch_open_lane(s, false);
    if (RK_UNLIKELY(s->broken)) rk_settle_broken(s);
}

void rk_dispatch(struct rask *s, struct rk_ticket *ticket)
{
    if (RK_LIKELY(s->backlog.count == 0)) {
        struct rk_lane *lane = rk_bind_lane(s);
        if (lane == NULL) lane = rk_dispatch_choose(s);
        if (RK_LIKELY(lane != NULL)) {
            rk_bind(s, lane, ticket);
            return;
        }
    }
    ticket->state = RK_TICKET_QUEUED;
    rk_list_push_back(&s->tickets, &s->backlog, ticket);
    if (s->backlog.count > 1 && s->backlog.head == s->backlog.tail) rk_dispatch_backlog(s); /* the others have keys */
    if (ticket->state == RK_TICKET_QUEUED) rk_dispatch_ask(s);
}

static void bind_key(struct rask *s, struct rk_lane *lane, struct rk_ticket *ticket)
{
    rk_bind(s, lane, ticket);
    rk_key_bound(s, ticket);
}

static void dispatch_key(struct rask *s, struct rk_ticket *ticket)
{
    bool others = rk_key_first(s, ticket->key) != NULL;
    ticket->turn = s->keys->entry[ticket->key].turns++;
    struct rk_lane *lane = others ? NULL : rk_key_lane(s, ticket->key);
    if (lane != NULL) {
        bind_key(s, lane, ticket);
        return;
    }
    ticket->state = RK_TICKET_QUEUED;
    rk_key_wait(s, ticket);
    rk_dispatch_ask(s);
}

bool rk_dispatch_special(struct rask *s, struct rk_ticket *ticket)
{
    if (ticket->deadline_ns != 0 && rask_now_ns() >= ticket->deadline_ns)
        rk_finish_empty(s, ticket, RASK_EXPIRED, 0); /* over before it began */
    else if (rk_poisoned(s, ticket))
        rk_finish_empty(s, ticket, RASK_POISONED, 0);
    else if (ticket->wishes & RK_WISH_KEY)
        dispatch_key(s, ticket);
    else
        return false;
    return true;
}

void rk_backlog_return(struct rask *s, struct rk_ticket *ticket)
{
    ticket->state = RK_TICKET_QUEUED;
    if (ticket->wishes & RK_WISH_STREAM)
        rk_stream_wait_again(s, ticket);
    else if (ticket->wishes & RK_WISH_KEY)
        rk_key_wait(s, ticket);
    else
        rk_list_push_front(&s->tickets, &s->backlog, ticket);
}

void rk_backlog_remove(struct rask *s, struct rk_ticket *ticket)
{
    if (ticket->wishes & RK_WISH_STREAM)
        rk_stream_unwait(s, ticket);
    else if (ticket->wishes & RK_WISH_KEY)
        rk_key_unwait(s, ticket);
    else
        rk_list_remove(&s->tickets, &s->backlog, ticket);
}

struct rk_ticket *rk_backlog_first(struct rask *s)
{
    struct rk_ticket *ticket = rk_list_first(&s->tickets, &s->backlog);
    if (ticket != NULL) return ticket;
    uint32_t key = rk_key_next_waiting(s, RK_KEYS_MAX);
    if (key != RK_KEYS_MAX) return rk_key_first(s, key);
    return s->streams != NULL ? rk_stream_first_waiting(s) : NULL;
}

/** What waits for its key's lane goes there while there is room. */
static void dispatch_keys(struct rask *s)
{
    uint32_t next;
    for (uint32_t key = rk_key_next_waiting(s, RK_KEYS_MAX); key != RK_KEYS_MAX; key = next) {
        struct rk_ticket *ticket;
        struct rk_lane *lane;
        next = rk_key_next_waiting(s, key); /* it may leave the list */
        while ((ticket = rk_key_first(s, key)) != NULL && (lane = rk_key_lane(s, key)) != NULL) {
            rk_key_unwait(s, ticket);
            bind_key(s, lane, ticket);
        }
    }
}

/** A lane's widest window: what the ring takes, less what its writer prepares ahead where that helps (slots.h). */
static uint32_t widest(const struct rk_lane *lane)
{
    return lane->give_up_below > 0 ? lane->give_up_below : lane->mask + 1 - RK_SLOTS_SPARE;
}

static uint32_t wider(const struct rask *s, const struct rk_lane *lane)
{
    uint32_t most = widest(lane);
    if (most > s->spread.window) most = s->spread.window;
    return lane->window * 2 < most ? lane->window * 2 : most;
}

void rk_dispatch_backlog(struct rask *s)
{
    if (RK_LIKELY(s->backlog.count == 0)) return;
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (rk_lane_load(lane) == 0 && lane->position > 0) lane->window = wider(s, lane);
    }
    struct rk_ticket *ticket;
    struct rk_lane *lane;
    rk_batch_open(s);
    if (s->keys != NULL) dispatch_keys(s);
    if (s->streams != NULL) rk_streams_dispatch(s);
    while ((ticket = rk_list_first(&s->tickets, &s->backlog)) != NULL && (lane = rk_dispatch_choose(s)) != NULL) {
        rk_list_remove(&s->tickets, &s->backlog, ticket);
        rk_bind(s, lane, ticket);
    }
    rk_batch_close(s);
    rk_batch_flush(s);
    if (s->backlog.count > 0) rk_dispatch_open_lane(s, false);
}

/** Could one more lane take requests? `impatient`: one that still opens counts for nothing, as its worker may be inside a request
 * for as long as that takes. */
static bool has_room(const struct rask *s, bool impatient)
{
    uint32_t count = impatient ? 0 : s->opening;
    for (uint32_t i = 0; i < s->open_count; i++) count += rk_lane_moves(&s->lanes[s->open_lanes[i]]);
    return count < s->spread.lanes;
}

/** Does it serve, and has no lane yet? */
static bool wants_lane(const struct rask *s, uint32_t worker)
{
    return bit(s->serving, worker) && !bit(s->has_lane, worker);
}

static bool open_lane_to(struct rask *s, uint32_t worker)
{
    struct rk_lane *lane = NULL;
    for (uint32_t i = 0; i < s->params.lanes && lane == NULL; i++)
        if (s->lanes[i].state == RK_LANE_IS_FREE) lane = &s->lanes[i];
    if (lane == NULL) return false;
    struct rk_message_lane message = {.session = s->id, .lane = lane->index, .worker = worker};
    rk_message_init(&message.head, RK_OPEN_LANE, sizeof message);
    if (rk_session_send(s, &message, NULL, 0) != 0) return false;
    lane->state = RK_LANE_IS_OPENING;
    lane->worker = worker;
    lane->window = s->workers == 1 ? widest(lane) : WINDOW_START;
    s->has_lane[worker / 64] |= 1ull << (worker % 64);
    s->opening++;
    return true;
}

bool rk_dispatch_open_lane(struct rask *s, bool impatient)
{
    if ((s->opening > 0 && !impatient) || !s->connected || s->shutting_down || !has_room(s, impatient)) return false;
    for (uint32_t i = 0; i < s->workers; i++) {
        uint32_t candidate = (s->first_worker + i) % s->workers;
        if (wants_lane(s, candidate)) return open_lane_to(s, candidate);
    }
    return false;
}

struct rk_lane *rk_dispatch_choose_for(struct rask *s, uint32_t number)
{
    if (number == 0) return rk_dispatch_choose(s);
    uint32_t worker = number - 1;
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (lane->worker == worker && !lane->broken && !lane->leaving) return lane;
    }
    if (s->connected && !s->shutting_down && wants_lane(s, worker)) open_lane_to(s, worker);
    return NULL;
}

/** What was cancelled ends where it is. What has a key would only come back to this lane while its worker moves on. */
static bool stays(const struct rk_lane *lane, const struct rk_ticket *ticket)
{
    if ((ticket->flags & RK_TICKET_CANCELLED) || (ticket->wishes & RK_WISH_STREAM)) return true;
    return (ticket->wishes & RK_WISH_KEY) && !lane->stuck && lane->window > 0;
}

/** Marks on everything of the lane that may not have been entered; the caller runs the barrier. */
static void mark_waiting(struct rask *s, struct rk_lane *lane)
{
    for (uint64_t position = rk_lane_taken(lane); position < lane->position; position++) {
        uint32_t index = rk_lane_entry(lane, position)->ticket;
        if (index == RK_HOLE || stays(lane, &s->tickets.table[index])) continue;
        s->tickets.table[index].flags |= RK_TICKET_MARKED;
        if (s->tickets.table[index].wishes & RK_WISH_KEY) rk_key_hold(s, &s->tickets.table[index]);
        rk_lane_mark(lane, position, RK_CANCEL_RETRACT);
    }
}

/** After the barrier: what was not entered goes to the head of the backlog, in order. Returns how many. */
static uint32_t take_back(struct rask *s, struct rk_lane *lane)
{
    uint32_t count = 0;
    uint64_t taken = rk_lane_taken(lane);
    for (uint64_t position = lane->position; position-- > taken;) {
        uint32_t index = rk_lane_entry(lane, position)->ticket;
        if (index == RK_HOLE) continue;
        struct rk_ticket *ticket = &s->tickets.table[index];
        if (ticket->state != RK_TICKET_BOUND || stays(lane, ticket)) continue;
        rk_lane_make_hole(lane, position);
        rk_ticket_let_go(s, ticket);
        rk_backlog_return(s, ticket);
        count++;
    }
    return count;
}

/** The lane whose waiting requests should go elsewhere: one that did not move since the last look, or, when others `could`
 * take them, the one with most in flight. NULL: none. *behind: something waits behind a request of ours that is being handled. */
static struct rk_lane *slow_lane(struct rask *s, bool could, bool first_look, bool *behind)
{
    struct rk_lane *most = NULL;
    *behind = false;
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (rk_lane_in_flight(lane) == 0 || lane->leaving) continue;
        uint64_t taken = rk_lane_taken(lane), before = lane->taken_before;
        lane->taken_before = taken;
        if (taken >= lane->position || lane->broken) continue;
        *behind |= taken > lane->response_position;
        lane->stuck = taken == before && !first_look;
        if (!lane->stuck && !could) continue;
        if (most == NULL || lane->stuck > most->stuck || rk_lane_in_flight(lane) > rk_lane_in_flight(most)) most = lane;
    }
    return most;
}

/** Wider or narrower, by what the lane used last says of its worker and by what is stuck. */
static void look_at_spread(struct rask *s, const struct rk_lane *slow)
{
    if (s->open_count == 0) return;
    const struct rk_lane *last = &s->lanes[s->open_lanes[s->turn < s->open_count ? s->turn : 0]];
    bool in_handler = slow != NULL && slow->stuck && slow->taken_seen > slow->response_position;
    rk_spread_look(&s->spread, rk_load_relaxed(&last->header->service_ns), in_handler, s->finished);
    for (uint32_t i = 0; i < s->open_count; i++) {
        struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (lane->window > s->spread.window) lane->window = s->spread.window;
    }
}

static uint64_t longer(uint64_t pause_ns)
{
    return pause_ns * 2 < MOVE_PAUSE_NS_MAX ? pause_ns * 2 : MOVE_PAUSE_NS_MAX;
}

/** One worker: nowhere to move to; but it may hold our bell back (worker_serve.c). Rarely while nothing comes. */
static void look_for_held(struct rask *s, uint64_t now_ns)
{
    bool came = s->finished != s->finished_before || s->move_pause_ns == 0;
    if (now_ns < s->next_move_ns && !(came && s->next_move_ns > now_ns + MOVE_PAUSE_NS_OUTSIDE)) return;
    s->finished_before = s->finished;
    s->move_pause_ns = came ? MOVE_PAUSE_NS_OUTSIDE : longer(s->move_pause_ns);
    s->next_move_ns = now_ns + s->move_pause_ns;
}

void rk_dispatch_rebalance(struct rask *s, uint64_t now_ns)
{
    if (s->pending > 0 && s->workers < 2) look_for_held(s, now_ns);
    if (s->pending == 0 || s->workers < 2 || now_ns < s->next_move_ns) return;
    bool first_look = s->move_pause_ns == 0; /* of this wait: a worker that sleeps may need a moment to wake up */
    s->move_pause_ns = longer(s->move_pause_ns);
    const struct rk_lane *next = rk_dispatch_choose(s);
    bool idle = next != NULL && rk_lane_load(next) == 0;
    bool behind;
    struct rk_lane *slow = slow_lane(s, idle || has_room(s, false), first_look, &behind);
    bool theirs = !behind && s->spread.window == UINT32_MAX; /* quick requests of others are before ours */
    if (first_look) s->move_pause_ns = theirs && s->backlog.count == 0 ? MOVE_PAUSE_NS_OUTSIDE : MOVE_PAUSE_NS_MIN;
    s->next_move_ns = now_ns + s->move_pause_ns;
    look_at_spread(s, slow);
    if (first_look) return;
    if (!idle && (slow != NULL || s->backlog.count > 0)) rk_dispatch_open_lane(s, true);
    if (slow == NULL || !(idle || (slow->stuck && s->open_count > 1))) return;
    if (theirs && s->move_pause_ns < MOVE_PAUSE_NS_THEIRS) return;
    mark_waiting(s, slow);
    rk_park_barrier();
    uint32_t moved = take_back(s, slow);
    if (moved == 0) return;
    s->moved += moved;
    s->move_pause_ns = MOVE_PAUSE_NS_MIN; /* it helped: again soon */
    uint32_t window = slow->window;
    slow->window = 0; /* nothing back to where it came from */
    rk_dispatch_backlog(s);
    slow->window = window > 1 ? window / 2 : 1;
}

void rk_dispatch_leave(struct rask *s, struct rk_lane *lane)
{
    lane->leaving = true;
    lane->window = 0;
    s->has_lane[lane->worker / 64] &= ~(1ull << (lane->worker % 64)); /* another worker holds its place */
    mark_waiting(s, lane);
    rk_park_barrier();
    s->moved += take_back(s, lane);
    rk_dispatch_open_lane(s, true);
    rk_dispatch_backlog(s);
}
