/* SPDX-License-Identifier: MIT */
/* The one contract: every structure that two processes map, who writes it, and in which order.
 *
 * A session's arena. Every segment is a sealed memfd with one writing party. The bell has two: it holds futex words, and
 * slots that nobody but the other end of their lane believes (below, "The pair"). Offsets follow from struct rk_params alone,
 * which travels in control messages and is checked there: no offset is ever read from shared memory, except block references,
 * which are checked against the mapping.
 *
 *   segment        offset            content                              written by  read by
 *   -------        ------            -------                              ----------  -------
 *   request        0                 rk_segment_header                    client      worker
 *                  64                rk_waiter: client sleeps?            client      worker
 *                  1024 + i*8        items of stream i that were sent     client      worker
 *                  4096 + i*stride   lane i: rk_lane_request              client      worker i
 *                    +0                emissions taken                      client      worker i
 *                    +64               released[992]                        client      worker i
 *                    +4096             request ring, ring_slots * 64        client      worker i
 *                  slab              blocks of 256 B to 64 KiB            client      workers
 *   request extra  4096              blocks of one class                  client      workers
 *   response       0                 rk_response_header                   worker      client
 *     (one per       +64               taken, service_ns (a hint)           worker      client
 *      lane)         +128              rk_waiter: worker sleeps?            worker      client
 *                    +192              leases ended: how many               worker      client
 *                    +1024             lease_ended[256]                     worker      client
 *                  4096              response ring, ring_slots * 64       worker      client
 *                  +ring             emissions, 64 * 64                   worker      client
 *                  slab              blocks of 256 B to 64 KiB            worker      client
 *   response extra 4096              blocks of one class                  worker      client
 *   status         0                 rk_status_page                       worker      supervisor, tools
 *   bell           64                the client's futex word              all         client
 *                  128 + i*64        lane i's futex word                  all         worker i
 *                  pairs + i*8192    lane i: rk_pair; no other worker can reach it
 *                    +0, +1984         two request slots with room          client      worker i
 *                    +3968             answer to an upcall                  client      worker i
 *                    +4096, +6080      two response slots with room         worker i    client
 *                    +8064             upcall                               worker i    client
 *   control word   64                one counter                          supervisor  one worker or one client
 *                  128               epoch to stop (workers only)         supervisor  one worker
 *   pool           64                rk_pool_page: the pool               supervisor  tools
 *                  192 + i*128       worker i, and where its page is      supervisor  tools
 *
 * Ordering table. `heavy` is a membarrier by the reader's side, or a full fence on both sides where that is missing.
 *
 * | id | word               | writer -> reader   | store            | load             | what the reader may rely on                        | if weakened                                   |
 * |----|--------------------|--------------------|------------------|------------------|----------------------------------------------------|-----------------------------------------------|
 * | R1 | request sequence   | client -> worker   | release          | acquire          | the slot and its block are written                 | worker runs half a request                    |
 * | R2 | response sequence  | worker -> client   | release          | acquire          | the slot and its block are written; handler is done| caller reads half a response, reuses a block early |
 * | R3 | taken / cancel     | worker <-> client  | release, light   | relaxed, heavy   | cancel set and taken not reached: never runs       | a request that ran is reported as "not executed" |
 * | R4 | waiter             | sleeper -> ringer  | release, heavy   | relaxed after light | either the sleeper sees the message or the ringer sees it sleep | a lost wake-up                |
 * | R5 | consumed (in slot) | client -> worker   | with R1          | with R1          | response slots before it have been read            | a response overwrites one being read          |
 * | R6 | released           | client -> worker   | release          | acquire          | nobody reads the block any more                    | a response overwrites a view                  |
 * | R7 | control word       | supervisor -> party| release          | acquire          | a message was sent before                          | a message is seen late (50 ms; a worker: 2 s) |
 * | R8 | magic              | writer -> mapper   | release          | acquire          | the header is written                              | a half-built segment is accepted              |
 * | R9 | status, pool words | owner -> tools     | release          | acquire          | each word is one that was true at some time        | none: figures only                            |
 * | R10| bell               | ringer -> sleeper  | fetch_add        | acquire, by kernel | a changed bell does not sleep                    | a lost wake-up                                |
 * | R11| stop epoch         | supervisor -> worker| release         | acquire          | the handler in that epoch is to stop               | it is seen late, or not before the kill       |
 * | R12| emission sequence  | worker -> client   | release          | acquire          | the emission and its block are written             | caller reads half an answer                   |
 * | R13| emissions taken    | client -> worker   | release          | acquire          | slots before it have been read                     | an emission overwrites one being read         |
 * | R14| upcall sequence    | worker -> client   | release          | acquire          | the upcall and its block are written               | the caller's function reads half a request    |
 * | R15| answer sequence    | client -> worker   | release          | acquire          | the answer is written and the function is done     | handler reads half an answer                  |
 * | R16| lease ended        | worker -> client   | release          | acquire          | the handler reads the request's bytes no more      | the caller's next request overwrites them     |
 * | R17| sent               | client -> worker   | relaxed          | relaxed          | a number that was true at some time                | none: a figure only                           |
 */
