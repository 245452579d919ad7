/* SPDX-License-Identifier: MIT */
/* Workers of the supervisor: what policy.c decides is done here. A worker is reaped through its pidfd; whatever it said
 * before it died is read first. */
#include "bell.h"
#include "clock.h"
#include "cpus.h"
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

void rk_member_failure(struct rk_member *member, enum rk_load_check check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    member->failure.check = check;
    vsnprintf(member->failure.text, sizeof(member->failure.text), format, arguments);
    va_end(arguments);
}

static void start_timer(struct rk_member *member, uint64_t delay_ns)
{
    rk_timer_start(member->supervisor->reactor, &member->timer, rk_deadline_after(delay_ns), rk_member_timer, member);
}

static void spawn(struct rk_member *member)
{
    member->generation = ++member->supervisor->posts[member->index].generation;
    member->hung_up = member->spent = false;
    member->kept = (struct rk_past){0};
    member->late = (struct rk_late){0};
    uint64_t age_ns = member->supervisor->config->limits.age_ns_max;
    member->age_ns_max = age_ns - (age_ns / 10 >> 16) * (rk_chance(member->supervisor) >> 16);
    member->failure = (struct rk_load_error){.check = RK_LOAD_OK};
    int result = rk_member_process_start(member);
    if (result == 0) {
        if (member->role == RK_ROLE_HOLDER) member->supervisor->posts[member->index].past.starts++;
        rk_board_member(member);
        start_timer(member, member->supervisor->config->start_timeout_ns);
        return;
    }
    rk_member_failure(member, RK_LOAD_OK, "cannot start worker %u: %s", member->index, strerror(-result));
    if (member->supervisor->ever_ready) /* else the end says it */
        rk_supervisor_log(member->supervisor, RASK_LOG_ERROR, member->index, "worker_not_started", "%s",
                          member->failure.text);
    rk_member_event(member, RK_EVENT_SPAWN_FAILED);
}

static void fail_pool(struct rk_member *member)
{
    rk_supervisor_fail(member->supervisor, &member->failure);
}

static void ask_to_stop(struct rk_member *member)
{
    struct rk_message message;
    rk_message_init(&message, RK_SHUTDOWN, sizeof(message));
    rk_peer_send(&member->peer, &message, 0, NULL, NULL);
}

/* Streams to it are finished first, while the drain timeout lasts. */
static void ask_to_leave(struct rk_member *member)
{
    struct rk_message_lane message = {.worker = member->index, .generation = member->generation};
    rk_message_init(&message.head, RK_LANE_LEAVING, sizeof(message));
    rk_peer_send(&member->peer, &message, 0, NULL, NULL);
}

static void serve(struct rk_member *member)
{
    struct rk_supervisor *supervisor = member->supervisor;
    rk_timer_stop(supervisor->reactor, &member->timer);
    if (member->role == RK_ROLE_INCOMING) {
        rk_incoming_ready(member);
        return;
    }
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
        rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "worker_waits",
                          "worker %u starts again in %.1f s", member->index, seconds(delay_ns));
        start_timer(member, delay_ns);
        break;
    case RK_ACT_SERVE:
        serve(member);
        break;
    case RK_ACT_ASK:
        if (member->role == RK_ROLE_LEAVING && member->supervisor->phase == RK_PHASE_SERVING)
            ask_to_leave(member);
        else
            ask_to_stop(member);
        break;
    case RK_ACT_KILL:
        kill(member->pid, SIGKILL);
        break;
    case RK_ACT_FAIL:
        if (member->pid != 0) kill(member->pid, SIGKILL);
        if (member->role == RK_ROLE_INCOMING)
            rk_incoming_failed(member);
        else
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
    struct rk_supervisor *supervisor = member->supervisor;
    bool served = rk_member_serves(member);
    const struct rk_policy_facts facts = {
        .limit = supervisor->config->restart_limit,
        .on_trial = !supervisor->ever_ready || member->role == RK_ROLE_INCOMING,
        .now_ns = rask_now_ns(),
        .chance = rk_chance(supervisor),
    };
    enum rk_policy_action action = rk_policy_step(&member->policy, event, &facts, delay_ns);
    if (!rk_policy_alive(member->policy.state)) rk_timer_stop(supervisor->reactor, &member->timer);
    rk_board_member(member);
    rk_pool_check(supervisor);
    if (member->role == RK_ROLE_HOLDER && served && !rk_member_serves(member)) rk_clients_workers(supervisor);
    return action;
}

