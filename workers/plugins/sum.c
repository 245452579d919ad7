/* SPDX-License-Identifier: MIT */
/* sum: adds up a list of numbers, reading them where the caller wrote them.
 *
 * Request of `sum`: 64-bit integers, least significant byte first, any count, none included.
 * Response: their sum modulo 2^64 (which is right for signed and unsigned numbers alike), as one such integer.
 * Each number is read once and any value is fine, so the request may be shared with the caller. */
#include <rask/plugin.h>

#define NUMBER_BYTES 8u

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum sum_error {
    SUM_BAD_LENGTH = 1, /* the length is not a multiple of 8 */
    SUM_NO_ROOM = 2     /* no room for the response; the caller sees RASK_REPLY_TOO_LARGE */
};

/* Byte by byte: right on every machine and at every alignment. Compilers make one load of it. */
static uint64_t load_little_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < NUMBER_BYTES; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void store_little_endian(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < NUMBER_BYTES; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

static int sum(struct rask_call *call)
{
    if (call->request_bytes % NUMBER_BYTES != 0) {
        call->host->log(call->host, RASK_LOG_WARNING, "sum: refused a request of %zu bytes: send a multiple of 8",
                        call->request_bytes);
        return SUM_BAD_LENGTH;
    }
    const uint8_t *numbers = call->request;
    uint64_t total = 0;
    for (size_t at = 0; at < call->request_bytes; at += NUMBER_BYTES) total += load_little_endian(numbers + at);

    uint8_t *reply = rask_reserve_reply(call, NUMBER_BYTES);
    if (!reply) return SUM_NO_ROOM;
    store_little_endian(reply, total);
    return rask_reply(call, NUMBER_BYTES);
}

static const struct rask_method methods[] = {
    {.name = "sum", .handle = sum, .summary = "64-bit little-endian integers in, their sum modulo 2^64 out as one"},
};

RASK_PLUGIN("sum", "1.0", RASK_PLUGIN_SHARED_REQUEST, methods);
