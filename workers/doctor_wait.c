/* SPDX-License-Identifier: MIT */
/* Probes of rask doctor: sleeping, waking and barriers between two processes, over a real bell segment. */
#include "atomic.h"
#include "bell.h"
#include "clock.h"
#include "doctor.h"
#include "ladder.h"
#include "segment.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_NS_MAX 1000000000u
#define ASLEEP_NS 20000000u
#define ROUNDS 5000u
#define SKEWS 1000u
#define ROUNDS_NS_MAX 500000000u

/* What the sleeper in the other process saw; its exit code. */
enum slept { SLEPT_WOKEN = 0, SLEPT_TOO_LONG = 1, SLEPT_NOT_AT_ALL = 2, SLEPT_NO_MEMORY = 3 };

static struct rk_bell_page *map_bell(struct rk_segment *segment, int fd)
{
    return rk_segment_map(segment, dup(fd), RK_SEGMENT_BELL, RK_PAGE_BYTES, false) < 0 ? NULL : segment->base;
}

/* In the other process: sleep on `count` words until the last one is rung. */
static enum slept sleep_on(int fd, uint32_t count)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    struct rk_bell_page *page = map_bell(&segment, fd);
    if (!page) return SLEPT_NO_MEMORY;
    struct rk_wait_word words[] = {{.word = &page->client.word}, {.word = &page->lane[0].word}};
    uint64_t deadline_ns = rk_deadline_after(WAIT_NS_MAX);
    while (rask_now_ns() < deadline_ns) {
        int error = rk_bell_wait(words, count, deadline_ns);
        if (rk_load_acquire(words[count - 1].word) != 0) return SLEPT_WOKEN;
        if (error == -EINTR) return SLEPT_NOT_AT_ALL;
    }
    return SLEPT_TOO_LONG;
}

static enum slept sleep_and_wake(uint32_t count)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    int status = 0;
    if (rk_segment_create(&segment, RK_SEGMENT_BELL, RK_PAGE_BYTES) < 0) return SLEPT_NO_MEMORY;
    struct rk_bell_page *page = segment.base;
    pid_t child = fork();
    if (child == 0) _exit((int)sleep_on(segment.fd, count));
    struct timespec asleep = rk_timespec(ASLEEP_NS);
    nanosleep(&asleep, NULL);
    rk_bell_ring(count == 1 ? &page->client.word : &page->lane[0].word);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    rk_segment_finish(&segment);
    return child > 0 && WIFEXITED(status) ? (enum slept)WEXITSTATUS(status) : SLEPT_NO_MEMORY;
}

static void tell_sleep(struct rk_finding *finding, enum slept slept, const char *what, const char *advice)
{
    static const char *const faults[] = {
        [SLEPT_TOO_LONG] = "a sleeper was not woken by another process",
        [SLEPT_NOT_AT_ALL] = "the kernel refuses it",
        [SLEPT_NO_MEMORY] = "no shared memory or no child to try it with",
    };
    if (slept == SLEPT_WOKEN) {
        rk_found(finding, RK_FINDING_FINE, "yes", "%s woken by another process", what);
        return;
    }
    rk_found(finding, RK_FINDING_MISSING, "no", "%s", slept <= SLEPT_NO_MEMORY ? faults[slept] : "the sleeper died");
    rk_advise(finding, "%s", advice);
}

void rk_probe_futex(struct rk_finding *finding)
{
    tell_sleep(finding, sleep_and_wake(1), "a sleeper on one word was",
               "rask sleeps with futex(2) on shared memory: allow it in the sandbox");
}

void rk_probe_futex_waitv(struct rk_finding *finding)
{
    if (!rk_futex_waitv_allowed()) {
        rk_found(finding, RK_FINDING_WEAK, "no", "the kernel refuses it: idle workers look a thousand times a second");
        rk_advise(finding, "Linux 5.16 has futex_waitv, and the sandbox must allow it");
        return;
    }
    tell_sleep(finding, sleep_and_wake(2), "a sleeper on two words was",
               "rask sleeps with futex_waitv: Linux 5.16, and a sandbox that allows it");
}

/* The classic test of a barrier: each side stores its word and looks at the other's. With a barrier between the two on
 * one side, and a heavy one on the other, at least one of them sees the other's store. */
struct duel {
    uint32_t *start, *light, *heavy, *done; /* round numbers */
    uint32_t *light_saw;
};

static struct duel duel_on(struct rk_bell_page *page)
{
    return (struct duel){.start = &page->client.word,
                         .light = &page->lane[0].word,
                         .heavy = &page->lane[1].word,
                         .done = &page->lane[2].word,
                         .light_saw = &page->lane[3].word};
}

/* Until *word is `round`, or the time is over. Yields now and then: there may be one processor only. */
static bool await(const uint32_t *word, uint32_t round, uint64_t deadline_ns)
{
    for (unsigned looks = 1; rk_load_acquire(word) != round; looks++) {
        rk_pause();
        if (looks % 1024 != 0) continue;
        if (rask_now_ns() > deadline_ns) return false;
        sched_yield();
    }
    return true;
}

