/* SPDX-License-Identifier: MIT */
/* Sleeping in the caller's event loop; see events.h. */
#include "events.h"
#include "batch.h"
#include "clock.h"
#include "error.h"
#include "reactor.h"
#include "reactor_futex.h"
#include <errno.h>
#include <rask/uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/** Something in flight is looked after at the earliest so long after its submission: most are answered before. */
#define FIRST_LOOK_NS 200000u

enum source { BELL, TIMER, SOCKET };

struct rk_events {
    int fd; /* epoll; -1: rask_prep_wait() is used instead */
    int bell_fd;
    int timer_fd;
    int watched;       /* socket in the epoll, or -1 */
    bool armed;        /* PARKED is announced, the loop may sleep */
    bool raised;       /* bell_fd was written and not drained */
    uint32_t seen;     /* bell at arming */
    uint64_t due_ns;   /* what the timer is set to; 0: it is off */
    bool fresh;        /* something was submitted or came since look_ns was set */
    uint64_t look_ns;  /* a look that nobody announces is due, see look_helps(); 0: none */
    uint64_t pause_ns; /* before the next one */
    bool classic;
    struct rk_futex_ring *ring;
    struct rk_helper *helper;
    const void *thread; /* that made the ring */
};

/** Its address tells threads apart. */
static _Thread_local char this_thread;

/* ---- what wakes the loop ----------------------------------------------------------------------------------------- */

static void raise_fd(struct rk_events *events)
{
    if (events->fd >= 0 && !events->raised) eventfd_write(events->bell_fd, 1);
    events->raised = true;
}

static void drain(struct rk_events *events)
{
    eventfd_t count;
    if (events->ring != NULL) rk_futex_ring_collect(events->ring);
    eventfd_read(events->bell_fd, &count);
    events->raised = false;
}

static void set_timer(struct rk_events *events, uint64_t due_ns)
{
    if (events->fd < 0 || events->due_ns == due_ns) return;
    struct itimerspec at = {.it_value = rk_timespec(due_ns)};
    timerfd_settime(events->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    events->due_ns = due_ns;
}

static void watch_socket(struct rask *s)
{
    struct rk_events *events = s->events;
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = SOCKET};
    if (events->fd < 0 || s->socket < 0 || events->watched == s->socket) return;
    if (epoll_ctl(events->fd, EPOLL_CTL_ADD, s->socket, &wanted) == 0) events->watched = s->socket;
}

void rk_events_unwatch(struct rask *s)
{
    struct rk_events *events = s->events;
    if (events == NULL || events->watched < 0) return;
    /* Said, not left to close(): a forked child may hold a copy, and the dead watch would stay. */
    epoll_ctl(events->fd, EPOLL_CTL_DEL, events->watched, NULL);
    events->watched = -1;
}

/** What waits on the bell: a ring of this thread, else the helper. */
static int make_waker(struct rask *s)
{
    struct rk_events *events = s->events;
    if (!events->classic) {
        events->thread = &this_thread;
        int result = rk_futex_ring_create(&events->ring, events->bell_fd);
        if (result == 0) return 0;
        const char *wanted = getenv("RASK_ENGINE");
        if (wanted != NULL && rk_engine_parse(wanted) == RK_ENGINE_URING)
            return rk_error(result, "RASK_ENGINE is uring, and an io_uring that waits on futexes cannot be had: %s",
                            strerror(-result));
        events->classic = true;
    }
    return rk_helper_start(&events->helper, s->client_bell, events->bell_fd);
}

static void drop_waker(struct rk_events *events, bool ours)
{
    rk_futex_ring_destroy(events->ring, ours);
    rk_helper_stop(events->helper, ours);
    events->ring = NULL;
    events->helper = NULL;
}

static int start_waiting(struct rask *s)
{
    struct rk_events *events = s->events;
    if (events->ring == NULL) {
        rk_helper_arm(events->helper, events->seen);
        return 0;
    }
    return rk_futex_ring_arm(events->ring, s->client_bell, events->seen);
}

/* ---- announcing -------------------------------------------------------------------------------------------------- */

static bool anything(const struct rask *s)
{
    return s->ready.count > 0 || rk_callbacks_due(s) || rk_session_anything(s);
}

static void withdraw(struct rask *s)
{
    if (s->events->armed && s->header != NULL) rk_park_withdraw(&s->header->client.state);
    s->events->armed = false;
}

/** Announce and look once more; the argument is in bell.h. False: something is there, nothing is announced. */
static bool announce(struct rask *s)
{
    /* SYNC R10 acquire: read before the announcement and the second look */
    s->events->seen = rk_load_acquire(s->client_bell);
    s->events->armed = true;
    rk_park_announce(&s->header->client.state);
    rk_park_barrier();
    if (!anything(s)) return true;
    withdraw(s);
    return false;
}

