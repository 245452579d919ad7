/* SPDX-License-Identifier: MIT */
/* rask stream: items from standard input into one stream, its answers to standard output, everything said about them to
 * standard error. The command line, the session, and what is reported at the end; the work between is in pump.c. */
#include "backlog_bars.h"
#include "call.h"
#include "clock.h"
#include "commands.h"
#include "curve_plot.h"
#include "exit_codes.h"
#include "options.h"
#include "out_file.h"
#include "pump.h"
#include "session_text.h"
#include "target.h"
#include <errno.h>
#include <fcntl.h>
#include <rask/rask.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_NS_DEFAULT 10000000000u

static const char about[] = "Sends each line of standard input as an item to one worker, as fast as the backlog "
                            "allows, and prints the answers in\n"
                            "order, a line each. When input ends, the worker finishes what waits; then the stream "
                            "ends, and so does the command.\n"
                            "The backlog is what was sent and is not yet processed: it grows while items come faster "
                            "than they are worked on, and\n"
                            "stays within --queue-max and --queue-bytes-max.\n";
static const char more[] =
    "A line may hold any bytes and may be empty; its newline is no part of the item. With --framed items and answers "
    "are\n"
    "a length, 32 bits little-endian, and so many bytes. At the limit of the backlog, --policy says what happens:\n"
    "  block        no more input is read until there is room\n"
    "  fail         no more input is read at all: exit code 75, after the answers to what was sent\n"
    "  drop-oldest  the oldest item that was not begun is forgotten; how many were is said at the end\n"
    "  drop-newest  the item that finds no room is forgotten; how many were is said at the end\n"
    "--backlog draws a column for each 50 ms on a terminal, and elsewhere writes a line \"backlog SECONDS ITEMS ###\" "
    "when\n"
    "it has changed. An item whose handler fails has no line; which it was is said on standard error, and the stream "
    "goes\n"
    "on. Without --socket and --plugin the supervisor of the default socket is used. A duration is a number with ns, "
    "us, ms\n"
    "or s; a bare number means ms. A size may end in K, M or G. SIGINT and SIGTERM cancel the stream.\n"
    "\n"
    "exit codes:\n"
    "    0  all was processed                 75  overloaded, --policy fail\n"
    "    1  the handler returned an error     76  the peer speaks another version\n"
    "   64  bad usage, unknown method         78  bad plugin or configuration\n"
    "   65  an item is too large, a bad frame 124  timed out\n"
    "   69  no supervisor, unavailable       125  the worker crashed\n"
    "   74  input or output failed           130  cancelled\n"
    "\n"
    "examples:\n"
    "  seq 0 9 | rask stream consume --plugin consumer --item-interval 50ms --backlog\n"
    "  seq 0 9 | rask stream consume --plugin consumer --item-interval 50ms --plot backlog.svg\n"
    "  tail -f log | rask stream classify --plugin ./classify.so --queue-max 1000 --policy drop-oldest\n";

struct request {
    struct rk_target target;
    const char *method, *plot, *policy_name;
    enum rk_pump_policy policy;
    bool framed, backlog;
    uint64_t timeout_ns, item_interval_ns, payload_bytes_max, queue_max, queue_bytes_max;
};

static const struct {
    const char *name;
    uint32_t of_stream; /* enum rask_stream_policy */
} policies[RK_PUMP_POLICIES] = {
    [RK_PUMP_BLOCK] = {"block", RASK_STREAM_FAIL},
    [RK_PUMP_FAIL] = {"fail", RASK_STREAM_FAIL},
    [RK_PUMP_DROP_OLDEST] = {"drop-oldest", RASK_STREAM_DROP_OLDEST},
    [RK_PUMP_DROP_NEWEST] = {"drop-newest", RASK_STREAM_DROP_NEWEST},
};

/* ---- signals --------------------------------------------------------------------------------------------------- */

/* Before the stream is open a signal ends the process at once; afterwards the pump reads it from a descriptor. */
static void on_signal(int number)
{
    static const char text[] = "rask stream: cancelled before anything was sent\n";
    (void)number;
    rk_out_interrupted();
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(RK_EXIT_CANCELLED);
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Only now: a private supervisor must not be started with blocked signals. */
static int signals_to_descriptor(void)
{
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGTERM);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the session and the stream -------------------------------------------------------------------------------- */

/* The session's own limits make room for what the stream may hold: items, and as many answers. */
static int open_session(const struct request *request, struct rask **session)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    uint64_t tickets = 2 * request->queue_max + 2, bytes = 2 * request->queue_bytes_max;
    options.payload_bytes_max = (uint32_t)request->payload_bytes_max;
    options.connect_timeout_ns = request->timeout_ns ? request->timeout_ns : CONNECT_TIMEOUT_NS_DEFAULT;
    if (tickets > RASK_QUEUE_MAX_DEFAULT)
        options.queue_max = (uint32_t)(tickets < RASK_QUEUE_MAX_LIMIT ? tickets : RASK_QUEUE_MAX_LIMIT);
    if (bytes > RASK_SLAB_BYTES_MAX_DEFAULT)
        options.slab_bytes_max = bytes < RASK_SLAB_BYTES_MAX_LIMIT ? bytes : RASK_SLAB_BYTES_MAX_LIMIT;
    int error = rk_target_open(session, &request->target, &options);
    return error < 0 ? rk_fail(error) : RK_GO_ON;
}

