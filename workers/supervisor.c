/* SPDX-License-Identifier: MIT */
/* The supervisor's life: set-up, signals, and the ways it ends.
 *
 *   STARTING -> SERVING -> DRAINING   SIGTERM, SIGINT: workers finish, exit 0; a second one, or too long: killed, exit 1
 *   STARTING -> FAILING               the plugin does not load: clients are told, exit 78
 *   ... -> ENDING                     the last client of a private supervisor is gone: exit 0
 *
 * A thing that ends (a worker, a client, a queue) calls rk_supervisor_look(), which alone decides that it is time to stop. */
#include "supervisor.h"
#include "bell.h"
#include "clock.h"
#include "error.h"
#include "exit_codes.h"
#include "fallbacks.h"
#include "notify.h"
#include "spawn.h"
#include "supervisor_state.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <rask/client.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* What is left for last messages, and for killed workers to be reaped. */
#define LAST_WORDS_NS 1000000000u
/* Out of descriptors: do not even look at the listener for this long. */
#define ACCEPT_PAUSE_NS 100000000u
/* Standard error was full: try again after this long. */
#define LOG_RETRY_NS 1000000000u
#define ROUND_ACCEPTS_MAX 16u
/* Signals this close together are one: timeout(1) and service managers send theirs to the process and to its group. */
#define SAME_SIGNAL_NS 50000000u

/* Lines were dropped: somebody should hear of it once there is room, also when nothing else happens. */
static void on_log_timer(void *user)
{
    struct rk_supervisor *supervisor = user;
    if (!rk_log_settle())
        rk_timer_start(supervisor->reactor, &supervisor->log_timer, rk_deadline_after(LOG_RETRY_NS), on_log_timer,
                       supervisor);
}

void rk_supervisor_log(struct rk_supervisor *supervisor, int level, uint32_t worker, const char *event,
                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rk_log_list(level, "rask run", worker, event, format, arguments);
    va_end(arguments);
    if (!supervisor->reactor || !rk_log_owes()) return;
    rk_board_pool(supervisor);
    if (!supervisor->log_timer.armed)
        rk_timer_start(supervisor->reactor, &supervisor->log_timer, rk_deadline_after(LOG_RETRY_NS), on_log_timer,
                       supervisor);
}

static void on_end_timer(void *user);

static void start_end_timer(struct rk_supervisor *supervisor, uint64_t ns)
{
    rk_timer_start(supervisor->reactor, &supervisor->end_timer, rk_deadline_after(ns), on_end_timer, supervisor);
}

static bool all_told(const struct rk_supervisor *supervisor)
{
    for (const struct rk_client *client = supervisor->clients; client; client = client->next)
        if (client->peer.queued > 0 && !client->peer.cut_off) return false;
    return true;
}

void rk_supervisor_look(struct rk_supervisor *supervisor)
{
    bool private_end = supervisor->config->private_fd >= 0 && !supervisor->clients;
    if (private_end && supervisor->phase < RK_PHASE_DRAINING) {
        supervisor->phase = RK_PHASE_ENDING;
        rk_pool_tell(supervisor, RK_EVENT_KILL); /* nobody waits for them */
        start_end_timer(supervisor, LAST_WORDS_NS);
    }
    if (supervisor->phase < RK_PHASE_DRAINING || rk_pool_alive(supervisor)) return;
    /* Clients that are refused get a moment to read why: one may not even have said HELLO yet. */
    bool done = supervisor->phase == RK_PHASE_FAILING ? !supervisor->clients : all_told(supervisor);
    if (done)
        rk_reactor_stop(supervisor->reactor);
    else if (supervisor->phase == RK_PHASE_DRAINING && !supervisor->last_words)
        start_end_timer(supervisor, LAST_WORDS_NS);
    supervisor->last_words = true;
}

/* A drain that takes too long is forced; whatever takes too long after that is left behind. */
static void force(struct rk_supervisor *supervisor, const char *why)
{
    rk_supervisor_log(supervisor, RASK_LOG_WARNING, RK_LOG_NO_WORKER, "forced",
                      "%s: the workers that still run are killed", why);
    supervisor->exit_code = RK_EXIT_FORCED;
    rk_pool_tell(supervisor, RK_EVENT_KILL);
    start_end_timer(supervisor, LAST_WORDS_NS);
}