/** Is there anything that only a look would notice: something in flight, or workers of which no supervisor tells any more, with
 * streams and leases that end with them? */
static bool wants_looks(const struct rask *s)
{
    return s->pending > 0 || (!s->connected && s->open_count > 0);
}

static uint64_t due_ns(const struct rask *s)
{
    if (!wants_looks(s)) return 0;
    return rk_earlier(rk_session_next_tick(s), s->events != NULL ? s->events->look_ns : 0);
}

/** Does a look help soon? A worker may hold back the bell for an answer of ours (worker_serve.c), while a request behind it
 * turns out slow; or the only worker that was asked to serve us is busy. */
static bool look_helps(const struct rask *s)
{
    if (s->open_count == 0 && s->backlog.count > 0) return true;
    for (uint32_t i = 0; i < s->open_count && s->pending > 1; i++) {
        const struct rk_lane *lane = &s->lanes[s->open_lanes[i]];
        if (rk_lane_load(lane) > 1 && rk_load_relaxed(&lane->header->service_ns) < RK_HOLD_SERVICE_NS) return true;
    }
    return false;
}

/** The loop is about to sleep: when to look all the same. Soon, and then less and less often while nothing moves. */
static void plan_look(struct rask *s)
{
    struct rk_events *events = s->events;
    bool helps = look_helps(s);
    uint64_t now_ns = helps ? rask_now_ns() : 0;
    if (helps && !events->fresh && now_ns < events->look_ns) return;
    uint64_t pause_ns = events->fresh ? FIRST_LOOK_NS : events->pause_ns * 2;
    events->fresh = false;
    events->pause_ns = pause_ns < RK_LOOK_NS ? pause_ns : RK_LOOK_NS;
    events->look_ns = helps ? now_ns + events->pause_ns : 0;
}

/** Let the loop sleep, or make sure that it does not. */
static void arm(struct rask *s)
{
    struct rk_events *events = s->events;
    if (s->pending == 0) s->move_pause_ns = s->next_move_ns = 0;
    if (events->ring != NULL && events->thread != &this_thread) { /* the session moved to another thread */
        drop_waker(events, true);
        if (make_waker(s) != 0) return raise_fd(events);
    }
    drain(events);
    watch_socket(s);
    plan_look(s);
    set_timer(events, due_ns(s));
    if (!announce(s)) return raise_fd(events);
    if (start_waiting(s) == 0) return;
    withdraw(s);
    raise_fd(events); /* the loop comes back at once: slow, and right */
}

/** Armed, and the loop called: what for? True if nothing happened, and the loop may go on sleeping. */
static bool undisturbed(struct rask *s)
{
    struct rk_events *events = s->events;
    struct epoll_event happened[3];
    int count = epoll_wait(events->fd, happened, 3, 0);
    for (int i = 0; i < count; i++) {
        if (happened[i].data.u32 == SOCKET) rk_session_control(s);
        if (happened[i].data.u32 == TIMER) events->due_ns = 1; /* passed: set_timer() must set it anew */
    }
    return count == 0;
}

void rk_events_polled(struct rask *s, int count)
{
    struct rk_events *events = s->events;
    bool attached = s->header != NULL;
    if (count > 0) events->fresh = true;
    if (events->fd < 0) { /* the ring is the caller's: it comes back through rask_prep_wait() */
        if (events->armed && attached && rk_load_acquire(s->client_bell) != events->seen) withdraw(s);
        plan_look(s); /* perhaps a wait is under way there, and will not be armed anew */
        return;
    }
    if (count > 0 || s->ready.count > 0) {
        withdraw(s);
        raise_fd(events);
        return;
    }
    if (!attached) return drain(events);
    if (events->armed && undisturbed(s) && !anything(s)) return;
    withdraw(s);
    rk_progress(s);                    /* what a message brought may let the backlog go on ... */
    rk_session_tick(s, rask_now_ns()); /* ... or call for a look: the supervisor's death does */
    if (s->ready.count > 0 || rk_callbacks_due(s))
        raise_fd(events);
    else
        arm(s);
}

void rk_events_disturb(struct rask *s)
{
    struct rk_events *events = s->events;
    if (events->fd < 0 && events->armed && s->header != NULL)
        rk_bell_ring(s->client_bell); /* completes the wait in the caller's ring */
    withdraw(s);
    raise_fd(events);
}

/** The first time since the loop went to sleep that a look helps: it is due soon. */
static void begin_looks(struct rask *s)
{
    struct rk_events *events = s->events;
    if (!events->armed) events->fresh = true;
    if (events->fresh || !look_helps(s)) return;
    events->fresh = true;
    events->pause_ns = FIRST_LOOK_NS;
    events->look_ns = rk_deadline_after(FIRST_LOOK_NS);
}

