/* SPDX-License-Identifier: MIT */
/* rask reload: ask a running supervisor for new workers, and say how it went. Speaks the control protocol itself: it needs no
 * session. */
#include "clock.h"
#include "commands.h"
#include "control.h"
#include "exit_codes.h"
#include "loader.h"
#include "options.h"
#include <errno.h>
#include <rask/rask.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_NS_DEFAULT 120000000000u

static const char about[] =
    "Replaces the workers of a running supervisor by new ones, without an error for anybody, and says how it went. "
    "The\n"
    "plugin's file is read again, or another one is taken. One new worker comes up first; when it serves, the others\n"
    "do; when all serve they take over, and the old ones finish the request they are in. If anything goes wrong "
    "before\n"
    "that, the old ones just go on. Requests that have not started move to the new workers.\n";
static const char more[] =
    "Only the supervisor's user and root may do this. SIGHUP to the supervisor does the same as \"rask reload\".\n"
    "\n"
    "exit codes:\n"
    "    0  the new workers serve and the old ones are gone\n"
    "   64  bad usage\n"
    "   69  no supervisor, or it is shutting down\n"
    "   78  rolled back: the check that failed and why are printed\n"
    "  124  not done within --timeout; it goes on\n"
    "\n"
    "examples:\n"
    "  rask reload\n"
    "  rask reload --socket /tmp/models.sock --plugin ./handler-2.so\n";

struct reload {
    const char *socket;
    const char *plugin;
    uint64_t timeout_ns;
    uint64_t deadline_ns;
};

static int connect_to(const struct reload *reload)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error = 0;
    if (!reload->socket)
        error = rask_default_socket(address.sun_path, sizeof(address.sun_path));
    else if (strlen(reload->socket) >= sizeof(address.sun_path))
        return -rk_usage_error("--socket: the path is over %zu bytes", sizeof(address.sun_path) - 1);
    else
        memcpy(address.sun_path, reload->socket, strlen(reload->socket) + 1);
    if (error < 0) return -rk_fail(error);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
    error = errno;
    if (fd >= 0) close(fd);
    rk_complain("%s: %s; is a supervisor running there?", address.sun_path, strerror(error));
    return -RK_EXIT_UNAVAILABLE;
}

/* The supervisor has another working directory than this process. */
static int fill_in(const struct reload *reload, struct rk_message_reload *message)
{
    char found[sizeof(message->path)];
    struct rk_load_error error;
    rk_message_init(&message->head, RK_RELOAD, sizeof(*message));
    if (!reload->plugin) return RK_GO_ON;
    if (rk_plugin_find(reload->plugin, found, sizeof(found), &error) < 0) {
        rk_complain("%s", error.text);
        return RK_EXIT_CONFIG;
    }
    char *real = realpath(found, NULL);
    if (!real || snprintf(message->path, sizeof(message->path), "%s", real) >= (int)sizeof(message->path)) {
        rk_complain("--plugin %s: %s", reload->plugin, real ? "its path is too long" : strerror(errno));
        free(real);
        return RK_EXIT_CONFIG;
    }
    free(real);
    return RK_GO_ON;
}

static int report(const union rk_any_message *answer)
{
    if (answer->head.type == RK_RELOADED && answer->text.reason == RK_EXIT_OK) {
        printf("%s\n", answer->text.text);
        return RK_EXIT_OK;
    }
    if (answer->head.type != RK_RELOADED && answer->head.type != RK_REFUSED) {
        rk_complain("the supervisor sent %s, which is not an answer", rk_message_type_name(answer->head.type));
        return RK_EXIT_PROTOCOL;
    }
    rk_complain("%s", answer->text.text);
    if (answer->head.type == RK_REFUSED) return RK_EXIT_UNAVAILABLE;
    return answer->text.reason > 0 && answer->text.reason < 126 ? (int)answer->text.reason : RK_EXIT_PROTOCOL;
}

static int await(const struct reload *reload, int socket)
{
    union rk_any_message answer;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    for (;;) {
        int result = rk_control_receive(socket, &answer, fds, &fd_count);
        if (result == 0) {
            for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
            return report(&answer);
        }
        if (result != -EAGAIN) {
            rk_complain("the supervisor went away before it answered: see its messages");
            return RK_EXIT_UNAVAILABLE;
        }
        if (rk_control_wait(socket, reload->deadline_ns) == -ETIMEDOUT) {
            rk_complain("not done within the timeout; the reload goes on, see the supervisor's messages");
            return RK_EXIT_TIMEOUT;
        }
    }
}

static int run(const struct reload *reload)
{
    static struct rk_message_reload message; /* large, so not on the stack */
    int code = fill_in(reload, &message);
    if (code != RK_GO_ON) return code;
    int fd = connect_to(reload);
    if (fd < 0) return -fd;
    int result = rk_control_send(fd, &message, NULL, 0);
    /* A supervisor that refuses at once may close before our message arrives: its reason still waits to be read. */
    if (result == 0 || result == -EPIPE || result == -ECONNRESET) code = await(reload, fd);
    if (code == RK_GO_ON) code = rk_fail(result);
    close(fd);
    return code;
}

int cmd_reload(int argc, char **argv)
{
    struct reload reload = {.timeout_ns = TIMEOUT_NS_DEFAULT};
    const struct rk_option options[] = {
        {.name = "socket", .value = "PATH", .help = "the supervisor that listens on PATH", .text = &reload.socket},
        {.name = "plugin", .value = "PLUGIN", .help = "the new file (default: the same path)", .text = &reload.plugin},
        {.name = "timeout",
         .value = "DURATION",
         .help = "wait this long for the outcome (default 120s)",
         .duration_ns = &reload.timeout_ns,
         .min = 1},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "reload", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code != RK_GO_ON) return code;
    reload.deadline_ns = rk_deadline_after(reload.timeout_ns);
    return run(&reload);
}
