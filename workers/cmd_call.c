/* SPDX-License-Identifier: MIT */
/* rask call: one request from the command line. The response goes to standard output byte by byte, everything said about
 * it to standard error; with --json one object has both. A signal cancels the request, and every step shares one
 * deadline. Blocks on standard input, the supervisor and the handler, each until that deadline. */
#include "call.h"
#include "clock.h"
#include "commands.h"
#include "exit_codes.h"
#include "input.h"
#include "json.h"
#include "options.h"
#include "session_text.h"
#include "target.h"
#include <errno.h>
#include <rask/rask.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How often a wait looks whether a signal came, and how long a cancelled request may take to say how it ended. */
#define SLICE_NS 20000000u
#define SETTLE_NS 20000000u

static const char about[] =
    "Sends one request and prints the response, byte for byte. The request is DATA, standard input when DATA is -,\n"
    "or empty. Without --socket and --plugin the supervisor of the default socket is called. One that was started\n"
    "just before has 250 ms to make its socket, and as long as the time-out to become ready.\n";
static const char more[] =
    "PLUGIN is a path, or a name that is looked for beside the rask binary and in the plugin folder; its supervisor\n"
    "ends with the call. A duration is a number with ns, us, ms or s; a bare number means ms. A size may end in K, M\n"
    "or G. SIGINT and SIGTERM cancel the request. The JSON object has status, executed, code, response_base64 and\n"
    "latency_ns, after a failure also error.\n"
    "\n"
    "exit codes:\n"
    "    0  the handler succeeded          75  overloaded\n"
    "    1  the handler returned an error  76  the peer speaks another version\n"
    "   64  bad usage, unknown method      78  bad plugin or configuration\n"
    "   65  payload too large             124  timed out or expired\n"
    "   69  no supervisor, unavailable    125  the worker crashed, or the request is poisoned\n"
    "   74  input or output failed        130  cancelled\n"
    "\n"
    "examples:\n"
    "  rask call echo 'hello, world' --plugin echo\n"
    "  rask call sum - --plugin sum < numbers.bin\n"
    "  rask call sleep 2000 --plugin sleep --timeout 50ms --json\n";

struct call {
    struct rk_call_options options;
    uint64_t deadline_ns; /* of everything */
    struct rk_input input;
    struct rask *session;
};

/* How it ended: what both kinds of output are made from. */
struct outcome {
    int exit_code;
    const char *status;
    uint32_t executed; /* enum rask_executed */
    int32_t code;
    const void *response; /* valid until the session is closed */
    size_t response_bytes;
    uint64_t latency_ns; /* 0: never sent */
    char error[16384];   /* empty: nothing to say; long enough to list every method */
};

/* Before the request is sent a signal ends the process at once; afterwards it asks for a cancel. */
static volatile sig_atomic_t sent, interrupted, wants_json;

static void on_signal(int number)
{
    static const char text[] = "rask call: cancelled before the request was sent\n";
    static const char json[] = "{\"status\":\"CANCELLED\",\"executed\":\"no\",\"code\":0,\"response_base64\":\"\","
                               "\"latency_ns\":0,\"error\":\"cancelled before the request was sent\"}\n";
    (void)number;
    interrupted = 1;
    if (sent) return;
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    if (wants_json) ignored = write(STDOUT_FILENO, json, sizeof(json) - 1);
    (void)ignored;
    _exit(RK_EXIT_CANCELLED);
}

static void watch_signals(bool json)
{
    struct sigaction action = {.sa_handler = on_signal};
    wants_json = json;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* An outcome without a request status: nothing was sent. */
__attribute__((format(printf, 4, 5))) static void not_sent(struct outcome *outcome, int exit_code, const char *status,
                                                           const char *format, ...)
{
    va_list arguments;
    *outcome = (struct outcome){.exit_code = exit_code, .status = status, .executed = RASK_EXECUTED_NO};
    va_start(arguments, format);
    vsnprintf(outcome->error, sizeof(outcome->error), format, arguments);
    va_end(arguments);
}

static void not_sent_errno(struct outcome *outcome, int error)
{
    int exit_code = rk_exit_from_errno(error);
    not_sent(outcome, exit_code, rk_errno_word(error), "%s%s", rk_errno_text(error),
             exit_code == RK_EXIT_TIMEOUT ? "; executed: no" : "");
}

static int read_request(struct call *call, struct outcome *outcome)
{
    bool from_stdin = call->options.data && strcmp(call->options.data, "-") == 0;
    int error = from_stdin
                    ? rk_input_read(&call->input, STDIN_FILENO, call->options.payload_bytes_max, call->deadline_ns)
                    : rk_input_text(&call->input, call->options.data ? call->options.data : "",
                                    call->options.payload_bytes_max);
    if (error == -EMSGSIZE) {
        not_sent(outcome, RK_EXIT_TOO_LARGE, "TOO_LARGE",
                 "the request is over the limit of %llu bytes: raise it with --max-payload",
                 (unsigned long long)call->options.payload_bytes_max);
    } else if (error == -ETIMEDOUT) {
        not_sent(outcome, RK_EXIT_TIMEOUT, "EXPIRED",
                 "standard input did not end in time: the time-out covers it too; raise it with --timeout");
    } else if (error < 0) {
        not_sent(outcome, RK_EXIT_IO, "INPUT_FAILED", "standard input: %s", strerror(-error));
    }
    return error;
}

static int open_session(struct call *call, struct outcome *outcome)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    uint64_t now_ns = rask_now_ns();
    options.payload_bytes_max = (uint32_t)call->options.payload_bytes_max;
    options.connect_timeout_ns = call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 1;
    int error = rk_target_open(&call->session, &call->options.target, &options);
    if (error < 0) not_sent_errno(outcome, error);
    return error;
}

