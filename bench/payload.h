/* SPDX-License-Identifier: MIT */
/* What requests say, for rask and for the floor alike: `size` bytes that begin and end with a number of their own, so that
 * a stale or mixed-up answer is noticed.
 *
 * A few copies take turns, and the number is written into one well before its turn. A wide load behind a narrow store
 * waits until the store has left the processor's store buffer: numbering a payload right before it is copied would measure
 * that, and nothing that rask or the floor does. */
#ifndef RK_PAYLOAD_H
#define RK_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rk_payload {
    uint8_t *bytes; /* copies * stride */
    size_t size;
    size_t stride;
    uint64_t copies; /* a power of two */
};

/** 0 or -ENOMEM (finish is allowed then). Numbers start with 1. */
int rk_payload_init(struct rk_payload *payload, size_t size);
void rk_payload_finish(struct rk_payload *payload);

/** Write `number` to both ends of its copy; payloads under 8 bytes hold the low bytes of it. */
static inline void rk_payload_mark(const struct rk_payload *payload, uint64_t number)
{
    uint8_t *bytes = payload->bytes + (number & (payload->copies - 1)) * payload->stride;
    memcpy(bytes, &number, sizeof number);
    if (payload->size >= sizeof number) memcpy(bytes + payload->size - sizeof number, &number, sizeof number);
}

/** The payload with this number, valid for the next copies/2 calls. Call it with 1, 2, 3 ... */
static inline const uint8_t *rk_payload_of(const struct rk_payload *payload, uint64_t number)
{
    rk_payload_mark(payload, number + payload->copies / 2);
    return payload->bytes + (number & (payload->copies - 1)) * payload->stride;
}

/** Does `data`, an echo of `size` bytes, carry this number at both ends? */
static inline bool rk_payload_matches(const struct rk_payload *payload, const uint8_t *data, uint64_t number)
{
    uint64_t first, last;
    if (payload->size < sizeof number) return payload->size == 0 || memcmp(data, &number, payload->size) == 0;
    memcpy(&first, data, sizeof first);
    memcpy(&last, data + payload->size - sizeof last, sizeof last);
    return first == number && last == number;
}

#endif
