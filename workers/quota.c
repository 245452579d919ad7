/* SPDX-License-Identifier: MIT */
/* Shares of users and sessions; see quota.h. */
#include "quota.h"
#include "error.h"
#include "supervisor_state.h"
#include <errno.h>
#include <rask/client.h>

/* Of the sessions and descriptors, what other users together, and one of them, leave to the rest. */
#define KEPT_FROM_OTHERS 8u
#define FILES_SHARE 4u
/* Descriptors that newcomers do not get, unless that is over a quarter of all. */
#define FILES_KEPT 32u
#define FILES_KEPT_PER_WORKER 8u /* four, and a reload has twice as many workers for a while */
/* That lanes wait for bytes is said this often at most. */
#define DEFERRED_SAY_NS 60000000000u

static uint64_t limit(uint64_t given, uint64_t fallback, bool own)
{
    if (given == RK_QUOTA_UNSET) return own ? UINT64_MAX : fallback;
    return given == 0 ? UINT64_MAX : given;
}

static uint64_t limit_of(const struct rk_client *client, uint64_t given, uint64_t fallback)
{
    return limit(given, fallback, rk_client_is_admin(client));
}

static bool has_session(const struct rk_client *client)
{
    return client->state == RK_CLIENT_WAITING || client->state == RK_CLIENT_WELCOMED ||
           client->state == RK_CLIENT_ATTACHED;
}

int rk_quota_connection(const struct rk_supervisor *supervisor, uint32_t uid)
{
    bool own = rk_uid_is_admin(uid);
    uint32_t mine = 0, others = 0;
    for (const struct rk_client *client = supervisor->clients; client; client = client->next) {
        if (has_session(client)) continue;
        mine += client->uid == uid;
        others += !rk_client_is_admin(client);
    }
    uint32_t mine_max = own ? RK_PENDING_OF_OWN_MAX : RK_PENDING_PER_USER_MAX;
    if (mine >= mine_max)
        return rk_error(-EBUSY, "user %u has %u connections that are not attached yet, which is the limit: try later",
                        uid, mine);
    if (!own && others >= RK_PENDING_OF_OTHERS_MAX)
        return rk_error(-EBUSY, "%u connections of other users are not attached yet, which is the limit: try later",
                        others);
    return 0;
}

/* Bytes of a session. The first lane is paid for from the start, so that every session can always have one. */
static uint64_t session_bytes(const struct rk_client *client)
{
    uint64_t lane_bytes = client->lane_bytes > client->first_lane_bytes ? client->lane_bytes : client->first_lane_bytes;
    return client->own_bytes + lane_bytes;
}

static uint64_t user_bytes(const struct rk_client *of)
{
    uint64_t bytes = 0;
    for (const struct rk_client *client = of->supervisor->clients; client; client = client->next)
        if (client->uid == of->uid) bytes += session_bytes(client);
    return bytes;
}

/* After something was added: is everything within its limits? */
static int check_bytes(const struct rk_client *client)
{
    const struct rk_quota_config *quota = &client->supervisor->config->quota;
    uint64_t session_max = limit_of(client, quota->session_bytes, RK_SESSION_BYTES_DEFAULT);
    uint64_t user_max = limit_of(client, quota->uid_bytes, RK_UID_BYTES_DEFAULT);
    uint64_t session = session_bytes(client), user = user_max == UINT64_MAX ? 0 : user_bytes(client);
    if (session > session_max)
        return rk_error(-EDQUOT,
                        "the session would have %llu bytes of shared memory, and the supervisor allows %llu: ask for "
                        "less (slab_bytes, ring_slots), or start it with a larger --session-bytes",
                        (unsigned long long)session, (unsigned long long)session_max);
    if (user > user_max)
        return rk_error(-EDQUOT,
                        "the sessions of user %u would have %llu bytes of shared memory, and the supervisor allows "
                        "%llu: close one, or start it with a larger --uid-bytes",
                        client->uid, (unsigned long long)user, (unsigned long long)user_max);
    return 0;
}

int rk_quota_charge(struct rk_client *client, struct rk_place *lane, uint64_t bytes)
{
    uint64_t *account = lane ? &client->lane_bytes : &client->own_bytes;
    *account += bytes; /* every size was checked before: no sum comes near 2^64 */
    int result = check_bytes(client);
    if (result < 0)
        *account -= bytes;
    else if (lane)
        lane->bytes += bytes;
    return result;
}

bool rk_quota_lane(struct rk_client *client, struct rk_place *lane)
{
    struct rk_supervisor *supervisor = client->supervisor;
    if (rk_quota_charge(client, lane, rk_response_segment_bytes(&client->params)) == 0) return true;
    uint64_t now_ns = rask_now_ns();
    bool said = supervisor->deferred_said_ns != 0 && now_ns - supervisor->deferred_said_ns < DEFERRED_SAY_NS;
    supervisor->lanes_deferred = true;
    if (said) return false;
    supervisor->deferred_said_ns = now_ns;
    rk_supervisor_log(supervisor, RASK_LOG_WARNING, RK_LOG_NO_WORKER, "quota",
                      "session %u of user %u uses fewer workers than it could: %s", client->session, client->uid,
                      rask_last_error());
    return false;
}