static int open_stream(const struct request *request, struct rask *session, struct rask_stream **stream)
{
    struct rask_stream_options options = RASK_STREAM_OPTIONS_INIT;
    options.flags = RASK_STREAM_MORE; /* the pump polls after what it has read */
    int method = rask_method(session, request->method);
    if (method < 0) {
        char text[16384]; /* long enough to list every method */
        rk_no_method_text(session, request->method, text, sizeof(text));
        rk_complain("%s", text);
        return RK_EXIT_USAGE;
    }
    options.policy = policies[request->policy].of_stream;
    options.queue_max = (uint32_t)request->queue_max;
    options.queue_bytes_max = request->queue_bytes_max;
    int error = rask_stream_open(session, (uint32_t)method, &options, stream);
    return error < 0 ? rk_fail(error) : RK_GO_ON;
}

/* ---- what is reported ------------------------------------------------------------------------------------------ */

static void describe_end(const struct rk_pump *pump, const struct rask_stream_state *state)
{
    char text[1024], signal_text[64], known[80];
    snprintf(known, sizeof(known), "%llu of %llu items were certainly processed", (unsigned long long)state->processed,
             (unsigned long long)state->sent);
    if (state->status == RASK_HANDLER_ERROR) {
        snprintf(text, sizeof(text), "the handler ended the stream with error code %d; %s", state->code, known);
    } else if (state->status == RASK_CRASHED) {
        snprintf(text, sizeof(text), "the worker %s%s; %s", state->code ? "crashed with " : "died",
                 state->code ? rk_signal_text(state->code, signal_text, sizeof(signal_text)) : "", known);
        rk_crash_hint(pump->session, text, sizeof(text));
    } else {
        snprintf(text, sizeof(text), "%s: %s; %s", rask_status_name(state->status), rask_status_text(state->status),
                 known);
    }
    rk_complain("%s", text);
}

static void report_counts(const struct request *request, const struct rk_pump *pump,
                          const struct rask_stream_state *state)
{
    if (state->dropped > 0)
        rk_complain("%llu of %llu items were dropped: the backlog was at its limit (--queue-max, --queue-bytes-max)",
                    (unsigned long long)state->dropped, (unsigned long long)pump->items.taken);
    if (pump->failed > RK_PUMP_FAILED_TOLD_MAX)
        rk_complain("%llu of %llu items failed", (unsigned long long)pump->failed,
                    (unsigned long long)pump->items.taken);
    if (pump->stopped && !pump->output_gone)
        rk_complain("%llu of %llu items were certainly processed", (unsigned long long)state->processed,
                    (unsigned long long)state->sent);
    if (request->backlog)
        rk_complain("%llu items, %llu answers, backlog at most %llu", (unsigned long long)pump->items.taken,
                    (unsigned long long)state->answers, (unsigned long long)pump->backlog->most);
}

/* The exit code: what went wrong here, else how the stream ended, else the first item that failed. */
static int report(const struct request *request, const struct rk_pump *pump)
{
    struct rask_stream_state state = {.size = sizeof(state)};
    rask_stream_state(pump->stream, &state);
    rk_bars_finish();
    bool ended_badly = state.ended && state.status != RASK_OK && !pump->stopped;
    if (ended_badly) describe_end(pump, &state);
    report_counts(request, pump, &state);
    if (pump->code != RK_EXIT_OK) return pump->code;
    return ended_badly ? rk_exit_from_status(state.status) : pump->failed > 0 ? pump->failed_code : RK_EXIT_OK;
}

