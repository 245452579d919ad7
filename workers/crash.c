/* SPDX-License-Identifier: MIT */
/* The supervisor's part in crash capture: to decide, to fork, to reap. It reads no record and no payload. One child at a
 * time: deaths that come meanwhile are counted and not written, so that a storm costs no more than one process.
 *
 * The child is forked after everybody was told of the death and the replacement was started; until then the dead worker's
 * status page is gone, so what it says is noted before. */
#include "crash.h"
#include "atomic.h"
#include "error.h"
#include "supervisor_state.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rask/client.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long the child may take: a disk that hangs must not pile up anything. */
#define WRITE_SECONDS_MAX 10u
/* At the end of the supervisor. */
#define LAST_WRITE_MS 1000
#define NICENESS 10

/* The worker's word, good for a file that says so. */
static void note_request(const struct rk_member *member, struct rk_crash_job *job)
{
    if (!member->status.base) return;
    const struct rk_status_page *page = member->status.base;
    /* SYNC R9 acquire: pairs with handle() in worker_serve.c */
    job->in_handler = (rk_load_acquire(&page->epoch) & 1) != 0;
    job->session = rk_load_relaxed(&page->session);
    job->method = rk_load_relaxed(&page->method);
    uint64_t ticket = rk_load_relaxed(&page->ticket);
    job->ticket = (uint32_t)ticket;
    job->position = (uint32_t)(ticket >> 32);
}

/* The two slots of the pair, behind those of the ring. The worker could write there; see docs/crashes.md. */
static void note_pair(const struct rk_client *client, uint32_t lane, struct rk_crash_job *job)
{
    for (unsigned i = 0; i < 2 && job->slots > 0 && client->bell_fd; i++) {
        off_t from = (off_t)(rk_bell_pair_offset(&client->params, lane) + i * offsetof(struct rk_pair, request[1]));
        if (sendfile(job->record_fd, client->bell_fd->fd, &from, sizeof(struct rk_request_slot)) ==
            (ssize_t)sizeof(struct rk_request_slot))
            job->slots++;
    }
}

/* The client wipes the ring as soon as it knows of the death, and a worker that was killed has saved nothing. So the
 * kernel copies the ring from one memfd to the other, some tens of KiB, before anybody is told. */
static void note_ring(const struct rk_member *member, struct rk_crash_job *job)
{
    const struct rk_client *client = rk_client_find(member->supervisor, job->session);
    if (!client || !client->request || job->record_fd < 0) return;
    for (uint32_t lane = 0; lane < client->params.lanes; lane++) {
        const struct rk_place *place = &client->place[lane];
        if (place->state != RK_PLACE_OPEN || place->worker != member->index || place->generation != member->generation)
            continue;
        uint64_t bytes = (uint64_t)client->params.ring_slots * sizeof(struct rk_request_slot);
        off_t from = (off_t)(rk_request_lane_offset(&client->params, lane) + RK_PAGE_BYTES);
        if (bytes > RK_CRASH_RING_BYTES_MAX || lseek(job->record_fd, RK_CRASH_RING_OFFSET, SEEK_SET) < 0) return;
        if (sendfile(job->record_fd, client->request->fd, &from, bytes) == (ssize_t)bytes)
            job->slots = client->params.ring_slots;
        note_pair(client, lane, job);
        return;
    }
}

static bool is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGABRT ||
           signal == SIGSYS;
}

/* Killed by us, or asked to end: no crash. */
static bool was_wanted(const struct rk_member *member)
{
    return member->policy.state == RK_WORKER_KILLED || member->policy.state == RK_WORKER_STOPPED;
}

/* Sorted by name is sorted by time. A name that does not fit is not told; the file is written all the same. */
static void name_file(struct rk_member *member, const struct rk_crash_job *job)
{
    struct rk_crash_writer *writer = &member->supervisor->crash;
    time_t seconds = (time_t)(job->time_ns / 1000000000u);
    struct tm calendar;
    char when[32] = "0";
    if (gmtime_r(&seconds, &calendar)) strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &calendar);
    int length =
        snprintf(writer->path, sizeof(writer->path), "%s/%s.%06u-%d.crash", member->supervisor->config->crash.dir, when,
                 (unsigned)(job->time_ns / 1000u % 1000000u), (int)job->pid);
    if (length < 0 || (size_t)length >= sizeof(member->crash_file)) return;
    memcpy(member->crash_file, writer->path, (size_t)length + 1);
    member->crash_session = job->in_handler ? job->session : 0;
}

static void on_written(void *user, int fd, uint32_t events);