#ifndef RK_LAYOUT_H
#define RK_LAYOUT_H

#include <assert.h>
#include <rask/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RK_LAYOUT 5u
#define RK_MAGIC 0x6b736172676d3173ull
#define RK_PAGE_BYTES 4096u
#define RK_LINE_BYTES 64u
#define RK_LINE_ALIGNED __attribute__((aligned(64)))

enum rk_segment_kind {
    RK_SEGMENT_REQUEST = 1,
    RK_SEGMENT_REQUEST_EXTRA = 2,
    RK_SEGMENT_RESPONSE = 3,
    RK_SEGMENT_RESPONSE_EXTRA = 4,
    RK_SEGMENT_STATUS = 5,
    RK_SEGMENT_BELL = 6,
    RK_SEGMENT_CONTROL = 7,
    RK_SEGMENT_POOL = 8,
    RK_SEGMENT_KIND_COUNT
};

/** Extra segments of a session, and of a lane's responses. Segment 0 is the base segment. */
#define RK_SEGMENTS_MAX 128u
/** Blocks of one lane's response slab, base and extra: one released word each. */
#define RK_RESPONSE_BLOCKS_MAX 992u
/** Lanes of one session: every worker, and spares for incarnations that are not settled yet. */
#define RK_LANES_MAX 320u
#define RK_BLOCK_NONE UINT32_MAX

/** What both sides compute every offset from. Chosen at attach, checked by rk_params_check(). */
struct rk_params {
    uint32_t ring_slots;
    uint32_t lanes;
    uint32_t payload_bytes_max;
    uint32_t reserved;
    uint64_t slab_bytes;
    uint64_t slab_bytes_max;
};
static_assert(sizeof(struct rk_params) == 32, "travels in control messages");

/** First line of every segment. magic is stored last (SYNC R8). */
struct rk_segment_header {
    uint32_t layout;
    uint32_t fingerprint;
    uint32_t kind;
    uint32_t reserved0;
    uint64_t bytes;
    uint64_t reserved1[4];
    uint64_t magic;
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_segment_header) == 64, "one line");
static_assert(offsetof(struct rk_segment_header, magic) == 56, "magic last");

/** The sleeper's side of a bell. Bits of `state`: RK_WAITER_*. Read on every publish, so it has a line of its own. */
struct rk_waiter {
    uint64_t state;
    uint64_t reserved[7];
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_waiter) == 64, "one line");
#define RK_WAITER_PARKED 1u /* asleep or about to be: ring */
#define RK_WAITER_FENCED 2u /* publishers must fence before they read PARKED */
#define RK_WAITER_SLEEP 4u  /* the bits from here up count sleeps: a publisher rings once for each */
#define RK_WAITER_FLAGS (RK_WAITER_PARKED | RK_WAITER_FENCED)

/** Where a payload over RASK_INLINE_BYTES lies. `index` and `generation` are for response blocks: the client answers
 * with released[index] = generation. `room` is for requests in the pair: not 0 when a copy lies behind the slot, too; then a
 * response of at most that many bytes may lie behind its slot, and has RK_SEGMENT_IN_PAIR. */
struct rk_block_ref {
    uint64_t offset;
    uint32_t segment;
    uint32_t index;
    uint32_t generation;
    uint32_t room;
    uint32_t reserved[2];
};
#define RK_SEGMENT_IN_PAIR RK_SEGMENTS_MAX
static_assert(sizeof(struct rk_block_ref) == 32, "takes the place of the inline bytes");

