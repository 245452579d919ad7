/* SPDX-License-Identifier: MIT */
/* How much of the supervisor one user, and one session, may have: connections, sessions, bytes of shared memory,
 * descriptors.
 *
 * A limit that is given on the command line holds for everybody. Without one, the supervisor's own user and root have none,
 * and other users have the defaults below. Nothing is booked per user: what a user has is the sum over its clients at this
 * moment, so it cannot drift, and what a client had is back when the client is gone. */
#ifndef RK_QUOTA_H
#define RK_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct rk_client;
struct rk_place;
struct rk_supervisor;

#define RK_QUOTA_UNSET UINT64_MAX
#define RK_HANDSHAKE_NS_DEFAULT 10000000000u
/* Of other users, where nothing else is said. */
#define RK_UID_BYTES_DEFAULT (1ull << 30)
#define RK_UID_SESSIONS_DEFAULT 64u
#define RK_SESSION_BYTES_DEFAULT (64ull << 20)
/* Connections that have no session: they have not said HELLO yet, or are about to leave. */
#define RK_PENDING_PER_USER_MAX 64u
#define RK_PENDING_OF_OTHERS_MAX 256u
#define RK_PENDING_OF_OWN_MAX 256u

struct rk_quota_config { /* 0: no limit; RK_QUOTA_UNSET: see above */
    uint64_t uid_bytes;
    uint64_t uid_sessions;
    uint64_t session_bytes;
    uint64_t sessions;     /* of all users */
    uint64_t handshake_ns; /* for HELLO, and again for ATTACH */
};
#define RK_QUOTA_CONFIG_INIT                                                                                         \
    {                                                                                                                \
        .uid_bytes = RK_QUOTA_UNSET, .uid_sessions = RK_QUOTA_UNSET, .session_bytes = RK_QUOTA_UNSET, .sessions = 0, \
        .handshake_ns = RK_HANDSHAKE_NS_DEFAULT                                                                      \
    }

/** May one more connection of this user be kept? -EBUSY with the reason in rask_last_error(). */
int rk_quota_connection(const struct rk_supervisor *supervisor, uint32_t uid);

/** HELLO came: may it have a session, whose parameters are in client->params? Books the memory it starts with and lowers
 * params.slab_bytes_max to what a session may have. -EBUSY full: later. -ENOMEM this session is over its own limit. */
int rk_quota_session(struct rk_client *client);

/** More memory, of the client or (not NULL) of a lane. -EDQUOT with the reason in rask_last_error(). */
int rk_quota_charge(struct rk_client *client, struct rk_place *lane, uint64_t bytes);
/** The base segment of a lane. False: the lane waits until bytes come back; the session goes on with those it has, of which
 * there is always one. */
bool rk_quota_lane(struct rk_client *client, struct rk_place *lane);
/** A lane is no more. */
void rk_quota_return(struct rk_client *client, struct rk_place *lane);
/** Nothing is the client's any more. */
void rk_quota_forget(struct rk_client *client);

/** The kernel gives out the lowest free number, so a high one says that few are left. Some are kept back: newcomers and
 * their memory leave them all, lanes of running sessions may use half, and the rest is for replacing workers. */
enum rk_files_for { RK_FILES_FOR_NEWCOMERS, RK_FILES_FOR_LANES };
bool rk_files_short(const struct rk_supervisor *supervisor, int fd, enum rk_files_for purpose);

/** Does the supervisor hold more descriptors for this client's user than that user's share? */
bool rk_quota_files_over(const struct rk_client *client);

#endif
