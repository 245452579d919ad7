/* SPDX-License-Identifier: MIT */
/* The reactor's common half: who watches which descriptor, timers, and the loop. How events are had from the kernel is
 * reactor_uring.c's or reactor_epoll.c's affair.
 *
 * Watches are a table by descriptor. Every arming has a generation of its own, and an event is delivered only if its
 * generation is still that of the watch: a descriptor that was unwatched, closed and opened anew in the same round does
 * not get its predecessor's events. */
#include "reactor.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "reactor_engine.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Timers fired in one round: one that starts itself anew in the past must not lock out the descriptors. */
#define ROUND_TIMERS_MAX 64u

struct watch {
    rk_ready_fn ready; /* NULL: not watched */
    void *user;
    struct rk_arming arming;
};

struct rk_reactor {
    const struct rk_engine_ops *ops;
    void *state;
    struct watch *watches;
    size_t watch_count; /* size of the table */
    uint32_t generation;
    struct rk_timer *timers; /* by deadline */
    bool stopped;
};

static const char *const engine_names[] = {"auto", "uring", "classic"};

const char *rk_engine_name(enum rk_engine engine)
{
    RK_CHECK((unsigned)engine < sizeof(engine_names) / sizeof(engine_names[0]));
    return engine_names[engine];
}

int rk_engine_parse(const char *name)
{
    for (int i = RK_ENGINE_AUTO; i <= RK_ENGINE_CLASSIC; i++)
        if (strcmp(name, engine_names[i]) == 0) return i;
    return -EINVAL;
}

/* AUTO and the environment -> what is wanted and where that comes from. */
static int resolve(enum rk_engine engine, const char **reason)
{
    const char *wanted = engine == RK_ENGINE_AUTO ? getenv("RASK_ENGINE") : NULL;
    *reason = engine == RK_ENGINE_AUTO ? NULL : "asked for";
    if (!wanted || wanted[0] == '\0') return (int)engine;
    int parsed = rk_engine_parse(wanted);
    if (parsed < 0) return rk_error(-EINVAL, "RASK_ENGINE is \"%s\": use auto, uring or classic", wanted);
    *reason = parsed == RK_ENGINE_AUTO ? NULL : "RASK_ENGINE";
    return parsed;
}

static int choose(struct rk_reactor *reactor, enum rk_engine wanted, const char *reason, char *why, size_t why_bytes)
{
    const char *how = "";
    if (wanted != RK_ENGINE_CLASSIC) {
        int result = rk_uring_create(&reactor->state, &how);
        if (result == 0) {
            reactor->ops = &rk_uring_ops;
            snprintf(why, why_bytes, "uring (%s), %s", how, reason ? reason : "it works here");
            return 0;
        }
        if (wanted == RK_ENGINE_URING)
            return rk_error(result, "io_uring was asked for and is not available: %s: %s", how, strerror(-result));
        snprintf(why, why_bytes, "classic (epoll), because io_uring is not available: %s: %s", how, strerror(-result));
    } else {
        snprintf(why, why_bytes, "classic (epoll), %s", reason);
    }
    reactor->ops = &rk_epoll_ops;
    int result = rk_epoll_create(&reactor->state);
    return result == 0 ? 0 : rk_error(result, "epoll_create1: %s", strerror(-result));
}

int rk_reactor_create(struct rk_reactor **out, enum rk_engine engine, char *why, size_t why_bytes)
{
    *out = NULL;
    const char *reason;
    int wanted = resolve(engine, &reason);
    if (wanted < 0) return wanted;
    struct rk_reactor *reactor = calloc(1, sizeof(*reactor));
    if (!reactor) return rk_error(-ENOMEM, "no memory for an event loop");
    int result = choose(reactor, (enum rk_engine)wanted, reason, why, why ? why_bytes : 0);
    if (result < 0) {
        free(reactor);
        return result;
    }
    *out = reactor;
    return 0;
}

static void free_reactor(struct rk_reactor *reactor)
{
    free(reactor->watches);
    free(reactor);
}

void rk_reactor_destroy(struct rk_reactor *reactor)
{
    if (!reactor) return;
    reactor->ops->destroy(reactor->state);
    free_reactor(reactor);
}

void rk_reactor_forget(struct rk_reactor *reactor)
{
    if (!reactor) return;
    reactor->ops->forget(reactor->state);
    free_reactor(reactor);
}

enum rk_engine rk_reactor_engine(const struct rk_reactor *reactor)
{
    return reactor->ops->engine;
}

static struct watch *find_watch(struct rk_reactor *reactor, int fd)
{
    if (fd < 0 || (size_t)fd >= reactor->watch_count) return NULL;
    struct watch *watch = &reactor->watches[fd];
    return watch->ready ? watch : NULL;
}