enum rk_request_kind {
    RK_REQUEST_CALL = 1,
    RK_REQUEST_OPEN =
        2, /* a stream begins. For it and the following the high half of `method` is the stream's number */
    RK_REQUEST_ITEM = 3,
    RK_REQUEST_END = 4, /* nothing more comes: on_end */
    RK_REQUEST_CUT = 5, /* nothing more comes, and nothing is wanted */
    RK_REQUEST_KIND_COUNT
};
#define RK_REQUEST_KIND_BITS 0x0fu
#define RK_REQUEST_UPCALLS 0x80u /* with the kind: the caller answers upcalls */

enum rk_response_kind {
    RK_RESPONSE_REPLY = 1,
    RK_RESPONSE_SKIPPED = 2, /* the request carried a mark when it was taken: it did not run */
    RK_RESPONSE_QUIET = 3    /* of a stream: processed, and there is no answer to it */
};
#define RK_RESPONSE_KIND_BITS 0x0fu
#define RK_RESPONSE_LEASED 0x80u /* with the kind: the request's block stays in use, see `lease` */

/* Bits of rk_request_slot.cancel. Either makes a worker skip a request that it has not started; only STOP is shown to a
 * handler that runs. */
#define RK_CANCEL_RETRACT 1u
#define RK_CANCEL_STOP 2u

/* Slots are linked: every message names the slot that the next one will be in (`next`), and the writer chooses it (slots.h).
 * A caller that waits for each answer goes back and forth between the two slots of the pair; in a deep pipeline the slots of
 * the ring pass by in order. Slot n of the ring is line n * RK_SLOT_STRIDE modulo the ring. The sequence is the lane position
 * + 1; it never wraps, so a slot that was not used for long cannot be mistaken for a new message. Position 0 is in slot 0.
 *
 * The pair: two slots each way that both ends map writable, with room for a payload behind each. To hand a line over takes
 * about half as long when the reader could write it (docs/design.md, "The pair"). What a party can do by writing where it only
 * reads is mislead itself: a slot is read by nobody but the other end of its lane, the client keeps its requests in its tickets
 * and blocks, and neither end reads back what it wrote. A handler might do so with its reply: replies to clients of other
 * users are made elsewhere. A worker reaches the pair of its own lane alone. */

/** Numbers of the pair's slots, both ways; those of the ring are below. */
#define RK_SLOT_PAIR 0xfffeu
/** Payload behind a slot of the pair. */
#define RK_PAIR_ROOM 1920u
static_assert(RK_SLOT_PAIR > RASK_RING_SLOTS_MAX, "a number of its own");

/** One request. */
struct rk_request_slot {
    uint64_t sequence; /* R1 */
    uint64_t deadline_ns;
    uint32_t ticket; /* generation; the index follows from the position */
    uint32_t length;
    uint16_t method;
    uint16_t next;     /* slot of the next request */
    uint16_t consumed; /* R5: low bits of the response position that the client has read up to */
    uint8_t kind;      /* enum rk_request_kind, RK_REQUEST_UPCALLS */
    uint8_t cancel;    /* R3, RK_CANCEL_* */
    union {
        uint8_t bytes[RASK_INLINE_BYTES];
        struct rk_block_ref block;
    } payload;
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_request_slot) == 64, "a request is one cache line");
static_assert(offsetof(struct rk_request_slot, deadline_ns) == 8, "layout");
static_assert(offsetof(struct rk_request_slot, ticket) == 16 && offsetof(struct rk_request_slot, length) == 20,
              "layout");
static_assert(offsetof(struct rk_request_slot, method) == 24 && offsetof(struct rk_request_slot, next) == 26, "layout");
static_assert(offsetof(struct rk_request_slot, consumed) == 28 && offsetof(struct rk_request_slot, kind) == 30,
              "layout");
static_assert(offsetof(struct rk_request_slot, cancel) == 31, "layout");
static_assert(offsetof(struct rk_request_slot, payload) == 32, "layout");

