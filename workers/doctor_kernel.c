/* SPDX-License-Identifier: MIT */
/* Probes of rask doctor: what the kernel lets us do with memory, processes and io_uring. */
#include "doctor.h"
#include "layout.h"
#include "reactor.h"
#include "segment.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rask/client.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define POPULATE_BYTES (64u << 10)

/* Everything a peer might try on a sealed descriptor. Returns what worked although it must not, or NULL. */
static const char *break_in(int fd)
{
    struct rk_segment second = RK_SEGMENT_INIT;
    char path[64];
    const char zero = 0;
    if (ftruncate(fd, 0) == 0) return "shrinking";
    if (pwrite(fd, &zero, 1, 0) == 1) return "writing to the descriptor";
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, RK_PAGE_BYTES) == 0) return "punching a hole";
    /* A bell is mapped for writing: past its checks the kernel has to refuse. */
    int error = rk_segment_map(&second, dup(fd), RK_SEGMENT_BELL, RK_PAGE_BYTES, false);
    rk_segment_finish(&second);
    if (error != -EPERM && error != -EACCES) return "a new writable mapping";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    if (again < 0) return NULL;
    error = pwrite(again, &zero, 1, 0) == 1;
    close(again);
    return error ? "writing through a re-opened descriptor" : NULL;
}

void rk_probe_memfd(struct rk_finding *finding)
{
    static const char advice[] =
        "rask needs memfd_create and F_SEAL_FUTURE_WRITE: Linux 5.1, and a sandbox that allows them";
    struct rk_segment writer = RK_SEGMENT_INIT, reader = RK_SEGMENT_INIT;
    int error = rk_segment_create(&writer, RK_SEGMENT_REQUEST, RK_PAGE_BYTES);
    if (error == 0) error = rk_segment_map(&reader, dup(writer.fd), RK_SEGMENT_REQUEST, RK_PAGE_BYTES, false);
    if (error < 0) {
        rk_found(finding, RK_FINDING_MISSING, "no", "sealed shared memory does not work: %s", rask_last_error());
        rk_advise(finding, "%s", advice);
        goto finish;
    }
    const char *broken = break_in(writer.fd);
    volatile uint8_t *written = (uint8_t *)writer.base + RK_PAGE_BYTES - 1;
    *written = 42;
    if (broken) {
        rk_found(finding, RK_FINDING_MISSING, "no", "seals do not hold: %s was possible", broken);
        rk_advise(finding, "%s", advice);
    } else if (((const volatile uint8_t *)reader.base)[RK_PAGE_BYTES - 1] != 42) {
        rk_found(finding, RK_FINDING_MISSING, "no", "a sealed segment does not show what its writer stores");
        rk_advise(finding, "%s", advice);
    } else {
        rk_found(finding, RK_FINDING_FINE, "yes",
                 "sealed segments work; writing, resizing and new writable mappings are refused");
    }
finish:
    rk_segment_finish(&reader);
    rk_segment_finish(&writer);
}

void rk_probe_populate(struct rk_finding *finding)
{
    void *memory = aligned_alloc(RK_PAGE_BYTES, POPULATE_BYTES);
    int error = !memory ? ENOMEM : madvise(memory, POPULATE_BYTES, MADV_POPULATE_WRITE) < 0 ? errno : 0;
    free(memory);
    if (error == 0) {
        rk_found(finding, RK_FINDING_FINE, "yes", "MADV_POPULATE works: shared memory is there before the first call");
        return;
    }
    rk_found(finding, RK_FINDING_WEAK, "no", "MADV_POPULATE does not work: %s", strerror(error));
    rk_advise(finding, "Linux 5.14 has it; without it the first touch of each page costs a fault");
}

/* Start a child that waits to be killed; kill it, see it die and reap it, all by descriptor. Returns the step that failed. */
static const char *kill_by_descriptor(pid_t child, int pidfd)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    siginfo_t info = {0};
    if (pidfd < 0) return "pidfd_open";
    if (poll(&wait, 1, 0) != 0) return "poll of a living process";
    if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0) return "pidfd_send_signal";
    if (poll(&wait, 1, 2000) != 1) return "poll";
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0) return "waitid(P_PIDFD)";
    return info.si_pid == child && info.si_status == SIGKILL ? NULL : "waitid(P_PIDFD), another process";
}

void rk_probe_pidfd(struct rk_finding *finding)
{
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    errno = 0;
    int pidfd = child < 0 ? -1 : pidfd_open(child, 0);
    const char *failed = child < 0 ? "fork" : kill_by_descriptor(child, pidfd);
    int error = errno;
    if (failed && child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    if (pidfd >= 0) close(pidfd);
    if (!failed) {
        rk_found(finding, RK_FINDING_FINE, "yes", "open, poll, signal and waitid work");
        return;
    }
    rk_found(finding, RK_FINDING_MISSING, "no", "%s failed: %s", failed, strerror(error));
    rk_advise(finding, "rask watches its workers by pidfd: Linux 5.4, and a sandbox that allows it");
}

/* kernel.io_uring_disabled, or -1 when the kernel does not have that switch. */
static int uring_switch(void)
{
    int value = -1;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!file) return -1;
    if (fscanf(file, "%d", &value) != 1) value = -1;
    fclose(file);
    return value;
}

static void advise_on_uring(struct rk_finding *finding, int error)
{
    int disabled = uring_switch();
    if (disabled > 0) {
        rk_advise(finding, "kernel.io_uring_disabled is %d: sysctl kernel.io_uring_disabled=0 allows it to everybody",
                  disabled);
    } else if (error == -ENOMEM) {
        rk_advise(finding, "allow more locked memory: ulimit -l");
    } else {
        rk_advise(finding,
                  "a container's profile or an old kernel refuses it: allow io_uring_setup, io_uring_enter and "
                  "io_uring_register, or leave it: the classic engine does the same");
    }
}

void rk_probe_io_uring(struct rk_finding *finding)
{
    struct rk_uring_probe probe = {0};
    rk_uring_probe(&probe);
    if (probe.available == 0) {
        rk_found(finding, RK_FINDING_FINE, "yes", "available%s", probe.multishot_poll ? ", with multishot poll" : "");
        return;
    }
    rk_found(finding, RK_FINDING_WEAK, "no", "refused: %s", strerror(-probe.available));
    advise_on_uring(finding, probe.available);
}

void rk_probe_uring_futex(struct rk_finding *finding)
{
    struct rk_uring_probe probe = {0};
    rk_uring_probe(&probe);
    bool all = probe.futex_wait && probe.futex_wake && probe.futex_waitv;
    if (probe.available != 0) {
        rk_found(finding, RK_FINDING_WEAK, "no", "not there without io_uring");
    } else if (all) {
        rk_found(finding, RK_FINDING_FINE, "yes", "FUTEX_WAIT, FUTEX_WAKE and FUTEX_WAITV");
    } else {
        rk_found(finding, RK_FINDING_WEAK, "no", "FUTEX_WAIT %s, FUTEX_WAKE %s, FUTEX_WAITV %s",
                 probe.futex_wait ? "yes" : "no", probe.futex_wake ? "yes" : "no", probe.futex_waitv ? "yes" : "no");
        rk_advise(finding, "Linux 6.7 has them; rask waits with futex_waitv instead");
    }
}
