/* SPDX-License-Identifier: MIT */
/* See pump.h. Policy `block` is not left to the library: its wait would keep answers from going out and signals from
 * coming in. Memory is bounded: an item that finds no room stays in the input's buffer, which is then not filled any more; answers
 * that find none stay in the stream, which then takes no more items. */
#include "pump.h"
#include "backlog_bars.h"
#include "clock.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <poll.h>
#include <rask/status.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How long a cancelled stream may take to say how it ended. */
#define SETTLE_NS 500000000u
/* Items that are sent before answers are looked for. */
#define BATCH 64u

enum { AT_SIGNAL, AT_SESSION, AT_INPUT, AT_OUTPUT, DESCRIPTORS };

static void input_ends(struct rk_pump *pump, int code)
{
    if (pump->code == RK_EXIT_OK) pump->code = code;
    pump->input_over = true;
}

static void stop(struct rk_pump *pump, int code)
{
    input_ends(pump, code);
    pump->stopped = true;
    pump->settle_ns = rk_deadline_after(SETTLE_NS);
    rask_stream_cancel(pump->stream);
}

static struct rask_stream_state state_of(const struct rk_pump *pump)
{
    struct rask_stream_state state = {.size = sizeof(state)};
    rask_stream_state(pump->stream, &state);
    return state;
}

/* ---- items ----------------------------------------------------------------------------------------------------- */

static unsigned long long number_of_next(const struct rk_pump *pump)
{
    return (unsigned long long)pump->items.taken + 1;
}

/* 1: there is one. */
static int look_for_item(struct rk_pump *pump, const void **data, size_t *bytes)
{
    int found = rk_items_next(&pump->items, data, bytes);
    pump->wants_input = found == -EAGAIN;
    if (found == 0) pump->input_over = true;
    if (found == -EMSGSIZE) {
        rk_complain("item %llu is over the limit of %zu bytes: raise it with --max-payload; no more is read",
                    number_of_next(pump), pump->items.bytes_max);
        input_ends(pump, RK_EXIT_TOO_LARGE);
    }
    if (found == -EBADMSG) {
        rk_complain("standard input ended within item %llu: a frame is its length, 32 bits little-endian, and so many "
                    "bytes",
                    number_of_next(pump));
        input_ends(pump, RK_EXIT_BAD_DATA);
    }
    return found;
}

/* No delay adds up, but a pause of the input is not made up for by a burst either. */
static bool is_early(struct rk_pump *pump)
{
    if (pump->item_interval_ns == 0) return false;
    uint64_t now_ns = rask_now_ns();
    if (now_ns < pump->next_ns) return true;
    bool in_step = now_ns - pump->next_ns < pump->item_interval_ns;
    pump->next_ns = (in_step ? pump->next_ns : now_ns) + pump->item_interval_ns;
    return false;
}

static void refused(struct rk_pump *pump, size_t bytes, int error)
{
    if (error == -EPIPE) { /* it has ended: its state says why */
        pump->input_over = true;
    } else if (error == -EAGAIN) {
        rk_complain("item %llu finds the backlog at its limit (--policy fail): no more is read, what was sent is "
                    "finished",
                    number_of_next(pump));
        input_ends(pump, RK_EXIT_OVERLOADED);
    } else if (error == -EMSGSIZE) {
        rk_complain("item %llu has %zu bytes, which takes more than --queue-bytes-max allows: raise it; no more is "
                    "read",
                    number_of_next(pump), bytes);
        input_ends(pump, RK_EXIT_TOO_LARGE);
    } else {
        rk_complain("item %llu: %s; no more is read", number_of_next(pump), rk_errno_text(error));
        input_ends(pump, rk_exit_from_errno(error));
    }
}

/* -EAGAIN, too, when it is not the backlog that is full: then answers have to go out first. */
static bool waits_for_room(const struct rk_pump *pump, int error)
{
    return error == -EAGAIN && (pump->policy != RK_PUMP_FAIL || state_of(pump).waiting > 0);
}