static void on_end_timer(void *user)
{
    struct rk_supervisor *supervisor = user;
    bool forcible = supervisor->phase == RK_PHASE_DRAINING && supervisor->exit_code == RK_EXIT_OK;
    if (forcible && rk_pool_alive(supervisor))
        force(supervisor, "the drain timeout is over");
    else
        rk_reactor_stop(supervisor->reactor);
}

static void stop_listening(struct rk_supervisor *supervisor)
{
    rk_timer_stop(supervisor->reactor, &supervisor->accept_timer);
    if (supervisor->listener.fd >= 0) rk_reactor_unwatch(supervisor->reactor, supervisor->listener.fd);
    rk_listener_close(&supervisor->listener);
}

static void drain(struct rk_supervisor *supervisor)
{
    supervisor->phase = RK_PHASE_DRAINING;
    rk_board_pool(supervisor);
    rk_notify("STOPPING=1");
    stop_listening(supervisor);
    rk_clients_shutdown(supervisor); /* before the workers: what has not started is taken back */
    rk_pool_tell(supervisor, RK_EVENT_DRAIN);
    rk_lanes_give_up(supervisor);
    start_end_timer(supervisor, supervisor->config->drain_timeout_ns);
    rk_supervisor_look(supervisor);
}

static void on_end_signal(struct rk_supervisor *supervisor)
{
    uint64_t now_ns = rask_now_ns();
    if (supervisor->phase < RK_PHASE_DRAINING) {
        supervisor->signal_ns = now_ns;
        drain(supervisor);
    } else if (supervisor->phase == RK_PHASE_DRAINING && rk_pool_alive(supervisor) &&
               now_ns - supervisor->signal_ns >= SAME_SIGNAL_NS) {
        force(supervisor, "a second signal came");
    }
}

/* SIGHUP also says that the terminal is gone: from the kernel, or passed on by a shell. */
static bool lost_terminal(const struct rk_supervisor *supervisor, const struct signalfd_siginfo *info)
{
    return supervisor->has_terminal && (info->ssi_code == SI_KERNEL || !isatty(STDERR_FILENO));
}

static void on_signal(void *user, int fd, uint32_t events)
{
    struct rk_supervisor *supervisor = user;
    struct signalfd_siginfo info;
    (void)events;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP && !lost_terminal(supervisor, &info))
            rk_reload_signal(supervisor);
        else
            on_end_signal(supervisor);
    }
}

void rk_supervisor_ready(struct rk_supervisor *supervisor)
{
    supervisor->ever_ready = true;
    supervisor->phase = RK_PHASE_SERVING;
    rk_board_pool(supervisor);
    if (supervisor->listener.fd >= 0) {
        printf("ready %s\n", supervisor->listener.path);
        fflush(stdout);
    }
    rk_notify("READY=1");
    rk_clients_welcome(supervisor);
}

void rk_supervisor_fail(struct rk_supervisor *supervisor, const struct rk_load_error *error)
{
    char *text = supervisor->failure_text;
    bool plugin = error->check != RK_LOAD_OK;
    if (supervisor->phase != RK_PHASE_STARTING) return;
    supervisor->phase = RK_PHASE_FAILING;
    supervisor->exit_code = plugin ? RK_EXIT_CONFIG : RK_EXIT_UNAVAILABLE;
    supervisor->failure_reason = plugin ? RK_REFUSED_PLUGIN : RK_REFUSED_MEMORY;
    snprintf(text, sizeof(supervisor->failure_text), "%s%s%s%s", plugin ? "check " : "",
             plugin ? rk_load_check_name(error->check) : "", plugin ? ": " : "", error->text);
    if (supervisor->config->private_fd < 0) /* else the client says it */
        rk_supervisor_log(supervisor, RASK_LOG_ERROR, RK_LOG_NO_WORKER, "start_failed", "%s", text);
    stop_listening(supervisor);
    for (struct rk_client *client = supervisor->clients; client; client = client->next)
        rk_client_end(client, supervisor->failure_reason, "%s", text);
    rk_pool_tell(supervisor, RK_EVENT_KILL);
    start_end_timer(supervisor, LAST_WORDS_NS);
    rk_supervisor_look(supervisor);
}