/** The middle two words of a request slot as they are stored: fields in the order above, on a processor that stores the low byte
 * first. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of slots");
static inline uint64_t rk_request_word_who(uint32_t ticket, uint32_t length)
{
    return (uint64_t)length << 32 | ticket;
}
static inline uint64_t rk_request_word_what(uint16_t method, uint16_t next, uint16_t consumed, uint8_t kind)
{
    return (uint64_t)kind << 48 | (uint64_t)consumed << 32 | (uint32_t)next << 16 | method;
}

/** One response. It answers the request at the same position. */
struct rk_response_slot {
    uint64_t sequence; /* R2 */
    uint32_t ticket;
    uint32_t length;
    int32_t code;
    uint16_t status;
    uint16_t next; /* slot of the next response */
    uint8_t kind;  /* enum rk_response_kind, RK_RESPONSE_LEASED */
    uint8_t reserved;
    uint16_t lease;            /* with LEASED: which word says when it ended, */
    uint32_t lease_generation; /* and what it says then */
    union {
        uint8_t bytes[RASK_INLINE_BYTES];
        struct rk_block_ref block;
    } payload;
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_response_slot) == 64, "a response is one cache line");
static_assert(offsetof(struct rk_response_slot, ticket) == 8 && offsetof(struct rk_response_slot, length) == 12,
              "layout");
static_assert(offsetof(struct rk_response_slot, code) == 16 && offsetof(struct rk_response_slot, status) == 20,
              "layout");
static_assert(offsetof(struct rk_response_slot, next) == 22, "layout");
static_assert(offsetof(struct rk_response_slot, kind) == 24, "layout");
static_assert(offsetof(struct rk_response_slot, payload) == 32, "layout");

/** Two words of a response slot as they are loaded: `ticket` and `length`, `code` and `status` and `next`. */
static inline uint32_t rk_response_length(uint64_t who)
{
    return (uint32_t)(who >> 32);
}
static inline uint32_t rk_response_next(uint64_t what)
{
    return (uint32_t)(what >> 48);
}
/** Status RASK_OK, and no code. */
static inline bool rk_response_is_ok(uint64_t what)
{
    return what << 16 == 0;
}

/** One emission: an answer of a stream that is not the reply to its request. A ring of RASK_EMITS_MAX; sequence n is in slot
 * (n - 1) % RASK_EMITS_MAX. Also an upcall, and the answer to one: those have a slot each, since a worker has at most one
 * open. */
struct rk_side_slot {
    uint64_t sequence; /* R12, R14, R15 */
    uint32_t ticket;   /* generation, of the request in hand */
    uint32_t length;
    uint32_t position; /* low half of that request's */
    uint32_t method;   /* upcall: hash of its name */
    int32_t code;      /* answer: what the caller's function returned, or with `failed` an errno */
    uint32_t failed;   /* answer: there is none */
    union {
        uint8_t bytes[RASK_INLINE_BYTES];
        struct rk_block_ref block;
    } payload;
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_side_slot) == 64, "one line");
static_assert(offsetof(struct rk_side_slot, payload) == 32, "layout");

/** First page of the request segment. */
struct rk_request_header {
    struct rk_segment_header header;
    struct rk_waiter client; /* R4 */
    uint8_t reserved[896];
    uint64_t sent[RASK_STREAMS_MAX]; /* R17: items of each stream, without those that were dropped */
};
static_assert(offsetof(struct rk_request_header, client) == 64, "drawing");
static_assert(offsetof(struct rk_request_header, sent) == 1024, "drawing");
static_assert(sizeof(struct rk_request_header) <= RK_PAGE_BYTES, "one page");

/** A lane's page in the request segment; its ring follows at +4096. */
struct rk_lane_request {
    uint64_t emissions_taken RK_LINE_ALIGNED;                  /* R13 */
    uint32_t released[RK_RESPONSE_BLOCKS_MAX] RK_LINE_ALIGNED; /* R6: generation of the block's last released use */
    uint8_t reserved[64];
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_lane_request) == RK_PAGE_BYTES, "one page");
static_assert(offsetof(struct rk_lane_request, emissions_taken) == 0, "drawing");
static_assert(offsetof(struct rk_lane_request, released) == 64, "drawing");

/** First page of a response segment; the ring follows at +4096. `taken` changes with every request and `worker` hardly
 * ever, so they do not share a line. */
