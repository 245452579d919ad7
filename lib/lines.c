/* SPDX-License-Identifier: MIT */
/* Whether this processor is one of those that lines.h speaks of. */
#include "lines.h"
#include "atomic.h"
#include <stdlib.h>

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_clflushopt(void)
{
    unsigned a, b = 0, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 23 & 1) != 0;
}

static bool made_by_amd(void)
{
    unsigned a, b = 0, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) != 0 && (b == signature_AMD_ebx || b == 0x6f677948u /* Hygon */);
}

static bool look(void)
{
    const char *wish = getenv("RASK_GIVE_UP");
    if (wish != NULL && (wish[0] == '0' || wish[0] == '1') && wish[1] == '\0')
        return wish[0] == '1' && has_clflushopt();
    return made_by_amd() && has_clflushopt();
}
#else
static bool look(void)
{
    return false;
}
#endif

bool rk_lines_stay(void)
{
    static int known; /* 0: not looked yet; the answer is the same for all threads */
    int answer = rk_load_relaxed(&known);
    if (answer == 0) {
        answer = look() ? 1 : -1;
        rk_store_relaxed(&known, answer);
    }
    return answer > 0;
}
