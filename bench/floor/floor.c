/* SPDX-License-Identifier: MIT */
/* The client's side of the floor: sets up the lanes, forks the peer, makes the round trips. See floor.h and
 * floor_lines.h. Writes requests and commands; spins while a conversation is going on; wakes the peer by a socket. */
#include "floor.h"
#include "floor_lines.h"
#include "floor_memory.h"
#include "payload.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Round trips before a slice counts: many, but not more than these bytes' worth. */
#define LEAD_IN_MAX 64u
#define LEAD_IN_MIN 2u
#define LEAD_IN_BYTES (256u << 10)
#define PAGE_BYTES 4096u
#define RING_SLOTS_MAX 256u
/* Large messages: as many fresh buffers as stay in a second-level cache, at least two. */
#define RING_BYTES (256u << 10)
/* Past this the fresh buffers are left out: they would only measure the machine's memory. */
#define RING_BYTES_LIMIT (64ull << 20)

enum shape { SHAPE_ONE, SHAPE_RING, SHAPE_BOTH_WAYS, SHAPE_SEALED_ONE, SHAPE_SEALED_TWO, SHAPES };

struct conversation {
    char name[80];
    struct rk_contender contender;
    struct rk_floor *floor;
    struct rk_floor_lane *lane;
    uint64_t sequence;
    enum rk_floor_kind kind;
};

struct rk_floor {
    struct rk_floor_memory memory;
    struct rk_floor_control *control; /* start of the open mapping */
    struct rk_payload payloads;
    uint64_t number; /* of the last payload used */
    uint64_t size;
    uint32_t lead_in;
    pid_t peer;
    int wake_fd;
    uint32_t count;
    struct rk_floor_lane lanes[RK_FLOOR_VARIANTS_MAX];
    struct conversation conversations[RK_FLOOR_VARIANTS_MAX];
};

static bool is_small(const struct rk_floor *floor)
{
    return floor->size <= RK_FLOOR_INLINE_BYTES;
}

static int peer_is_gone(const struct rk_floor *floor)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)floor->peer, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

static int await_done(const struct rk_floor *floor)
{
    uint64_t number = floor->control->number;
    while (rk_floor_await(&floor->control->done, number, RK_FLOOR_YIELD) == 0)
        if (peer_is_gone(floor)) return -ECHILD;
    return 0;
}

static void command(struct rk_floor *floor, enum rk_floor_verb verb, uint32_t lane, uint64_t sequence)
{
    floor->control->verb = verb;
    floor->control->lane = lane;
    floor->control->sequence = sequence;
    rk_store_release(&floor->control->number, floor->control->number + 1);
}

RK_FLOOR_INLINE int ping(struct conversation *talk, uint32_t count, enum rk_floor_turn turn, bool small)
{
    const struct rk_floor_lane *lane = talk->lane;
    const struct rk_payload *payloads = &talk->floor->payloads;
    uint64_t sequence = talk->sequence;
    for (uint32_t i = 0; i < count; i++) {
        sequence++;
        const uint64_t *payload = (const uint64_t *)(const void *)rk_payload_of(payloads, ++talk->floor->number);
        uint64_t *request = rk_floor_slot(lane->request, lane, sequence);
        rk_floor_copy(request + rk_floor_payload(small), payload, lane->size, small);
        rk_store_release(request, 2 * sequence);
        const uint64_t *response = rk_floor_slot(lane->response_seen, lane, sequence);
        while (rk_floor_await(response, 2 * sequence + 1, turn) == 0)
            if (peer_is_gone(talk->floor)) return -ECHILD;
        if (!rk_floor_equal(response + rk_floor_payload(small), payload, lane->size, small)) return -EBADMSG;
    }
    talk->sequence = sequence;
    return 0;
}

static int talk_round_trips(void *self, uint32_t count)
{
    struct conversation *talk = self;
    bool small = is_small(talk->floor);
    switch (talk->lane->turn) {
    case RK_FLOOR_SPIN:
        return small ? ping(talk, count, RK_FLOOR_SPIN, true) : ping(talk, count, RK_FLOOR_SPIN, false);
    case RK_FLOOR_PAUSE:
        return small ? ping(talk, count, RK_FLOOR_PAUSE, true) : ping(talk, count, RK_FLOOR_PAUSE, false);
    default:
        return ping(talk, count, RK_FLOOR_YIELD, small);
    }
}