static int make_room(struct rk_reactor *reactor, int fd)
{
    size_t count = reactor->watch_count ? reactor->watch_count : 64;
    while (count <= (size_t)fd) count *= 2;
    if (count == reactor->watch_count) return 0;
    struct watch *grown = reallocarray(reactor->watches, count, sizeof(*grown));
    if (!grown) return -ENOMEM;
    memset(grown + reactor->watch_count, 0, (count - reactor->watch_count) * sizeof(*grown));
    reactor->watches = grown;
    reactor->watch_count = count;
    return 0;
}

int rk_reactor_watch(struct rk_reactor *reactor, int fd, uint32_t events, rk_ready_fn ready, void *user)
{
    RK_CHECK(fd >= 0 && ready);
    if (find_watch(reactor, fd)) return -EEXIST;
    int result = make_room(reactor, fd);
    if (result < 0) return result;
    struct rk_arming arming = {.fd = fd, .events = events, .generation = ++reactor->generation};
    result = reactor->ops->arm(reactor->state, &arming);
    if (result < 0) return result;
    reactor->watches[fd] = (struct watch){.ready = ready, .user = user, .arming = arming};
    return 0;
}

int rk_reactor_change(struct rk_reactor *reactor, int fd, uint32_t events)
{
    struct watch *watch = find_watch(reactor, fd);
    if (!watch) return -ENOENT;
    if (watch->arming.events == events) return 0;
    struct rk_arming old = watch->arming;
    watch->arming = (struct rk_arming){.fd = fd, .events = events, .generation = ++reactor->generation};
    return reactor->ops->rearm(reactor->state, &old, &watch->arming);
}

void rk_reactor_unwatch(struct rk_reactor *reactor, int fd)
{
    struct watch *watch = find_watch(reactor, fd);
    if (!watch) return;
    reactor->ops->disarm(reactor->state, &watch->arming);
    *watch = (struct watch){0};
}

void rk_timer_stop(struct rk_reactor *reactor, struct rk_timer *timer)
{
    if (!timer->armed) return;
    struct rk_timer **place = &reactor->timers;
    while (*place && *place != timer) place = &(*place)->next;
    RK_CHECK(*place == timer);
    *place = timer->next;
    timer->next = NULL;
    timer->armed = 0;
}

void rk_timer_start(struct rk_reactor *reactor, struct rk_timer *timer, uint64_t deadline_ns, rk_timer_fn fire,
                    void *user)
{
    rk_timer_stop(reactor, timer);
    if (deadline_ns == 0) deadline_ns = 1; /* 0 means "none" to the engines */
    *timer = (struct rk_timer){.deadline_ns = deadline_ns, .fire = fire, .user = user, .armed = 1};
    struct rk_timer **place = &reactor->timers;
    while (*place && (*place)->deadline_ns <= deadline_ns) place = &(*place)->next;
    timer->next = *place;
    *place = timer;
}

static void fire_timers(struct rk_reactor *reactor)
{
    if (!reactor->timers) return;
    uint64_t now_ns = rask_now_ns();
    for (unsigned i = 0; i < ROUND_TIMERS_MAX; i++) {
        struct rk_timer *timer = reactor->timers;
        if (!timer || timer->deadline_ns > now_ns || reactor->stopped) return;
        rk_timer_stop(reactor, timer);
        timer->fire(timer->user);
    }
}

/* Delivers one event if its watch is still the one that it was for. After a stop it only arms the watch again, so that
 * the event comes when the loop is run anew. */
static int deliver(struct rk_reactor *reactor, const struct rk_event *event)
{
    struct watch *watch = find_watch(reactor, event->fd);
    if (!watch || watch->arming.generation != event->generation) return 0;
    if (!reactor->stopped) watch->ready(watch->user, event->fd, event->events);
    /* The table may have moved, the watch may be gone or another one. */
    watch = find_watch(reactor, event->fd);
    if (!watch || watch->arming.generation != event->generation) return 0;
    return reactor->ops->again(reactor->state, &watch->arming);
}

static int run_round(struct rk_reactor *reactor)
{
    struct rk_event events[RK_ROUND_EVENTS_MAX];
    uint64_t deadline_ns = reactor->timers ? reactor->timers->deadline_ns : 0;
    int count = reactor->ops->wait(reactor->state, deadline_ns, events);
    if (count < 0) return count == -EINTR ? 0 : count;
    int result = 0;
    for (int i = 0; i < count && result == 0; i++) result = deliver(reactor, &events[i]);
    fire_timers(reactor);
    return result;
}

int rk_reactor_run(struct rk_reactor *reactor)
{
    int result = 0;
    while (!reactor->stopped && result == 0) result = run_round(reactor);
    reactor->stopped = false;
    return result;
}

void rk_reactor_stop(struct rk_reactor *reactor)
{
    reactor->stopped = true;
}
