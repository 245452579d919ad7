/* SPDX-License-Identifier: MIT */
/* The io_uring engine of the reactor; with reactor_crowd.c the only file that knows liburing.
 *
 * One-shot polls, armed again in the submission that also waits: a poll looks at the descriptor when it is armed, so
 * this is level-triggered, and one system call does both. The time limit is the wait's own (no timeout requests).
 * Before the engine is chosen a ring has to pass a test, because rings exist that are set up and then do not work
 * (filters, emulations): a poll must stay silent, be woken by a write and be removed. Kernel contract: io_uring_enter(2). */
#include "clock.h"
#include "reactor.h"
#include "reactor_engine.h"
#include "reactor_ring.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_ENTRIES 256u
/* No descriptor has this number: results of removals are not looked at. */
#define TAG_IGNORED UINT64_MAX
#define SELF_TEST_NS 1000000000u

/* Not in the headers of liburing 2.3; numbers of the kernel's frozen interface, Linux 6.7. */
enum { OP_FUTEX_WAIT = 51, OP_FUTEX_WAKE = 52, OP_FUTEX_WAITV = 53 };

struct uring_state {
    struct io_uring ring;
};

static const struct {
    unsigned flags;
    const char *name;
} set_ups[] = {
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, "SINGLE_ISSUER|DEFER_TASKRUN"}, /* Linux 6.1 */
    {IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN"},                                              /* Linux 5.19 */
    {0, "no flags"},
};

int rk_ring_set_up(struct io_uring *ring, unsigned entries, const char **how)
{
    int result = -EINVAL;
    for (size_t i = 0; i < sizeof(set_ups) / sizeof(set_ups[0]) && result == -EINVAL; i++) {
        result = io_uring_queue_init(entries, ring, set_ups[i].flags);
        *how = set_ups[i].name;
    }
    if (result < 0) {
        *how = "io_uring_setup";
        return result;
    }
    result = io_uring_ring_dontfork(ring);
    if (result == 0) return 0;
    *how = "io_uring_ring_dontfork";
    io_uring_queue_exit(ring);
    return result;
}

static struct io_uring_sqe *take_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (sqe) return sqe;
    io_uring_submit(ring); /* full: hand over what is there */
    return io_uring_get_sqe(ring);
}

static int add_poll(struct io_uring *ring, int fd, uint32_t events, uint64_t tag)
{
    struct io_uring_sqe *sqe = take_sqe(ring);
    if (!sqe) return -EBUSY;
    io_uring_prep_poll_add(sqe, fd, events);
    sqe->user_data = tag;
    return 0;
}

static int remove_poll(struct io_uring *ring, uint64_t tag)
{
    struct io_uring_sqe *sqe = take_sqe(ring);
    if (!sqe) return -EBUSY;
    io_uring_prep_poll_remove(sqe, tag);
    sqe->user_data = TAG_IGNORED;
    return 0;
}

int rk_ring_wait(struct io_uring *ring, uint64_t limit_ns)
{
    struct io_uring_cqe *cqe = NULL;
    struct __kernel_timespec limit = {.tv_sec = (long long)(limit_ns / 1000000000u),
                                      .tv_nsec = (long long)(limit_ns % 1000000000u)};
    int result = io_uring_submit_and_wait_timeout(ring, &cqe, 1, limit_ns == UINT64_MAX ? NULL : &limit, NULL);
    return result < 0 ? result : 0;
}

/* Result of the completion with this tag, or of the wait for it. */
static int expect(struct io_uring *ring, uint64_t tag, uint64_t limit_ns)
{
    for (;;) {
        int result = rk_ring_wait(ring, limit_ns);
        if (result == -EINTR) continue;
        if (result < 0) return result;
        struct io_uring_cqe *cqe;
        if (io_uring_peek_cqe(ring, &cqe) < 0) return -ETIME;
        bool found = cqe->user_data == tag;
        result = cqe->res;
        io_uring_cqe_seen(ring, cqe);
        if (found) return result;
    }
}

static int self_test(struct io_uring *ring)
{
    enum { WAKES = 1, REMOVED = 2 };
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return -errno;
    int result = add_poll(ring, fd, POLLIN, WAKES);
    if (result == 0 && expect(ring, WAKES, 1) != -ETIME) result = -EIO; /* not readable, must not complete */
    if (result == 0 && eventfd_write(fd, 1) < 0) result = -errno;
    if (result == 0) result = expect(ring, WAKES, SELF_TEST_NS);
    if (result >= 0) result = result & POLLIN ? 0 : -EIO;
    if (result == 0) result = add_poll(ring, fd, POLLPRI, REMOVED);
    if (result == 0) result = remove_poll(ring, REMOVED);
    if (result == 0 && expect(ring, REMOVED, SELF_TEST_NS) != -ECANCELED) result = -EIO;
    close(fd);
    return result;
}

