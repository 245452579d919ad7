/* SPDX-License-Identifier: MIT */
/* Workers of the supervisor: what policy.c decides is done here. A worker is reaped through its pidfd; whatever it said
 * before it died is read first. */
#include "bell.h"
#include "clock.h"
#include "error.h"
#include "exit_codes.h"
#include "spawn.h"
#include "supervisor_state.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* P_PIDFD of waitid(2), Linux 5.4; not in every libc header. */
#define ID_PIDFD ((idtype_t)3)
/* A worker whose socket has ended is about to be dead, or misbehaves. */
#define HUNG_UP_NS 1000000000u

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* The stage in the status page; it is the worker's word, good for messages. */
static uint32_t stage_of(const struct rk_member *member)
{
    if (!member->status.base) return RK_STAGE_STARTING;
    const struct rk_status_page *page = member->status.base;
    /* SYNC R9 acquire: pairs with rk_worker_stage */
    uint32_t stage = rk_load_acquire(&page->stage);
    return stage < RK_STAGE_COUNT ? stage : RK_STAGE_STARTING;
}

__attribute__((format(printf, 3, 4))) static void set_failure(struct rk_member *member, enum rk_load_check check,
                                                              const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    member->failure.check = check;
    vsnprintf(member->failure.text, sizeof(member->failure.text), format, arguments);
    va_end(arguments);
}

static void on_timer(void *user);
static void on_pidfd(void *user, int fd, uint32_t events);

static void start_timer(struct rk_member *member, uint64_t delay_ns)
{
    rk_timer_start(member->supervisor->reactor, &member->timer, rk_deadline_after(delay_ns), on_timer, member);
}

static void on_readable(void *user)
{
    rk_member_receive(user, RK_ROUND_MESSAGES_MAX);
}

static const struct rk_peer_calls member_calls = {.readable = on_readable};

/* Watches, and the words of the new incarnation. On failure everything that was made is undone, the process included. */
static int adopt(struct rk_member *member, const struct rk_spawned *spawned)
{
    struct rk_reactor *reactor = member->supervisor->reactor;
    member->pid = spawned->pid;
    member->pidfd = rk_fd_create(spawned->pidfd);
    int result = member->pidfd ? rk_peer_open(&member->peer, reactor, spawned->socket, &member_calls, member) : -ENOMEM;
    if (result < 0) {
        close(spawned->socket);
        goto fail;
    }
    result = rk_reactor_watch(reactor, member->pidfd->fd, POLLIN, on_pidfd, member);
    if (result < 0) goto fail;
    member->peer.word = member->peer.bell = &((struct rk_control_page *)member->control.base)->word;
    return 0;
fail:
    kill(member->pid, SIGKILL);
    waitpid(member->pid, NULL, 0);
    member->pid = 0;
    rk_peer_close(&member->peer);
    rk_fd_drop(member->pidfd);
    member->pidfd = NULL;
    return result;
}

static int make_process(struct rk_member *member)
{
    struct rk_supervisor *supervisor = member->supervisor;
    const struct rk_supervisor_config *config = supervisor->config;
    int result = rk_segment_create(&member->control, RK_SEGMENT_CONTROL, RK_PAGE_BYTES);
    if (result < 0) return result;
    struct rk_spawn_config spawn = {
        .index = member->index,
        .generation = member->generation,
        .wait_mode = config->wait_mode,
        .parties = config->workers + 1,
        .cpu = config->cpu_count > 0 ? (int)config->cpus[member->index % config->cpu_count] : RK_CPU_ANY,
        .control_word_fd = member->control.fd,
        .plugin_path = config->plugin_path,
        .settings = config->settings,
        .files = supervisor->files,
        .reactor = supervisor->reactor,
    };
    struct rk_spawned spawned;
    result = rk_spawn_worker(&spawned, &spawn);
    if (result == 0) result = adopt(member, &spawned);
    rk_segment_close_fd(&member->control);
    if (result < 0) rk_segment_finish(&member->control);
    return result;
}

static void spawn(struct rk_member *member)
{
    member->generation++;
    member->hung_up = false;
    member->late = (struct rk_late){0};
    member->failure = (struct rk_load_error){.check = RK_LOAD_OK};
    int result = make_process(member);
    if (result == 0) {
        start_timer(member, member->supervisor->config->start_timeout_ns);
        return;
    }
    set_failure(member, RK_LOAD_OK, "cannot start worker %u: %s", member->index, strerror(-result));
    if (member->supervisor->ever_ready) rk_supervisor_say("%s", member->failure.text); /* else the end says it */
    rk_member_event(member, RK_EVENT_SPAWN_FAILED);
}

