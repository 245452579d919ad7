/* SPDX-License-Identifier: MIT */
/* Limits and identity of a worker; see sandbox.h. */
#include "sandbox.h"
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int set_limit(__rlimit_resource_t resource, uint64_t value)
{
    const struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    return value == 0 || setrlimit(resource, &limit) == 0 ? 0 : -errno;
}

/* SIGXCPU says why it died; one that ignores it is killed a second later, or at once where the limit of this process is no higher. */
static int set_cpu_limit(uint64_t seconds)
{
    struct rlimit limit;
    if (seconds == 0) return 0;
    if (getrlimit(RLIMIT_CPU, &limit) < 0) return -errno;
    if (limit.rlim_max != seconds) limit.rlim_max = seconds + 1;
    limit.rlim_cur = seconds;
    return setrlimit(RLIMIT_CPU, &limit) == 0 ? 0 : -errno;
}

static int become(const struct rk_identity *identity)
{
    if (!identity->given) return 0;
    if (setgroups((size_t)identity->group_count, identity->groups) < 0) return -errno;
    if (setresgid(identity->gid, identity->gid, identity->gid) < 0) return -errno;
    return setresuid(identity->uid, identity->uid, identity->uid) < 0 ? -errno : 0;
}

int rk_worker_confine(const struct rk_worker_limits *limits, char *why, size_t why_bytes)
{
    const char *what = "--limit-as";
    int result = set_limit(RLIMIT_AS, limits->as_bytes);
    if (result == 0) result = set_limit(RLIMIT_NOFILE, limits->files), what = "--limit-nofile";
    if (result == 0) result = set_cpu_limit(limits->cpu_s), what = "--limit-cpu";
    if (result == 0) result = become(&limits->identity), what = "--user";
    if (result == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) result = -errno, what = "no_new_privs";
    if (result < 0) snprintf(why, why_bytes, "%s: %s", what, strerror(-result));
    return result == 0 && limits->sandbox ? rk_sandbox_enter(limits, why, why_bytes) : result;
}
