/* SPDX-License-Identifier: MIT */
/* Probes of rask doctor: processors, caches, limits, memory, clock. They read what the kernel tells and measure the
 * clock; nothing here blocks. */
#include "clock.h"
#include "doctor.h"
#include "ladder.h"
#include "options.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CLOCK_READS 20000
#define CLOCK_SLOW_NS 200
#define DESCRIPTORS_WANTED 256u
#define MEMORY_WANTED (64ull << 20)
#define CACHE_INDEXES 10
#define DOMAINS_MAX 32u

/* First line of a small file, without its newline. Empty when there is none. */
static const char *read_line(const char *path, char *line, size_t bytes)
{
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) return line;
    if (!fgets(line, (int)bytes, file)) line[0] = '\0';
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

void rk_probe_kernel(struct rk_finding *finding)
{
    struct utsname name;
    if (uname(&name) < 0) {
        rk_found(finding, RK_FINDING_WEAK, "", "the kernel does not tell its name: %s", strerror(errno));
        return;
    }
    rk_found(finding, RK_FINDING_FINE, name.release, "%s %s on %s", name.sysname, name.release, name.machine);
}

void rk_probe_cpus(struct rk_finding *finding)
{
    struct rk_cpus cpus;
    char value[16], quota[340] = "no quota";
    rk_cpus_look(&cpus);
    unsigned usable = cpus.usable;
    snprintf(value, sizeof(value), "%u", usable);
    if (cpus.quota_milli != UINT32_MAX)
        snprintf(quota, sizeof(quota), "quota of %.2f from %s", cpus.quota_milli / 1000.0, cpus.quota_from);
    rk_found(finding, usable < 2 ? RK_FINDING_WEAK : RK_FINDING_FINE, value,
             "%u usable: affinity allows %u of %ld online, %s", usable, cpus.affinity, sysconf(_SC_NPROCESSORS_ONLN),
             quota);
    if (usable < 2) {
        rk_advise(finding, "with one processor caller and worker take turns, and every call costs two wake-ups: allow "
                           "two (taskset, cpuset.cpus, cpu.max)");
    }
}

/* Processors that share the last cache with `cpu`, as the kernel writes lists: "0-7". Empty: not told. */
static void cache_domain(size_t cpu, char *list, size_t bytes)
{
    char path[96], line[32];
    long best = -1;
    list[0] = '\0';
    for (int i = 0; i < CACHE_INDEXES; i++) {
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%zu/cache/index%d/level", cpu, i);
        long level = strtol(read_line(path, line, sizeof(line)), NULL, 10);
        if (line[0] == '\0' || level <= best) continue;
        best = level;
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%zu/cache/index%d/shared_cpu_list", cpu, i);
        read_line(path, list, bytes);
    }
}

/* Add a domain unless it is known. Returns whether it was new. */
static bool add_domain(char domains[][64], unsigned *count, const char *list)
{
    for (unsigned i = 0; i < *count; i++) {
        if (strcmp(domains[i], list) == 0) return false;
    }
    if (*count == DOMAINS_MAX) return false;
    snprintf(domains[(*count)++], sizeof(domains[0]), "%s", list);
    return true;
}

void rk_probe_caches(struct rk_finding *finding)
{
    cpu_set_t set;
    char domains[DOMAINS_MAX][64], list[64], text[384] = "", value[16];
    unsigned count = 0;
    if (sched_getaffinity(0, sizeof(set), &set) < 0) CPU_ZERO(&set);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set)) continue;
        cache_domain(cpu, list, sizeof(list));
        if (list[0] == '\0' || !add_domain(domains, &count, list)) continue;
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, " {%s}", list);
    }
    snprintf(value, sizeof(value), "%u", count);
    if (count == 0) {
        rk_found(finding, RK_FINDING_FINE, "unknown", "the kernel does not tell which processors share a cache");
    } else {
        rk_found(finding, RK_FINDING_FINE, value, "%u domain%s of processors that share the last cache:%s", count,
                 count == 1 ? "" : "s", text);
    }
    if (count > 1)
        rk_advise(finding, "for the lowest latency put caller and worker into the same domain (taskset, --pin)");
}