static void fail_pool(struct rk_member *member)
{
    bool plugin = member->failure.check != RK_LOAD_OK;
    rk_supervisor_fail(member->supervisor, plugin ? RK_REFUSED_PLUGIN : RK_REFUSED_MEMORY,
                       plugin ? RK_EXIT_CONFIG : RK_EXIT_UNAVAILABLE, member->failure.text);
}

static void ask_to_stop(struct rk_member *member)
{
    struct rk_message message;
    rk_message_init(&message, RK_SHUTDOWN, sizeof(message));
    rk_peer_send(&member->peer, &message, 0, NULL, NULL);
}

static void serve(struct rk_member *member)
{
    struct rk_supervisor *supervisor = member->supervisor;
    rk_timer_stop(supervisor->reactor, &member->timer);
    if (!supervisor->ever_ready) rk_supervisor_ready(supervisor);
    rk_clients_workers(supervisor);
    rk_lanes_serve(member);
}

static void act(struct rk_member *member, enum rk_policy_action action, uint64_t delay_ns)
{
    switch (action) {
    case RK_ACT_SPAWN:
        spawn(member);
        break;
    case RK_ACT_WAIT:
        rk_supervisor_say("worker %u starts again in %.1f s", member->index, seconds(delay_ns));
        start_timer(member, delay_ns);
        break;
    case RK_ACT_SERVE:
        serve(member);
        break;
    case RK_ACT_ASK:
        ask_to_stop(member);
        break;
    case RK_ACT_KILL:
        kill(member->pid, SIGKILL);
        break;
    case RK_ACT_FAIL_POOL:
        if (member->pid != 0) kill(member->pid, SIGKILL);
        fail_pool(member);
        break;
    case RK_ACT_NONE:
    case RK_POLICY_ACTION_COUNT:
        break;
    }
}

/* Its next state, which clients hear of; what is to be done is returned. */
static enum rk_policy_action step(struct rk_member *member, enum rk_policy_event event, uint64_t *delay_ns)
{
    bool served = rk_member_serves(member);
    enum rk_policy_action action =
        rk_policy_step(&member->policy, event, member->supervisor->ever_ready, rask_now_ns(), delay_ns);
    if (!rk_policy_alive(member->policy.state)) rk_timer_stop(member->supervisor->reactor, &member->timer);
    if (served && !rk_member_serves(member)) rk_clients_workers(member->supervisor);
    return action;
}

void rk_member_event(struct rk_member *member, enum rk_policy_event event)
{
    uint64_t delay_ns;
    enum rk_policy_action action = step(member, event, &delay_ns);
    act(member, action, delay_ns);
}

void rk_member_bad(struct rk_member *member, const char *format, ...)
{
    char text[sizeof(member->failure.text)];
    va_list arguments;
    if (member->policy.state == RK_WORKER_KILLED || member->policy.state == RK_WORKER_STOPPED) return; /* said before */
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    rk_supervisor_say("worker %u (pid %d) is killed: %s", member->index, (int)member->pid, text);
    set_failure(member, RK_LOAD_CRASH, "worker %u broke the protocol: %.300s", member->index, text);
    rk_member_event(member, RK_EVENT_BAD);
}

static void on_timer(void *user)
{
    struct rk_member *member = user;
    if (member->policy.state == RK_WORKER_BACKOFF) {
        rk_member_event(member, RK_EVENT_TIMER);
    } else if (member->hung_up && member->policy.state != RK_WORKER_KILLED) {
        rk_member_bad(member, "it closed its control socket and did not end");
    } else if (member->policy.state == RK_WORKER_STARTING) {
        const struct rk_supervisor_config *config = member->supervisor->config;
        set_failure(member, RK_LOAD_HANG, "plugin %.200s: not ready after %.1f s, still %s; repair it, or %s",
                    config->plugin_path, seconds(config->start_timeout_ns), rk_worker_stage_name(stage_of(member)),
                    config->private_fd < 0 ? "raise --start-timeout" : "wait longer for its supervisor");
        if (member->supervisor->ever_ready)
            rk_supervisor_say("worker %u is killed: %s", member->index, member->failure.text);
        rk_member_event(member, RK_EVENT_START_TIMEOUT);
    }
}

void rk_member_hung_up(struct rk_member *member)
{
    if (member->hung_up || rk_member_reap(member)) return;
    member->hung_up = true;
    rk_peer_close(&member->peer);
    start_timer(member, HUNG_UP_NS);
}

