/* SPDX-License-Identifier: MIT */
/* Futex operations of io_uring; see reactor_futex.h. Kernel contract: io_uring_enter(2), Linux 6.7.
 *
 * The waiting ring runs its completions when its thread enters the kernel (DEFER_TASKRUN), so they interrupt nobody, and
 * the kernel writes to the registered eventfd the moment the first of them is due. Later ones write nothing until that
 * first one was collected: hence collect, read the eventfd, arm, in this order. */
#include "reactor_futex.h"
#include "check.h"
#include "reactor.h"
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_ENTRIES 64u

/* Not in the headers of liburing 2.3; numbers of the kernel's frozen interface, Linux 6.7. */
enum { OP_FUTEX_WAIT = 51, OP_FUTEX_WAKE = 52, FUTEX2_U32 = 2 };
static_assert(offsetof(struct io_uring_sqe, addr3) == 48 && sizeof(struct io_uring_sqe) == 64, "kernel interface");

struct rk_futex_ring {
    struct io_uring ring;
    bool waiting;
};

static int supported(struct io_uring *ring, int first, int second)
{
    struct io_uring_probe *operations = io_uring_get_probe_ring(ring);
    if (operations == NULL) return -ENOTSUP;
    int found = io_uring_opcode_supported(operations, first) && io_uring_opcode_supported(operations, second);
    io_uring_free_probe(operations);
    return found ? 0 : -ENOTSUP;
}

int rk_futex_ring_create(struct rk_futex_ring **out, int eventfd)
{
    *out = NULL;
    struct rk_futex_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) return -ENOMEM;
    unsigned flags = eventfd >= 0 ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0;
    int result = io_uring_queue_init(RING_ENTRIES, &ring->ring, flags);
    if (result < 0) {
        free(ring);
        return result;
    }
    result = io_uring_ring_dontfork(&ring->ring);
    if (result == 0) result = supported(&ring->ring, OP_FUTEX_WAIT, OP_FUTEX_WAKE);
    if (result == 0 && eventfd >= 0) result = io_uring_register_eventfd(&ring->ring, eventfd);
    if (result < 0) {
        rk_futex_ring_destroy(ring, true);
        return result;
    }
    *out = ring;
    return 0;
}

void rk_futex_ring_destroy(struct rk_futex_ring *ring, bool ours)
{
    if (ring == NULL) return;
    if (ours)
        io_uring_queue_exit(&ring->ring);
    else
        close(ring->ring.ring_fd);
    free(ring);
}

static void prep(struct io_uring_sqe *sqe, int op, const uint32_t *word, uint64_t value)
{
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = (uint8_t)op;
    sqe->fd = FUTEX2_U32;
    sqe->addr = (uintptr_t)word;
    sqe->off = value;
    sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
}

void rk_futex_prep_wait(struct io_uring_sqe *sqe, const uint32_t *word, uint32_t seen)
{
    prep(sqe, OP_FUTEX_WAIT, word, seen);
}

void rk_futex_prep_nothing(struct io_uring_sqe *sqe)
{
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_NOP;
    sqe->fd = -1;
}

void rk_futex_ring_collect(struct rk_futex_ring *ring)
{
    if (!ring->waiting) return;
    io_uring_get_events(&ring->ring);
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&ring->ring, &cqe) == 0) {
        io_uring_cqe_seen(&ring->ring, cqe);
        ring->waiting = false; /* one wait at a time */
    }
}

int rk_futex_ring_arm(struct rk_futex_ring *ring, uint32_t *word, uint32_t seen)
{
    if (ring->waiting) return 0;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (sqe == NULL) return -EBUSY;
    rk_futex_prep_wait(sqe, word, seen);
    int result = io_uring_submit(&ring->ring);
    if (result < 0) return result;
    ring->waiting = true;
    return 0;
}

int rk_futex_ring_wake(struct rk_futex_ring *ring, uint32_t *const *words, uint32_t count)
{
    RK_CHECK(count <= RING_ENTRIES);
    for (uint32_t i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
        if (sqe == NULL) return -EBUSY;
        prep(sqe, OP_FUTEX_WAKE, words[i], INT_MAX);
        sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    }
    int submitted = io_uring_submit(&ring->ring);
    struct io_uring_cqe *cqe;
    /* Only failures complete, and they do so within the call. */
    int result = submitted == (int)count ? 0 : submitted < 0 ? submitted : -EAGAIN;
    while (io_uring_peek_cqe(&ring->ring, &cqe) == 0) {
        if (cqe->res < 0) result = cqe->res;
        io_uring_cqe_seen(&ring->ring, cqe);
    }
    return result;
}

static int allowed;

static void ask(void)
{
    struct rk_uring_probe probe;
    rk_uring_probe(&probe);
    allowed = probe.available < 0 ? probe.available : probe.futex_wait ? 0 : -ENOTSUP;
}

int rk_futex_prep_allowed(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask);
    return allowed;
}
