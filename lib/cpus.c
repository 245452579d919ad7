/* SPDX-License-Identifier: MIT */
/* See cpus.h. Kernel contracts: sched_getaffinity(2), cgroups(7), Documentation/admin-guide/cgroup-v2 (cpu.max) and
 * Documentation/scheduler/sched-bwc (cpu.cfs_quota_us). */
#include "cpus.h"
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 512u
#define PERIOD_US_DEFAULT 100000

/** Up to two numbers from a file; how many were there. "max" is none. */
static int read_numbers(const char *path, long long *first, long long *second)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    int fields = fscanf(file, "%lld %lld", first, second);
    fclose(file);
    return fields > 0 ? fields : 0;
}

static void tighten(struct rk_cpus *cpus, const char *path, long long granted_us, long long period_us)
{
    if (granted_us <= 0) return; /* -1: no quota (v1) */
    if (period_us <= 0) period_us = PERIOD_US_DEFAULT;
    long long milli = granted_us > INT64_MAX / 1000 ? UINT32_MAX : granted_us * 1000 / period_us;
    if (milli >= cpus->quota_milli) return;
    cpus->quota_milli = (uint32_t)milli;
    snprintf(cpus->quota_from, sizeof cpus->quota_from, "%.*s", (int)sizeof cpus->quota_from - 1, path);
}

/** One group: cpu.max, or the pair of version 1. */
static void look_at_group(struct rk_cpus *cpus, const char *folder)
{
    char path[PATH_BYTES + 32];
    long long granted_us = -1, period_us = -1, unused;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    int fields = read_numbers(path, &granted_us, &period_us);
    if (fields > 0) tighten(cpus, path, granted_us, period_us);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (read_numbers(path, &period_us, &unused) == 0) return;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (read_numbers(path, &granted_us, &unused) > 0) tighten(cpus, path, granted_us, period_us);
}

/** A group and every one above it, up to the mount itself. What a container cannot see is passed over. */
static void climb(struct rk_cpus *cpus, const char *mount, const char *hierarchy, const char *group)
{
    char folder[PATH_BYTES];
    int top = snprintf(folder, sizeof folder, "%s%s", mount, hierarchy);
    if (top < 0 || (size_t)top + strlen(group) >= sizeof folder) return;
    strcpy(folder + top, strcmp(group, "/") == 0 ? "" : group);
    for (;;) {
        look_at_group(cpus, folder);
        char *cut = strrchr(folder + top, '/');
        if (cut == NULL) return;
        *cut = '\0';
    }
}

/** Is `name` one of the controllers in "cpu,cpuacct"? */
static int has_controller(const char *list, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == '\0' || at[bytes] == ',')) return 1;
    }
    return 0;
}

/** A line of /proc/self/cgroup: NUMBER:CONTROLLERS:PATH. Number 0 with no controllers is version 2. */
static void look_at_line(struct rk_cpus *cpus, const char *mount, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL || group[1] != '/') return;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    controllers++;
    if (*controllers == '\0') {
        climb(cpus, mount, "", group);
        climb(cpus, mount, "/unified", group);
    } else if (has_controller(controllers, "cpu")) {
        climb(cpus, mount, "/cpu", group);
        climb(cpus, mount, "/cpu,cpuacct", group);
    }
}

void rk_cpus_look_below(struct rk_cpus *cpus, const char *mount, const char *groups)
{
    cpu_set_t set;
    char line[PATH_BYTES];
    *cpus = (struct rk_cpus){.affinity = 1, .quota_milli = UINT32_MAX};
    if (sched_getaffinity(0, sizeof set, &set) == 0) cpus->affinity = (uint32_t)CPU_COUNT(&set);
    FILE *file = fopen(groups, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) look_at_line(cpus, mount, line);
    if (file != NULL) fclose(file);
    uint32_t granted = cpus->quota_milli == UINT32_MAX ? UINT32_MAX : cpus->quota_milli / 1000;
    cpus->usable = granted < cpus->affinity ? granted : cpus->affinity;
    if (cpus->usable == 0) cpus->usable = 1;
}

void rk_cpus_look(struct rk_cpus *cpus)
{
    rk_cpus_look_below(cpus, "/sys/fs/cgroup", "/proc/self/cgroup");
}

uint32_t rk_cpus_usable(void)
{
    struct rk_cpus cpus;
    rk_cpus_look(&cpus);
    return cpus.usable;
}