struct rk_response_header {
    struct rk_segment_header header;
    uint64_t taken RK_LINE_ALIGNED; /* R3: request positions below it have been entered */
    uint32_t service_ns;            /* about what the middle one of the requests takes; a hint. 0: not known yet */
    uint32_t holding;               /* responses are published for which a sleeping client is rung a little later */
    uint64_t others_since_ns; /* since when it has been in a long request of another session; a hint. 0: it is not */
    struct rk_waiter worker;  /* R4 */
    uint32_t leases_ended RK_LINE_ALIGNED; /* how often a word of lease_ended changed: then look at them */
    uint8_t reserved[828];
    uint32_t lease_ended[RASK_LEASES_MAX]; /* R16: generation of the lease that ended there last; it only grows */
};
static_assert(offsetof(struct rk_response_header, taken) == 64, "drawing");
static_assert(offsetof(struct rk_response_header, worker) == 128, "drawing");
static_assert(offsetof(struct rk_response_header, leases_ended) == 192, "drawing");
static_assert(offsetof(struct rk_response_header, lease_ended) == 1024, "drawing");
static_assert(sizeof(struct rk_response_header) <= RK_PAGE_BYTES, "one page");

/** A futex word on a line of its own. */
struct rk_bell {
    uint32_t word; /* R10 */
    uint32_t reserved[15];
} RK_LINE_ALIGNED;
static_assert(sizeof(struct rk_bell) == 64, "one line");

struct rk_bell_page {
    struct rk_segment_header header;
    struct rk_bell client;
    struct rk_bell lane[];
};
static_assert(offsetof(struct rk_bell_page, client) == 64, "drawing");
static_assert(offsetof(struct rk_bell_page, lane) == 128, "drawing");

/** A lane's pair of slots each way, and what goes back and forth in the middle of a request. */
struct rk_pair {
    struct {
        struct rk_request_slot slot;
        uint8_t room[RK_PAIR_ROOM];
    } request[2];
    struct rk_side_slot answer; /* R15: to the upcall with the same sequence */
    uint8_t reserved0[64];
    struct {
        struct rk_response_slot slot;
        uint8_t room[RK_PAIR_ROOM];
    } response[2];
    struct rk_side_slot upcall; /* R14 */
    uint8_t reserved1[64];
};
static_assert(sizeof(struct rk_pair) == 2 * RK_PAGE_BYTES, "whole pages");
static_assert(offsetof(struct rk_pair, answer) == 3968, "drawing");
static_assert(offsetof(struct rk_pair, response) == 4096, "drawing");
static_assert(offsetof(struct rk_pair, upcall) == 8064, "drawing");

struct rk_control_page {
    struct rk_segment_header header;
    uint32_t word RK_LINE_ALIGNED;       /* R7 */
    uint64_t stop_epoch RK_LINE_ALIGNED; /* R11 */
};
static_assert(offsetof(struct rk_control_page, word) == 64, "drawing");
static_assert(offsetof(struct rk_control_page, stop_epoch) == 128, "drawing");

/** Hash of every mapped size and offset of this build. Equal fingerprints mean the same layout. */
uint32_t rk_layout_fingerprint(void);
/** Are these parameters within the limits? Returns 0, or -EINVAL with the offending one in rask_last_error(). */
int rk_params_check(const struct rk_params *params);

/* Sizes and offsets, in bytes, of checked parameters. Sizes are whole pages. */
uint64_t rk_request_segment_bytes(const struct rk_params *params);
uint64_t rk_request_lane_offset(const struct rk_params *params, uint32_t lane);
uint64_t rk_request_slab_offset(const struct rk_params *params);
uint64_t rk_response_segment_bytes(const struct rk_params *params);
uint64_t rk_response_emissions_offset(const struct rk_params *params);
uint64_t rk_response_slab_offset(const struct rk_params *params);
uint64_t rk_bell_segment_bytes(const struct rk_params *params);
uint64_t rk_bell_pair_offset(const struct rk_params *params, uint32_t lane);
uint64_t rk_pool_segment_bytes(uint32_t workers);

/** Write a segment's header; magic last. `base` is zeroed memory of `bytes` bytes. */
void rk_segment_header_init(void *base, enum rk_segment_kind kind, uint64_t bytes);
/** Check a mapped header that a peer wrote. Returns 0, or -EPROTO with the field in rask_last_error(). */
int rk_segment_header_check(const void *base, enum rk_segment_kind kind, uint64_t bytes);

/** What stands for the name of an upcall in its slot: FNV-1a. */
uint32_t rk_upcall_hash(const char *name);

const char *rk_segment_kind_name(uint32_t kind);

#include "layout_figures.h"

#endif
