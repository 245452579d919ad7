/* SPDX-License-Identifier: MIT */
/* See session_text.h. */
#include "session_text.h"
#include "clock.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long to wait for the file of a crash. */
#define HINT_NS 200000000u

void rk_no_method_text(const struct rask *s, const char *method, char *text, size_t bytes)
{
    struct rask_info info = {.size = sizeof(info)};
    const char *name;
    rask_info(s, &info);
    snprintf(text, bytes, "plugin %s has no method \"%s\"; it has", info.plugin, method);
    size_t used = strlen(text);
    for (uint32_t id = 0; (name = rask_method_name(s, id)); id++) {
        int n = snprintf(text + used, bytes - used, "%s %s", id ? "," : "", name);
        if (n < 0 || (size_t)n >= bytes - used) break;
        used += (size_t)n;
    }
}

/* The file appears when it is complete, usually at once; a full disk keeps it away. */
void rk_crash_hint(struct rask *s, char *text, size_t bytes)
{
    const char *file = rask_crash_file(s);
    uint64_t deadline_ns = rk_deadline_after(HINT_NS);
    const struct timespec step = rk_timespec(HINT_NS / 100);
    if (*file == '\0') return;
    while (access(file, F_OK) < 0 && rask_now_ns() < deadline_ns) nanosleep(&step, NULL);
    size_t used = strlen(text);
    if (access(file, F_OK) == 0) snprintf(text + used, bytes - used, "; to see where: rask replay %s --gdb", file);
}