/* Reap the child if it is done. */
static void reap(struct rk_supervisor *supervisor, int flags)
{
    struct rk_crash_writer *writer = &supervisor->crash;
    int status = 0;
    if (writer->pid == 0 || waitpid(writer->pid, &status, flags) != writer->pid) return;
    rk_reactor_unwatch(supervisor->reactor, writer->pidfd);
    close(writer->pidfd);
    writer->pid = 0;
    bool written = WIFEXITED(status) && WEXITSTATUS(status) == 0; /* else the child has said why */
    if (WIFSIGNALED(status))
        rk_supervisor_log(supervisor, RASK_LOG_WARNING, writer->worker, "crash_lost",
                          "a crash could not be saved: the process that writes it was killed");
    if (written && supervisor->config->private_fd < 0)
        rk_supervisor_log(supervisor, RASK_LOG_INFO, writer->worker, "crash_saved",
                          "crash saved: rask replay %s --show", writer->path);
    if (writer->dropped > 0)
        rk_supervisor_log(supervisor, RASK_LOG_WARNING, RK_LOG_NO_WORKER, "crashes_skipped",
                          "%llu more crashes in that time were not saved: one is written at a time",
                          (unsigned long long)writer->dropped);
    writer->dropped = 0;
}

static void on_written(void *user, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    reap(user, WNOHANG);
}

void rk_crash_note(struct rk_member *member, int signal, int exit_code, struct rk_crash_job *job)
{
    struct rk_supervisor *supervisor = member->supervisor;
    struct timespec now;
    *job = (struct rk_crash_job){.record_fd = -1, .signal = signal, .exit_code = exit_code, .pid = member->pid};
    member->crash_file[0] = '\0';
    member->crash_session = 0;
    if (!supervisor->config->crash.dir || was_wanted(member)) return;
    note_request(member, job);
    if (!job->in_handler && !(is_fault(signal) && rk_member_serves(member))) return;
    reap(supervisor, WNOHANG);
    if (supervisor->crash.pid != 0) {
        supervisor->crash.dropped++;
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    job->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    job->worker = member->index;
    job->generation = member->generation;
    job->plugin = member->plugin;
    job->record_fd = member->crash_fd;
    member->crash_fd = -1;
    job->wanted = true;
    if (job->in_handler) note_ring(member, job);
    name_file(member, job);
}

/* It holds copies of every socket of the supervisor's, so it collects in memory first and lets go of them before it
 * touches the disk. */
__attribute__((noreturn)) static void run_child(const struct rk_supervisor *supervisor, const struct rk_crash_job *job,
                                                pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) _exit(1);
    rk_reactor_forget(supervisor->reactor);
    prctl(PR_SET_NAME, "rask-crash");
    signal(SIGALRM, SIG_DFL);
    alarm(WRITE_SECONDS_MAX);
    setpriority(PRIO_PROCESS, 0, NICENESS);
    if (rk_crash_write(supervisor, job, supervisor->crash.path) == 0) _exit(0);
    rk_log_reopen(); /* the way out was closed with the rest */
    rk_log(RASK_LOG_WARNING, "rask run", job->worker, "crash_lost", "the crash of worker %u could not be saved: %s",
           job->worker, rask_last_error());
    _exit(1);
}

void rk_crash_capture(struct rk_supervisor *supervisor, struct rk_crash_job *job)
{
    struct rk_crash_writer *writer = &supervisor->crash;
    if (!job->wanted) return;
    pid_t parent = getpid();
    fflush(NULL); /* or the child would print it again */
    pid_t pid = fork();
    if (pid == 0) run_child(supervisor, job, parent);
    if (job->record_fd >= 0) close(job->record_fd);
    job->record_fd = -1;
    int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || rk_reactor_watch(supervisor->reactor, pidfd, POLLIN, on_written, supervisor) < 0) {
        rk_supervisor_log(supervisor, RASK_LOG_WARNING, job->worker, "crash_lost",
                          "a crash could not be saved: no process or descriptor is left for it");
        if (pid > 0) kill(pid, SIGKILL);
        if (pid > 0) waitpid(pid, NULL, 0);
        if (pidfd >= 0) close(pidfd);
        return;
    }
    writer->pid = pid;
    writer->worker = job->worker;
    writer->pidfd = pidfd;
}

void rk_crash_finish(struct rk_supervisor *supervisor)
{
    struct rk_crash_writer *writer = &supervisor->crash;
    if (writer->pid == 0) return;
    struct pollfd done = {.fd = writer->pidfd, .events = POLLIN};
    if (poll(&done, 1, LAST_WRITE_MS) != 1) kill(writer->pid, SIGKILL);
    reap(supervisor, 0);
}
