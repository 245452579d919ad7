/* SPDX-License-Identifier: MIT */
/* Forks one worker and carries it through its stages: checking, loading, opening, serving.
 *
 * In the child everything of the supervisor's is dropped first: its ring, its descriptors, its signals. SIGTERM, SIGINT and
 * SIGHUP are ignored, because service managers and terminals send them to the whole group, and a worker must finish what it
 * has when the supervisor says so; SIGPIPE, because a log reader that went away must not look like a crash. What the
 * plugin prints goes to standard error: standard output belongs to the supervisor's one line. */
#include "spawn.h"
#include "bell.h"
#include "canary.h"
#include "control.h"
#include "crash.h"
#include "exit_codes.h"
#include "loader.h"
#include "log.h"
#include "sandbox.h"
#include "worker.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* For a kernel without close_range(2) (before 5.9) the numbers are tried one by one up to this one. */
#define FD_TRIED_MAX 65536

static void close_between(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
    for (unsigned fd = first; fd <= last && fd < FD_TRIED_MAX; fd++) close((int)fd);
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void rk_close_all_but(int *kept, unsigned count)
{
    unsigned next = STDERR_FILENO + 1;
    qsort(kept, count, sizeof(*kept), by_number);
    for (unsigned i = 0; i < count; i++) {
        if (kept[i] < (int)next) continue;
        close_between(next, (unsigned)kept[i] - 1);
        next = (unsigned)kept[i] + 1;
    }
    close_between(next, ~0u);
}

void rk_close_others(int a, int b)
{
    int kept[] = {a, b};
    rk_close_all_but(kept, 2);
}

static void reset_signals(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &plain, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &ignore, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void redirect_standard_streams(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) dup2(null, STDIN_FILENO);
    if (null > STDERR_FILENO) close(null);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

__attribute__((format(printf, 4, 5))) static void say(const struct rk_spawn_config *config, int level,
                                                      const char *event, const char *format, ...)
{
    char who[32];
    va_list arguments;
    snprintf(who, sizeof(who), "rask worker %u", config->index);
    va_start(arguments, format);
    rk_log_list(level, who, config->index, event, format, arguments);
    va_end(arguments);
}

static void pin(const struct rk_spawn_config *config)
{
    if (config->cpu == RK_CPU_ANY) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)config->cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        say(config, RASK_LOG_WARNING, "pin_failed", "cannot run on processor %d: %s; it runs anywhere", config->cpu,
            strerror(errno));
}

/* A worker never outlives its supervisor. The signal is set first and the parent looked at afterwards: a supervisor that
 * died in between has been replaced as parent by then. */
static void tie_to_parent(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) _exit(RK_EXIT_UNAVAILABLE);
}

static void enter_child(const struct rk_spawn_config *config, pid_t parent, int socket)
{
    char name[16];
    tie_to_parent(parent);
    rk_reactor_forget(config->reactor);
    int kept[] = {socket, config->control_word_fd, config->crash_fd, config->plugin_fd};
    rk_close_all_but(kept, 4);
    reset_signals();
    redirect_standard_streams();
    setrlimit(RLIMIT_NOFILE, &config->files);
    rk_log_enter_worker(config->index);
    snprintf(name, sizeof(name), "rask-worker-%u", config->index % RASK_WORKERS_MAX);
    prctl(PR_SET_NAME, name);
}

__attribute__((noreturn)) static void fail(int socket, const struct rk_load_error *error)
{
    struct rk_message_text message = {.reason = error->check};
    rk_message_init(&message.head, RK_FAILED, sizeof(message));
    memcpy(message.text, error->text, sizeof(error->text));
    rk_control_send(socket, &message, NULL, 0);
    _exit(RK_EXIT_CONFIG);
}
static_assert(sizeof(((struct rk_load_error *)0)->text) <= RK_MESSAGE_TEXT_BYTES, "a load error fits a message");

static int send_ready(int socket, const struct rask_plugin *plugin, bool membarrier)
{
    static struct rk_message_ready message; /* large, so not on the stack */
    rk_message_init(&message.head, RK_READY,
                    offsetof(struct rk_message_ready, entry) + plugin->method_count * sizeof(struct rk_method_entry));
    message.flags = membarrier ? RK_PEER_MEMBARRIER : 0;
    message.method_count = plugin->method_count;
    snprintf(message.plugin, sizeof(message.plugin), "%s", plugin->name);
    snprintf(message.plugin_version, sizeof(message.plugin_version), "%s", plugin->version);
    for (uint32_t i = 0; i < plugin->method_count; i++) {
        struct rk_method_entry *entry = &message.entry[i];
        const char *summary = plugin->methods[i].summary;
        snprintf(entry->name, sizeof(entry->name), "%s", plugin->methods[i].name);
        snprintf(entry->summary, sizeof(entry->summary), "%s", summary ? summary : "");
    }
    return rk_control_send(socket, &message, NULL, 0);
}