/* Bytes came back: lanes that waited for some are tried again. */
static void retry_lanes(struct rk_supervisor *supervisor)
{
    if (!supervisor->lanes_deferred || supervisor->phase != RK_PHASE_SERVING) return;
    supervisor->lanes_deferred = false;
    for (uint32_t i = 0; i < supervisor->config->workers; i++)
        if (rk_member_serves(rk_holder(supervisor, i))) rk_lanes_serve(rk_holder(supervisor, i));
}

void rk_quota_return(struct rk_client *client, struct rk_place *lane)
{
    if (lane->bytes == 0) return;
    client->lane_bytes -= lane->bytes;
    lane->bytes = 0;
    retry_lanes(client->supervisor);
}

void rk_quota_forget(struct rk_client *client)
{
    bool any = client->own_bytes > 0;
    client->own_bytes = client->lane_bytes = client->first_lane_bytes = 0;
    if (any) retry_lanes(client->supervisor);
}

static int check_sessions(const struct rk_client *client)
{
    const struct rk_quota_config *quota = &client->supervisor->config->quota;
    uint64_t all = 0, mine = 0, others = 0;
    for (const struct rk_client *other = client->supervisor->clients; other; other = other->next) {
        if (!has_session(other)) continue;
        all++;
        mine += other->uid == client->uid;
        others += !rk_client_is_admin(other);
    }
    uint64_t all_max = quota->sessions == 0 ? RASK_SESSIONS_MAX : quota->sessions;
    uint64_t mine_max = limit_of(client, quota->uid_sessions, RK_UID_SESSIONS_DEFAULT);
    uint64_t others_max = all_max - all_max / KEPT_FROM_OTHERS;
    if (mine >= mine_max)
        return rk_error(-EBUSY,
                        "user %u has its limit of %llu sessions: close one, or start the supervisor with a larger "
                        "--uid-sessions",
                        client->uid, (unsigned long long)mine_max);
    if (all >= all_max || (!rk_client_is_admin(client) && others >= others_max))
        return rk_error(-EBUSY, "the supervisor has its limit of %llu sessions%s: close one, or try later",
                        (unsigned long long)(all >= all_max ? all_max : others_max),
                        all >= all_max ? "" : " of other users");
    return 0;
}

/* What it may add to its slabs at most; the client is told and keeps to it. */
static void lower_cap(struct rk_client *client)
{
    uint64_t session_max = limit_of(client, client->supervisor->config->quota.session_bytes, RK_SESSION_BYTES_DEFAULT);
    uint64_t more = session_max - session_bytes(client);
    struct rk_params *params = &client->params;
    if (params->slab_bytes_max - params->slab_bytes > more) params->slab_bytes_max = params->slab_bytes + more;
}

int rk_quota_session(struct rk_client *client)
{
    const struct rk_params *params = &client->params;
    int result = check_sessions(client);
    if (result < 0) return result;
    client->own_bytes = rk_request_segment_bytes(params) + rk_bell_segment_bytes(params) + RK_PAGE_BYTES;
    client->first_lane_bytes = rk_response_segment_bytes(params);
    result = check_bytes(client);
    if (result == 0) {
        lower_cap(client);
        return 0;
    }
    uint64_t session_max = limit_of(client, client->supervisor->config->quota.session_bytes, RK_SESSION_BYTES_DEFAULT);
    result = session_bytes(client) > session_max ? -ENOMEM : -EBUSY;
    client->own_bytes = client->first_lane_bytes = 0;
    return result;
}

static uint64_t files_of(const struct rk_client *client)
{
    uint64_t count = 1u + client->peer.queued_fds + (client->request != NULL) + (client->bell_fd != NULL);
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) count += client->extra[i] != NULL;
    return count;
}

bool rk_quota_files_over(const struct rk_client *client)
{
    struct rlimit files;
    uint64_t count = 0;
    if (rk_client_is_admin(client) || getrlimit(RLIMIT_NOFILE, &files) < 0) return false;
    for (const struct rk_client *other = client->supervisor->clients; other; other = other->next)
        if (other->uid == client->uid) count += files_of(other);
    return count > files.rlim_cur / FILES_SHARE;
}

bool rk_files_short(const struct rk_supervisor *supervisor, int fd, enum rk_files_for purpose)
{
    struct rlimit limit; /* as it is now: prlimit(1) may have changed it */
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return false;
    rlim_t kept = FILES_KEPT + FILES_KEPT_PER_WORKER * supervisor->config->workers;
    if (kept > limit.rlim_cur / 4) kept = limit.rlim_cur / 4;
    if (purpose == RK_FILES_FOR_LANES) kept /= 2;
    return (rlim_t)fd + kept >= limit.rlim_cur;
}
