/* SPDX-License-Identifier: MIT */
/* Replacing workers that have done their share, or that come near to a limit: another one comes up beside it and takes over
 * between two requests. One at a time; a reload goes first. Requests are counted by the worker, which asks; the rest is
 * looked at here, a few times a second, and only if there is a limit. */
#include "clock.h"
#include "supervisor_state.h"
#include <dirent.h>
#include <inttypes.h>
#include <rask/client.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 100000000u
/* After a replacement that did not come up. */
#define RETRY_NS 5000000000u

static void on_timer(void *user);

static bool looks(const struct rk_worker_limits *limits)
{
    return limits->rss_bytes_max || limits->age_ns_max || limits->as_bytes || limits->files || limits->cpu_s;
}

static void start_timer(struct rk_supervisor *supervisor)
{
    rk_timer_start(supervisor->reactor, &supervisor->recycle_timer, rk_deadline_after(LOOK_NS), on_timer, supervisor);
}

void rk_recycle_start(struct rk_supervisor *supervisor)
{
    if (looks(&supervisor->config->limits)) start_timer(supervisor);
}

static bool is_quiet(const struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->config->workers; i++)
        if (supervisor->posts[i].incoming) return false;
    return supervisor->phase == RK_PHASE_SERVING && !rk_reload_busy(supervisor) &&
           rask_now_ns() >= supervisor->recycle_not_before_ns;
}

void rk_recycle_look(struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->config->workers && is_quiet(supervisor); i++) {
        struct rk_post *post = &supervisor->posts[i];
        if (post->leaving || !post->holder->spent || !rk_member_serves(post->holder)) continue;
        rk_incoming_start(supervisor, i, supervisor->generation);
    }
}

void rk_recycle_wanted(struct rk_member *member, const char *why)
{
    if (member->role != RK_ROLE_HOLDER || !rk_member_serves(member) || member->spent) return;
    member->spent = true;
    rk_supervisor_log(member->supervisor, RASK_LOG_INFO, member->index, "worker_replaced",
                      "worker %u (pid %d) is replaced: %s", member->index, (int)member->pid, why);
    rk_recycle_look(member->supervisor);
}

void rk_recycle_failed(struct rk_supervisor *supervisor)
{
    supervisor->recycle_not_before_ns = rk_deadline_after(RETRY_NS);
    if (!supervisor->recycle_timer.armed) start_timer(supervisor);
}

/* Pages of the whole address space, and of what is in memory and its own. */
static bool read_memory(pid_t pid, uint64_t *space_bytes, uint64_t *own_bytes)
{
    char path[64];
    uint64_t space, resident, shared, page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &space, &resident, &shared) == 3;
    fclose(file);
    *space_bytes = read ? space * page_bytes : 0;
    *own_bytes = read && resident > shared ? (resident - shared) * page_bytes : 0;
    return read;
}

static uint64_t count_files(pid_t pid)
{
    char path[64];
    uint64_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder) return 0;
    for (const struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static uint64_t cpu_ms(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0) return 0;
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

/* Three quarters of a wall. */
static bool near(uint64_t value, uint64_t limit)
{
    return limit != 0 && value >= limit - limit / 4;
}

static void look_at(struct rk_member *member)
{
    const struct rk_worker_limits *limits = &member->supervisor->config->limits;
    uint64_t space_bytes = 0, own_bytes = 0;
    if (!rk_member_serves(member) || member->spent) return;
    if (limits->rss_bytes_max || limits->as_bytes) read_memory(member->pid, &space_bytes, &own_bytes);
    if (limits->rss_bytes_max && own_bytes > limits->rss_bytes_max)
        rk_recycle_wanted(member, "over --max-rss");
    else if (near(space_bytes, limits->as_bytes))
        rk_recycle_wanted(member, "three quarters of --limit-as are used");
    else if (limits->files && near(count_files(member->pid), limits->files))
        rk_recycle_wanted(member, "three quarters of --limit-nofile are used");
    else if (limits->cpu_s && near(cpu_ms(member->pid), limits->cpu_s * 1000))
        rk_recycle_wanted(member, "three quarters of --limit-cpu are used");
    else if (limits->age_ns_max && rask_now_ns() - member->policy.started_ns > member->age_ns_max)
        rk_recycle_wanted(member, "--max-age is reached");
}

static void on_timer(void *user)
{
    struct rk_supervisor *supervisor = user;
    if (supervisor->phase > RK_PHASE_SERVING) return;
    for (uint32_t i = 0; i < supervisor->config->workers; i++) look_at(rk_holder(supervisor, i));
    rk_recycle_look(supervisor);
    start_timer(supervisor);
}
