/* SPDX-License-Identifier: MIT */
/* hello: joins two strings. Shows how to take a request apart that may be malformed, and how to say so.
 *
 * Request of `join`: two strings, each one length byte and then that many ASCII bytes; nothing behind them.
 * Response: one such string, "first second".
 * The request is checked before it is used, so this plugin does not set RASK_PLUGIN_SHARED_REQUEST: the host hands over
 * a private copy, which cannot change between the check and the use. */
#include <rask/plugin.h>
#include <string.h>

/* What the caller sees as the code of RASK_HANDLER_ERROR. */
enum hello_error {
    HELLO_TRUNCATED = 1, /* the request ends inside a string */
    HELLO_TRAILING = 2,  /* bytes behind the second string */
    HELLO_NOT_ASCII = 3, /* a byte over 127 */
    HELLO_TOO_LONG = 4,  /* both strings and the space are over 255 bytes: no length byte says that */
    HELLO_NO_ROOM = 5    /* no room for the response; the caller sees RASK_REPLY_TOO_LARGE */
};

#define STRING_BYTES_MAX 255u

struct text {
    const uint8_t *bytes;
    size_t length;
};

static int refuse(const struct rask_call *call, int error, const char *why)
{
    call->host->log(call->host, RASK_LOG_WARNING, "hello: refused a join request of %zu bytes: %s", call->request_bytes,
                    why);
    return error;
}

/* Take one string off the front of `rest`. */
static int take_text(const struct rask_call *call, struct text *rest, struct text *out)
{
    if (rest->length == 0) return refuse(call, HELLO_TRUNCATED, "a length byte is missing; send two strings");
    size_t length = rest->bytes[0];
    if (length > rest->length - 1) return refuse(call, HELLO_TRUNCATED, "a string is shorter than its length byte");
    *out = (struct text){rest->bytes + 1, length};
    for (size_t i = 0; i < length; i++) {
        if (out->bytes[i] > 127) return refuse(call, HELLO_NOT_ASCII, "a byte is not ASCII");
    }
    rest->bytes += 1 + length;
    rest->length -= 1 + length;
    return 0;
}

static int reply_joined(struct rask_call *call, const struct text *first, const struct text *second)
{
    size_t length = first->length + 1 + second->length;
    if (length > STRING_BYTES_MAX) return refuse(call, HELLO_TOO_LONG, "the answer would be over 255 bytes");

    uint8_t *reply = rask_reserve_reply(call, 1 + length);
    if (!reply) return HELLO_NO_ROOM;
    reply[0] = (uint8_t)length;
    memcpy(reply + 1, first->bytes, first->length);
    reply[1 + first->length] = ' ';
    memcpy(reply + 1 + first->length + 1, second->bytes, second->length);
    return rask_reply(call, 1 + length);
}

static int join(struct rask_call *call)
{
    struct text rest = {call->request, call->request_bytes};
    struct text first, second;
    int error = take_text(call, &rest, &first);
    if (!error) error = take_text(call, &rest, &second);
    if (error) return error;
    if (rest.length > 0) return refuse(call, HELLO_TRAILING, "bytes behind the second string");
    return reply_joined(call, &first, &second);
}

static const struct rask_method methods[] = {
    {.name = "join",
     .handle = join,
     .summary = "two strings (length byte, ASCII bytes) in, \"first second\" out likewise"},
};

RASK_PLUGIN("hello", "1.0", 0, methods);
