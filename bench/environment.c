/* SPDX-License-Identifier: MIT */
/* See environment.h. */
#include "environment.h"
#include "ladder.h"
#include "slice.h"
#include <rask/version.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#if defined(__OPTIMIZE__)
#define OPTIMIZED "optimised"
#else
#define OPTIMIZED "NOT optimised"
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED ", with a SANITIZER"
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED ", with a SANITIZER"
#endif
#ifndef SANITIZED
#define SANITIZED ""
#endif

/** First line of a file without its end; false when there is none. */
static bool read_line(const char *path, char *line, size_t bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool got = fgets(line, (int)bytes, file) != NULL;
    fclose(file);
    if (got) line[strcspn(line, "\n")] = '\0';
    return got;
}

/** Is `cpu` in a list like "0-3,8"? */
static bool list_has(const char *list, unsigned long cpu)
{
    while (*list != '\0') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (end == list) return false;
        if (*end == '-') last = strtoul(end + 1, &end, 10);
        if (cpu >= first && cpu <= last) return true;
        list = *end == ',' ? end + 1 : end;
        if (*end != ',') return false;
    }
    return false;
}

static void read_cpu(struct rk_environment *environment)
{
    char line[1024];
    snprintf(environment->cpu, sizeof environment->cpu, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) return;
    bool named = false;
    while (fgets(line, sizeof line, file) != NULL) {
        char *value = strchr(line, ':');
        if (value == NULL) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = '\0';
        if (!named && strncmp(line, "model name", 10) == 0) {
            snprintf(environment->cpu, sizeof environment->cpu, "%.100s", value);
            named = true;
        }
        if (strncmp(line, "flags", 5) == 0 && strstr(value, " hypervisor") != NULL) environment->is_virtual = true;
    }
    fclose(file);
}

/** The affinity mask as "0-3,8". */
static void read_usable(struct rk_environment *environment)
{
    size_t used = 0;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE && used < sizeof environment->usable - 16; cpu++) {
        if (!rk_cpu_is_usable(cpu)) continue;
        uint32_t first = cpu;
        while (cpu + 1 < CPU_SETSIZE && rk_cpu_is_usable(cpu + 1)) cpu++;
        const char *comma = used > 0 ? "," : "";
        char *at = environment->usable + used;
        size_t room = sizeof environment->usable - used;
        int wrote =
            first == cpu ? snprintf(at, room, "%s%u", comma, first) : snprintf(at, room, "%s%u-%u", comma, first, cpu);
        used += (size_t)wrote;
    }
}

/** Lowest level of data cache that two processors share; 0: none of those listed, -1: the kernel lists none. */
static int shared_cache_level(int a, int b)
{
    int lowest = -1;
    for (int index = 0; index < 10; index++) {
        char path[128], text[256];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/type", a, index);
        if (!read_line(path, text, sizeof text)) break;
        if (lowest < 0) lowest = 0;
        if (strcmp(text, "Instruction") == 0) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/shared_cpu_list", a, index);
        if (!read_line(path, text, sizeof text) || !list_has(text, (unsigned long)b)) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/level", a, index);
        if (!read_line(path, text, sizeof text)) continue;
        int level = atoi(text);
        if (lowest == 0 || level < lowest) lowest = level;
    }
    return lowest;
}

static void read_relation(struct rk_environment *environment, int a, int b)
{
    char path[128], text[256];
    char *out = environment->relation;
    size_t bytes = sizeof environment->relation;
    if (a < 0 || b < 0) return;
    if (a == b) {
        snprintf(out, bytes, "one processor for both");
        return;
    }
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", a);
    environment->smt_siblings = read_line(path, text, sizeof text) && list_has(text, (unsigned long)b);
    int level = shared_cache_level(a, b);
    if (environment->smt_siblings)
        snprintf(out, bytes, "two threads of one core");
    else if (level > 0)
        snprintf(out, bytes, "two cores that share a level %d cache", level);
    else
        snprintf(out, bytes, level == 0 ? "two cores that share no cache" : "the kernel does not tell their caches");
}

static double read_load(void)
{
    char line[128];
    return read_line("/proc/loadavg", line, sizeof line) ? strtod(line, NULL) : -1;
}

void rk_environment_read(struct rk_environment *environment, int client_cpu, int worker_cpu)
{
    struct utsname name;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *environment = (struct rk_environment){.cpus_online = online > 0 ? (uint32_t)online : 1};
    environment->cpus_usable = rk_cpus_usable();
    read_cpu(environment);
    read_usable(environment);
    read_relation(environment, client_cpu, worker_cpu);
    if (uname(&name) == 0) {
        snprintf(environment->architecture, sizeof environment->architecture, "%.31s", name.machine);
        snprintf(environment->kernel, sizeof environment->kernel, "%.65s %.65s", name.sysname, name.release);
    }
    snprintf(environment->build, sizeof environment->build, "rask %s, %s, %s%s", RASK_VERSION, COMPILER, OPTIMIZED,
             SANITIZED);
    if (!read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", environment->clock_source,
                   sizeof environment->clock_source))
        snprintf(environment->clock_source, sizeof environment->clock_source, "unknown");
    environment->load = read_load();
    environment->clock_read_ns = rk_clock_read_ns();
}

bool rk_cpu_is_usable(uint32_t cpu)
{
    cpu_set_t set;
    return cpu < CPU_SETSIZE && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_ISSET(cpu, &set);
}

int rk_environment_two_cpus(int cpus[2])
{
    int count = 0;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE && count < 2; cpu++)
        if (rk_cpu_is_usable(cpu)) cpus[count++] = (int)cpu;
    if (count == 0) cpus[0] = 0;
    if (count < 2) cpus[1] = cpus[0];
    return count < 2 ? 1 : 2;
}