/* One line about a death that was not asked for. */
static void report_death(struct rk_member *member, int signal, int code, uint32_t stage)
{
    char how[96], text[64];
    if (signal != 0)
        snprintf(how, sizeof(how), "died of %s", rk_signal_text(signal, text, sizeof(text)));
    else
        snprintf(how, sizeof(how), "exited with code %d", code);
    if (member->failure.check == RK_LOAD_OK)
        set_failure(member, RK_LOAD_CRASH, "plugin %.200s: its worker %s while %s; try it with `rask check`",
                    member->supervisor->config->plugin_path, how, rk_worker_stage_name(stage));
    bool wanted = member->policy.state == RK_WORKER_DRAINING || member->policy.state == RK_WORKER_STOPPED;
    bool told = member->policy.state == RK_WORKER_KILLED || !member->supervisor->ever_ready || member->late.killed;
    if (!wanted && !told)
        rk_supervisor_say("worker %u (pid %d) %s while %s", member->index, (int)member->pid, how,
                          rk_worker_stage_name(stage));
}

/* A wake-up that was lost and found by a time-out is a fault of rask or of the kernel: it must not stay unseen. */
static void report_rescues(const struct rk_member *member)
{
    if (!member->status.base) return;
    const struct rk_status_page *page = member->status.base;
    uint64_t rescues = rk_load_relaxed(&page->rescues);
    if (rescues > 0)
        rk_supervisor_say("worker %u (pid %d) slept through %llu wake-ups and was rescued by its time-out: please "
                          "report this, and try RASK_BARRIER=fence",
                          member->index, (int)member->pid, (unsigned long long)rescues);
}

/* Lets go of the process that is gone. */
static void drop_process(struct rk_member *member)
{
    struct rk_reactor *reactor = member->supervisor->reactor;
    rk_timer_stop(reactor, &member->timer);
    rk_late_forget(member);
    rk_peer_close(&member->peer);
    if (member->pidfd) rk_reactor_unwatch(reactor, member->pidfd->fd);
    rk_fd_drop(member->pidfd);
    member->pidfd = NULL;
    member->pid = 0;
    rk_segment_finish(&member->control);
    rk_segment_finish(&member->status);
}

bool rk_member_reap(struct rk_member *member)
{
    siginfo_t info = {0};
    if (member->pid == 0) return false;
    id_t id = (id_t)member->pidfd->fd;
    if (waitid(ID_PIDFD, id, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) return false;
    member->hung_up = true;
    rk_member_receive(member, UINT32_MAX); /* its last words; until they are read the pid stays taken */
    waitid(ID_PIDFD, id, &info, WEXITED | WNOHANG);
    int signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    int code = info.si_code == CLD_EXITED ? info.si_status : 0;
    uint32_t stage = stage_of(member);
    report_death(member, signal, code, stage);
    report_rescues(member);
    drop_process(member);
    uint64_t delay_ns;
    enum rk_policy_event event = member->late.killed ? RK_EVENT_LATE : RK_EVENT_DIED;
    enum rk_policy_action action = step(member, event, &delay_ns);
    rk_lanes_gone(member, signal, code, stage); /* behind WORKERS: nobody who hears of it believes that it serves */
    act(member, action, delay_ns);
    rk_supervisor_look(member->supervisor);
    return true;
}

static void on_pidfd(void *user, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    rk_member_reap(user);
}

bool rk_pool_alive(const struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; supervisor->members && i < supervisor->config->workers; i++)
        if (supervisor->members[i].pid != 0) return true;
    return false;
}

void rk_pool_tell(struct rk_supervisor *supervisor, enum rk_policy_event event)
{
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        if (event == RK_EVENT_START && supervisor->phase != RK_PHASE_STARTING) return; /* failed at once */
        rk_member_event(&supervisor->members[i], event);
    }
}

int rk_pool_create(struct rk_supervisor *supervisor)
{
    supervisor->members = calloc(supervisor->config->workers, sizeof(*supervisor->members));
    if (!supervisor->members) return rk_error(-ENOMEM, "no memory for %u workers", supervisor->config->workers);
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        supervisor->members[i] = (struct rk_member){
            .supervisor = supervisor,
            .index = i,
            .peer = RK_PEER_INIT,
            .control = RK_SEGMENT_INIT,
            .status = RK_SEGMENT_INIT,
        };
        supervisor->members[i].peer.queued_max = RK_WORKER_QUEUED_MAX;
        supervisor->members[i].peer.unacked_max = RK_WORKER_UNACKED_MAX;
    }
    return 0;
}

void rk_pool_destroy(struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; supervisor->members && i < supervisor->config->workers; i++) {
        struct rk_member *member = &supervisor->members[i];
        if (member->pid != 0) kill(member->pid, SIGKILL);
        drop_process(member);
    }
    free(supervisor->members);
    supervisor->members = NULL;
}