static void watch_listener(void *user);

static void on_connection(void *user, int fd, uint32_t events)
{
    struct rk_supervisor *supervisor = user;
    (void)events;
    for (unsigned i = 0; i < ROUND_ACCEPTS_MAX && supervisor->listener.fd == fd; i++) {
        int client = rk_listener_accept(&supervisor->listener);
        if (client >= 0) {
            rk_client_accept(supervisor, client);
        } else if (client == -EMFILE || client == -ENFILE || client == -ENOMEM || client == -ENOBUFS) {
            /* The connection stays in the backlog, so the listener stays ready: looking again at once is a busy loop. */
            rk_reactor_unwatch(supervisor->reactor, fd);
            rk_timer_start(supervisor->reactor, &supervisor->accept_timer, rk_deadline_after(ACCEPT_PAUSE_NS),
                           watch_listener, supervisor);
            return;
        } else if (client == -EAGAIN) {
            return;
        }
    }
}

static void watch_listener(void *user)
{
    struct rk_supervisor *supervisor = user;
    if (supervisor->listener.fd < 0) return;
    if (rk_reactor_watch(supervisor->reactor, supervisor->listener.fd, POLLIN, on_connection, supervisor) < 0)
        rk_timer_start(supervisor->reactor, &supervisor->accept_timer, rk_deadline_after(ACCEPT_PAUSE_NS),
                       watch_listener, supervisor);
}

