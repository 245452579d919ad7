/* SPDX-License-Identifier: MIT */
/* rask poison: which requests a running supervisor refuses because workers died of them, and forgetting them. Speaks the
 * control protocol itself: it needs no session. */
#include "clock.h"
#include "commands.h"
#include "control.h"
#include "exit_codes.h"
#include "json.h"
#include "options.h"
#include <errno.h>
#include <inttypes.h>
#include <rask/rask.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_NS_DEFAULT 5000000000u

static const char about[] = "Lists or forgets the requests that a running supervisor knows as deadly. A request (its "
                            "method and its payload, by a\n"
                            "fingerprint) in which a worker died is remembered; after a second death it is poisoned: "
                            "further ones of the same user\n"
                            "are answered POISONED and do not run, until it is forgotten, --poison-ttl after the last "
                            "death, or cleared here.\n";
static const char more[] =
    "A death by a signal that comes from outside (KILL, TERM, INT, HUP) is not counted, nor is one that the "
    "supervisor\n"
    "caused because a request was past its time. Only the supervisor's user and root may use this command.\n"
    "\n"
    "exit codes:\n"
    "    0  done                           69  no supervisor, or not allowed\n"
    "   64  bad usage                      76  the peer speaks another version\n"
    "    1  clear: no such fingerprint    124  no answer within --timeout\n"
    "\n"
    "examples:\n"
    "  rask poison list\n"
    "  rask poison clear 8c3f0d1e55a2b790 --socket /tmp/models.sock\n"
    "  rask poison clear\n";

struct poison {
    const char *socket;
    bool json;
    uint64_t timeout_ns;
    uint64_t deadline_ns;
};

static int connect_to(const struct poison *poison)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error = 0;
    if (!poison->socket)
        error = rask_default_socket(address.sun_path, sizeof(address.sun_path));
    else if (strlen(poison->socket) >= sizeof(address.sun_path))
        return -rk_usage_error("--socket: the path is over %zu bytes", sizeof(address.sun_path) - 1);
    else
        memcpy(address.sun_path, poison->socket, strlen(poison->socket) + 1);
    if (error < 0) return -rk_fail(error);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
    error = errno;
    if (fd >= 0) close(fd);
    rk_complain("%s: %s; is a supervisor running there?", address.sun_path, strerror(error));
    return -RK_EXIT_UNAVAILABLE;
}

static int print_json(const struct rk_message_poison_list *list)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < list->count && i < RASK_POISONS_MAX; i++) {
        char text[32];
        const struct rk_poison_row *row = &list->row[i];
        snprintf(text, sizeof(text), "%016" PRIx64, row->fingerprint);
        json_array_append_new(rows,
                              json_pack("{s:s, s:i, s:i, s:i, s:b, s:I}", "fingerprint", text, "uid", (int)row->uid,
                                        "method", (int)row->method, "deaths", (int)row->deaths, "poisoned",
                                        row->deaths >= RK_POISON_DEATHS, "left_ns", (json_int_t)row->left_ns));
    }
    return rk_json_print(json_pack("{s:i, s:o}", "cleared", (int)list->cleared, "requests", rows));
}

static int print_lines(const struct rk_message_poison_list *list, bool clear)
{
    if (clear) {
        printf("%u forgotten\n", list->cleared);
        return RK_EXIT_OK;
    }
    if (list->count == 0) return RK_EXIT_OK;
    printf("%-16s  %10s  %6s  %6s  %-8s  %s\n", "fingerprint", "uid", "method", "deaths", "state", "left");
    for (uint32_t i = 0; i < list->count && i < RASK_POISONS_MAX; i++) {
        const struct rk_poison_row *row = &list->row[i];
        printf("%016" PRIx64 "  %10u  %6u  %6u  %-8s  %.0fs\n", row->fingerprint, row->uid, row->method, row->deaths,
               row->deaths >= RK_POISON_DEATHS ? "poisoned" : "suspect", (double)row->left_ns / 1e9);
    }
    return RK_EXIT_OK;
}

