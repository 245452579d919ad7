/* SPDX-License-Identifier: MIT */
/* rask_spawn(): find the program, start it with one end of a socket pair, attach over the other. posix_spawn, so that a
 * host program may have threads. Blocks until a worker serves; closing the last session waits for the program's end. */
#include "launch.h"
#include "atomic.h"
#include "clock.h"
#include "error.h"
#include "session.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PRIVATE_FD 3
#define EXIT_WAIT_MS 2000
/** What takes less to start is not to blame, however short of time its caller is. */
#define START_NS_MIN 100000000u
#define SETTINGS_MAX 256u
#define ARGUMENTS_MAX (18u + 2u * SETTINGS_MAX)

extern char **environ;

struct rk_launch {
    pid_t pid;
    int pidfd;
    uint32_t references;
};

/** A runnable file at `path`? */
static bool runnable(const char *path)
{
    return path != NULL && *path != '\0' && access(path, X_OK) == 0;
}

static bool in_search_path(char *found, size_t bytes)
{
    const char *search = secure_getenv("PATH");
    while (search != NULL && *search != '\0') {
        size_t length = strcspn(search, ":");
        snprintf(found, bytes, "%.*s/rask", (int)length, search);
        if (length > 0 && runnable(found)) return true;
        search += length;
        if (*search == ':') search++;
    }
    return false;
}

static int find_program(const char *wanted, char *found, size_t bytes)
{
    const char *variable = secure_getenv("RASK_BIN");
    const char *explicit_path = wanted != NULL ? wanted : variable != NULL && *variable != '\0' ? variable : NULL;
    if (explicit_path != NULL) {
        snprintf(found, bytes, "%s", explicit_path);
        if (runnable(found)) return 0;
        return rk_error(-ENOENT, "cannot run \"%s\" (from %s)", found,
                        wanted != NULL ? "rask_spawn_options.program" : "RASK_BIN");
    }
    snprintf(found, bytes, "%s", RASK_BIN_DEFAULT);
    if (runnable(found) || in_search_path(found, bytes)) return 0;
    return rk_error(-ENOENT,
                    "the rask program was not found: looked at \"%s\" and in PATH; set RASK_BIN or "
                    "rask_spawn_options.program",
                    RASK_BIN_DEFAULT);
}

static int check(const struct rask_spawn_options *o)
{
    if (o == NULL || o->size != sizeof *o)
        return rk_error(-EINVAL, "spawn options: start from RASK_SPAWN_OPTIONS_INIT");
    if (o->flags != 0 || o->reserved[0] != 0 || o->reserved[1] != 0 || o->reserved[2] != 0 || o->reserved[3] != 0)
        return rk_error(-EINVAL, "spawn options: flags and reserved words must be 0");
    if (o->plugin == NULL || *o->plugin == '\0') return rk_error(-EINVAL, "spawn options: plugin is required");
    if (o->workers > RASK_WORKERS_MAX)
        return rk_error(-EINVAL, "spawn options: %u workers, at most %u", o->workers, RASK_WORKERS_MAX);
    if (o->wait_mode > RASK_WAIT_PARK) return rk_error(-EINVAL, "spawn options: wait_mode %u", o->wait_mode);
    for (uint32_t i = 0; o->settings != NULL && o->settings[i] != NULL; i++)
        if (i >= SETTINGS_MAX) return rk_error(-EINVAL, "spawn options: more than %u settings", SETTINGS_MAX);
    return 0;
}

/** The program's arguments; strings are borrowed. */
struct arguments {
    const char *list[ARGUMENTS_MAX + 1];
    unsigned count;
    char workers[16];
    char private_fd[16];
    char start_timeout[32];
};

static void add(struct arguments *a, const char *first, const char *second)
{
    a->list[a->count++] = first;
    if (second != NULL) a->list[a->count++] = second;
}

