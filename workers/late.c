/* SPDX-License-Identifier: MIT */
/* Late handlers; see late.h. Nothing here blocks: the time that a worker needs to stop is waited for with its timer. */
#include "late.h"
#include "atomic.h"
#include "clock.h"
#include "error.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>
#include <signal.h>
#include <sys/wait.h>

/* P_PIDFD of waitid(2), Linux 5.4; not in every libc header. */
#define ID_PIDFD ((idtype_t)3)
/* A worker stops within microseconds, but for one that is deep in the kernel, or waits for a processor: once SIGSTOP is sent
 * that one stops before it runs another instruction of its own, so after these looks it may be judged as well. */
#define STOP_LOOK_NS 200000u
#define STOP_LOOKS_MAX 50u

/* One consistent look at where a worker is. */
struct place {
    uint64_t epoch;
    uint64_t request;
    uint32_t session;
    uint32_t method;
    uint64_t deadline_ns;
};

/* False: not inside a handler, or just on its way in or out. */
static bool inside(const struct rk_member *member, struct place *at)
{
    const struct rk_status_page *page = member->status.base;
    if (!page) return false;
    /* SYNC R9 acquire: pairs with the serve loop */
    at->epoch = rk_load_acquire(&page->epoch);
    at->request = rk_load_acquire(&page->ticket);
    at->session = rk_load_acquire(&page->session);
    at->method = rk_load_acquire(&page->method);
    at->deadline_ns = rk_load_acquire(&page->deadline_ns);
    return (at->epoch & 1) && rk_load_acquire(&page->epoch) == at->epoch;
}

static bool still_there(const struct rk_member *member, struct place *at)
{
    const struct rk_late *late = &member->late;
    if (!inside(member, at)) return false;
    return late->epoch != 0 ? at->epoch == late->epoch : at->session == late->session && at->request == late->request;
}