static int draw_plot(const struct request *request, const struct rk_curve *backlog, struct rk_out_file *out)
{
    char title[80];
    if (!request->plot) return RK_EXIT_OK;
    snprintf(title, sizeof(title), "backlog of %s", request->method);
    rk_curve_plot(backlog, title, out->file);
    int error = rk_out_commit(out);
    if (error == 0) return RK_EXIT_OK;
    rk_complain("--plot: %s: %s", request->plot, strerror(-error));
    return RK_EXIT_IO;
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

/* Closing waits for a private supervisor, and that one for a handler that may be stuck. After a time-out or a signal the
 * end of this process tells it the same without waiting. */
static void finish(struct rk_pump *pump)
{
    static struct rk_pump left_to_exit;
    rk_items_finish(&pump->items);
    rk_outlet_finish(&pump->outlet);
    if (pump->code == RK_EXIT_TIMEOUT || pump->code == RK_EXIT_CANCELLED) {
        left_to_exit = *pump;
        (void)left_to_exit;
        return;
    }
    rask_stream_close(pump->stream);
    rask_close(pump->session);
}

static int stream(const struct request *request, struct rk_out_file *out)
{
    static struct rk_curve backlog;
    struct rk_pump pump = {
        .items = RK_ITEMS_INIT(STDIN_FILENO, request->framed, request->payload_bytes_max),
        .policy = request->policy,
        .item_interval_ns = request->item_interval_ns,
        .deadline_ns = request->timeout_ns ? rk_deadline_after(request->timeout_ns) : 0,
        .backlog = request->backlog || request->plot ? &backlog : NULL,
    };
    rk_curve_init(&backlog);
    rk_outlet_init(&pump.outlet, STDOUT_FILENO, request->framed);
    int code = open_session(request, &pump.session);
    if (code == RK_GO_ON) code = open_stream(request, pump.session, &pump.stream);
    if (code == RK_GO_ON) {
        pump.signal_fd = signals_to_descriptor();
        if (request->backlog) rk_bars_start();
        rk_pump_run(&pump);
        code = report(request, &pump);
        int plotted = draw_plot(request, &backlog, out);
        if (code == RK_EXIT_OK) code = plotted;
        close(pump.signal_fd);
    }
    finish(&pump);
    return code;
}

static int open_plot(const struct request *request, struct rk_out_file *out)
{
    if (!request->plot) return RK_GO_ON;
    int error = rk_out_open(out, request->plot);
    if (error == 0) return RK_GO_ON;
    rk_complain("--plot: %s: %s", request->plot, strerror(-error));
    return RK_EXIT_IO;
}

/* A number that is free would be given to the session's socket, and taken for input. */
static int check_descriptor(int fd, const char *name)
{
    if (fcntl(fd, F_GETFD) >= 0) return RK_GO_ON;
    rk_complain("%s: %s", name, strerror(errno));
    return RK_EXIT_IO;
}

static int check(struct request *request)
{
    if (request->plot && strcmp(request->plot, "-") == 0)
        return rk_usage_error("--plot: name a file: standard output has the answers");
    for (unsigned i = 0; i < RK_PUMP_POLICIES; i++) {
        request->policy = i;
        if (strcmp(request->policy_name, policies[i].name) == 0) return rk_target_check(&request->target);
    }
    return rk_usage_error("--policy: \"%s\" is none: use block, fail, drop-oldest or drop-newest",
                          request->policy_name);
}

static int parse(struct request *request, int argc, char **argv)
{
    const struct rk_option options[] = {
        RK_OPTION_SOCKET(&request->target),
        RK_OPTION_PLUGIN(&request->target),
        RK_OPTION_SET(&request->target),
        RK_OPTION_WORKERS(&request->target),
        RK_OPTION_WAIT(&request->target),
        {.name = "framed", .help = "items and answers are length and bytes, not lines", .flag = &request->framed},
        {.name = "item-interval",
         .value = "DURATION",
         .help = "time from one item to the next (default: none)",
         .duration_ns = &request->item_interval_ns},
        {.name = "queue-max",
         .value = "N",
         .help = "backlog in items (default 256)",
         .count = &request->queue_max,
         .min = 1,
         .max = RASK_STREAM_QUEUE_MAX_LIMIT},
        {.name = "queue-bytes-max",
         .value = "SIZE",
         .help = "backlog in memory (default 32M)",
         .bytes = &request->queue_bytes_max,
         .min = RASK_BLOCK_BYTES_MIN,
         .max = RASK_SLAB_BYTES_MAX_LIMIT},
        {.name = "policy",
         .value = "POLICY",
         .help = "at that limit: block (default), fail, drop-oldest, drop-newest",
         .text = &request->policy_name},
        {.name = "backlog", .help = "draw the backlog on standard error", .flag = &request->backlog},
        {.name = "plot", .value = "FILE.svg", .help = "draw the backlog into a picture", .text = &request->plot},
        {.name = "timeout",
         .value = "DURATION",
         .help = "give up after this long (default: never; 10s to connect)",
         .min = 1,
         .duration_ns = &request->timeout_ns},
        RK_OPTION_MAX_PAYLOAD(request),
        {.name = NULL},
    };
    const struct rk_command command = {.name = "stream",
                                       .usage = "METHOD",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 1};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code != RK_GO_ON) return code;
    request->method = arguments.value[0];
    return check(request);
}

int cmd_stream(int argc, char **argv)
{
    struct request request = {.policy_name = "block",
                              .payload_bytes_max = RASK_PAYLOAD_BYTES_MAX_DEFAULT,
                              .queue_max = RASK_STREAM_QUEUE_MAX_DEFAULT,
                              .queue_bytes_max = RASK_STREAM_BYTES_MAX_DEFAULT};
    struct rk_out_file out = {0};
    int code = parse(&request, argc, argv);
    watch_signals();
    if (code == RK_GO_ON) code = check_descriptor(STDIN_FILENO, "standard input");
    if (code == RK_GO_ON) code = check_descriptor(STDOUT_FILENO, "standard output");
    if (code == RK_GO_ON) code = open_plot(&request, &out);
    if (code == RK_GO_ON) code = stream(&request, &out);
    rk_out_abandon(&out);
    return code;
}