/** `patience_ns`: how long the caller waits for a worker; the supervisor gives up a little earlier, so that it can say why. */
static void build(struct arguments *a, const char *program, const struct rask_spawn_options *o, uint64_t patience_ns)
{
    *a = (struct arguments){0};
    snprintf(a->workers, sizeof a->workers, "%u", o->workers > 0 ? o->workers : 1);
    snprintf(a->private_fd, sizeof a->private_fd, "%d", PRIVATE_FD);
    add(a, program, "run");
    add(a, "--private-fd", a->private_fd);
    add(a, "--plugin", o->plugin);
    add(a, "--workers", a->workers);
    uint64_t start_ns = patience_ns / 10 * 9 > START_NS_MIN ? patience_ns / 10 * 9 : START_NS_MIN;
    snprintf(a->start_timeout, sizeof a->start_timeout, "%lluns", (unsigned long long)start_ns);
    add(a, "--start-timeout", a->start_timeout);
    if (o->wait_mode != RASK_WAIT_DEFAULT) add(a, "--wait", rk_wait_mode_name(o->wait_mode));
    if (o->pin_workers != NULL) add(a, "--pin", o->pin_workers);
    for (uint32_t i = 0; o->settings != NULL && o->settings[i] != NULL; i++) add(a, "--set", o->settings[i]);
}

/** Start the program with `theirs` as its descriptor 3 and a clean signal mask. */
static int start(const char *program, struct arguments *a, int theirs, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    /* dup2 onto itself clears close-on-exec, too (POSIX 2024, and glibc). */
    posix_spawn_file_actions_adddup2(&actions, theirs, PRIVATE_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, PRIVATE_FD + 1);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    /* A group of its own: a Ctrl-C meant for the host must not drain the supervisor under it. */
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int error = posix_spawn(pid, program, &actions, &attributes, (char *const *)(uintptr_t)a->list, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? 0 : rk_error(-error, "cannot start \"%s\": %s", program, strerror(error));
}

static int launch(struct rk_launch **out, const struct rask_spawn_options *o, uint64_t patience_ns, int *socket_out)
{
    char program[4096];
    int pair[2];
    int result = find_program(o->program, program, sizeof program);
    if (result != 0) return result;
    struct arguments *arguments = malloc(sizeof *arguments);
    struct rk_launch *made = calloc(1, sizeof *made);
    result = arguments == NULL || made == NULL ? -ENOMEM : 0;
    if (result == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        result = rk_error(-errno, "cannot make a socket pair: %s", strerror(errno));
    if (result == 0) {
        build(arguments, program, o, patience_ns);
        result = start(program, arguments, pair[1], &made->pid);
        close(pair[1]);
        if (result != 0) close(pair[0]);
    }
    free(arguments);
    if (result != 0) {
        free(made);
        return result;
    }
    made->pidfd = (int)syscall(SYS_pidfd_open, made->pid, 0);
    made->references = 1;
    *socket_out = pair[0];
    *out = made;
    return 0;
}

int rask_spawn(struct rask **out, const struct rask_spawn_options *spawn, const struct rask_options *options)
{
    *out = NULL;
    rk_error_clear();
    int result = check(spawn);
    struct rask *s = NULL;
    if (result == 0) result = rk_session_create(&s, options);
    if (result != 0) return result;
    int socket = -1;
    result = launch(&s->launch, spawn, s->options.connect_timeout_ns, &socket);
    if (result == 0) result = rk_session_attach(s, socket, rk_deadline_after(s->options.connect_timeout_ns));
    if (result != 0) {
        rask_close(s);
        return result;
    }
    *out = s;
    return 0;
}

void rk_launch_share(struct rask *s, struct rask *with)
{
    rk_fetch_add(&with->launch->references, 1u);
    s->launch = with->launch;
}

int rk_launch_adopt(struct rask *s, int *socket_out)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return rk_error(-errno, "cannot make a socket pair: %s", strerror(errno));
    struct rk_message adopt;
    rk_message_init(&adopt, RK_ADOPT, sizeof adopt);
    int result = rk_session_send(s, &adopt, &pair[1], 1);
    close(pair[1]);
    if (result == 0)
        *socket_out = pair[0];
    else
        close(pair[0]);
    return result;
}

void rk_launch_release(struct rk_launch *launch)
{
    if (launch == NULL || rk_fetch_add(&launch->references, UINT32_MAX) != 1) return;
    struct pollfd ended = {.fd = launch->pidfd, .events = POLLIN};
    /* Without a pidfd (poll then returns at once for fd -1 only after the time) the wait is the whole 2 s at worst. */
    if (poll(&ended, 1, EXIT_WAIT_MS) != 1) kill(launch->pid, SIGKILL);
    while (waitpid(launch->pid, NULL, 0) < 0 && errno == EINTR) continue;
    if (launch->pidfd >= 0) close(launch->pidfd);
    free(launch);
}
