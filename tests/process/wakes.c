/* SPDX-License-Identifier: MIT */
/* wakes COUNT [SEED]: two processes wake each other through lib/bell.h until COUNT sleeps ended by a ring, with random pauses on
 * both sides, and with spells of work without sleep, so that the barrier is switched back and forth. A sleep that ends by its
 * time-out although a message is there is a lost wake-up. Exit code 1 if there was one. */
#include "bell.h"
#include "clock.h"
#include "segment.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESCUE_NS 2000000000u
#define PROGRESS_NS 5000000000u
#define SPELL 3000u /* messages without a pause, longer than it takes to go back to the light barrier */

/** One direction. The page is a bell segment's, which both sides may write: words beyond the bells are lane bells. */
struct side {
    struct rk_waiter *waiter;
    uint32_t *bell;
    uint32_t *message; /* counts up */
    uint64_t *sleeps;  /* for the other process to read */
    uint64_t *rescues;
};

struct party {
    struct side own, peer;
    struct rk_nap nap;
    uint64_t rung; /* for which of the peer's sleeps */
    uint64_t random;
    uint64_t fenced_sleeps, light_sleeps;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct side side_on(struct rk_bell_page *page, unsigned first)
{
    return (struct side){
        .waiter = (struct rk_waiter *)(void *)&page->lane[first],
        .bell = &page->lane[first + 1].word,
        .message = &page->lane[first + 2].word,
        .sleeps = (uint64_t *)(void *)&page->lane[first + 3],
        .rescues = (uint64_t *)(void *)&page->lane[first + 4],
    };
}

static void note_sleep(struct party *party)
{
    rk_store_relaxed(party->own.sleeps, rk_load_relaxed(party->own.sleeps) + 1);
    if (party->nap.fenced)
        party->fenced_sleeps++;
    else
        party->light_sleeps++;
}

static void sleep_until(struct party *party, uint32_t number)
{
    uint64_t *state = &party->own.waiter->state;
    struct rk_wait_word word = {party->own.bell, rk_load_acquire(party->own.bell)};
    rk_nap_begin(&party->nap);
    rk_nap_barrier(rk_nap_announce(&party->nap, state));
    if (rk_load_acquire(party->own.message) != number) {
        int result = rk_bell_wait(&word, 1, rk_deadline_after(RESCUE_NS));
        if (result == 0) note_sleep(party);
        if (result == -ETIMEDOUT && rk_load_acquire(party->own.message) == number && rk_bell_lost(&word, 1))
            rk_store_relaxed(party->own.rescues, rk_load_relaxed(party->own.rescues) + 1);
    }
    rk_park_withdraw(state);
}

/** Wait for message `number`: sleep at once, or in a spell only look. */
static void receive(struct party *party, uint32_t number, bool spell)
{
    uint32_t looks = 0;
    while (rk_load_acquire(party->own.message) != number) {
        if (spell && ++looks < 20000)
            rk_pause();
        else
            sleep_until(party, number);
    }
    bool forgets = next_random(&party->random) % 8 == 0; /* or the fence would be left only after a spell */
    if (forgets) party->nap = (struct rk_nap){0};
    if ((rk_nap_awake(&party->nap) || forgets) && rk_membarrier_register()) rk_park_lighten(&party->own.waiter->state);
}

/** From nothing to some 20 us, in steps that fall between the steps of the other side. */
static void pause_a_little(struct party *party)
{
    uint64_t random = next_random(&party->random);
    if (random % 4 == 0) return;
    for (uint64_t i = random >> 8 & (random % 4 == 1 ? 1023 : 63); i > 0; i--) rk_pause();
}

static bool in_spell(uint32_t number)
{
    return number % (20 * SPELL) > 19 * SPELL;
}

static void send(struct party *party, uint32_t number)
{
    if (!in_spell(number)) pause_a_little(party);
    rk_store_release(party->peer.message, number);
    rk_publish(&party->peer.waiter->state, party->peer.bell, &party->rung);
}

static uint64_t sleeps(const struct party *party)
{
    return rk_load_relaxed(party->own.sleeps) + rk_load_relaxed(party->peer.sleeps);
}

static uint64_t rescues(const struct party *party)
{
    return rk_load_relaxed(party->own.rescues) + rk_load_relaxed(party->peer.rescues);
}

__attribute__((noreturn)) static void answer(struct party *party)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (uint32_t number = 1;; number++) {
        receive(party, number, in_spell(number));
        send(party, number);
    }
}

static void ask(struct party *party, uint64_t count)
{
    uint64_t start_ns = rask_now_ns(), told_ns = start_ns;
    for (uint32_t number = 1; sleeps(party) < count; number++) {
        send(party, number);
        receive(party, number, in_spell(number));
        if (number % 1024 != 0 || rask_now_ns() - told_ns < PROGRESS_NS) continue;
        told_ns = rask_now_ns();
        fprintf(stderr, "wakes: %llu of %llu, %llu lost\n", (unsigned long long)sleeps(party),
                (unsigned long long)count, (unsigned long long)rescues(party));
    }
    double took = (double)(rask_now_ns() - start_ns) / 1e9;
    printf("wakes: %llu sleeps ended by a ring in %.1f s (%.1f us each), barrier %s, of this side %llu light and %llu "
           "fenced; lost, rescued by time-out: %llu\n",
           (unsigned long long)sleeps(party), took, took * 1e6 / (double)sleeps(party),
           rk_membarrier_register() ? "membarrier" : "fence", (unsigned long long)party->light_sleeps,
           (unsigned long long)party->fenced_sleeps, (unsigned long long)rescues(party));
}

int main(int argc, char **argv)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : rask_now_ns();
    if (count == 0 || argc > 3) {
        fprintf(stderr, "usage: wakes COUNT [SEED]\n");
        return 64;
    }
    printf("wakes: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    if (rk_segment_create(&segment, RK_SEGMENT_BELL, RK_PAGE_BYTES) != 0) return 69;
    bool light = rk_membarrier_register(); /* the other process is registered as well: it is inherited */
    struct side a = side_on(segment.base, 0), b = side_on(segment.base, 8);
    if (!light) a.waiter->state = b.waiter->state = RK_WAITER_FENCED;
    int fd = dup(segment.fd); /* mappings are not inherited */
    pid_t child = fork();
    if (child == 0) {
        struct rk_segment mine = RK_SEGMENT_INIT;
        if (rk_segment_map(&mine, fd, RK_SEGMENT_BELL, RK_PAGE_BYTES, false) != 0) _exit(69);
        struct party party = {.own = side_on(mine.base, 0), .peer = side_on(mine.base, 8), .random = seed ^ 1};
        rk_membarrier_register();
        answer(&party);
    }
    struct party party = {.own = b, .peer = a, .random = seed};
    ask(&party, count);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return rescues(&party) > 0;
}
