/* SPDX-License-Identifier: MIT */
/* See standstill.h. Reads /proc once. */
#include "standstill.h"
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Parent of a process, 0 when it is not known. The name in the second field may contain anything. */
static pid_t parent_of(pid_t pid)
{
    char path[64], line[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fgets(line, sizeof line, file) != NULL) {
        const char *behind_name = strrchr(line, ')');
        if (behind_name == NULL || sscanf(behind_name, ") %*c %d", &parent) != 1) parent = 0;
    }
    fclose(file);
    return parent;
}

void rk_standstill_init(struct rk_standstill *standstill, pid_t supervisor)
{
    standstill->count = 0;
    DIR *processes = supervisor > 0 ? opendir("/proc") : NULL;
    if (processes == NULL) return;
    const struct dirent *entry;
    while ((entry = readdir(processes)) != NULL && standstill->count < RASK_WORKERS_MAX) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (parent_of(pid) == supervisor) standstill->workers[standstill->count++] = pid;
    }
    closedir(processes);
}

static void signal_all(const struct rk_standstill *standstill, int number)
{
    for (uint32_t i = 0; i < standstill->count; i++) kill(standstill->workers[i], number);
}

void rk_standstill_begin(const struct rk_standstill *standstill)
{
    signal_all(standstill, SIGSTOP);
}

void rk_standstill_end(const struct rk_standstill *standstill)
{
    signal_all(standstill, SIGCONT);
}