static bool has_stopped(const struct rk_member *member)
{
    siginfo_t info = {0};
    return waitid(ID_PIDFD, (id_t)member->pidfd->fd, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static void on_timer(void *user);

static void wait_until(struct rk_member *member, uint64_t ns)
{
    rk_timer_start(member->supervisor->reactor, &member->late.timer, ns, on_timer, member);
}

static void watch(struct rk_member *member, uint32_t session, uint64_t request, uint64_t epoch, uint64_t due_ns);

static void let_go(struct rk_member *member)
{
    const struct rk_late_next next = member->late.next;
    member->late.armed = member->late.stopping = false;
    member->late.epoch = member->late.next.due_ns = 0;
    if (next.due_ns != 0) watch(member, next.session, next.request, 0, next.due_ns);
}

static void finish(struct rk_member *member)
{
    struct rk_late *late = &member->late;
    struct place at;
    if (!still_there(member, &at)) {
        if (!late->was_stopped) kill(member->pid, SIGCONT);
        let_go(member);
        return;
    }
    late->armed = late->stopping = false;
    late->killed = true;
    late->session = at.session;
    rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "worker_late",
                      "worker %u (pid %d) is killed: it is past its time in a request of session %u, method %u",
                      member->index, (int)member->pid, at.session, at.method);
    kill(member->pid, SIGKILL);
}

static void stop(struct rk_member *member)
{
    struct rk_late *late = &member->late;
    struct place at;
    if (!still_there(member, &at)) {
        let_go(member);
        return;
    }
    late->epoch = at.epoch;
    late->was_stopped = has_stopped(member);
    late->stopping = true;
    late->looks = 0;
    if (!late->was_stopped) kill(member->pid, SIGSTOP);
}

static void on_timer(void *user)
{
    struct rk_member *member = user;
    if (member->pid == 0 || member->policy.state == RK_WORKER_KILLED || member->policy.state == RK_WORKER_STOPPED)
        return;
    if (!member->late.stopping) stop(member);
    if (!member->late.stopping) return;
    if (has_stopped(member) || ++member->late.looks > STOP_LOOKS_MAX)
        finish(member);
    else
        wait_until(member, rk_deadline_after(STOP_LOOK_NS));
}

/* The handler sees it where it looks whether it is cancelled. */
static void ask(struct rk_member *member, uint64_t epoch)
{
    struct rk_control_page *page = member->control.base;
    /* SYNC R11 release: pairs with host_cancelled */
    rk_store_release(&page->stop_epoch, epoch);
}

/* From now on watched; a watch for another request that is still running stays. */
static void watch(struct rk_member *member, uint32_t session, uint64_t request, uint64_t epoch, uint64_t due_ns)
{
    struct rk_late *late = &member->late;
    struct place at;
    if (late->killed) return;
    if (late->stopping) {
        late->next = (struct rk_late_next){session, request, due_ns};
        return;
    }
    if (late->armed && still_there(member, &at)) {
        if (due_ns < late->timer.deadline_ns) wait_until(member, due_ns);
        return;
    }
    late->armed = true;
    late->session = session;
    late->request = request;
    late->epoch = epoch;
    wait_until(member, due_ns);
}

static uint64_t after(uint64_t ns, uint64_t more_ns)
{
    return more_ns > UINT64_MAX - 1 - ns ? UINT64_MAX - 1 : ns + more_ns;
}

int rk_late_told(struct rk_client *client, const struct rk_message_late *message)
{
    struct rk_supervisor *supervisor = client->supervisor;
    if (message->session != client->session || message->lane >= client->params.lanes)
        return rk_error(-EPROTO, "LATE for lane %u of session %u on the socket of session %u", message->lane,
                        message->session, client->session);
    const struct rk_place *place = &client->place[message->lane];
    if (place->state != RK_PLACE_OPEN || place->generation != message->generation) return 0; /* it died meanwhile */
    if (message->deadline_ns > rask_now_ns()) return 0;
    struct rk_member *member = rk_member_find(supervisor, place->worker, place->generation);
    if (!member) return 0;
    /* Whether it is inside is looked at when the time comes: just now it may be between taking and entering it. */
    watch(member, client->session, message->position << 32 | message->ticket, 0,
          after(message->deadline_ns, supervisor->config->kill_grace_ns));
    return 0;
}

void rk_late_forget(struct rk_member *member)
{
    rk_timer_stop(member->supervisor->reactor, &member->late.timer);
    member->late = (struct rk_late){.killed = member->late.killed, .session = member->late.session};
}

/* Its time in the handler is up. */
static void look_at_time(struct rk_member *member, const struct place *at, uint64_t now_ns)
{
    const struct rk_supervisor_config *config = member->supervisor->config;
    struct rk_late *late = &member->late;
    if (at->epoch != late->seen) {
        late->seen = at->epoch;
        late->since_ns = now_ns;
    } else if (now_ns - late->since_ns >= config->request_timeout_ns && late->asked != at->epoch) {
        late->asked = at->epoch;
        ask(member, at->epoch);
        watch(member, at->session, at->request, at->epoch,
              after(after(late->since_ns, config->request_timeout_ns), config->kill_grace_ns));
    }
}

/* True if it is inside a handler. */
static bool look_at(struct rk_member *member, uint64_t now_ns)
{
    const struct rk_supervisor_config *config = member->supervisor->config;
    struct place at;
    if (member->pid == 0 || member->late.stopping || !inside(member, &at)) return member->late.stopping;
    if (config->request_timeout_ns != 0) look_at_time(member, &at, now_ns);
    if (at.deadline_ns != 0 && at.deadline_ns <= now_ns)
        watch(member, at.session, at.request, at.epoch, after(at.deadline_ns, config->kill_grace_ns));
    return true;
}

static void look_after(struct rk_supervisor *supervisor, uint64_t pause_ns);

static void on_look(void *user)
{
    struct rk_supervisor *supervisor = user;
    uint64_t now_ns = rask_now_ns();
    bool inside = false;
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        inside |= look_at(supervisor->posts[i].holder, now_ns);
        if (supervisor->posts[i].leaving) inside |= look_at(supervisor->posts[i].leaving, now_ns);
    }
    if (inside || (supervisor->client_count > 0 && supervisor->config->request_timeout_ns != 0))
        rk_late_look_soon(supervisor);
    else if (supervisor->client_count > 0)
        look_after(supervisor, RK_LATE_LOOK_NS_IDLE);
}

static void look_after(struct rk_supervisor *supervisor, uint64_t pause_ns)
{
    rk_timer_start(supervisor->reactor, &supervisor->late_timer, rk_deadline_after(pause_ns), on_look, supervisor);
}

void rk_late_look_soon(struct rk_supervisor *supervisor)
{
    uint64_t pause_ns = supervisor->config->request_timeout_ns / 16;
    if (pause_ns == 0 || pause_ns > RK_LATE_LOOK_NS_MAX) pause_ns = RK_LATE_LOOK_NS_MAX;
    if (pause_ns < RK_LATE_LOOK_NS_MIN) pause_ns = RK_LATE_LOOK_NS_MIN;
    if (supervisor->late_timer.armed && supervisor->late_timer.deadline_ns <= rk_deadline_after(pause_ns)) return;
    look_after(supervisor, pause_ns);
}
