/* SPDX-License-Identifier: MIT */
/* See processes.h. Reads only. */
#include "processes.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static FILE *open_proc(pid_t pid, const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/** The number behind "NAME:" in a file of such lines, 0 when there is none. */
static uint64_t number_in(FILE *file, const char *name)
{
    char line[256];
    size_t length = strlen(name);
    uint64_t value = 0;
    if (file == NULL) return 0;
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':' &&
            sscanf(line + length + 1, "%" SCNu64, &value) == 1)
            break;
    return value;
}

static void add_memory(struct rk_usage *usage, pid_t pid)
{
    FILE *file = open_proc(pid, "smaps_rollup");
    if (file == NULL) return;
    usage->shared_kib += number_in(file, "Pss_Shmem");
    usage->resident_kib += number_in(file, "Pss");
    fclose(file);
}

static void add_switches(struct rk_usage *usage, pid_t pid)
{
    FILE *file = open_proc(pid, "status");
    if (file == NULL) return;
    uint64_t sleeps = number_in(file, "voluntary_ctxt_switches");
    usage->sleeps += sleeps;
    usage->switches += sleeps + number_in(file, "nonvoluntary_ctxt_switches");
    fclose(file);
}

static void add_time(struct rk_usage *usage, pid_t pid)
{
    char line[512];
    uint64_t cpu_ns, user, system;
    FILE *file = open_proc(pid, "schedstat");
    if (file != NULL && fscanf(file, "%" SCNu64, &cpu_ns) == 1) usage->cpu_ns += cpu_ns;
    if (file != NULL) fclose(file);
    file = open_proc(pid, "stat");
    if (file == NULL) return;
    /* The name in the second field may contain anything. */
    const char *behind_name = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    if (behind_name != NULL &&
        sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &system) == 2)
        usage->ticks += user + system;
    fclose(file);
}

int rk_processes_find(struct rk_processes *processes, pid_t supervisor)
{
    char path[64];
    int pid;
    *processes = (struct rk_processes){.count = 1, .pids = {supervisor}};
    snprintf(path, sizeof path, "task/%d/children", (int)supervisor);
    FILE *file = open_proc(supervisor, path);
    if (file == NULL) return -ESRCH;
    while (processes->count < sizeof processes->pids / sizeof processes->pids[0] && fscanf(file, "%d", &pid) == 1)
        processes->pids[processes->count++] = pid;
    fclose(file);
    return 0;
}

struct rk_usage rk_processes_activity(const struct rk_processes *processes)
{
    struct rk_usage usage = {.cpu_ns = 0};
    for (uint32_t i = 0; i < processes->count; i++) {
        add_time(&usage, processes->pids[i]);
        add_switches(&usage, processes->pids[i]);
    }
    return usage;
}

struct rk_usage rk_processes_usage(const struct rk_processes *processes)
{
    struct rk_usage usage = rk_processes_activity(processes);
    for (uint32_t i = 0; i < processes->count; i++) add_memory(&usage, processes->pids[i]);
    return usage;
}

uint64_t rk_process_sleeps(pid_t pid)
{
    struct rk_usage usage = {.cpu_ns = 0};
    add_switches(&usage, pid);
    return usage.sleeps;
}

uint64_t rk_meminfo_kib(const char *name)
{
    FILE *file = fopen("/proc/meminfo", "re");
    uint64_t value = number_in(file, name);
    if (file != NULL) fclose(file);
    return value;
}
