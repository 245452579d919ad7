/* SPDX-License-Identifier: MIT */
/* remote_thr <connect-to> <message-size> <message-count>: send that many messages as fast as they are taken. Prints nothing, as
 * libzmq's. Every message is written; unlike there, each is also confirmed, by an empty answer. */
#include "perf.h"
#include <errno.h>
#include <rask/rask.h>
#include <string.h>

#define TAKE_MAX 64u

struct sender {
    const struct perf_line *line;
    struct rask *session;
    uint32_t method;
    uint64_t sent, confirmed;
};

/** As many as there is room for. 0 or -errno. */
static int send_some(struct sender *sender)
{
    while (sender->sent < sender->line->count) {
        struct rask_request request;
        int error = rask_reserve(sender->session, sender->line->size, &request);
        if (error != 0) return error == -EAGAIN && rask_pending(sender->session) > 0 ? 0 : error;
        if (sender->line->size > 0) memset(request.data, 0, sender->line->size);
        error = rask_submit(sender->session, &request, sender->method, sender->line->size, NULL);
        if (error != 0) return error;
        sender->sent++;
    }
    return 0;
}

static int take_some(struct sender *sender)
{
    struct rask_completion done[TAKE_MAX];
    int error = 0, count = rask_wait_any(sender->session, done, TAKE_MAX, 0);
    if (count < 0) return count;
    for (int i = 0; i < count; i++) {
        if (done[i].status != RASK_OK) error = -rask_status_errno(done[i].status);
        rask_release(sender->session, &done[i]);
    }
    sender->confirmed += (uint64_t)count;
    return error;
}

int main(int argc, char **argv)
{
    struct perf_line line;
    struct sender sender = {.line = &line};
    int error = 0;
    if (!perf_parse(&line, argc, argv, "<connect-to> <message-size> <message-count>")) return 1;
    if (perf_connect(&line, &sender.session) != 0) return 1;
    sender.method = (uint32_t)rask_method(sender.session, "take");
    while (error == 0 && sender.confirmed < line.count) {
        error = send_some(&sender);
        if (error == 0) error = take_some(&sender);
    }
    if (error != 0)
        perf_complain(&line, "after %llu messages: %s", (unsigned long long)sender.confirmed, rask_strerror(error));
    rask_close(sender.session);
    return error != 0;
}