/* A descriptor of ours that got number 0, 1 or 2 would be written to by mistake. */
static void occupy_standard_streams(void)
{
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

static void raise_file_limit(struct rk_supervisor *supervisor)
{
    supervisor->files = (struct rlimit){.rlim_cur = 1024, .rlim_max = 1024};
    getrlimit(RLIMIT_NOFILE, &supervisor->files);
    struct rlimit raised = {.rlim_cur = supervisor->files.rlim_max, .rlim_max = supervisor->files.rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised);
}

uint32_t rk_chance(struct rk_supervisor *supervisor)
{
    supervisor->chance = supervisor->chance * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(supervisor->chance >> 32);
}

/* Children are reaped through their pidfds, which an ignored SIGCHLD would prevent. */
static int take_signals(struct rk_supervisor *supervisor)
{
    sigset_t set;
    supervisor->has_terminal = isatty(STDERR_FILENO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error like others */
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    supervisor->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (supervisor->signal_fd < 0) return rk_error(-errno, "signalfd: %s", strerror(errno));
    return rk_reactor_watch(supervisor->reactor, supervisor->signal_fd, POLLIN, on_signal, supervisor);
}

/* Others are let in, and cannot come. */
static void say_if_hidden(struct rk_supervisor *supervisor)
{
    char folder[PATH_MAX];
    if (!rk_listener_hidden(&supervisor->listener, folder, sizeof(folder))) return;
    rk_supervisor_log(
        supervisor, RASK_LOG_WARNING, RK_LOG_NO_WORKER, "unreachable",
        "other users cannot reach %s, because they may not search %s: chmod o+x it, or name another --socket",
        supervisor->listener.path, folder);
}

static int open_doors(struct rk_supervisor *supervisor)
{
    const struct rk_supervisor_config *config = supervisor->config;
    if (config->private_fd < 0) {
        bool for_others = rk_access_for_others(&config->access);
        int result = rk_listener_open(&supervisor->listener, config->socket_path, for_others);
        if (result < 0) return result;
        if (for_others) say_if_hidden(supervisor);
        rk_board_place(supervisor);
        watch_listener(supervisor);
        return 0;
    }
    if (fcntl(config->private_fd, F_SETFD, FD_CLOEXEC) < 0)
        return rk_error(-errno, "--private-fd %d: %s", config->private_fd, strerror(errno));
    int result = rk_client_adopt(supervisor, config->private_fd);
    return result < 0 || supervisor->clients ? result : -ECONNREFUSED; /* why is in rask_last_error() */
}

static int set_up(struct rk_supervisor *supervisor, int *exit_code)
{
    char why[256];
    *exit_code = RK_EXIT_UNAVAILABLE;
    rk_notify_init();
    occupy_standard_streams();
    rk_close_others(supervisor->config->private_fd, supervisor->config->private_fd);
    rk_log_open(supervisor->config->log_level, supervisor->config->log_format);
    raise_file_limit(supervisor);
    rk_fallback_barrier(supervisor);
    int result = rk_reactor_create(&supervisor->reactor, supervisor->config->engine, why, sizeof(why));
    if (result == -EINVAL) *exit_code = RK_EXIT_CONFIG;
    if (result < 0) return result;
    rk_fallback_engine(supervisor, why);
    rk_oom_init(&supervisor->oom);
    result = take_signals(supervisor);
    if (result == 0) result = rk_board_create(supervisor);
    if (result == 0) result = rk_pool_create(supervisor);
    if (result < 0) return result;
    *exit_code = RK_EXIT_CONFIG;
    return open_doors(supervisor);
}

static void finish(struct rk_supervisor *supervisor)
{
    if (!supervisor->reactor) return;
    stop_listening(supervisor);
    while (supervisor->clients) rk_client_destroy(supervisor->clients);
    rk_pool_destroy(supervisor);
    rk_crash_finish(supervisor);
    rk_timer_stop(supervisor->reactor, &supervisor->end_timer);
    rk_timer_stop(supervisor->reactor, &supervisor->late_timer);
    rk_timer_stop(supervisor->reactor, &supervisor->poison_timer);
    rk_timer_stop(supervisor->reactor, &supervisor->log_timer);
    rk_log_settle();
    rk_board_destroy(supervisor);
    rk_timer_stop(supervisor->reactor, &supervisor->recycle_timer);
    if (supervisor->signal_fd >= 0) close(supervisor->signal_fd);
    rk_reactor_destroy(supervisor->reactor);
}

static void start(struct rk_supervisor *supervisor)
{
    struct rk_load_error error;
    if (supervisor->config->plugin_error) {
        rk_supervisor_fail(supervisor, supervisor->config->plugin_error);
        return;
    }
    if (rk_generation_create(&supervisor->generation, supervisor->config->plugin_path, 1, &error) < 0) {
        rk_supervisor_fail(supervisor, &error);
        return;
    }
    supervisor->generations_made = 1;
    for (uint32_t i = 0; i < supervisor->config->workers; i++)
        rk_holder(supervisor, i)->plugin = rk_generation_use(supervisor->generation);
    rk_pool_tell(supervisor, RK_EVENT_START);
    rk_recycle_start(supervisor);
}

static int supervise(struct rk_supervisor *supervisor)
{
    int exit_code;
    int result = set_up(supervisor, &exit_code);
    if (result == 0) {
        start(supervisor);
        result = rk_reactor_run(supervisor->reactor);
        if (result == 0) return supervisor->exit_code;
        rk_error(result, "the event loop failed: %s", strerror(-result));
        exit_code = RK_EXIT_UNAVAILABLE;
    }
    rk_supervisor_log(supervisor, RASK_LOG_ERROR, RK_LOG_NO_WORKER, "failed", "%s",
                      rask_last_error()[0] != '\0' ? rask_last_error() : strerror(-result));
    return exit_code;
}

int rk_supervisor_run(const struct rk_supervisor_config *config)
{
    struct rk_supervisor *supervisor = calloc(1, sizeof(*supervisor));
    if (!supervisor) return rk_fail(-ENOMEM);
    supervisor->config = config;
    supervisor->listener = (struct rk_listener)RK_LISTENER_INIT;
    supervisor->board = (struct rk_segment)RK_SEGMENT_INIT;
    supervisor->signal_fd = -1;
    supervisor->poisons.ttl_ns = config->poison_ttl_ns;
    supervisor->lanes = config->workers + (config->workers / 4 > 2 ? config->workers / 4 : 2);
    int exit_code = supervise(supervisor);
    finish(supervisor);
    free(supervisor);
    return exit_code;
}
