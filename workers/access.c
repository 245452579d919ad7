/* SPDX-License-Identifier: MIT */
/* Who may connect; see access.h. */
#include "access.h"
#include "error.h"
#include "options.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* (uid_t)-1 means nobody at all. */
static bool is_number(const char *text, uint64_t *number)
{
    return rk_parse_count(text, number) == 0 && *number < UINT32_MAX;
}

int rk_access_add_uid(struct rk_access *access, const char *text)
{
    uint64_t number;
    if (access->uid_count == RK_ACCESS_MAX)
        return rk_error(-E2BIG, "--allow-uid %s: at most %u users are taken; put them into a group and use --allow-gid",
                        text, RK_ACCESS_MAX);
    if (!is_number(text, &number)) {
        const struct passwd *user = getpwnam(text);
        if (!user) return rk_error(-ENOENT, "--allow-uid %s: there is no such user; give a name or a number", text);
        number = user->pw_uid;
    }
    access->uids[access->uid_count++] = (uid_t)number;
    return 0;
}

int rk_access_add_gid(struct rk_access *access, const char *text)
{
    uint64_t number;
    if (access->gid_count == RK_ACCESS_MAX)
        return rk_error(-E2BIG, "--allow-gid %s: at most %u groups are taken", text, RK_ACCESS_MAX);
    if (!is_number(text, &number)) {
        const struct group *group = getgrnam(text);
        if (!group) return rk_error(-ENOENT, "--allow-gid %s: there is no such group; give a name or a number", text);
        number = group->gr_gid;
    }
    access->gids[access->gid_count++] = (gid_t)number;
    return 0;
}

bool rk_access_for_others(const struct rk_access *access)
{
    return access->uid_count > 0 || access->gid_count > 0;
}

static bool has_gid(const struct rk_access *access, gid_t gid)
{
    for (unsigned i = 0; i < access->gid_count; i++)
        if (access->gids[i] == gid) return true;
    return false;
}

bool rk_access_allows(const struct rk_access *access, uid_t own, uid_t uid, const gid_t *groups, unsigned group_count)
{
    if (uid == own || uid == 0) return true;
    for (unsigned i = 0; i < access->uid_count; i++)
        if (access->uids[i] == uid) return true;
    for (unsigned i = 0; i < group_count; i++)
        if (has_gid(access, groups[i])) return true;
    return false;
}

/* Supplementary groups of the peer, and in the last place its own. NULL: no memory, or the kernel does not tell. */
static gid_t *peer_groups(int socket, gid_t own, unsigned *count)
{
    socklen_t bytes = 0;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) < 0 && errno != ERANGE) bytes = 0;
    gid_t *groups = malloc(bytes + sizeof(*groups));
    if (!groups) return NULL;
    if (bytes > 0 && getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0) bytes = 0;
    *count = (unsigned)(bytes / sizeof(*groups));
    groups[(*count)++] = own;
    return groups;
}

int rk_access_check(const struct rk_access *access, int socket, uid_t *uid)
{
    struct ucred peer = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t bytes = sizeof(peer);
    uid_t own = geteuid();
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
        return rk_error(-EACCES, "the kernel does not tell who connects, so nobody is let in");
    *uid = peer.uid;
    if (rk_access_allows(access, own, peer.uid, &peer.gid, 1)) return 0;
    unsigned count = 0;
    gid_t *groups = access->gid_count > 0 ? peer_groups(socket, peer.gid, &count) : NULL;
    bool allowed = groups && rk_access_allows(access, own, peer.uid, groups, count);
    free(groups);
    if (allowed) return 0;
    return rk_error(-EACCES,
                    "this supervisor belongs to user %u and does not let user %u in: start it with --allow-uid %u, or "
                    "with --allow-gid and a group of that user; or connect as user %u or root",
                    own, peer.uid, peer.uid, own);
}