/* A dropped item counts as taken: nothing more is done about it. */
static bool send_item(struct rk_pump *pump, const void *data, size_t bytes)
{
    int error = rask_stream_send(pump->stream, data, bytes, number_of_next(pump), 0);
    pump->held = waits_for_room(pump, error);
    if (pump->held) pump->held_at = state_of(pump).backlog;
    if (pump->held) return false;
    if (error < 0) {
        refused(pump, bytes, error);
        return false;
    }
    rk_items_take(&pump->items, data, bytes);
    return true;
}

static void send_items(struct rk_pump *pump)
{
    const void *data;
    size_t bytes;
    pump->wants_input = pump->early = false;
    for (unsigned i = 0; i < BATCH && !pump->input_over; i++) {
        if (look_for_item(pump, &data, &bytes) != 1) break;
        if (pump->start_ns == 0) pump->start_ns = rask_now_ns();
        pump->early = !pump->held && is_early(pump);
        if (pump->early || !send_item(pump, data, bytes)) break;
    }
    if (pump->input_over && !pump->end_told) pump->end_told = rask_stream_end(pump->stream) != -EAGAIN;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void tell_failed(struct rk_pump *pump, const struct rask_completion *answer)
{
    unsigned long long number = answer->user_data;
    if (pump->stopped) return; /* it failed because it was told to */
    if (pump->failed++ == 0) pump->failed_code = rk_exit_from_status(answer->status);
    if (pump->failed > RK_PUMP_FAILED_TOLD_MAX) return;
    if (answer->status == RASK_HANDLER_ERROR)
        rk_complain("item %llu: the handler returned error code %d", number, answer->code);
    else
        rk_complain("item %llu: %s: %s%s", number, rask_status_name(answer->status), rask_status_text(answer->status),
                    answer->status == RASK_REPLY_TOO_LARGE ? "; raise the limit with --max-payload" : "");
}

/* What failed has no line, unless its handler gave one with the error. */
static void put_answer(struct rk_pump *pump, const struct rask_completion *answer)
{
    if (answer->status != RASK_OK) tell_failed(pump, answer);
    if (answer->status != RASK_OK && answer->length == 0) return;
    if (rk_outlet_put(&pump->outlet, answer->data, answer->length) == 0) return;
    rk_complain("no memory for an answer of %u bytes", answer->length);
    stop(pump, RK_EXIT_UNAVAILABLE);
}

static void take_answers(struct rk_pump *pump)
{
    struct rask_completion answer;
    pump->took = false;
    if (rk_outlet_full(&pump->outlet)) rask_poll(pump->session, NULL, 0); /* the backlog goes on falling */
    while (!rk_outlet_full(&pump->outlet) && rask_stream_take(pump->stream, &answer, 1) == 1) {
        put_answer(pump, &answer);
        rask_release(pump->session, &answer);
        pump->took = true;
    }
}

static void output_failed(struct rk_pump *pump, int error)
{
    rk_complain("standard output: %s", strerror(-error));
    pump->output_gone = true;
    stop(pump, RK_EXIT_IO);
}

static void write_answers(struct rk_pump *pump)
{
    if (rk_outlet_waiting(&pump->outlet) == 0) return;
    rk_bars_clear();
    int error = rk_outlet_write(&pump->outlet);
    if (error < 0) output_failed(pump, error);
}

/* ---- the backlog ----------------------------------------------------------------------------------------------- */

static void note_backlog(struct rk_pump *pump)
{
    if (!pump->backlog || pump->start_ns == 0) return;
    uint64_t at_ns = rask_now_ns() - pump->start_ns, items = state_of(pump).backlog;
    rk_curve_note(pump->backlog, at_ns, items);
    rk_bars_note(at_ns, items);
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void wait_until(struct pollfd *at, uint64_t until_ns)
{
    uint64_t now_ns = rask_now_ns();
    struct timespec left = rk_timespec(until_ns > now_ns ? until_ns - now_ns : 0);
    if (ppoll(at, DESCRIPTORS, until_ns ? &left : NULL, NULL) <= 0) {
        for (int i = 0; i < DESCRIPTORS; i++) at[i].revents = 0;
    }
}

/* Is there something that can be done at once: an answer to take, an item to send? An item that found no room may have some
 * now, without another event: answers were taken, or items were processed that have none. */
static bool has_work(const struct rk_pump *pump)
{
    struct rask_stream_state state = state_of(pump);
    if (!rk_outlet_full(&pump->outlet) && state.waiting > 0) return true;
    bool no_room = pump->held && !pump->took && state.backlog >= pump->held_at;
    return !pump->input_over && !pump->wants_input && !pump->early && !no_room;
}

/* 0: when something happens. */
static uint64_t next_look_ns(const struct rk_pump *pump)
{
    if (has_work(pump)) return 1;
    uint64_t until_ns = pump->stopped ? pump->settle_ns : pump->deadline_ns;
    if (pump->early) until_ns = rk_earlier(until_ns, pump->next_ns);
    if (pump->backlog && pump->start_ns) until_ns = rk_earlier(until_ns, rk_deadline_after(RK_BARS_TICK_NS));
    return until_ns;
}

static void on_signal(struct rk_pump *pump)
{
    struct signalfd_siginfo info;
    if (read(pump->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) return;
    if (pump->stopped) { /* asked for twice */
        pump->settle_ns = 0;
        return;
    }
    rk_complain("CANCELLED: stopped by a signal");
    stop(pump, RK_EXIT_CANCELLED);
}

static void read_input(struct rk_pump *pump)
{
    int error = rk_items_read(&pump->items);
    if (error == 0) return;
    rk_complain("standard input: %s", strerror(-error));
    input_ends(pump, RK_EXIT_IO);
}

/* The output is watched without answers, too: its reader may go. */
static void wait_for_something(struct rk_pump *pump, int session_fd)
{
    bool some = rk_outlet_waiting(&pump->outlet) > 0;
    struct pollfd at[DESCRIPTORS] = {
        [AT_SIGNAL] = {.fd = pump->signal_fd, .events = POLLIN},
        [AT_SESSION] = {.fd = session_fd, .events = POLLIN},
        [AT_INPUT] = {.fd = pump->wants_input && !pump->input_over ? pump->items.fd : -1, .events = POLLIN},
        [AT_OUTPUT] = {.fd = pump->outlet.fd, .events = some ? POLLOUT : 0},
    };
    wait_until(at, next_look_ns(pump));
    if (at[AT_SIGNAL].revents) on_signal(pump);
    if (at[AT_INPUT].revents) read_input(pump);
    if (!some && at[AT_OUTPUT].revents & (POLLERR | POLLNVAL)) output_failed(pump, -EPIPE);
}

static void look_at_the_clock(struct rk_pump *pump)
{
    if (pump->deadline_ns == 0 || pump->stopped || rask_now_ns() < pump->deadline_ns) return;
    rk_complain("TIMEOUT: the stream did not end in time: raise it with --timeout");
    stop(pump, RK_EXIT_TIMEOUT);
}

static bool is_over(const struct rk_pump *pump)
{
    if (pump->output_gone || (pump->stopped && rask_now_ns() >= pump->settle_ns)) return true;
    struct rask_stream_state state = state_of(pump);
    return state.ended && state.waiting == 0 && rk_outlet_waiting(&pump->outlet) == 0;
}

void rk_pump_run(struct rk_pump *pump)
{
    int session_fd = rask_fd(pump->session);
    if (session_fd < 0) {
        pump->code = rk_fail(session_fd);
        return;
    }
    for (;;) {
        send_items(pump);
        note_backlog(pump);
        take_answers(pump);
        note_backlog(pump);
        write_answers(pump);
        if (is_over(pump)) return;
        wait_for_something(pump, session_fd);
        look_at_the_clock(pump);
    }
}
