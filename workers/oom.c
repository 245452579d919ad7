/* SPDX-License-Identifier: MIT */
/* See oom.h. What other groups do is not taken for a worker's fault where the own one can be seen: version 1 counts the processes of
 * the group only, version 2 in memory.events those of groups below it, too, and in memory.events.local (Linux 5.2) not. */
#include "oom.h"
#include <stdio.h>
#include <string.h>

/** Workers that go in one shortage are killed one after the other, and one count is read for all. */
#define SHORTAGE_NS 1000000000u
#define LINE_BYTES 512u

/** The line "oom_kill N" of a file. */
static bool read_count(const char *path, uint64_t *count)
{
    char line[LINE_BYTES];
    bool found = false;
    FILE *file = path[0] != '\0' ? fopen(path, "re") : NULL;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        unsigned long long number;
        found = sscanf(line, "oom_kill %llu", &number) == 1;
        if (found) *count = number;
    }
    if (file != NULL) fclose(file);
    return found;
}

/** Take this file, unless there is one already or it has no such line. */
static void try_file(struct rk_oom *oom, const char *mount, const char *hierarchy, const char *group, const char *file)
{
    char path[sizeof oom->path];
    if (oom->path[0] != '\0') return;
    int bytes = snprintf(path, sizeof path, "%s%s%s/%s", mount, hierarchy, strcmp(group, "/") == 0 ? "" : group, file);
    if (bytes < 0 || (size_t)bytes >= sizeof path || !read_count(path, &oom->seen)) return;
    memcpy(oom->path, path, sizeof path);
}

/** A line of /proc/self/cgroup: NUMBER:CONTROLLERS:PATH; version 2 names no controllers. */
static void look_at_line(struct rk_oom *oom, const char *mount, char *line)
{
    static const char v1[] = ":memory:", v2[] = "::";
    line[strcspn(line, "\n")] = '\0';
    const char *in_v1 = strstr(line, v1), *in_v2 = strstr(line, v2);
    if (in_v1 != NULL) try_file(oom, mount, "/memory", in_v1 + strlen(v1), "memory.oom_control");
    if (in_v2 == NULL) return;
    static const char *const mounts[] = {"", "/unified"};
    for (unsigned i = 0; i < 2; i++) {
        try_file(oom, mount, mounts[i], in_v2 + strlen(v2), "memory.events.local");
        try_file(oom, mount, mounts[i], in_v2 + strlen(v2), "memory.events");
    }
}

void rk_oom_init_below(struct rk_oom *oom, const char *mount, const char *groups)
{
    char line[LINE_BYTES];
    *oom = (struct rk_oom){.seen = 0};
    FILE *file = fopen(groups, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) look_at_line(oom, mount, line);
    if (file != NULL) fclose(file);
}

void rk_oom_init(struct rk_oom *oom)
{
    rk_oom_init_below(oom, "/sys/fs/cgroup", "/proc/self/cgroup");
    try_file(oom, "/proc", "", "", "vmstat");
}

bool rk_oom_struck(struct rk_oom *oom, uint64_t now_ns)
{
    uint64_t count;
    if (!read_count(oom->path, &count)) return false;
    if (count > oom->seen) oom->until_ns = now_ns + SHORTAGE_NS;
    oom->seen = count;
    return now_ns < oom->until_ns;
}