static const char *limit_text(rlim_t limit, bool is_size, char *text, size_t bytes)
{
    if (limit == RLIM_INFINITY) return "unlimited";
    if (is_size) return rk_bytes_text(limit, text, bytes);
    snprintf(text, bytes, "%llu", (unsigned long long)limit);
    return text;
}

void rk_probe_limits(struct rk_finding *finding)
{
    char files_text[32], locked_text[32], processes_text[32];
    struct rlimit files, locked, processes;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_MEMLOCK, &locked) < 0 ||
        getrlimit(RLIMIT_NPROC, &processes) < 0) {
        rk_found(finding, RK_FINDING_WEAK, "unknown", "getrlimit: %s", strerror(errno));
        return;
    }
    const char *value = limit_text(files.rlim_cur, false, files_text, sizeof(files_text));
    bool few = files.rlim_cur < DESCRIPTORS_WANTED;
    rk_found(finding, few ? RK_FINDING_WEAK : RK_FINDING_FINE, value,
             "descriptors %s (ulimit -n), locked memory %s (-l), processes %s (-u)", value,
             limit_text(locked.rlim_cur, true, locked_text, sizeof(locked_text)),
             limit_text(processes.rlim_cur, false, processes_text, sizeof(processes_text)));
    if (few) rk_advise(finding, "a supervisor needs some descriptors per worker and session: ulimit -n 4096");
}

/* The lowest memory limit of this process's cgroup and those above it (v2), or of the v1 mount. UINT64_MAX: none. */
static uint64_t memory_limit(void)
{
    char line[512], path[640], limit[64];
    uint64_t lowest = UINT64_MAX, here;
    FILE *file = fopen("/proc/self/cgroup", "re");
    read_line("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit, sizeof(limit));
    if (rk_parse_count(limit, &here) == 0) lowest = here;
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) != 0) continue;
        for (char *cut = line + strlen(line); cut; cut = strrchr(line + 3, '/')) {
            *cut = '\0';
            snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
            if (rk_parse_count(read_line(path, limit, sizeof(limit)), &here) == 0 && here < lowest) lowest = here;
        }
    }
    if (file) fclose(file);
    return lowest;
}

void rk_probe_memory(struct rk_finding *finding)
{
    char text[32];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
    uint64_t limit = memory_limit();
    if (limit >= machine) {
        rk_found(finding, RK_FINDING_FINE, "unlimited", "%llu MiB in the machine, no limit from the cgroup",
                 (unsigned long long)machine >> 20);
        return;
    }
    rk_bytes_text(limit, text, sizeof(text));
    rk_found(finding, limit < MEMORY_WANTED ? RK_FINDING_WEAK : RK_FINDING_FINE, text,
             "the cgroup allows %s, shared memory of sessions included", text);
    if (limit < MEMORY_WANTED)
        rk_advise(finding, "give the cgroup at least 64 MiB (memory.max), or use smaller payloads");
}

void rk_probe_clock(struct rk_finding *finding)
{
    char source[64], value[32];
    uint64_t start_ns = rask_now_ns(), end_ns = start_ns;
    for (int i = 0; i < CLOCK_READS; i++) end_ns = rask_now_ns();
    uint64_t cost_ns = (end_ns - start_ns) / CLOCK_READS;
    snprintf(value, sizeof(value), "%llu", (unsigned long long)cost_ns);
    read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof(source));
    rk_found(finding, cost_ns > CLOCK_SLOW_NS ? RK_FINDING_WEAK : RK_FINDING_FINE, value,
             "reading CLOCK_MONOTONIC takes %s ns (clock source %s)", value, source[0] ? source : "not told");
    if (cost_ns > CLOCK_SLOW_NS) {
        rk_advise(finding, "calls with deadlines read the clock: use a source that does not enter the kernel "
                           "(clocksource=tsc at boot, kvm-clock in a guest)");
    }
}