static int find_method(struct call *call, struct outcome *outcome)
{
    int method = rask_method(call->session, call->options.method);
    if (method >= 0) return method;
    char text[sizeof(outcome->error)];
    rk_no_method_text(call->session, call->options.method, text, sizeof(text));
    not_sent(outcome, RK_EXIT_USAGE, rask_status_name(RASK_NO_METHOD), "%s", text);
    return method;
}

static int submit(struct call *call, uint32_t method, uint64_t *ticket)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.deadline_ns = call->deadline_ns;
    options.flags = call->options.idempotent ? RASK_REQUEST_IDEMPOTENT : 0;
    options.retries_max = (uint32_t)call->options.retries;
    options.key = call->options.key;
    int error = rask_reserve(call->session, call->input.bytes, &request);
    if (error < 0) return error;
    if (call->input.bytes > 0) memcpy(request.data, call->input.data, call->input.bytes);
    *ticket = request.ticket;
    error = rask_submit(call->session, &request, method, call->input.bytes, &options);
    if (error < 0) rask_abandon(call->session, &request);
    return error;
}

/* Wait until the completion, the deadline (-ETIMEDOUT) or a signal (-ECANCELED). */
static int wait_for(struct call *call, uint64_t ticket, struct rask_completion *completion)
{
    for (;;) {
        if (interrupted) return -ECANCELED;
        uint64_t slice_ns = rk_earlier(rk_deadline_after(SLICE_NS), call->deadline_ns);
        int error = rask_wait(call->session, ticket, slice_ns, completion);
        if (error != -ETIMEDOUT && error != -EINTR) return error;
        if (!interrupted && rask_now_ns() >= call->deadline_ns) return -ETIMEDOUT;
    }
}

/* Given up: ask that it be stopped and take what can be known about it in a moment. */
static void give_up(struct call *call, uint64_t ticket, int why, struct outcome *outcome)
{
    struct rask_completion completion;
    rask_cancel(call->session, ticket);
    int error = rask_wait(call->session, ticket, rk_deadline_after(SETTLE_NS), &completion);
    outcome->executed = error == 0 ? completion.executed : RASK_EXECUTED_MAYBE;
    uint32_t status = outcome->executed == RASK_EXECUTED_NO ? RASK_EXPIRED : RASK_TIMEOUT;
    if (why == -ECANCELED) status = RASK_CANCELLED;
    outcome->status = rask_status_name(status);
    outcome->exit_code = rk_exit_from_status(status);
    snprintf(outcome->error, sizeof(outcome->error), "%s: %s; executed: %s", outcome->status,
             why == -ECANCELED ? "stopped by a signal" : rask_status_text(status),
             rask_executed_name(outcome->executed));
}

static void describe(const struct call *call, const struct rask_completion *completion, struct outcome *outcome)
{
    char *text = outcome->error, signal_text[64];
    size_t bytes = sizeof(outcome->error);
    const char *executed = rask_executed_name(completion->executed);
    switch (completion->status) {
    case RASK_OK:
        break;
    case RASK_HANDLER_ERROR:
        snprintf(text, bytes, "the handler of %s returned error code %d", call->options.method, completion->code);
        break;
    case RASK_CRASHED:
        if (completion->code == 0)
            snprintf(text, bytes, "the worker died while it had the request; executed: %s", executed);
        else
            snprintf(text, bytes, "the worker crashed with %s while it had the request; executed: %s",
                     rk_signal_text(completion->code, signal_text, sizeof(signal_text)), executed);
        rk_crash_hint(call->session, text, bytes);
        break;
    case RASK_UNAVAILABLE:
        snprintf(text, bytes, "UNAVAILABLE: %s; executed: %s",
                 rask_last_error()[0] ? rask_last_error() : rask_status_text(RASK_UNAVAILABLE), executed);
        break;
    default:
        snprintf(text, bytes, "%s: %s; executed: %s%s", outcome->status, rask_status_text(completion->status), executed,
                 completion->status == RASK_REPLY_TOO_LARGE ? "; raise the limit with --max-payload" : "");
    }
}

