/* SPDX-License-Identifier: MIT */
/* See reactor_crowd.h. Kernel contract: io_uring_enter(2), IORING_OP_FUTEX_WAITV (Linux 6.7).
 *
 * Every sleep arms its groups of words anew and takes back those that did not complete: a group that stayed armed would
 * not compare its words again, and its sessions may have gone. */
#include "reactor_crowd.h"
#include "clock.h"
#include "error.h"
#include "reactor_ring.h"
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX (RK_CROWD_WORDS_MAX / RK_WAIT_WORDS_MAX)
#define RING_ENTRIES (2 * GROUPS_MAX)
#define TEST_NS 1000000000u
#define SHORT_NS 1000000u
/* Not in the headers of liburing 2.3; a number of the kernel's frozen interface, Linux 6.7. */
enum { OP_FUTEX_WAITV = 53 };
enum { TAG_GROUP = 1, TAG_CANCEL = 2 };

struct rk_crowd {
    struct io_uring ring;
    struct futex_waitv wait[RK_CROWD_WORDS_MAX];
};

static int arm_group(struct rk_crowd *crowd, uint32_t first, uint32_t count)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&crowd->ring);
    if (sqe == NULL) return -EBUSY;
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = OP_FUTEX_WAITV;
    sqe->addr = (uintptr_t)&crowd->wait[first];
    sqe->len = count;
    sqe->user_data = TAG_GROUP;
    return 0;
}

/** Arm all words. Returns the number of requests. */
static int arm(struct rk_crowd *crowd, const struct rk_wait_word *words, uint32_t count)
{
    int groups = 0;
    for (uint32_t i = 0; i < count; i++)
        crowd->wait[i] =
            (struct futex_waitv){.val = words[i].seen, .uaddr = (uintptr_t)words[i].word, .flags = FUTEX_32};
    for (uint32_t first = 0; first < count; first += RK_WAIT_WORDS_MAX) {
        uint32_t left = count - first;
        if (arm_group(crowd, first, left < RK_WAIT_WORDS_MAX ? left : RK_WAIT_WORDS_MAX) == 0) groups++;
    }
    return groups;
}

/** Take completions; `*groups` counts those that are still out, `*refused` is the first error that means "does not work". */
static bool collect(struct rk_crowd *crowd, int *groups, int *refused)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    bool cancelled = false;
    io_uring_for_each_cqe(&crowd->ring, head, cqe)
    {
        seen++;
        if (cqe->user_data == TAG_CANCEL) cancelled = true;
        if (cqe->user_data != TAG_GROUP) continue;
        --*groups;
        if (cqe->res < 0 && cqe->res != -EAGAIN && cqe->res != -ECANCELED && *refused == 0) *refused = cqe->res;
    }
    io_uring_cq_advance(&crowd->ring, seen);
    return cancelled;
}

/** Take back what is still armed. After this the ring is empty. */
static void disarm(struct rk_crowd *crowd, int *groups, int *refused)
{
    struct io_uring_sqe *sqe = *groups > 0 ? io_uring_get_sqe(&crowd->ring) : NULL;
    if (sqe == NULL) return;
    io_uring_prep_cancel64(sqe, TAG_GROUP, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = TAG_CANCEL;
    for (bool cancelled = false; *groups > 0 || !cancelled; cancelled |= collect(crowd, groups, refused))
        io_uring_submit_and_wait(&crowd->ring, 1);
}

/** The kernel tells a time-out or a signal only if nothing was submitted by the same call, so the completions and the clock
 * decide. */
static int wait_for_any(struct rk_crowd *crowd, const struct rk_wait_word *words, uint32_t count, uint64_t deadline_ns,
                        int *refused)
{
    uint64_t now_ns = deadline_ns != 0 ? rask_now_ns() : 0;
    uint64_t limit_ns = deadline_ns == 0 ? UINT64_MAX : deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    int armed = arm(crowd, words, count), out = armed;
    rk_ring_wait(&crowd->ring, limit_ns);
    *refused = 0;
    collect(crowd, &out, refused);
    bool woken = out < armed;
    disarm(crowd, &out, refused);
    if (woken) return 0;
    return deadline_ns != 0 && rask_now_ns() >= deadline_ns ? -ETIMEDOUT : -EINTR;
}

int rk_crowd_wait(struct rk_crowd *crowd, const struct rk_wait_word *words, uint32_t count, uint64_t deadline_ns)
{
    RK_CHECK(count >= 1 && count <= RK_CROWD_WORDS_MAX);
    int refused;
    return wait_for_any(crowd, words, count, deadline_ns, &refused);
}

/** Two words: nothing changes, so it sleeps; the second one rings while it is armed, so it wakes. */
static int self_test(struct rk_crowd *crowd)
{
    uint32_t value[2] = {0, 0};
    const struct rk_wait_word words[2] = {{&value[0], 0}, {&value[1], 0}};
    int refused = 0;
    int result = wait_for_any(crowd, words, 2, rk_deadline_after(SHORT_NS), &refused);
    if (refused != 0) return refused;
    if (result != -ETIMEDOUT) return -EIO;
    int groups = arm(crowd, words, 2);
    io_uring_submit(&crowd->ring);
    rk_bell_ring(&value[1]);
    result = rk_ring_wait(&crowd->ring, TEST_NS);
    collect(crowd, &groups, &refused);
    bool woken = result == 0 && groups == 0 && refused == 0;
    disarm(crowd, &groups, &refused);
    return woken ? 0 : -EIO;
}

/** Older kernels, and those whose io_uring_register() is forbidden, do not say that they have the request. */
static bool has_request(struct io_uring *ring)
{
    struct io_uring_probe *operations = io_uring_get_probe_ring(ring);
    bool has = operations != NULL && io_uring_opcode_supported(operations, OP_FUTEX_WAITV) != 0;
    if (operations != NULL) io_uring_free_probe(operations);
    return has;
}

int rk_crowd_create(struct rk_crowd **out)
{
    const char *how;
    struct rk_crowd *crowd = calloc(1, sizeof *crowd);
    *out = NULL;
    if (crowd == NULL) return rk_error(-ENOMEM, "no memory for a ring");
    int result = rk_ring_set_up(&crowd->ring, RING_ENTRIES, &how);
    if (result < 0) {
        free(crowd);
        return rk_error(result, "%s: %s", how, strerror(-result));
    }
    if (!has_request(&crowd->ring))
        result = rk_error(-EOPNOTSUPP, "io_uring here has no FUTEX_WAITV (Linux 6.7)");
    else if ((result = self_test(crowd)) != 0)
        rk_error(result, "FUTEX_WAITV of io_uring does not work: %s", strerror(-result));
    if (result != 0)
        rk_crowd_destroy(crowd);
    else
        *out = crowd;
    return result;
}

void rk_crowd_destroy(struct rk_crowd *crowd)
{
    if (crowd == NULL) return;
    io_uring_queue_exit(&crowd->ring);
    free(crowd);
}