void rk_member_event(struct rk_member *member, enum rk_policy_event event)
{
    uint64_t delay_ns;
    enum rk_policy_action action = step(member, event, &delay_ns);
    act(member, action, delay_ns);
    rk_member_bury(member);
}

void rk_member_bad(struct rk_member *member, const char *format, ...)
{
    char text[sizeof(member->failure.text)];
    va_list arguments;
    if (member->policy.state == RK_WORKER_KILLED || member->policy.state == RK_WORKER_STOPPED) return; /* said before */
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    rk_supervisor_log(member->supervisor, RASK_LOG_ERROR, member->index, "worker_killed",
                      "worker %u (pid %d) is killed: %s", member->index, (int)member->pid, text);
    rk_member_failure(member, RK_LOAD_CRASH, "worker %u broke the protocol: %.300s", member->index, text);
    rk_member_event(member, RK_EVENT_BAD);
}

/* Which check a start failed that ended, or did not end, by itself. */
static enum rk_load_check check_of(uint32_t stage, enum rk_load_check otherwise)
{
    return stage == RK_STAGE_CANARY ? RK_LOAD_CANARY : otherwise;
}

void rk_member_timer(void *user)
{
    struct rk_member *member = user;
    if (member->policy.state == RK_WORKER_BACKOFF) {
        rk_member_event(member, RK_EVENT_TIMER);
    } else if (member->hung_up && member->policy.state != RK_WORKER_KILLED) {
        rk_member_bad(member, "it closed its control socket and did not end");
    } else if (member->role == RK_ROLE_LEAVING) {
        if (member->supervisor->phase >= RK_PHASE_DRAINING)
            return; /* its time-out is everybody's, and is told by the exit code */
        member->supervisor->reload.stragglers++;
        rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "worker_straggled",
                          "worker %u (pid %d) was replaced and did not finish within %.1f s (--drain-timeout): killed",
                          member->index, (int)member->pid, seconds(member->supervisor->config->drain_timeout_ns));
        rk_member_event(member, RK_EVENT_KILL);
    } else if (member->policy.state == RK_WORKER_STARTING) {
        const struct rk_supervisor_config *config = member->supervisor->config;
        uint32_t stage = stage_of(member);
        rk_member_failure(member, check_of(stage, RK_LOAD_HANG),
                          "plugin %.200s: not ready after %.1f s, still %s; repair it, or %s", member->plugin->path,
                          seconds(config->start_timeout_ns), rk_worker_stage_name(stage),
                          config->private_fd < 0 ? "raise --start-timeout" : "wait longer for its supervisor");
        if (member->supervisor->ever_ready)
            rk_supervisor_log(member->supervisor, RASK_LOG_ERROR, member->index, "worker_killed",
                              "worker %u is killed: %s", member->index, member->failure.text);
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

/* Was it by itself? Some signals only others send; SIGKILL is ours, or anybody's, or the kernel's for its memory. */
static void note_killer(struct rk_member *member, int signal)
{
    bool ours = member->policy.state == RK_WORKER_KILLED || member->late.killed;
    member->out_of_memory = signal == SIGKILL && !ours && rk_oom_struck(&member->supervisor->oom, rask_now_ns());
    member->killed =
        (signal == SIGKILL && !member->out_of_memory) || signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
}

/* One line about a death that was not asked for. */
static void report_death(struct rk_member *member, int signal, int code, uint32_t stage)
{
    char how[96], text[64];
    if (signal != 0)
        snprintf(how, sizeof(how), "died of %s%s", rk_signal_text(signal, text, sizeof(text)),
                 member->out_of_memory ? ", because memory ran out," : "");
    else
        snprintf(how, sizeof(how), "exited with code %d", code);
    if (member->failure.check == RK_LOAD_OK)
        rk_member_failure(member, check_of(stage, RK_LOAD_CRASH), "plugin %.200s: its worker %s while %s; %s",
                          member->plugin->path, how, rk_worker_stage_name(stage),
                          stage == RK_STAGE_CANARY ? "repair it, or the request" : "try it with `rask check`");
    bool wanted = member->policy.state == RK_WORKER_DRAINING || member->policy.state == RK_WORKER_STOPPED;
    bool told = member->policy.state == RK_WORKER_KILLED || !member->supervisor->ever_ready || member->late.killed;
    if (!wanted && member->role != RK_ROLE_INCOMING) member->supervisor->posts[member->index].past.deaths++;
    if (!wanted && !told)
        rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "worker_died",
                          "worker %u (pid %d) %s while %s", member->index, (int)member->pid, how,
                          rk_worker_stage_name(stage));
}