/* Checking, loading, opening, the canary. Returns the plugin, or ends the process with the check that failed. */
static const struct rask_plugin *bring_up(struct rk_worker *worker, const struct rk_spawn_config *config, int socket)
{
    struct rk_load_error error = {.check = RK_LOAD_OK};
    const struct rask_plugin *plugin = NULL;
    rk_worker_stage(worker, RK_STAGE_CHECKING);
    if (rk_plugin_inspect_copy(config->plugin_path, config->plugin_fd, &error) < 0) fail(socket, &error);
    rk_worker_stage(worker, RK_STAGE_LOADING);
    if (rk_plugin_load_copy(config->plugin_path, config->plugin_fd, config->settings, &plugin, &error) < 0)
        fail(socket, &error);
    close(config->plugin_fd);
    rk_worker_stage(worker, RK_STAGE_OPENING);
    int result = rk_worker_open(worker, plugin);
    if (result != 0) {
        error.check = RK_LOAD_OPEN;
        snprintf(error.text, sizeof(error.text),
                 "plugin %.300s: its open() returned %d; see its messages above, or its documentation",
                 config->plugin_path, result);
        fail(socket, &error);
    }
    if (config->canary && rk_canary_try(config->canary, worker, &error) < 0) fail(socket, &error);
    return plugin;
}

/* Before any code of the plugin runs. A change of user clears the death signal. */
static void confine(const struct rk_spawn_config *config, pid_t parent, int socket)
{
    struct rk_load_error error = {.check = RK_LOAD_LIMITS};
    if (rk_worker_confine(config->limits, error.text, sizeof(error.text)) < 0) fail(socket, &error);
    tie_to_parent(parent);
}

/* A tenth less at most, so that workers which started together are not replaced together. */
static uint64_t with_jitter(uint64_t requests_max, uint32_t chance)
{
    return requests_max - chance % (requests_max / 10 + 1);
}

__attribute__((noreturn)) static void run_child(const struct rk_spawn_config *config, pid_t parent, int socket)
{
    enter_child(config, parent, socket);
    struct rk_worker_config worker_config = {
        .index = config->index,
        .generation = config->generation,
        .wait_mode = config->wait_mode,
        .parties = config->parties,
        .control_fd = socket,
        .control_word_fd = config->control_word_fd,
        .membarrier = rk_membarrier_register(),
        .plugin_path = config->plugin_path,
        .caller_timeout_ns = config->caller_timeout_ns,
        .requests_max = with_jitter(config->limits->requests_max, config->chance),
        .settings = config->settings,
    };
    struct rk_worker *worker = NULL;
    int result = rk_worker_create(&worker, &worker_config);
    if (result < 0) {
        say(config, RASK_LOG_ERROR, "start_failed", "cannot start: %s", strerror(-result));
        _exit(RK_EXIT_UNAVAILABLE);
    }
    pin(config); /* only now: the spin budget follows from the processors of the whole pool, not from this one */
    confine(config, parent, socket);
    const struct rask_plugin *plugin = bring_up(worker, config, socket);
    if (config->crash_fd >= 0) rk_crash_watch(worker, config->crash_fd, config->crash_payload_bytes);
    if (send_ready(socket, plugin, worker_config.membarrier) < 0) _exit(RK_EXIT_UNAVAILABLE);
    int code = rk_worker_serve(worker);
    rk_worker_destroy(worker);
    exit(code); /* and not _exit: what the plugin put off with atexit() runs, too */
}

/* The child cannot vanish before its pidfd is had: only this process reaps it. */
static int finish_parent(struct rk_spawned *out, pid_t pid, int socket)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        int error = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return error;
    }
    *out = (struct rk_spawned){.pid = pid, .pidfd = pidfd, .socket = socket};
    return 0;
}

int rk_spawn_worker(struct rk_spawned *out, const struct rk_spawn_config *config)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    pid_t parent = getpid();
    fflush(NULL); /* or the child would print it again */
    pid_t pid = fork();
    if (pid == 0) run_child(config, parent, pair[1]);
    int result = pid < 0 ? -errno : finish_parent(out, pid, pair[0]);
    close(pair[1]);
    if (result < 0) close(pair[0]);
    return result;
}
