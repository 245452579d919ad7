/* SPDX-License-Identifier: MIT */
/* Between reactor.c (watches, timers, dispatch) and its two engines. An engine knows which descriptors are armed for
 * what; it never calls back, it hands out events. */
#ifndef RK_REACTOR_ENGINE_H
#define RK_REACTOR_ENGINE_H

#include <stdint.h>

/* Most events of one round; the rest come in the next. */
#define RK_ROUND_EVENTS_MAX 64u

/** What is wanted for one descriptor. `generation` is new for every arming, so that late events of an earlier watch of
 * the same number are told apart. */
struct rk_arming {
    int fd;
    uint32_t events;
    uint32_t generation;
};

struct rk_event {
    int fd;
    uint32_t generation;
    uint32_t events;
};

struct rk_engine_ops {
    enum rk_engine engine;
    void (*destroy)(void *state);
    /** In a forked child: close descriptors, free memory, touch nothing that is shared with the parent. */
    void (*forget)(void *state);
    /** Start; 0 or -errno. */
    int (*arm)(void *state, const struct rk_arming *arming);
    /** Replace `old` by `arming` on the same descriptor; 0 or -errno. */
    int (*rearm)(void *state, const struct rk_arming *old, const struct rk_arming *arming);
    void (*disarm)(void *state, const struct rk_arming *arming);
    /** The event was handed out and the descriptor is still watched as before. */
    int (*again)(void *state, const struct rk_arming *arming);
    /** Wait until there is an event or the deadline (absolute CLOCK_MONOTONIC, 0: none). Count, or -errno. */
    int (*wait)(void *state, uint64_t deadline_ns, struct rk_event *events);
};

extern const struct rk_engine_ops rk_uring_ops;
extern const struct rk_engine_ops rk_epoll_ops;

/** Set up and test. 0 and *state, or -errno; *how is a static text: the flags, or the step that failed. */
int rk_uring_create(void **state, const char **how);
int rk_epoll_create(void **state);

/** One event's identity as 64 bits of engine user data. */
static inline uint64_t rk_arming_tag(const struct rk_arming *arming)
{
    return (uint64_t)arming->generation << 32 | (uint32_t)arming->fd;
}

#endif
