/* SPDX-License-Identifier: MIT */
/* The classic engine of the reactor: epoll, level-triggered by nature. Used where io_uring is not allowed. */
#include "clock.h"
#include "reactor.h"
#include "reactor_engine.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The two sets of names are one set of bits on Linux, so that nothing has to be translated. */
static_assert((int)EPOLLIN == POLLIN && (int)EPOLLOUT == POLLOUT, "events");
static_assert((int)EPOLLHUP == POLLHUP && (int)EPOLLERR == POLLERR, "events");

struct epoll_state {
    int fd;
};

int rk_epoll_create(void **state)
{
    struct epoll_state *epoll = malloc(sizeof(*epoll));
    if (!epoll) return -ENOMEM;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0) {
        int error = -errno;
        free(epoll);
        return error;
    }
    *state = epoll;
    return 0;
}

/* Closing a child's copy leaves the parent's set as it is, so forgetting and destroying are the same. */
static void epoll_destroy(void *state)
{
    struct epoll_state *epoll = state;
    close(epoll->fd);
    free(epoll);
}

static int control(struct epoll_state *epoll, int operation, const struct rk_arming *arming)
{
    struct epoll_event event = {.events = arming->events, .data.u64 = rk_arming_tag(arming)};
    return epoll_ctl(epoll->fd, operation, arming->fd, &event) == 0 ? 0 : -errno;
}

static int epoll_arm(void *state, const struct rk_arming *arming)
{
    return control(state, EPOLL_CTL_ADD, arming);
}

static int epoll_rearm(void *state, const struct rk_arming *old, const struct rk_arming *arming)
{
    (void)old;
    return control(state, EPOLL_CTL_MOD, arming);
}

static void epoll_disarm(void *state, const struct rk_arming *arming)
{
    control(state, EPOLL_CTL_DEL, arming);
}

static int epoll_again(void *state, const struct rk_arming *arming)
{
    (void)state;
    (void)arming;
    return 0;
}

/* Rounded up, so that a timer never finds itself early and waits again for nothing. */
static int timeout_ms(uint64_t deadline_ns)
{
    if (deadline_ns == 0) return -1;
    uint64_t now_ns = rask_now_ns();
    if (deadline_ns <= now_ns) return 0;
    uint64_t left_ms = (deadline_ns - now_ns + 999999u) / 1000000u;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static int epoll_wait_events(void *state, uint64_t deadline_ns, struct rk_event *events)
{
    struct epoll_state *epoll = state;
    struct epoll_event ready[RK_ROUND_EVENTS_MAX];
    int count = epoll_wait(epoll->fd, ready, (int)RK_ROUND_EVENTS_MAX, timeout_ms(deadline_ns));
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++)
        events[i] = (struct rk_event){.fd = (int)(uint32_t)ready[i].data.u64,
                                      .generation = (uint32_t)(ready[i].data.u64 >> 32),
                                      .events = ready[i].events};
    return count;
}

const struct rk_engine_ops rk_epoll_ops = {
    .engine = RK_ENGINE_CLASSIC,
    .destroy = epoll_destroy,
    .forget = epoll_destroy,
    .arm = epoll_arm,
    .rearm = epoll_rearm,
    .disarm = epoll_disarm,
    .again = epoll_again,
    .wait = epoll_wait_events,
};