static void take(const struct call *call, const struct rask_completion *completion, struct outcome *outcome)
{
    outcome->exit_code = rk_exit_from_status(completion->status);
    outcome->status = rask_status_name(completion->status);
    outcome->executed = completion->executed;
    outcome->code = completion->code;
    outcome->response = completion->data;
    outcome->response_bytes = completion->length;
    describe(call, completion, outcome);
}

static void run(struct call *call, struct outcome *outcome)
{
    struct rask_completion completion;
    uint64_t ticket = 0;
    if (read_request(call, outcome) < 0 || open_session(call, outcome) < 0) return;
    int method = find_method(call, outcome);
    if (method < 0) return;
    sent = 1;
    uint64_t start_ns = rask_now_ns();
    int error = submit(call, (uint32_t)method, &ticket);
    if (error < 0) {
        not_sent_errno(outcome, error);
        return;
    }
    error = wait_for(call, ticket, &completion);
    outcome->latency_ns = rask_now_ns() - start_ns;
    if (error == -ETIMEDOUT || error == -ECANCELED) {
        give_up(call, ticket, error, outcome);
    } else if (error < 0) {
        not_sent_errno(outcome, error);
        outcome->executed = RASK_EXECUTED_MAYBE;
    } else {
        take(call, &completion, outcome);
    }
}

static int print_json(const struct outcome *outcome)
{
    json_t *object = json_pack("{s:s, s:s, s:i, s:o, s:I}", "status", outcome->status, "executed",
                               rask_executed_name(outcome->executed), "code", (int)outcome->code, "response_base64",
                               rk_json_base64(outcome->response, outcome->response_bytes), "latency_ns",
                               (json_int_t)outcome->latency_ns);
    if (object && outcome->error[0]) json_object_set_new(object, "error", rk_json_text(outcome->error));
    return rk_json_print(object);
}

static int report(const struct call *call, const struct outcome *outcome)
{
    if (outcome->error[0]) rk_complain("%s", outcome->error);
    if (call->options.json) {
        int code = print_json(outcome);
        return code == RK_EXIT_OK ? outcome->exit_code : code;
    }
    int error = rk_output_write(STDOUT_FILENO, outcome->response, outcome->response_bytes);
    if (error == 0) return outcome->exit_code;
    rk_complain("standard output: %s", strerror(-error));
    return RK_EXIT_IO;
}

/* Closing waits for a private supervisor, and that one for a handler that may be stuck. After a time-out or a signal the
 * end of this process tells it the same without waiting. */
static void finish(struct call *call, const struct outcome *outcome)
{
    static struct rask *left_to_exit;
    rk_input_finish(&call->input);
    if (outcome->exit_code == RK_EXIT_TIMEOUT || outcome->exit_code == RK_EXIT_CANCELLED) {
        left_to_exit = call->session;
        (void)left_to_exit;
    } else {
        rask_close(call->session);
    }
}

static int parse(struct rk_call_options *call, int argc, char **argv)
{
    const struct rk_option options[] = {
        RK_OPTION_SOCKET(&call->target),
        RK_OPTION_PLUGIN(&call->target),
        RK_OPTION_SET(&call->target),
        RK_OPTION_WORKERS(&call->target),
        RK_OPTION_WAIT(&call->target),
        RK_OPTION_TIMEOUT(call),
        RK_OPTION_MAX_PAYLOAD(call),
        {.name = "idempotent", .help = "it may run twice: send it again if its worker dies", .flag = &call->idempotent},
        {.name = "retries",
         .value = "N",
         .help = "with --idempotent: how often, 1 to 16 (default 1)",
         .count = &call->retries,
         .min = 1,
         .max = RASK_RETRIES_MAX},
        {.name = "key",
         .value = "NUMBER",
         .help = "requests of a session with one key stay together",
         .count = &call->key,
         .min = 1},
        RK_OPTION_JSON(call),
        {.name = NULL},
    };
    const struct rk_command command = {.name = "call",
                                       .usage = "METHOD [DATA | -]",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 2};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = rk_target_check(&call->target);
    if (code == RK_GO_ON && call->retries > 0 && !call->idempotent)
        code = rk_usage_error("--retries needs --idempotent: only a request that may run twice is sent again");
    if (code != RK_GO_ON) return code;
    call->method = arguments.value[0];
    call->data = arguments.count > 1 ? arguments.value[1] : NULL;
    return RK_GO_ON;
}

int rk_call(const struct rk_call_options *options)
{
    struct call call = {.options = *options, .deadline_ns = rk_deadline_after(options->timeout_ns)};
    struct outcome outcome = {.exit_code = RK_EXIT_OK};
    watch_signals(options->json);
    run(&call, &outcome);
    int code = report(&call, &outcome);
    finish(&call, &outcome);
    return code;
}

int cmd_call(int argc, char **argv)
{
    struct rk_call_options options = RK_CALL_OPTIONS_INIT;
    int code = parse(&options, argc, argv);
    return code == RK_GO_ON ? rk_call(&options) : code;
}