static void duel_light(int fd, uint64_t deadline_ns)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    struct rk_bell_page *page = map_bell(&segment, fd);
    if (!page) _exit(1);
    struct duel duel = duel_on(page);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        if (!await(duel.start, round, deadline_ns)) break;
        rk_store_relaxed(duel.light, round);
        rk_light_barrier();
        rk_store_relaxed(duel.light_saw, rk_load_relaxed(duel.heavy));
        rk_store_release(duel.done, round);
    }
    _exit(0);
}

/* Rounds in which neither side saw the other; *rounds says how many there was time for. */
static uint32_t duel_heavy(struct rk_bell_page *page, uint64_t deadline_ns, uint32_t *rounds)
{
    struct duel duel = duel_on(page);
    uint32_t blind = 0;
    for (*rounds = 0; *rounds < ROUNDS; (*rounds)++) {
        uint32_t round = *rounds + 1;
        rk_store_release(duel.start, round);
        for (uint32_t i = round % SKEWS; i > 0; i--) rk_light_barrier(); /* meet it at every distance */
        rk_store_relaxed(duel.heavy, round);
        rk_heavy_barrier();
        uint32_t saw = rk_load_relaxed(duel.light);
        if (!await(duel.done, round, deadline_ns)) break;
        if (saw != round && rk_load_relaxed(duel.light_saw) != round) blind++;
    }
    return blind;
}

static int run_duel(uint32_t *rounds, uint32_t *blind)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    int error = rk_segment_create(&segment, RK_SEGMENT_BELL, RK_PAGE_BYTES);
    if (error < 0) return error;
    uint64_t deadline_ns = rk_deadline_after(ROUNDS_NS_MAX);
    pid_t child = fork();
    if (child == 0) duel_light(segment.fd, deadline_ns);
    error = child < 0 ? -errno : 0;
    *blind = child < 0 ? 0 : duel_heavy(segment.base, deadline_ns, rounds);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    rk_segment_finish(&segment);
    return error;
}

void rk_probe_membarrier(struct rk_finding *finding)
{
    const char *wanted = getenv("RASK_BARRIER");
    uint32_t rounds = 0, blind = 0;
    if (!rk_membarrier_register()) {
        bool asked = wanted && strcmp(wanted, "fence") == 0;
        rk_found(finding, asked ? RK_FINDING_FINE : RK_FINDING_WEAK, "fence", "fences on both sides, because %s",
                 asked ? "RASK_BARRIER=fence asks for them" : "the kernel refuses membarrier GLOBAL_EXPEDITED");
        if (!asked) {
            rk_advise(finding,
                      "every message pays for a fence: Linux 4.16 has membarrier, and the sandbox must allow it");
        }
        return;
    }
    int error = run_duel(&rounds, &blind);
    if (error < 0 || rounds == 0) {
        rk_found(finding, RK_FINDING_WEAK, "membarrier", "membarrier is there, but could not be tried out");
    } else if (blind > 0) {
        rk_found(finding, RK_FINDING_MISSING, "membarrier", "membarrier does not order: %u of %u rounds went wrong",
                 blind, rounds);
        rk_advise(finding, "set RASK_BARRIER=fence everywhere, and report this kernel");
    } else {
        rk_found(finding, RK_FINDING_FINE, "membarrier",
                 "membarrier GLOBAL_EXPEDITED held in %u rounds of two processes", rounds);
    }
}

void rk_probe_wait_mode(struct rk_finding *finding)
{
    struct rk_ladder ladder;
    const char *set = getenv("RASK_WAIT");
    const char *why = set && *set ? "RASK_WAIT says so" : "the default";
    int mode = rk_wait_mode_resolve(RASK_WAIT_DEFAULT);
    if (mode < 0) {
        rk_found(finding, RK_FINDING_MISSING, "none", "%s", rask_last_error());
        rk_advise(finding, "unset RASK_WAIT");
        return;
    }
    rk_ladder_init(&ladder, (uint32_t)mode, 2);
    const char *name = rk_wait_mode_name((uint32_t)mode);
    if (mode == RASK_WAIT_SPIN) {
        rk_found(finding, RK_FINDING_FINE, name, "spin, %s: never sleeps, one processor per waiting party", why);
    } else if (ladder.budget_ns == 0) {
        rk_found(finding, RK_FINDING_FINE, name, "%s, %s: sleeps at once (%u usable processors)", name, why,
                 ladder.cpus);
    } else {
        rk_found(finding, RK_FINDING_FINE, name,
                 "%s, %s: %u parties on %u processors spin %u ns each (%u looks) before they sleep, while that helps",
                 name, why, ladder.parties, ladder.cpus, ladder.budget_ns, ladder.spins);
    }
}
