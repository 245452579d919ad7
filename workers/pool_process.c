/* SPDX-License-Identifier: MIT */
/* A worker's process, as the supervisor holds it: made with its words, watches and descriptors, and let go of when it is gone. */
#include "clock.h"
#include "spawn.h"
#include "supervisor_state.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_pidfd(void *user, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    rk_member_reap(user);
}

static void on_readable(void *user)
{
    rk_member_receive(user, RK_ROUND_MESSAGES_MAX);
}

static const struct rk_peer_calls member_calls = {.readable = on_readable};

/* Watches, and the words of the new incarnation. On failure everything that was made is undone, the process included. */
static int adopt(struct rk_member *member, const struct rk_spawned *spawned)
{
    struct rk_reactor *reactor = member->supervisor->reactor;
    member->pid = spawned->pid;
    member->pidfd = rk_fd_create(spawned->pidfd);
    int result = member->pidfd ? rk_peer_open(&member->peer, reactor, spawned->socket, &member_calls, member) : -ENOMEM;
    if (result < 0) {
        close(spawned->socket);
        goto fail;
    }
    result = rk_reactor_watch(reactor, member->pidfd->fd, POLLIN, on_pidfd, member);
    if (result < 0) goto fail;
    member->peer.word = member->peer.bell = &((struct rk_control_page *)member->control.base)->word;
    return 0;
fail:
    kill(member->pid, SIGKILL);
    waitpid(member->pid, NULL, 0);
    member->pid = 0;
    rk_peer_close(&member->peer);
    rk_fd_drop(member->pidfd);
    member->pidfd = NULL;
    return result;
}

static void close_crash_fd(struct rk_member *member)
{
    if (member->crash_fd >= 0) close(member->crash_fd);
    member->crash_fd = -1;
}

int rk_member_process_start(struct rk_member *member)
{
    struct rk_supervisor *supervisor = member->supervisor;
    const struct rk_supervisor_config *config = supervisor->config;
    int result = rk_segment_create(&member->control, RK_SEGMENT_CONTROL, RK_PAGE_BYTES);
    if (result < 0) return result;
    member->crash_fd = config->crash.dir ? rk_scratch_create("rask-crash") : -1; /* it starts without one, too */
    struct rk_spawn_config spawn = {
        .index = member->index,
        .generation = member->generation,
        .wait_mode = config->wait_mode,
        .parties = supervisor->parallel + 1,
        .cpu = config->cpu_count > 0 ? (int)config->cpus[member->index % config->cpu_count] : RK_CPU_ANY,
        .control_word_fd = member->control.fd,
        .crash_fd = member->crash_fd,
        .crash_payload_bytes = config->crash.payload_bytes_max,
        .plugin_path = member->plugin->path,
        .plugin_fd = member->plugin->fd,
        .settings = config->settings,
        .canary = member->plugin->known || !config->canary.method ? NULL : &config->canary,
        .caller_timeout_ns = config->caller_timeout_ns,
        .limits = &config->limits,
        .chance = rk_chance(supervisor),
        .files = supervisor->files,
        .reactor = supervisor->reactor,
    };
    struct rk_spawned spawned;
    result = rk_spawn_worker(&spawned, &spawn);
    if (result == 0) result = adopt(member, &spawned);
    rk_segment_close_fd(&member->control);
    if (result < 0) rk_segment_finish(&member->control);
    if (result < 0) close_crash_fd(member);
    return result;
}

void rk_member_process_drop(struct rk_member *member)
{
    struct rk_reactor *reactor = member->supervisor->reactor;
    rk_timer_stop(reactor, &member->timer);
    rk_late_forget(member);
    rk_peer_close(&member->peer);
    if (member->pidfd) rk_reactor_unwatch(reactor, member->pidfd->fd);
    rk_fd_drop(member->pidfd);
    member->pidfd = NULL;
    member->pid = 0;
    rk_segment_finish(&member->control);
    rk_board_keep(member);
    rk_segment_finish(&member->status);
    close_crash_fd(member);
    rk_board_member(member);
}
