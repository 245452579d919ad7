/* SPDX-License-Identifier: MIT */
/* Who may connect: the supervisor's own user, root, and whom --allow-uid and --allow-gid name. Decided by what the kernel
 * noted about the peer when it connected, so nothing that a peer says or does later counts. */
#ifndef RK_ACCESS_H
#define RK_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#define RK_ACCESS_MAX 64u

struct rk_access {
    unsigned uid_count;
    unsigned gid_count;
    uid_t uids[RK_ACCESS_MAX];
    gid_t gids[RK_ACCESS_MAX];
};

/** A user's or group's number or name. Looks names up, so only while starting. 0, or -errno with the reason in
 * rask_last_error(): -ENOENT there is none of that name, -E2BIG over RK_ACCESS_MAX. */
int rk_access_add_uid(struct rk_access *access, const char *text);
int rk_access_add_gid(struct rk_access *access, const char *text);

/** Is anybody let in besides the supervisor's own user and root? */
bool rk_access_for_others(const struct rk_access *access);

/** May a user with these groups connect to a supervisor of user `own`? */
bool rk_access_allows(const struct rk_access *access, uid_t own, uid_t uid, const gid_t *groups, unsigned group_count);

/** The same for who is at the other end of a connected socket; *uid is set. 0, or -EACCES with the reason in
 * rask_last_error(). Kernel contract: SO_PEERCRED and SO_PEERGROUPS in unix(7), socket(7). */
int rk_access_check(const struct rk_access *access, int socket, uid_t *uid);

#endif