int rk_uring_create(void **state, const char **how)
{
    struct uring_state *uring = malloc(sizeof(*uring));
    *how = "memory";
    if (!uring) return -ENOMEM;
    int result = rk_ring_set_up(&uring->ring, RING_ENTRIES, how);
    if (result < 0) goto fail_memory;
    result = self_test(&uring->ring);
    if (result < 0) {
        *how = "self-test of the ring";
        goto fail_ring;
    }
    *state = uring;
    return 0;
fail_ring:
    io_uring_queue_exit(&uring->ring);
fail_memory:
    free(uring);
    return result;
}

static void uring_destroy(void *state)
{
    struct uring_state *uring = state;
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

/* The child has the descriptor but, by dontfork, not the mappings. */
static void uring_forget(void *state)
{
    struct uring_state *uring = state;
    close(uring->ring.ring_fd);
    free(uring);
}

static int uring_arm(void *state, const struct rk_arming *arming)
{
    struct uring_state *uring = state;
    return add_poll(&uring->ring, arming->fd, arming->events, rk_arming_tag(arming));
}

static void uring_disarm(void *state, const struct rk_arming *arming)
{
    struct uring_state *uring = state;
    remove_poll(&uring->ring, rk_arming_tag(arming));
}

static int uring_rearm(void *state, const struct rk_arming *old, const struct rk_arming *arming)
{
    uring_disarm(state, old);
    return uring_arm(state, arming);
}

static unsigned collect(struct io_uring *ring, struct rk_event *events)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0, count = 0;
    io_uring_for_each_cqe(ring, head, cqe)
    {
        if (count == RK_ROUND_EVENTS_MAX) break;
        seen++;
        if (cqe->user_data == TAG_IGNORED || cqe->res == -ECANCELED) continue;
        events[count++] = (struct rk_event){.fd = (int)(uint32_t)cqe->user_data,
                                            .generation = (uint32_t)(cqe->user_data >> 32),
                                            .events = cqe->res < 0 ? POLLERR | POLLNVAL : (uint32_t)cqe->res};
    }
    io_uring_cq_advance(ring, seen);
    return count;
}

static int uring_wait(void *state, uint64_t deadline_ns, struct rk_event *events)
{
    struct uring_state *uring = state;
    uint64_t limit_ns = UINT64_MAX;
    if (deadline_ns != 0) {
        uint64_t now_ns = rask_now_ns();
        limit_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    }
    int result = rk_ring_wait(&uring->ring, limit_ns);
    unsigned count = collect(&uring->ring, events);
    /* EBUSY: completions did not fit the queue; taking them, as just done, is the cure. */
    if (count > 0 || result == -ETIME || result == -EBUSY || result == -EAGAIN) return (int)count;
    return result;
}

const struct rk_engine_ops rk_uring_ops = {
    .engine = RK_ENGINE_URING,
    .destroy = uring_destroy,
    .forget = uring_forget,
    .arm = uring_arm,
    .rearm = uring_rearm,
    .disarm = uring_disarm,
    .again = uring_arm,
    .wait = uring_wait,
};

static int probe_multishot(struct io_uring *ring)
{
    enum { TAG = 1 };
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    struct io_uring_sqe *sqe = take_sqe(ring);
    int more = 0;
    if (fd >= 0 && sqe) {
        struct io_uring_cqe *cqe;
        io_uring_prep_poll_multishot(sqe, fd, POLLIN);
        sqe->user_data = TAG;
        if (rk_ring_wait(ring, SELF_TEST_NS) == 0 && io_uring_peek_cqe(ring, &cqe) == 0)
            more = cqe->res >= 0 && (cqe->flags & IORING_CQE_F_MORE) != 0;
    }
    if (fd >= 0) close(fd);
    return more;
}

void rk_uring_probe(struct rk_uring_probe *probe)
{
    *probe = (struct rk_uring_probe){0};
    struct io_uring ring;
    const char *how;
    probe->available = rk_ring_set_up(&ring, 8, &how);
    if (probe->available < 0) return;
    struct io_uring_probe *operations = io_uring_get_probe_ring(&ring);
    if (operations) {
        probe->futex_wait = io_uring_opcode_supported(operations, OP_FUTEX_WAIT) != 0;
        probe->futex_wake = io_uring_opcode_supported(operations, OP_FUTEX_WAKE) != 0;
        probe->futex_waitv = io_uring_opcode_supported(operations, OP_FUTEX_WAITV) != 0;
        io_uring_free_probe(operations);
    }
    probe->available = self_test(&ring);
    if (probe->available == 0) probe->multishot_poll = probe_multishot(&ring);
    io_uring_queue_exit(&ring);
}
