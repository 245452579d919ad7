/* SPDX-License-Identifier: MIT */
/* One worker takes over from another at the same post: for a new plugin file, or because the old one has done its share.
 *
 *   incoming starts ............ serves -> holds the post
 *   holder serves ....................... -> leaving: takes nothing new, finishes its request, ends
 *
 * Clients keep their lanes to the one that leaves until it is dead, and open others to its successor. */
#include "clock.h"
#include "supervisor_state.h"
#include <stdlib.h>

struct rk_member *rk_member_create(struct rk_supervisor *supervisor, uint32_t index, enum rk_role role,
                                   struct rk_generation *plugin)
{
    struct rk_member *member = calloc(1, sizeof(*member));
    if (!member) return NULL;
    const struct rk_member *holder = supervisor->posts[index].holder;
    *member = (struct rk_member){
        .supervisor = supervisor,
        .index = index,
        .role = role,
        .seat = holder ? holder->seat ^ 1 : 2 * index,
        .plugin = plugin ? rk_generation_use(plugin) : NULL,
        .peer = RK_PEER_INIT,
        .control = RK_SEGMENT_INIT,
        .status = RK_SEGMENT_INIT,
        .crash_fd = -1,
    };
    member->peer.queued_max = RK_WORKER_QUEUED_MAX;
    member->peer.unacked_max = RK_WORKER_UNACKED_MAX;
    return member;
}

struct rk_member *rk_member_find(const struct rk_supervisor *supervisor, uint32_t index, uint32_t generation)
{
    const struct rk_post *post = &supervisor->posts[index];
    if (post->leaving && post->leaving->generation == generation) return post->leaving;
    return post->holder->generation == generation ? post->holder : NULL;
}

void rk_members_free(struct rk_supervisor *supervisor)
{
    rk_timer_stop(supervisor->reactor, &supervisor->burial);
    while (supervisor->buried) {
        struct rk_member *member = supervisor->buried;
        supervisor->buried = member->next_buried;
        rk_generation_drop(member->plugin);
        free(member);
    }
}

static void on_burial(void *user)
{
    struct rk_supervisor *supervisor = user;
    rk_members_free(supervisor);
    rk_reload_look(supervisor);
    rk_recycle_look(supervisor);
}

void rk_posts_look_soon(struct rk_supervisor *supervisor)
{
    rk_timer_start(supervisor->reactor, &supervisor->burial, rask_now_ns(), on_burial, supervisor);
}

/* Not freed at once: functions that called us may still look at it. */
void rk_member_bury(struct rk_member *member)
{
    struct rk_supervisor *supervisor = member->supervisor;
    struct rk_post *post = &supervisor->posts[member->index];
    if (post->holder == member || rk_policy_alive(member->policy.state)) return;
    if (post->incoming != member && post->leaving != member) return; /* it is buried */
    if (post->incoming == member) post->incoming = NULL;
    if (post->leaving == member) post->leaving = NULL;
    rk_timer_stop(supervisor->reactor, &member->timer);
    member->next_buried = supervisor->buried;
    supervisor->buried = member;
    rk_posts_look_soon(supervisor);
}

bool rk_posts_settled(const struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->config->workers; i++)
        if (supervisor->posts[i].incoming || supervisor->posts[i].leaving) return false;
    return true;
}

bool rk_incoming_start(struct rk_supervisor *supervisor, uint32_t index, struct rk_generation *plugin)
{
    struct rk_post *post = &supervisor->posts[index];
    post->incoming = rk_member_create(supervisor, index, RK_ROLE_INCOMING, plugin);
    if (!post->incoming) return false;
    rk_member_event(post->incoming, RK_EVENT_START);
    return true;
}

void rk_incoming_ready(struct rk_member *member)
{
    struct rk_supervisor *supervisor = member->supervisor;
    if (member->plugin == supervisor->generation) /* a replacement */
        rk_hand_over(&supervisor->posts[member->index]);
    else
        rk_reload_ready(supervisor);
}

void rk_incoming_failed(struct rk_member *member)
{
    if (member->plugin != member->supervisor->generation) {
        rk_reload_failed(member);
        return;
    }
    rk_supervisor_log(member->supervisor, RASK_LOG_WARNING, member->index, "worker_not_replaced",
                      "worker %u is not replaced yet: %s", member->index, member->failure.text);
    rk_recycle_failed(member->supervisor);
}

void rk_incoming_stop(struct rk_supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->config->workers; i++)
        if (supervisor->posts[i].incoming) rk_member_event(supervisor->posts[i].incoming, RK_EVENT_KILL);
}

void rk_hand_over(struct rk_post *post)
{
    struct rk_member *old = post->holder, *next = post->incoming;
    struct rk_supervisor *supervisor = next->supervisor;
    post->holder = next;
    post->incoming = NULL;
    post->leaving = old;
    next->role = RK_ROLE_HOLDER;
    old->role = RK_ROLE_LEAVING;
    post->past.replacements++;
    rk_board_keep(old);
    rk_board_member(next);
    rk_lanes_leave(old);
    rk_timer_start(supervisor->reactor, &old->timer, rk_deadline_after(supervisor->config->drain_timeout_ns),
                   rk_member_timer, old);
    rk_member_event(old, RK_EVENT_DRAIN); /* may bury it */
    rk_pool_check(supervisor);
    rk_clients_workers(supervisor);
    rk_lanes_serve(next);
}

/* The breaker. It opens when no post has a process and all wait, and closes when one serves: what comes in between would
 * have to wait for a worker that has died many times. */
void rk_pool_check(struct rk_supervisor *supervisor)
{
    bool all_wait = true, any_serves = false;
    for (uint32_t i = 0; i < supervisor->config->workers; i++) {
        const struct rk_member *member = rk_holder(supervisor, i);
        all_wait &= member->policy.state == RK_WORKER_BACKOFF;
        any_serves |= rk_member_serves(member);
    }
    bool broken = supervisor->broken ? !any_serves : all_wait;
    if (broken == supervisor->broken) return;
    supervisor->broken = broken;
    rk_supervisor_log(supervisor, broken ? RASK_LOG_ERROR : RASK_LOG_INFO, RK_LOG_NO_WORKER,
                      broken ? "pool_broken" : "pool_mended", "%s",
                      broken ? "every worker died too often and waits for its next start: requests are refused "
                               "with UNAVAILABLE until one serves"
                             : "a worker serves again: requests are taken");
    rk_clients_workers(supervisor);
}