static int report(const struct poison *poison, const struct rk_message_poison *asked,
                  const union rk_any_message *answer)
{
    if (answer->head.type == RK_REFUSED) {
        rk_complain("%s", answer->text.text);
        return RK_EXIT_UNAVAILABLE;
    }
    if (answer->head.type != RK_POISON_LIST) {
        rk_complain("the supervisor sent %s, which is not an answer", rk_message_type_name(answer->head.type));
        return RK_EXIT_PROTOCOL;
    }
    bool clear = asked->command == RK_POISON_CLEAR;
    int code = poison->json ? print_json(&answer->poison_list) : print_lines(&answer->poison_list, clear);
    return code == RK_EXIT_OK && clear && asked->fingerprint != 0 && answer->poison_list.cleared == 0 ? 1 : code;
}

static int await(const struct poison *poison, const struct rk_message_poison *asked, int socket)
{
    static union rk_any_message answer; /* large, so not on the stack */
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    for (;;) {
        int result = rk_control_receive(socket, &answer, fds, &fd_count);
        if (result == 0) {
            for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
            return report(poison, asked, &answer);
        }
        if (result != -EAGAIN) {
            rk_complain("the supervisor went away before it answered: see its messages");
            return RK_EXIT_UNAVAILABLE;
        }
        if (rk_control_wait(socket, poison->deadline_ns) == -ETIMEDOUT) {
            rk_complain("no answer within the timeout: the supervisor is stopped or hangs");
            return RK_EXIT_TIMEOUT;
        }
    }
}

static int run(const struct poison *poison, const struct rk_message_poison *message)
{
    int fd = connect_to(poison);
    if (fd < 0) return -fd;
    int code = RK_GO_ON, result = rk_control_send(fd, message, NULL, 0);
    /* A supervisor that refuses at once may close before our message arrives: its reason still waits to be read. */
    if (result == 0 || result == -EPIPE || result == -ECONNRESET) code = await(poison, message, fd);
    if (code == RK_GO_ON) code = rk_fail(result);
    close(fd);
    return code;
}

/* "list", "clear" or "clear FINGERPRINT". */
static int read_command(const struct rk_arguments *arguments, struct rk_message_poison *message)
{
    const char *what = arguments->value[0], *number = arguments->count > 1 ? arguments->value[1] : NULL;
    char *end;
    rk_message_init(&message->head, RK_POISON, sizeof(*message));
    if (strcmp(what, "list") == 0 && !number)
        message->command = RK_POISON_SHOW;
    else if (strcmp(what, "clear") == 0)
        message->command = RK_POISON_CLEAR;
    else
        return rk_usage_error("\"%s\": use list, clear, or clear with one fingerprint", number ? number : what);
    if (!number) return RK_GO_ON;
    errno = 0;
    message->fingerprint = strtoull(number, &end, 16);
    if (errno != 0 || *end != '\0' || number[0] == '-' || message->fingerprint == 0)
        return rk_usage_error("\"%s\" is not a fingerprint: use one of \"rask poison list\"", number);
    return RK_GO_ON;
}

int cmd_poison(int argc, char **argv)
{
    struct poison poison = {.timeout_ns = TIMEOUT_NS_DEFAULT};
    struct rk_message_poison message = {.command = RK_POISON_SHOW};
    const struct rk_option options[] = {
        {.name = "socket", .value = "PATH", .help = "the supervisor that listens on PATH", .text = &poison.socket},
        {.name = "timeout",
         .value = "DURATION",
         .help = "wait this long for the answer (default 5s)",
         .duration_ns = &poison.timeout_ns,
         .min = 1},
        {.name = "json", .help = "one JSON object instead of lines", .flag = &poison.json},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "poison",
                                       .usage = "list | clear [FINGERPRINT]",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 2};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = read_command(&arguments, &message);
    if (code != RK_GO_ON) return code;
    poison.deadline_ns = rk_deadline_after(poison.timeout_ns);
    return run(&poison, &message);
}
