/* SPDX-License-Identifier: MIT */
/* The peer of a floor: a forked process that answers. It spins while it is awake, so it must not outlive its parent by
 * any way out: PR_SET_PDEATHSIG, a look at getppid() every few milliseconds of waiting, end of file on its socket. */
#include "floor_lines.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static pid_t parent_pid;

static void exit_if_orphan(void)
{
    if (getppid() != parent_pid) _exit(0);
}

RK_FLOOR_INLINE void answer(const struct rk_floor_lane *lane, uint64_t sequence, enum rk_floor_turn turn, bool small)
{
    for (;;) {
        sequence++;
        const uint64_t *request = rk_floor_slot(lane->request_seen, lane, sequence);
        uint64_t flag;
        while ((flag = rk_floor_await(request, 2 * sequence, turn)) == 0) exit_if_orphan();
        if (flag == RK_FLOOR_STOP) return;
        uint64_t *response = rk_floor_slot(lane->response, lane, sequence);
        rk_floor_copy(response + rk_floor_payload(small), request + rk_floor_payload(small), lane->size, small);
        rk_store_release(response, 2 * sequence + 1);
    }
}

static void talk(const struct rk_floor_lane *lane, uint64_t sequence)
{
    bool small = lane->size <= RK_FLOOR_INLINE_BYTES;
    if (lane->turn == RK_FLOOR_SPIN && small)
        answer(lane, sequence, RK_FLOOR_SPIN, true);
    else if (lane->turn == RK_FLOOR_SPIN)
        answer(lane, sequence, RK_FLOOR_SPIN, false);
    else if (lane->turn == RK_FLOOR_PAUSE && small)
        answer(lane, sequence, RK_FLOOR_PAUSE, true);
    else if (lane->turn == RK_FLOOR_PAUSE)
        answer(lane, sequence, RK_FLOOR_PAUSE, false);
    else
        answer(lane, sequence, RK_FLOOR_YIELD, small);
}

/** Sleep until the client writes a byte; its end of the socket closed means that it is gone. */
static void sleep_on(int wake_fd)
{
    char byte;
    ssize_t got;
    do got = read(wake_fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1) _exit(0);
}

static void settle_in(int cpu, pid_t parent)
{
    parent_pid = parent;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    exit_if_orphan();
    /* Ctrl-C goes to the whole terminal group: the client decides when the run is over. */
    signal(SIGINT, SIG_IGN);
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) _exit(1);
}

void rk_floor_peer(struct rk_floor_control *control, const struct rk_floor_lane *lanes, int wake_fd, int cpu,
                   pid_t parent)
{
    /* No yield where nobody on this processor is waited for: a worker that spins here would keep it for a while. */
    enum rk_floor_turn turn = lanes[0].turn == RK_FLOOR_YIELD ? RK_FLOOR_YIELD : RK_FLOOR_PAUSE;
    settle_in(cpu, parent);
    sleep_on(wake_fd);
    for (uint64_t number = 1;; number++) {
        while (rk_floor_await(&control->number, number, turn) == 0) exit_if_orphan();
        bool sleep = control->verb == RK_FLOOR_SLEEP;
        if (!sleep) talk(&lanes[control->lane], control->sequence);
        rk_store_release(&control->done, number);
        if (sleep) sleep_on(wake_fd);
    }
}
