/* SPDX-License-Identifier: MIT */
/* Event loop of the supervisor, on io_uring or on epoll: the only file that knows liburing.
 *
 * Both engines have the same semantics: level-triggered readiness of descriptors, and timers. Single-threaded.
 * The uring engine arms one-shot polls and re-arms them in the same submission as the next wait, so one system call
 * both collects and waits. The ring is created in the thread that uses it and is not inherited over fork (dontfork);
 * a forked child calls rk_reactor_forget() first thing. */
#ifndef RK_REACTOR_H
#define RK_REACTOR_H

#include <stddef.h>
#include <stdint.h>

enum rk_engine { RK_ENGINE_AUTO = 0, RK_ENGINE_URING = 1, RK_ENGINE_CLASSIC = 2 };

struct rk_reactor;

/** events: POLLIN, POLLOUT, POLLHUP, POLLERR as poll(2) gives them. May watch, change and unwatch any descriptor. */
typedef void (*rk_ready_fn)(void *user, int fd, uint32_t events);
typedef void (*rk_timer_fn)(void *user);

/** A timer lives in its owner; zero-initialise before first use. */
struct rk_timer {
    struct rk_timer *next; /* reactor's list, by deadline */
    uint64_t deadline_ns;
    rk_timer_fn fire;
    void *user;
    int armed;
};

/** Create. AUTO tries uring and falls back to classic; `why` (may be NULL) gets one line: which and why.
 * RASK_ENGINE=uring|classic in the environment decides for AUTO. Errors: -EINVAL for a bad RASK_ENGINE, the set-up's errno
 * when URING is demanded and refused, -ENOMEM, -EMFILE. */
int rk_reactor_create(struct rk_reactor **out, enum rk_engine engine, char *why, size_t why_bytes);
void rk_reactor_destroy(struct rk_reactor *reactor);

/** In a forked child: drop descriptors and memory without touching the parent's ring. */
void rk_reactor_forget(struct rk_reactor *reactor);

enum rk_engine rk_reactor_engine(const struct rk_reactor *reactor);
const char *rk_engine_name(enum rk_engine engine);
/** "auto", "uring", "classic" -> engine, or -EINVAL. */
int rk_engine_parse(const char *name);

/** Call `ready` whenever `fd` has one of `events` (POLLIN | POLLOUT; errors and hang-ups always). One watch per fd.
 * 0, -EEXIST, -ENOMEM. */
int rk_reactor_watch(struct rk_reactor *reactor, int fd, uint32_t events, rk_ready_fn ready, void *user);
/** Change the events of a watched fd. -ENOENT. */
int rk_reactor_change(struct rk_reactor *reactor, int fd, uint32_t events);
/** Stop watching; call before closing fd. No call comes any more, also not from this round. Harmless if not watched. */
void rk_reactor_unwatch(struct rk_reactor *reactor, int fd);

/** Fire once at an absolute CLOCK_MONOTONIC time; restarting moves it. */
void rk_timer_start(struct rk_reactor *reactor, struct rk_timer *timer, uint64_t deadline_ns, rk_timer_fn fire,
                    void *user);
void rk_timer_stop(struct rk_reactor *reactor, struct rk_timer *timer);

/** Wait for events and dispatch them, until rk_reactor_stop(). 0 or the errno of a failing wait. */
int rk_reactor_run(struct rk_reactor *reactor);
void rk_reactor_stop(struct rk_reactor *reactor);

/** What io_uring offers here, for `rask doctor`. Never fails: reasons are in the fields. */
struct rk_uring_probe {
    int available;  /* 0, or the negative errno of set-up */
    int futex_wait; /* opcodes 51..53 supported */
    int futex_wake;
    int futex_waitv;
    int multishot_poll;
};
void rk_uring_probe(struct rk_uring_probe *probe);

#endif