void rk_events_submitted(struct rask *s)
{
    struct rk_events *events = s->events;
    uint64_t nearest_ns = s->with_deadline > 0 ? s->nearest_deadline_ns : 0;
    begin_looks(s);
    if (events->fd < 0 || !events->armed) return;
    nearest_ns = rk_earlier(nearest_ns, events->look_ns);
    if (events->due_ns != 0 && (nearest_ns == 0 || nearest_ns >= events->due_ns)) return;
    uint64_t soon_ns = rk_deadline_after(FIRST_LOOK_NS), next_ns = due_ns(s);
    set_timer(events, rk_earlier(nearest_ns, next_ns > soon_ns ? next_ns : soon_ns));
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static struct rk_events *create(struct rask *s)
{
    struct rk_events *events = calloc(1, sizeof *events);
    if (events == NULL) return NULL;
    const char *wanted = getenv("RASK_ENGINE");
    *events = (struct rk_events){.fd = -1, .bell_fd = -1, .timer_fd = -1, .watched = -1, .fresh = true};
    events->classic = wanted != NULL && rk_engine_parse(wanted) == RK_ENGINE_CLASSIC;
    s->events = events;
    return events;
}

static int open_descriptors(struct rk_events *events)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = BELL};
    events->fd = epoll_create1(EPOLL_CLOEXEC);
    events->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    events->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (events->fd < 0 || events->bell_fd < 0 || events->timer_fd < 0) return -errno;
    if (epoll_ctl(events->fd, EPOLL_CTL_ADD, events->bell_fd, &wanted) != 0) return -errno;
    wanted.data.u32 = TIMER;
    return epoll_ctl(events->fd, EPOLL_CTL_ADD, events->timer_fd, &wanted) != 0 ? -errno : 0;
}

void rk_events_detach(struct rask *s, bool ours)
{
    if (s->events == NULL) return;
    if (ours) {
        rk_events_disturb(s);
        rk_events_unwatch(s);
    }
    drop_waker(s->events, ours);
}

int rk_events_attach(struct rask *s)
{
    struct rk_events *events = s->events;
    if (events == NULL || events->fd < 0) return 0;
    int result = make_waker(s);
    if (result != 0) return result;
    watch_socket(s);
    raise_fd(events); /* the first poll arms */
    return 0;
}

void rk_events_finish(struct rask *s, bool ours)
{
    struct rk_events *events = s->events;
    if (events == NULL) return;
    drop_waker(events, ours);
    if (events->fd >= 0) close(events->fd);
    if (events->bell_fd >= 0) close(events->bell_fd);
    if (events->timer_fd >= 0) close(events->timer_fd);
    free(events);
    s->events = NULL;
}

int rask_fd(struct rask *s)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (s->events != NULL && s->events->fd >= 0) return s->events->fd;
    if (s->events != NULL) return rk_error(-EINVAL, "this session waits by rask_prep_wait(): use one of the two");
    if (s->header == NULL) return rk_error(-ENOTCONN, "the session is not attached: rask_reconnect() first");
    struct rk_events *events = create(s);
    if (events == NULL) return rk_error(-ENOMEM, "out of memory for rask_fd()");
    int result = open_descriptors(events);
    if (result != 0) rk_error(result, "rask_fd() needs three descriptors: %s", strerror(-result));
    if (result == 0) result = rk_events_attach(s);
    if (result == 0) return events->fd;
    rk_events_finish(s, true);
    return result;
}

int rask_prep_wait(struct rask *s, struct io_uring_sqe *sqe)
{
    rk_futex_prep_nothing(sqe);
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (s->events != NULL && s->events->fd >= 0)
        return rk_error(-EINVAL, "this session has a descriptor of rask_fd(): use one of the two");
    if (s->header == NULL) return rk_error(-ENOTCONN, "the session is not attached: rask_reconnect() first");
    int result = rk_futex_prep_allowed();
    if (result != 0)
        return rk_error(-ENOTSUP, "this kernel's io_uring does not wait on futexes (Linux 6.7): %s; use rask_fd()",
                        strerror(-result));
    if (s->events == NULL && create(s) == NULL) return rk_error(-ENOMEM, "out of memory for rask_prep_wait()");
    rk_batch_flush(s);
    if (s->pending == 0) s->move_pause_ns = s->next_move_ns = 0;
    plan_look(s);
    if (!s->events->armed && !announce(s)) return 1;
    if (anything(s)) return 1;
    rk_futex_prep_wait(sqe, s->client_bell, s->events->seen);
    return 0;
}

uint64_t rask_next_deadline_ns(const struct rask *s)
{
    if (rk_session_forked(s) || !wants_looks(s)) return 0;
    uint64_t soon_ns = rk_deadline_after(FIRST_LOOK_NS), next_ns = due_ns(s);
    return rk_earlier(s->with_deadline > 0 ? s->nearest_deadline_ns : 0, next_ns > soon_ns ? next_ns : soon_ns);
}