static int talk_begin(void *self)
{
    struct conversation *talk = self;
    command(talk->floor, RK_FLOOR_TALK, (uint32_t)(talk->lane - talk->floor->lanes), talk->sequence);
    return talk_round_trips(talk, talk->floor->lead_in);
}

static int talk_end(void *self)
{
    struct conversation *talk = self;
    uint64_t *next = rk_floor_slot(talk->lane->request, talk->lane, talk->sequence + 1);
    rk_store_release(next, RK_FLOOR_STOP);
    int error = await_done(talk->floor);
    /* The slot is used again: it must look older than every message to come. */
    rk_store_release(next, 0);
    return error;
}

int rk_floor_wake(struct rk_floor *floor)
{
    ssize_t wrote;
    do wrote = send(floor->wake_fd, "", 1, MSG_NOSIGNAL);
    while (wrote < 0 && errno == EINTR);
    return wrote == 1 ? 0 : -errno;
}

int rk_floor_park(struct rk_floor *floor)
{
    command(floor, RK_FLOOR_SLEEP, 0, 0);
    return await_done(floor);
}

/** Bytes of each mapping that lanes have been given so far. */
struct used {
    uint64_t open;
    uint64_t sealed; /* of both segments */
};

/** Cut `bytes` bytes, in whole pages; returns where they begin. */
static uint64_t cut(uint64_t *used, uint64_t bytes)
{
    uint64_t at = *used;
    *used += (bytes + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
    return at;
}

static bool is_sealed(enum shape shape)
{
    return shape == SHAPE_SEALED_ONE || shape == SHAPE_SEALED_TWO;
}

static enum rk_floor_kind kind_of(enum shape shape)
{
    if (is_sealed(shape)) return RK_FLOOR_SEALED;
    return shape == SHAPE_BOTH_WAYS ? RK_FLOOR_TWO_WRITERS : RK_FLOOR_CANDIDATE;
}

static uint64_t slots_of(enum shape shape, uint64_t stride)
{
    if (shape == SHAPE_SEALED_TWO) return 2;
    uint64_t slots = shape == SHAPE_RING ? RING_SLOTS_MAX : 1;
    while (slots > 2 && slots * stride > RING_BYTES) slots /= 2;
    return slots;
}

/** Give the lane its memory; before there is any only count what it takes. */
static void place(const struct rk_floor *floor, struct rk_floor_lane *lane, enum shape shape, struct used *used)
{
    const struct rk_floor_memory *memory = &floor->memory;
    uint64_t bytes = (lane->mask + 1) * lane->stride;
    uint64_t request = cut(is_sealed(shape) ? &used->sealed : &used->open, bytes);
    uint64_t response = is_sealed(shape) || shape == SHAPE_BOTH_WAYS ? request : cut(&used->open, bytes);
    if (memory->open == NULL) return;
    if (is_sealed(shape)) {
        lane->request = memory->by_client.writable + request;
        lane->request_seen = memory->by_client.readable + request;
        lane->response = memory->by_peer.writable + response;
        lane->response_seen = memory->by_peer.readable + response;
    } else {
        lane->request = lane->request_seen = memory->open + request;
        lane->response = lane->response_seen = memory->open + response;
    }
}

static void add_lane(struct rk_floor *floor, enum shape shape, enum rk_floor_turn turn, struct used *used)
{
    static const char *const shapes[2][SHAPES] = {
        {"one buffer each way", "fresh buffer per message", "", "one buffer each way, read-only for its reader",
         "two buffers each way in turn, read-only for their reader"},
        {"one line each way", "fresh line per message", "one line both ways",
         "one line each way, read-only for its reader", "two lines each way in turn, read-only for their reader"},
    };
    static const char *const turns[] = {"", ", pause", ", yield"};
    bool small = is_small(floor);
    uint64_t lines = small ? 1 : 1 + (floor->size + RK_FLOOR_LINE_BYTES - 1) / RK_FLOOR_LINE_BYTES;
    struct rk_floor_lane *lane = &floor->lanes[floor->count];
    *lane = (struct rk_floor_lane){.stride = lines * RK_FLOOR_LINE_BYTES, .size = floor->size, .turn = turn};
    lane->mask = slots_of(shape, lane->stride) - 1;
    place(floor, lane, shape, used);
    struct conversation *talk = &floor->conversations[floor->count++];
    *talk = (struct conversation){.floor = floor, .lane = lane, .kind = kind_of(shape)};
    snprintf(talk->name, sizeof talk->name, "%s%s", shapes[small][shape], turns[turn]);
    talk->contender = (struct rk_contender){
        .name = talk->name, .self = talk, .begin = talk_begin, .round_trips = talk_round_trips, .end = talk_end};
}

/** All lanes; returns the bytes they need. Called twice: to count, and with the memory to set up. */
static struct used add_lanes(struct rk_floor *floor, bool shared_cpu)
{
    struct used used = {.open = PAGE_BYTES}; /* the control lines */
    bool rings = floor->size <= RING_BYTES_LIMIT;
    floor->count = 0;
    for (int turn = RK_FLOOR_SPIN; turn <= RK_FLOOR_YIELD; turn++) {
        if ((turn == RK_FLOOR_YIELD) != shared_cpu) continue;
        add_lane(floor, SHAPE_ONE, (enum rk_floor_turn)turn, &used);
        if (rings) add_lane(floor, SHAPE_RING, (enum rk_floor_turn)turn, &used);
        if (is_small(floor)) add_lane(floor, SHAPE_BOTH_WAYS, (enum rk_floor_turn)turn, &used);
        add_lane(floor, SHAPE_SEALED_ONE, (enum rk_floor_turn)turn, &used);
        if (rings) add_lane(floor, SHAPE_SEALED_TWO, (enum rk_floor_turn)turn, &used);
    }
    return used;
}

static uint32_t lead_in_for(uint64_t size)
{
    uint64_t count = size > 0 ? LEAD_IN_BYTES / size : LEAD_IN_MAX;
    if (count > LEAD_IN_MAX) return LEAD_IN_MAX;
    return count > LEAD_IN_MIN ? (uint32_t)count : LEAD_IN_MIN;
}

static int map_lanes(struct rk_floor *floor, bool shared_cpu)
{
    struct used used = add_lanes(floor, shared_cpu);
    int error = rk_floor_memory_init(&floor->memory, used.open, used.sealed);
    if (error != 0) return error;
    floor->control = (struct rk_floor_control *)(void *)floor->memory.open;
    add_lanes(floor, shared_cpu);
    /* A line of its own carries 32 bytes, however few were asked for. */
    return rk_payload_init(&floor->payloads, is_small(floor) ? RK_FLOOR_INLINE_BYTES : floor->size);
}

static int fork_peer(struct rk_floor *floor, int cpu)
{
    int wake[2];
    pid_t parent = getpid();
    /* Not a pipe: a byte for a peer that is gone must be an error, not SIGPIPE. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wake) != 0) return -errno;
    floor->peer = fork();
    if (floor->peer == 0) {
        close(wake[1]);
        rk_floor_memory_take_side(&floor->memory, RK_FLOOR_PEER);
        rk_floor_peer(floor->control, floor->lanes, wake[0], cpu, parent);
    }
    int error = floor->peer < 0 ? -errno : 0;
    rk_floor_memory_take_side(&floor->memory, RK_FLOOR_CLIENT);
    close(wake[0]);
    floor->wake_fd = wake[1];
    return error;
}

int rk_floor_create(struct rk_floor **out, const struct rk_floor_options *options)
{
    *out = NULL;
    struct rk_floor *floor = calloc(1, sizeof *floor);
    if (floor == NULL) return -ENOMEM;
    floor->size = options->size;
    floor->lead_in = lead_in_for(options->size);
    floor->wake_fd = -1;
    floor->peer = -1;
    int error = map_lanes(floor, options->shared_cpu);
    if (error == 0) error = fork_peer(floor, options->peer_cpu);
    if (error != 0) {
        rk_floor_destroy(floor);
        return error;
    }
    *out = floor;
    return 0;
}

void rk_floor_destroy(struct rk_floor *floor)
{
    if (floor == NULL) return;
    if (floor->peer > 0) {
        kill(floor->peer, SIGKILL);
        while (waitpid(floor->peer, NULL, 0) < 0 && errno == EINTR) continue;
    }
    if (floor->wake_fd >= 0) close(floor->wake_fd);
    rk_floor_memory_finish(&floor->memory);
    rk_payload_finish(&floor->payloads);
    free(floor);
}

uint32_t rk_floor_count(const struct rk_floor *floor)
{
    return floor->count;
}

const struct rk_contender *rk_floor_contender(struct rk_floor *floor, uint32_t variant)
{
    return &floor->conversations[variant].contender;
}

enum rk_floor_kind rk_floor_kind(const struct rk_floor *floor, uint32_t variant)
{
    return floor->conversations[variant].kind;
}