/* A wake-up that was lost and found by a time-out is a fault of rask or of the kernel: it must not stay unseen. */
static void report_rescues(const struct rk_member *member)
{
    if (!member->status.base) return;
    const struct rk_status_page *page = member->status.base;
    uint64_t rescues = rk_load_relaxed(&page->rescues);
    if (rescues > 0)
        rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "lost_wakes",
                          "worker %u (pid %d) slept through %llu wake-ups and was rescued by its time-out: please "
                          "report this, and try RASK_BARRIER=fence",
                          member->index, (int)member->pid, (unsigned long long)rescues);
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
    struct rk_crash_job crash;
    note_killer(member, signal);
    report_death(member, signal, code, stage);
    report_rescues(member);
    rk_crash_note(member, signal, code, &crash);
    rk_member_process_drop(member);
    uint64_t delay_ns;
    enum rk_policy_event event = member->late.killed ? RK_EVENT_LATE : RK_EVENT_DIED;
    enum rk_policy_action action = step(member, event, &delay_ns);
    rk_lanes_gone(member, signal, code, stage); /* behind WORKERS: nobody who hears of it believes that it serves */
    if (member->role == RK_ROLE_LEAVING) rk_clients_workers(member->supervisor); /* its successor still does */
    act(member, action, delay_ns);
    rk_crash_capture(member->supervisor, &crash); /* last: nobody waits for it */
    rk_member_bury(member);
    rk_supervisor_look(member->supervisor);
    return true;
}

static bool has_process(const struct rk_member *member)
{
    return member && member->pid != 0;
}

bool rk_pool_alive(const struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; supervisor->posts && i < supervisor->config->workers; i++) {
        const struct rk_post *post = &supervisor->posts[i];
        if (has_process(post->holder) || has_process(post->incoming) || has_process(post->leaving)) return true;
    }
    return false;
}

void rk_pool_tell(struct rk_supervisor *supervisor, enum rk_policy_event event)
{
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        struct rk_post *post = &supervisor->posts[i];
        if (event == RK_EVENT_START && supervisor->phase != RK_PHASE_STARTING) return; /* failed at once */
        rk_member_event(post->holder, event);
        if (post->incoming) rk_member_event(post->incoming, event);
        if (post->leaving) rk_member_event(post->leaving, event);
    }
}

/** How many of its workers can run at once while a client runs, too. */
static uint32_t workers_in_parallel(const struct rk_supervisor_config *config)
{
    uint32_t cpus = rk_cpus_usable(), pinned = 0, parallel;
    for (uint32_t i = 0; i < config->cpu_count; i++) {
        uint32_t before = 0;
        while (before < i && config->cpus[before] != config->cpus[i]) before++;
        pinned += before == i;
    }
    parallel = pinned > 0 ? pinned : cpus > 1 ? cpus - 1 : 1;
    return parallel < config->workers ? parallel : config->workers;
}

int rk_pool_create(struct rk_supervisor *supervisor)
{
    supervisor->parallel = workers_in_parallel(supervisor->config);
    supervisor->chance = rask_now_ns() ^ (uint64_t)getpid() << 32;
    supervisor->posts = calloc(supervisor->config->workers, sizeof(*supervisor->posts));
    for (uint32_t i = 0; supervisor->posts && i < supervisor->config->workers; i++) {
        supervisor->posts[i].holder = rk_member_create(supervisor, i, RK_ROLE_HOLDER, NULL);
        if (!supervisor->posts[i].holder) break;
        if (i + 1 == supervisor->config->workers) return 0;
    }
    return rk_error(-ENOMEM, "no memory for %u workers", supervisor->config->workers);
}

static void end_member(struct rk_member *member)
{
    if (!member) return;
    if (member->pid != 0) kill(member->pid, SIGKILL);
    rk_member_process_drop(member);
    rk_generation_drop(member->plugin);
    free(member);
}

void rk_pool_destroy(struct rk_supervisor *supervisor)
{
    rk_members_free(supervisor);
    for (uint32_t i = 0; supervisor->posts && i < supervisor->config->workers; i++) {
        end_member(supervisor->posts[i].holder);
        end_member(supervisor->posts[i].incoming);
        end_member(supervisor->posts[i].leaving);
    }
    free(supervisor->posts);
    supervisor->posts = NULL;
    rk_generation_drop(supervisor->generation);
    rk_generation_drop(supervisor->reload.generation);
}
