/* SPDX-License-Identifier: MIT */
/* Rule E of the oracle: what a supervisor, its workers and this process hold, and that it comes back to the baseline. */
#include "clock.h"
#include "oracle.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STILL_LOOKS 10u /* with 5 ms between them */

static void count_descriptor(struct oracle_footprint *sum, const char *target)
{
    if (strncmp(target, "/memfd:", 7) == 0)
        sum->memory++;
    else if (strncmp(target, "socket:", 7) == 0)
        sum->sockets++;
    else if (strncmp(target, "anon_inode:", 11) == 0)
        sum->events++;
    else
        sum->other++;
}

static void count_descriptors(struct oracle_footprint *sum, pid_t pid)
{
    char path[320], target[4096];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder) return; /* it just ended */
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
        ssize_t bytes = readlink(path, target, sizeof(target) - 1);
        target[bytes > 0 ? bytes : 0] = '\0';
        count_descriptor(sum, target);
    }
    closedir(folder);
}

static bool is_zombie(pid_t pid)
{
    char path[64], state = '?';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = '?';
    fclose(file);
    return state == 'Z';
}

static void count_mappings(struct oracle_footprint *sum, pid_t pid)
{
    char path[64], line[4400];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) sum->mappings += strstr(line, "memfd:rask") != NULL;
    if (file) fclose(file);
}

static void count_process(struct oracle_footprint *sum, pid_t pid)
{
    sum->processes++;
    sum->zombies += is_zombie(pid);
    count_descriptors(sum, pid);
    count_mappings(sum, pid);
}

static unsigned files_in(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    if (!folder) return 0;
    for (const struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static struct oracle_footprint measure(const struct kit_server *server)
{
    pid_t pids[512];
    struct oracle_footprint sum = {.files = files_in(server->folder)};
    unsigned count = kit_children(server->pid, pids, 512);
    count_process(&sum, server->pid);
    count_process(&sum, getpid());
    for (unsigned i = 0; i < count; i++) count_process(&sum, pids[i]);
    return sum;
}

void oracle_baseline(struct oracle *o, const struct kit_server *server)
{
    for (unsigned still = 0; still < STILL_LOOKS; still++) {
        struct oracle_footprint now = measure(server);
        if (memcmp(&now, &o->baseline, sizeof(now)) != 0) still = 0;
        o->baseline = now;
        kit_pause_ms(5);
    }
}

static void print_footprint(const char *what, const struct oracle_footprint *f)
{
    print_message(
        "%s: descriptors %u memory, %u sockets, %u events, %u other; %u mappings; %u processes, %u zombies; %u "
        "files\n",
        what, f->memory, f->sockets, f->events, f->other, f->mappings, f->processes, f->zombies, f->files);
}

void oracle_settled(struct oracle *o, const struct kit_server *server)
{
    uint64_t start_ns = rask_now_ns(), limit_ns = (kit_sanitized ? 4 : 1) * KIT_S;
    for (;;) {
        struct oracle_footprint now = measure(server);
        uint64_t after_ns = rask_now_ns() - start_ns;
        if (memcmp(&now, &o->baseline, sizeof(now)) == 0) {
            if (after_ns > o->settled_ns) o->settled_ns = after_ns;
            return;
        }
        if (after_ns > limit_ns) {
            print_footprint("before", &o->baseline);
            print_footprint("now", &now);
            fail_msg("E: not back at the baseline within %.1f s", (double)limit_ns / 1e9);
        }
        kit_pause_ms(1);
    }
}
